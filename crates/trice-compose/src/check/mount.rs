//! Mounts in their short form: `[source:]target[:options]`.
//!
//! A source that begins with a dot, a slash or a tilde is a path of the host, anything else the key of a volume.
//!
//! Source: Compose Specification, `05-services.md`, "volumes"; what Docker Compose does with the rest: unknown options
//! are passed over. It takes a volume whose name is one letter for a Windows drive; here it is a volume.

use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::span::Span;

/// Why a text is no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MountMistake {
    #[error("a mount cannot be empty")]
    Empty,
    #[error("`{0}` has nothing between two colons")]
    EmptyPart(String),
    #[error("`{0}` has too many colons")]
    TooManyParts(String),
}

impl MountMistake {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        Some("write `source:target` or `source:target:ro`".to_owned())
    }
}

/// A mount in its long form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    source: Option<String>,
    target: String,
    read_only: bool,
    nocopy: bool,
    propagation: Option<String>,
    selinux: Option<String>,
}

/// Reads a mount.
pub(crate) fn parse(text: &str) -> Result<Parsed, MountMistake> {
    if text.is_empty() {
        return Err(MountMistake::Empty);
    }
    let parts = parts(text);
    if parts.contains(&"") {
        return Err(MountMistake::EmptyPart(text.to_owned()));
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source.to_owned()), target, ""),
        [source, target, options] => (Some(source.to_owned()), target, options),
        _ => return Err(MountMistake::TooManyParts(text.to_owned())),
    };
    let target = clean(target);
    let mut mount =
        Parsed { source, target, read_only: false, nocopy: false, propagation: None, selinux: None };
    for option in options.split(',') {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.nocopy = true,
            "z" | "Z" => mount.selinux = Some(option.to_owned()),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                mount.propagation = Some(option.to_owned());
            }
            _ => {}
        }
    }
    Ok(mount)
}

/// Returns what stands between the colons of a short form. Those inside of `${...}` part nothing: without interpolation
/// variables stand as they are written.
pub(crate) fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Parsed {
    /// Returns the long form, all of it at `span`.
    pub(crate) fn into_node(self, span: Span) -> Node {
        let bind = self.source.as_deref().is_some_and(is_path);
        let yes = |wanted: bool| wanted.then_some(Value::Bool(true));
        let for_bind = mapping(
            vec![
                ("selinux", self.selinux.map(Value::Text)),
                ("propagation", self.propagation.map(Value::Text)),
                ("create_host_path", yes(bind)),
            ],
            span,
        );
        // Docker Compose looks no further at a text of one or two characters.
        let plain = bind || (self.source.is_none() && self.target.len() <= 2);
        let for_volume = mapping(vec![("nocopy", yes(self.nocopy))], span);
        // Options of the other kind stay where they are written, though they ask for nothing.
        let whole = mapping(
            vec![
                ("type", Some(Value::Text(if bind { "bind" } else { "volume" }.to_owned()))),
                ("source", self.source.map(Value::Text)),
                ("target", Some(Value::Text(self.target))),
                ("read_only", yes(self.read_only)),
                ("bind", (!for_bind.is_empty()).then(|| Value::Map(Box::new(for_bind)))),
                ("volume", (!for_volume.is_empty() || !plain).then(|| Value::Map(Box::new(for_volume)))),
            ],
            span,
        );
        Node::map(whole, span)
    }
}

/// Makes a mapping of those fields that have a value.
fn mapping(fields: Vec<(&str, Option<Value>)>, span: Span) -> Mapping {
    let mut map = Mapping::default();
    for (name, value) in fields {
        if let Some(value) = value {
            map.insert(name, span, Node::new(value, span));
        }
    }
    map
}

fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~'])
}

/// Returns `path` without empty parts, `.` and `..`, as far as that can be told from its text.
///
/// Source: Go `path.Clean`, which the targets of mounts go through.
pub(crate) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::outline;
    use crate::tree::span::FileId;

    fn mount(text: &str) -> String {
        match parse(text) {
            Ok(mount) => outline(&mount.into_node(Span::file_start(FileId(0)))).replace('"', ""),
            Err(mistake) => format!("error: {mistake}"),
        }
    }

    #[test]
    fn every_short_form_is_read() {
        let rows = [
            ("/data", "{type: volume, target: /data, volume: {}}"),
            ("data:/data/", "{type: volume, source: data, target: /data, volume: {}}"),
            ("v:/data", "{type: volume, source: v, target: /data, volume: {}}"),
            (
                "./a:/b:ro",
                "{type: bind, source: ./a, target: /b, read_only: true, bind: {create_host_path: true}}",
            ),
            ("~/a:/b", "{type: bind, source: ~/a, target: /b, bind: {create_host_path: true}}"),
            ("data:/d:nocopy,unheard", "{type: volume, source: data, target: /d, volume: {nocopy: true}}"),
            (
                "/a:/b:rslave,z,rw",
                "{type: bind, source: /a, target: /b, bind: {selinux: z, propagation: rslave, create_host_path: true}}",
            ),
        ];
        for (text, found) in rows {
            assert_eq!(mount(text), found, "{text}");
        }
    }

    #[test]
    fn a_bad_mount_says_why() {
        assert_eq!(mount(""), "error: a mount cannot be empty");
        assert_eq!(mount(":/a"), "error: `:/a` has nothing between two colons");
        assert_eq!(mount("a:/b:ro:rw"), "error: `a:/b:ro:rw` has too many colons");
    }

    #[test]
    fn paths_are_cleaned_by_their_text() {
        let rows =
            [("/a//b/./c/..", "/a/b"), ("/..", "/"), ("", "."), ("../a/..", ".."), ("a/../../b", "../b")];
        for (path, cleaned) in rows {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
