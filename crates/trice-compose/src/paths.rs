//! Relative paths, made absolute; `~`, made the home folder. By text alone: no file is looked at.
//!
//! An included or extended file counts its paths from its own folder. As that folder may itself be written relative to
//! the project's, a path goes through here once for each file on the way.
//!
//! Source: compose-go `paths/resolve.go`.

use std::path::{Path, PathBuf};

use crate::check::mount::clean;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Rule, Value};

/// What paths are counted from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// The folder of the file that names them.
    pub(crate) folder: &'a str,
    /// What `~` stands for.
    pub(crate) home: Option<&'a Path>,
}

/// Makes the paths of a model absolute, or relative to what `base` is relative to.
pub(crate) fn resolve(root: &mut Node, base: Base<'_>) {
    for (_, service) in section(root, "services") {
        resolve_service(service, base);
    }
    for name in ["configs", "secrets"] {
        for (_, resource) in section(root, name) {
            each(resource.get_mut("file"), |path| base.path(path));
        }
    }
    for (_, volume) in section(root, "volumes") {
        let local = volume.text_at("driver") == Some("local");
        let options = volume.get_mut("driver_opts");
        if let Some(options) = options.filter(|options| local && options.text_at("o") == Some("bind")) {
            each(options.get_mut("device"), |path| base.path(path));
        }
    }
}

/// Makes the paths of a service absolute, or relative to what `base` is relative to.
pub(crate) fn resolve_service(service: &mut Node, base: Base<'_>) {
    let Some(service) = service.as_map_mut() else { return };
    if let Some(build) = service.get_mut("build") {
        each(build.get_mut("context"), |path| base.context(path));
        let contexts = build.get_mut("additional_contexts").and_then(Node::as_map_mut);
        for (_, context) in contexts.into_iter().flat_map(Mapping::iter_mut) {
            each(Some(context), |path| base.context(path));
        }
        let keys = build.get_mut("ssh").and_then(Node::as_map_mut);
        for (_, key) in keys.into_iter().flat_map(Mapping::iter_mut) {
            each(Some(key), |path| base.path(path));
        }
    }
    for file in list(service.get_mut("env_file")) {
        each(file.get_mut("path"), |path| base.file(path));
    }
    for file in list(service.get_mut("label_file")) {
        each(Some(file), |path| base.file(path));
    }
    for watch in list(service.get_mut("develop").and_then(|develop| develop.get_mut("watch"))) {
        each(watch.get_mut("path"), |path| base.file(path));
    }
    for mount in list(service.get_mut("volumes")) {
        if mount.text_at("type") == Some("bind") {
            each(mount.get_mut("source"), |path| base.path(path));
        }
    }
}

impl Base<'_> {
    /// Returns `path` counted from the folder. The empty path stays empty.
    fn file(&self, path: &str) -> String {
        if path.is_empty() { String::new() } else { self.path(path) }
    }

    /// Returns `path` counted from the folder, or as it stands if it is absolute, on Windows or here.
    fn path(&self, path: &str) -> String {
        let expanded = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => join(&home.display().to_string(), rest),
            _ => path.to_owned(),
        };
        if expanded.starts_with('/') || is_windows_absolute(&expanded) {
            expanded
        } else {
            join(self.folder, &expanded)
        }
    }

    /// Returns the build context `path`, which may be a URL or another service.
    fn context(&self, path: &str) -> String {
        let remote = ["https://", "http://", "git://", "ssh://", "github.com/", "git@", "service:"];
        if path.contains("://") || remote.iter().any(|prefix| path.starts_with(prefix)) {
            path.to_owned()
        } else {
            self.file(path)
        }
    }
}

/// Returns `path` below `folder`, cleaned.
pub(crate) fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { clean(path) } else { clean(&format!("{folder}/{path}")) }
}

/// Returns `path` below `folder`, or as it stands if it is absolute, cleaned.
pub(crate) fn absolute(folder: &Path, path: &str) -> PathBuf {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.display()) };
    PathBuf::from(clean(&whole))
}

/// Returns how to get from one absolute folder to another: `.`, `sub`, `../other`.
pub(crate) fn relative(from: &Path, to: &Path) -> String {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| "..".to_owned());
    let down = to.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
    clean(&up.chain(down).collect::<Vec<_>>().join("/"))
}

/// Tells whether `path` is `C:\…`, `C:/…` or `\\…`: a path for another machine, which is left alone.
fn is_windows_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    path.starts_with("\\\\") || (drive && matches!(bytes[2], b'\\' | b'/'))
}

fn section<'a>(root: &'a mut Node, name: &str) -> impl Iterator<Item = (&'a str, &'a mut Node)> {
    root.get_mut(name).and_then(Node::as_map_mut).into_iter().flat_map(Mapping::iter_mut)
}

fn list(node: Option<&mut Node>) -> impl Iterator<Item = &mut Node> {
    node.and_then(Node::as_list_mut).into_iter().flatten()
}

/// Replaces the text of `node` by what `change` makes of it.
fn each(node: Option<&mut Node>, change: impl Fn(&str) -> String) {
    let Some(node) = node else { return };
    let Value::Text(text) = &node.value else { return };
    let changed = change(text);
    if changed != *text {
        let span = node.span;
        let before = std::mem::replace(node, Node::new(Value::Null, span));
        *node = Node::text(changed, span).after(Rule::Resolved, before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_from_the_folder_unless_they_are_whole() {
        let base = Base { folder: "/p/sub", home: Some(Path::new("/home/me")) };
        let rows = [
            ("a", "/p/sub/a"),
            ("./a/../b", "/p/sub/b"),
            ("../a", "/p/a"),
            ("/x/../y", "/x/../y"),
            ("~", "/home/me"),
            ("~/a", "/home/me/a"),
            ("C:\\a", "C:\\a"),
            (".", "/p/sub"),
        ];
        for (path, whole) in rows {
            assert_eq!(base.path(path), whole, "{path}");
        }
        assert_eq!(base.context("https://x/y.git"), "https://x/y.git");
        assert_eq!(base.context("service:web"), "service:web");
        assert_eq!(Base { folder: "sub", home: None }.path("a"), "sub/a");
    }

    #[test]
    fn the_way_from_one_folder_to_another_is_found() {
        let rows =
            [("/a/b", "/a/b", "."), ("/a", "/a/b", "b"), ("/a/b", "/a/c", "../c"), ("/a/b", "/", "../..")];
        for (from, to, way) in rows {
            assert_eq!(relative(Path::new(from), Path::new(to)), way, "{from} {to}");
        }
    }
}
