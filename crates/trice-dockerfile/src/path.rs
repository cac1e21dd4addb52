//! Paths in images, as texts: they are none of this machine's.

/// Returns `path` without `.`, `..` and doubled slashes; nothing leads above the root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns `path` as seen from the folder `from`.
pub(crate) fn joined(from: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{from}/{path}")) }
}

/// Returns where files go that are copied to `path` from the folder `from`: with a slash at its end, it is a folder.
pub(crate) fn destination(from: &str, path: &str) -> String {
    let is_folder = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    let mut joined = joined(from, path);
    if is_folder && joined != "/" {
        joined.push('/');
    }
    joined
}

/// Returns the last part of a path.
pub(crate) fn last(path: &str) -> Option<&str> {
    path.trim_end_matches('/').rsplit('/').next().filter(|last| !last.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root_and_keep_what_makes_them_folders() {
        let cases = [
            ("a", "/w/a"),
            ("a/", "/w/a/"),
            (".", "/w/"),
            ("", "/w/"),
            ("./", "/w/"),
            ("/a/./b/..//c/.", "/a/c/"),
            ("../../../x", "/x"),
            ("/", "/"),
        ];
        for (path, result) in cases {
            assert_eq!(destination("/w", path), result, "{path}");
        }
    }
}
