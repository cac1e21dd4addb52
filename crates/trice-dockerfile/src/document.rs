//! The configuration of an image as a build changes it, and how it is written down.
//!
//! What others have put into a base's configuration beside this is left out, as Docker does.
//!
//! Sources: OCI Image Specification, `config.md`; moby `image/spec/specs-go/v1/image.go` for what Docker adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// The processor.
    #[serde(default)]
    pub architecture: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What it says about its containers.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Settings,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// Its features.
    #[serde(default, rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// Its version.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Its layers.
    #[serde(default)]
    pub rootfs: Rootfs,
    /// Which kind of that processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// The digests of their archives without compression, the lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<String>,
    /// Always `layers`.
    #[serde(default = "layers", rename = "type")]
    pub kind: String,
}

fn layers() -> String {
    "layers".to_owned()
}

impl Default for Rootfs {
    fn default() -> Self {
        Self { diff_ids: Vec::new(), kind: layers() }
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// It made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// What an image says about its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The ports that are listened on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Nothing>>,
    /// Variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// The first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Probe>,
    /// Of use on Windows only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
    /// The paths that want a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<BTreeMap<String, Nothing>>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// What those that are based on it do first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that asks for the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The shell of commands that are texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// An empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// The probe of an image; times are in billionths of a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Probe {
    /// What is executed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// The time between two probes.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// The time that one may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// The time at the start in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// The time between two probes in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// How many failures make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn or_default<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The variable `PATH` of whatever does not say another one.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Document {
    /// Reads the configuration of an image.
    ///
    /// # Errors
    /// Those of its JSON.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Writes the configuration down.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and lists are JSON")
    }

    /// Returns the configuration of nothing.
    pub fn scratch(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let config = Settings {
            env: Some(vec![format!("PATH={PATH}")]),
            working_dir: Some("/".to_owned()),
            ..Settings::default()
        };
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            config,
            ..Self::default()
        }
    }
}

/// Writes a list of texts as Go's `%q` does, for the history.
pub(crate) fn quoted_list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(" "))
}

fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            control if control.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(control)),
            control if control.is_control() => out += &format!("\\u{:04x}", u32::from(control)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

impl Probe {
    /// Writes the probe as Go's `%q` does, for the history: a number is a character to it.
    pub(crate) fn shown(&self) -> String {
        let times = [self.interval, self.timeout, self.start_period, self.start_interval];
        let times: Vec<String> = times.iter().map(|nanos| format!("\"{}\"", time(*nanos))).collect();
        let retries = u32::try_from(self.retries).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        let retries = match retries {
            '\'' => "\\'".to_owned(),
            '"' => "\"".to_owned(),
            other => quoted(&other.to_string()).trim_matches('"').to_owned(),
        };
        format!("&{{{} {} '{retries}'}}", quoted_list(&self.test), times.join(" "))
    }
}

/// Writes a time as Go does: `1m30s`, `1.5s`, `300ms`.
fn time(nanos: i64) -> String {
    let fraction = |whole: i64, part: i64, digits: usize| {
        let part = format!("{part:0digits$}");
        match part.trim_end_matches('0') {
            "" => whole.to_string(),
            part => format!("{whole}.{part}"),
        }
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(nanos / 1_000, nanos % 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(nanos / 1_000_000, nanos % 1_000_000, 6)),
        _ => {
            let (seconds, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let seconds = fraction(seconds % 60, part, 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_is_nothing_and_what_is_foreign_is_left_out() {
        let text = r#"{"architecture":"amd64","os":"linux","container":"x","config":null,"history":null,
            "rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;
        let read = Document::read(text.as_bytes()).unwrap();
        let written = String::from_utf8(read.written()).unwrap();
        assert_eq!(
            written,
            r#"{"architecture":"amd64","config":{},"history":[],"os":"linux","rootfs":{"diff_ids":["sha256:00"],"type":"layers"}}"#
        );
    }

    #[test]
    fn times_are_written_as_go_does() {
        let cases = [
            (0, "0s"),
            (1_500_000, "1.5ms"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_000_500_000_000, "16m40.5s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(time(nanos), text);
        }
    }

    #[test]
    fn lists_are_written_as_go_does() {
        let words = ["/bin/sh", "-c", "echo \"a\\b\"\n\u{1}ä"].map(str::to_owned);
        assert_eq!(quoted_list(&words), r#"["/bin/sh" "-c" "echo \"a\\b\"\n\x01ä"]"#);
        assert_eq!(quoted_list(&[]), "[]");
        let probe = Probe {
            test: vec!["CMD".to_owned(), "x".to_owned()],
            interval: 1_000_000_000,
            ..Probe::default()
        };
        assert_eq!(probe.shown(), r#"&{["CMD" "x"] "1s" "0s" "0s" "0s" '\x00'}"#);
        for (retries, shown) in [(3, r"'\x03'"), (9, r"'\t'"), (34, "'\"'"), (39, r"'\''"), (65, "'A'")] {
            assert!(
                Probe { retries, ..probe.clone() }.shown().ends_with(&format!(" {shown}}}")),
                "{retries}"
            );
        }
    }
}
