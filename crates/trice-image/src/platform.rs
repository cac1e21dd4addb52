//! The machines that images are made for.
//!
//! Sources: OCI Image Specification, `image-index.md`, "Platform Variants"; containerd `platforms`.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::{Arch, Os};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Platform {
    /// The operating system, as Go calls it.
    pub os: String,
    /// The processor, as Go calls it.
    pub architecture: String,
    /// Which kind of that processor.
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the platform of this machine.
    pub fn host() -> Self {
        // Go's names where they are not Rust's.
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self::new("linux", architecture, variant)
    }

    /// Returns the platform that a descriptor or a configuration states.
    pub(crate) fn stated(os: &Os, architecture: &Arch, variant: Option<&String>) -> Self {
        Self::new(&os.to_string(), &architecture.to_string(), variant.map(String::as_str))
    }

    /// Tells how well what is made for `image` runs here: the less the better, `None` if it does not.
    ///
    /// An older variant runs on a newer machine, and one that is not stated is the usual one.
    pub fn distance(&self, image: &Self) -> Option<u32> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        self.level()?.checked_sub(image.level()?)
    }

    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// Returns the number of the variant.
    fn level(&self) -> Option<u32> {
        match (self.variant.as_deref().filter(|text| !text.is_empty()), self.architecture.as_str()) {
            (Some(variant), _) => variant.strip_prefix('v')?.parse().ok(),
            (None, "arm64") => Some(8),
            (None, "arm") => Some(7),
            (None, _) => Some(1),
        }
    }
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: write `linux/amd64`, `linux/arm64`, `linux/arm/v7` and the like")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `OS/PROCESSOR[/VARIANT]`, with the names that people use beside Go's, or a processor alone.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let is_word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !parts.iter().all(is_word) {
            return Err(PlatformError(text.to_owned()));
        }
        let (os, architecture) = (os.to_lowercase(), architecture.to_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "i686", variant) => ("386", variant),
            ("aarch64" | "arm64", None | Some("v8" | "8")) => ("arm64", Some("v8")),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            ("arm", None) => ("arm", Some("v7")),
            (other, variant) => (other, variant),
        };
        Ok(Self::new(&os, architecture, variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(host: (&str, Option<&str>), image: (&str, Option<&str>)) -> Option<u32> {
        Platform::new("linux", host.0, host.1).distance(&Platform::new("linux", image.0, image.1))
    }

    #[test]
    fn a_platform_is_read_in_the_forms_that_people_use() {
        let read = |text: &str| text.parse::<Platform>().map(|platform| platform.to_string());
        for (text, wanted) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64/v8"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("Linux/AMD64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(wanted), "{text}");
        }
        for bad in ["", "/", "linux/", "linux/amd64/v1/x", "linux amd64", "linux/../x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_older_variant_runs_and_a_newer_or_foreign_one_does_not() {
        assert_eq!(distance(("amd64", None), ("amd64", None)), Some(0));
        assert_eq!(distance(("amd64", None), ("amd64", Some("v3"))), None);
        assert_eq!(distance(("amd64", None), ("arm64", None)), None);
        assert_eq!(distance(("arm64", Some("v8")), ("arm64", None)), Some(0));
        assert_eq!(distance(("arm", Some("v7")), ("arm", Some("v6"))), Some(1));
        assert_eq!(distance(("arm", Some("v6")), ("arm", Some("v7"))), None);
        let windows = Platform::new("windows", "amd64", None);
        assert_eq!(Platform::new("linux", "amd64", None).distance(&windows), None);
    }
}
