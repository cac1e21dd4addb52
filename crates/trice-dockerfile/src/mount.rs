//! The mounts of `RUN`: `--mount=type=cache,target=/root/.cache`.
//!
//! Source: Dockerfile reference, "RUN --mount".

use serde::{Deserialize, Serialize};

use trice_model::suggest::nearest;

use crate::expand::ExpandError;
use crate::parse::Wrong;

/// A mount of a step, with variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountForm {
    /// What kind it is.
    pub kind: MountKind,
    /// The stage, image or context that it comes from.
    pub from: Option<String>,
    /// Where it is there; of a secret, its id.
    pub source: Option<String>,
    /// Where it is in the step.
    pub target: Option<String>,
    /// Nothing may be written to it.
    pub read_only: bool,
    /// The most that a tmpfs holds, in bytes.
    pub size: Option<u64>,
    /// What a cache, a secret or an agent is called.
    pub id: Option<String>,
    /// How several steps use a cache.
    pub sharing: Sharing,
    /// Without the secret or agent, there is no step.
    pub required: bool,
    /// The variable that holds the secret.
    pub env: Option<String>,
    /// The permissions of a new cache, a secret or a socket.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

/// What kind a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// Files of a context, a stage or an image.
    Bind,
    /// A folder that steps keep between builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret.
    Secret,
    /// The socket of an agent that has keys.
    Ssh,
}

/// How several steps use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Together.
    #[default]
    Shared,
    /// Each has one of its own.
    Private,
    /// One after the other.
    Locked,
}

const KEYS: [&str; 20] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "size",
    "id",
    "sharing",
    "required",
    "mode",
    "uid",
    "gid",
    "env",
    "",
];

/// Finds what is wrong with a mount whatever its variables are.
pub(crate) fn check(text: &str) -> Result<(), Wrong> {
    let fields = fields(text)?;
    for (key, value) in fields.iter().map(|field| pair(field)) {
        known(&key)?;
        let value = value.unwrap_or_default();
        if key == "from" && value.find('$').is_some_and(|at| at + 1 < value.len()) {
            return Err(Wrong::new("`from` of a mount takes no variables")
                .hint("give the image a stage of its own: `FROM $IMAGE AS NAME`"));
        }
    }
    if text.contains('$') {
        return Ok(()); // nothing more is known
    }
    mount(text, |value| Ok(value.to_owned())).map(|_| ())
}

/// Reads a mount. Its values go through `expand`.
pub(crate) fn mount(
    text: &str,
    mut expand: impl FnMut(&str) -> Result<String, ExpandError>,
) -> Result<MountForm, Wrong> {
    let mut pairs = Vec::new();
    for field in fields(text)? {
        let (key, value) = pair(&field);
        known(&key)?;
        let value = value.map(&mut expand).transpose().map_err(|error| Wrong::new(error.to_string()))?;
        pairs.push((key, value));
    }
    let kind = pairs.iter().rev().find(|(key, _)| key == "type").and_then(|(_, value)| value.as_deref());
    let kind = kind.map_or(Ok(MountKind::Bind), kind_of)?;
    let mut read_only = !matches!(kind, MountKind::Cache | MountKind::Tmpfs);
    let mut mount = MountForm {
        kind,
        from: None,
        source: None,
        target: None,
        read_only,
        size: None,
        id: None,
        sharing: Sharing::Shared,
        required: false,
        env: None,
        mode: None,
        uid: None,
        gid: None,
    };
    let keeps_files = matches!(kind, MountKind::Cache | MountKind::Secret | MountKind::Ssh);
    for (key, value) in pairs {
        let flag = || flag(&key, value.as_deref());
        let needed = || value.clone().ok_or_else(|| Wrong::new(format!("`{key}` of a mount has no value")));
        let only = |allowed: bool| if allowed { Ok(()) } else { Err(foreign(&key, kind)) };
        match key.as_str() {
            "from" => mount.from = Some(needed()?).filter(|from| !from.is_empty()),
            "source" | "src" => mount.source = Some(needed()?).filter(|source| !source.is_empty()),
            "target" | "dst" | "destination" => {
                mount.target = Some(needed()?).filter(|path| !path.is_empty())
            }
            "readonly" | "ro" => read_only = flag()?,
            "readwrite" | "rw" => read_only = !flag()?,
            "id" => mount.id = Some(needed()?).filter(|id| !id.is_empty()),
            "required" => {
                only(matches!(kind, MountKind::Secret | MountKind::Ssh))?;
                mount.required = flag()?;
            }
            "size" => {
                only(kind == MountKind::Tmpfs)?;
                let text = needed()?;
                let size = bytes(&text).ok_or_else(|| Wrong::new(format!("`{text}` is no size")));
                mount.size = Some(size?).filter(|size| *size > 0);
            }
            "sharing" => {
                only(kind == MountKind::Cache)?;
                mount.sharing = sharing_of(&needed()?)?;
            }
            "mode" => {
                only(keeps_files)?;
                mount.mode = Some(number(&key, &needed()?, 8)?);
            }
            "uid" => {
                only(keeps_files)?;
                mount.uid = Some(number(&key, &needed()?, 10)?);
            }
            "gid" => {
                only(keeps_files)?;
                mount.gid = Some(number(&key, &needed()?, 10)?);
            }
            "env" => {
                only(kind == MountKind::Secret)?;
                mount.env = Some(needed()?);
            }
            _ => {}
        }
    }
    whole(MountForm { read_only, ..mount })
}

/// Returns the stage, image or context that a mount takes files of.
pub(crate) fn sources(text: &str) -> Option<String> {
    let fields = fields(text).ok()?;
    let from = fields.iter().map(|field| pair(field)).filter(|(key, _)| key == "from");
    let from = from.filter_map(|(_, value)| value.map(str::to_owned)).next_back();
    from.filter(|from| !from.is_empty())
}

/// Finds out whether a mount has all that its kind needs.
fn whole(mount: MountForm) -> Result<MountForm, Wrong> {
    match mount.kind {
        MountKind::Secret if mount.from.is_some() => Err(foreign("from", mount.kind)),
        MountKind::Secret if mount.source.is_some() && mount.id.is_some() => {
            Err(Wrong::new("a secret has both `source` and `id`").hint("`id` alone is enough"))
        }
        MountKind::Secret if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() => {
            Err(Wrong::new("it is not said which secret is meant")
                .hint("write `--mount=type=secret,id=NAME`"))
        }
        MountKind::Bind | MountKind::Cache | MountKind::Tmpfs if mount.target.is_none() => {
            Err(Wrong::new("a mount has no `target`").hint("write `target=PATH`, the place in the step"))
        }
        MountKind::Bind | MountKind::Cache | MountKind::Tmpfs | MountKind::Secret | MountKind::Ssh => {
            Ok(mount)
        }
    }
}

fn pair(field: &str) -> (String, Option<&str>) {
    let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
    (key.to_ascii_lowercase(), value)
}

/// Splits at commas that are not in double quotes; two double quotes in them are one.
fn fields(text: &str) -> Result<Vec<String>, Wrong> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let mut field = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let Some((part, after)) = quoted.split_once('"') else {
                    return Err(Wrong::new("a double quote in `--mount` has no end"));
                };
                field.push_str(part);
                quoted = after;
                match quoted.strip_prefix('"') {
                    Some(after) => quoted = after,
                    None => break,
                }
                field.push('"');
            }
            rest = quoted;
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(Wrong::new("a double quote in `--mount` ends before the comma"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn known(key: &str) -> Result<(), Wrong> {
    if !key.is_empty() && KEYS.contains(&key) {
        return Ok(());
    }
    let wrong = Wrong::new(format!("`--mount` does not know `{key}`"));
    Err(match nearest(key, KEYS) {
        Some(close) => wrong.hint(format!("did you mean `{close}`?")),
        None => wrong,
    })
}

fn foreign(key: &str, kind: MountKind) -> Wrong {
    let kind = match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    };
    Wrong::new(format!("`{key}` says nothing about a mount of the type `{kind}`"))
}

fn kind_of(text: &str) -> Result<MountKind, Wrong> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "bind" => MountKind::Bind,
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        _ => {
            let wrong = Wrong::new(format!("there is no mount of the type `{text}`"));
            return Err(wrong.hint("write `bind`, `cache`, `tmpfs`, `secret` or `ssh`"));
        }
    })
}

fn sharing_of(text: &str) -> Result<Sharing, Wrong> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            let wrong = Wrong::new(format!("a cache cannot be `{text}`"));
            return Err(wrong.hint("write `shared`, `private` or `locked`"));
        }
    })
}

fn flag(key: &str, value: Option<&str>) -> Result<bool, Wrong> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Wrong::new(format!("`{key}={other}` is neither `true` nor `false`"))),
    }
}

fn number(key: &str, text: &str, base: u32) -> Result<u32, Wrong> {
    let digits = text.chars().all(|c| c.is_digit(base));
    let number = u32::from_str_radix(text, base).ok().filter(|_| digits);
    number.ok_or_else(|| Wrong::new(format!("`{text}` is no `{key}`")))
}

/// Reads `64m`, `1.5GiB`, `100`.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MountForm, String> {
        check(text).map_err(|wrong| wrong.message)?;
        mount(text, |value| Ok(value.replace("$V", "value"))).map_err(|wrong| wrong.message)
    }

    #[test]
    fn mounts_of_all_kinds_are_read() {
        let cache = read("type=cache,id=$V,target=/c,sharing=locked,uid=1,gid=2,mode=0700").unwrap();
        assert_eq!((cache.kind, cache.read_only, cache.sharing), (MountKind::Cache, false, Sharing::Locked));
        assert_eq!(
            (cache.id.as_deref(), cache.uid, cache.gid, cache.mode),
            (Some("value"), Some(1), Some(2), Some(0o700))
        );
        let bind = read("from=a,source=/b,target=/c").unwrap();
        assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
        assert!(!read("target=/c,rw").unwrap().read_only && !read("target=/c,ro=false").unwrap().read_only);
        assert_eq!(read("type=tmpfs,size=1.5k,dst=/t").unwrap().size, Some(1536));
        let secret = read("type=secret,id=a,env=B,required").unwrap();
        assert_eq!((secret.env.as_deref(), secret.required), (Some("B"), true));
        assert_eq!(read("type=ssh").unwrap().kind, MountKind::Ssh);
        assert_eq!(read("\"target=/a,\"\"b\"\"\"").unwrap().target.as_deref(), Some("/a,\"b\""));
    }

    #[test]
    fn what_is_no_mount_says_why() {
        let cases = [
            ("type=cash", "there is no mount of the type `cash`"),
            ("type=bind", "a mount has no `target`"),
            ("tpye=bind", "`--mount` does not know `tpye`"),
            ("from=$X,target=/a", "`from` of a mount takes no variables"),
            ("target=/a,size=5", "`size` says nothing about a mount of the type `bind`"),
            ("target=/a,mode=0700", "`mode` says nothing about a mount of the type `bind`"),
            ("type=cache,target=/a,mode=9", "`9` is no `mode`"),
            ("type=cache,target=/a,sharing=all", "a cache cannot be `all`"),
            ("type=secret", "it is not said which secret is meant"),
            ("type=secret,id=a,source=b", "a secret has both `source` and `id`"),
            ("type=secret,id=a,from=b", "`from` says nothing about a mount of the type `secret`"),
            ("type=tmpfs,target=/a,size=x", "`x` is no size"),
            ("target=/a,ro=maybe", "`ro=maybe` is neither `true` nor `false`"),
            ("\"target=/a", "a double quote in `--mount` has no end"),
            ("target", "`target` of a mount has no value"),
            ("target=/a,bind-propagation=shared", "`--mount` does not know `bind-propagation`"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }
}
