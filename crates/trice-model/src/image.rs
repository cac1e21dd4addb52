//! Images: how they are called, what they say about their container.
//!
//! ```text
//! redis:7   ghcr.io/org/app@sha256:…   a registry's
//! docker-archive:FILE[:NAME[:TAG]]     what `docker save` writes
//! oci-archive:FILE[:NAME]              an OCI layout in a tar file
//! oci:FOLDER[:NAME]                    an OCI layout
//! rootfs:FOLDER                        a folder, used copy-on-write; `rootfs:/` is this machine
//! ```
//!
//! Sources: distribution `reference/reference.go` for registry names; containers-transports(5) for the transports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::Healthcheck;
use crate::port::ContainerPort;
use crate::registry::is_host;
use crate::signal::Signal;
use crate::text::written_as_text;

/// What `image:` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageRef {
    /// A name in a registry.
    Registry(RegistryRef),
    /// An image in a file that `docker save` or its like wrote. `name` chooses one of several.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// Which image of the file.
        name: Option<String>,
    },
    /// An image of an OCI layout in a tar file.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// Which image of the layout.
        name: Option<String>,
    },
    /// An image of an OCI layout in a folder.
    Oci {
        /// The folder.
        path: PathBuf,
        /// Which image of the layout.
        name: Option<String>,
    },
    /// A folder that is the root file system.
    Rootfs {
        /// The folder.
        path: PathBuf,
    },
}

/// An image for the machines of a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformImage {
    /// The image.
    pub image: ImageRef,
    /// The platform, as it is written; `None` is this machine's.
    pub platform: Option<String>,
}

impl PlatformImage {
    /// Returns an image for this machine.
    pub fn here(image: ImageRef) -> Self {
        Self { image, platform: None }
    }
}

impl fmt::Display for PlatformImage {
    /// Writes `redis:7`, or `redis:7 for linux/arm64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.image)?;
        self.platform.iter().try_for_each(|platform| write!(f, "{FOR}{platform}"))
    }
}

impl FromStr for PlatformImage {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        // The last one: a path may have such words too, and a platform has no spaces.
        let (image, platform) = match text.rsplit_once(FOR).filter(|(_, platform)| !platform.contains(' ')) {
            Some((image, platform)) => (image, Some(platform.to_owned())),
            None => (text, None),
        };
        Ok(Self { image: image.parse()?, platform })
    }
}

written_as_text!(PlatformImage, "An image, and for which platform: `redis:7`, `redis:7 for linux/arm64`.");

const FOR: &str = " for ";

/// A name in a registry, whole: `docker.io/library/redis:7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryRef {
    /// The registry's host, with a port if it has one.
    pub host: String,
    /// The repository's path.
    pub repository: String,
    /// The tag; `latest` where neither tag nor digest is given.
    pub tag: Option<String>,
    /// The manifest's digest, `sha256:…`.
    pub digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {rule}")]
pub struct ImageRefError {
    text: String,
    rule: &'static str,
}

impl ImageRef {
    /// Returns this reference with a relative path made absolute below `base`.
    pub fn resolved(self, base: &Path) -> Self {
        match self {
            Self::Registry(name) => Self::Registry(name),
            Self::DockerArchive { path, name } => Self::DockerArchive { path: base.join(path), name },
            Self::OciArchive { path, name } => Self::OciArchive { path: base.join(path), name },
            Self::Oci { path, name } => Self::Oci { path: base.join(path), name },
            Self::Rootfs { path } => Self::Rootfs { path: base.join(path) },
        }
    }
}

impl RegistryRef {
    /// Returns host and repository: `docker.io/library/redis`.
    pub fn whole_repository(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// Returns the same as people write it: `redis`.
    pub fn familiar_repository(&self) -> String {
        match (self.host.as_str(), self.repository.strip_prefix("library/")) {
            // With another slash in it, the short form would be read as the name of somebody.
            ("docker.io", Some(short)) if !short.contains('/') => short.to_owned(),
            ("docker.io", _) => self.repository.clone(),
            _ => self.whole_repository(),
        }
    }
}

impl FromStr for RegistryRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        registry_ref(text).map_err(|rule| ImageRefError { text: text.to_owned(), rule })
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let fail = |rule| ImageRefError { text: text.to_owned(), rule };
        let transports = ["docker-archive", "oci-archive", "oci", "rootfs"];
        let Some((transport, rest)) = text.split_once(':').filter(|(head, _)| transports.contains(head))
        else {
            return registry_ref(text).map(Self::Registry).map_err(fail);
        };
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) if transport != "rootfs" => (path, Some(name)),
            _ => (rest, None),
        };
        if path.is_empty() {
            return Err(fail("the path is missing"));
        }
        if name == Some("") {
            return Err(fail("the name after the path is empty"));
        }
        let (path, name) = (PathBuf::from(path), name.map(str::to_owned));
        Ok(match transport {
            "docker-archive" => Self::DockerArchive { path, name },
            "oci-archive" => Self::OciArchive { path, name },
            "oci" => Self::Oci { path, name },
            _ => Self::Rootfs { path },
        })
    }
}

fn registry_ref(text: &str) -> Result<RegistryRef, &'static str> {
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(checked_digest(digest)?)),
        None => (text, None),
    };
    // A colon after the last slash begins a tag; one before it belongs to the host's port.
    let (path, tag) = match named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((path, tag)) => (path, Some(checked_tag(tag)?)),
        None => (named, None),
    };
    let is_meant_as_host =
        |part: &str| part.contains(['.', ':']) || part == "localhost" || part.contains(char::is_uppercase);
    let (host, repository) = match path.split_once('/') {
        Some((host, repository)) if is_meant_as_host(host) => (host, repository.to_owned()),
        Some(_) => ("docker.io", path.to_owned()),
        None => ("docker.io", format!("library/{path}")),
    };
    if !is_host(host) {
        return Err("a host is a name or an address, with `:` and a port if it has one");
    }
    // The name of Docker's own registry under which its credentials are kept.
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    if repository.len() > 255 || !repository.split('/').all(is_path_component) {
        return Err(
            "names consist of a-z and 0-9, with `.`, `_`, `__` or `-` between them, and `/` between parts",
        );
    }
    let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(RegistryRef { host: host.to_owned(), repository, tag, digest })
}

/// Tells whether `part` is alphanumeric runs joined by `.`, `_`, `__` or dashes.
fn is_path_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let allowed = part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
    let bad_run = ["..", "___", "._", "_.", ".-", "-.", "_-", "-_"].iter().any(|run| part.contains(run));
    allowed && edge(part.chars().next()) && edge(part.chars().last()) && !bad_run
}

fn checked_tag(tag: &str) -> Result<String, &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let valid =
        tag.starts_with(word) && tag.len() <= 128 && tag.chars().all(|c| word(c) || c == '.' || c == '-');
    if valid { Ok(tag.to_owned()) } else { Err("a tag has 1 to 128 letters, digits, `_`, `.` and `-`") }
}

fn checked_digest(digest: &str) -> Result<String, &'static str> {
    let hex = |text: &str| {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match digest.strip_prefix("sha256:") {
        Some(rest) if hex(rest) => Ok(digest.to_owned()),
        _ => Err("a digest is `sha256:` and 64 hexadecimal digits"),
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, name) = match self {
            Self::Registry(reference) => return reference.fmt(f),
            Self::DockerArchive { path, name } => ("docker-archive", path, name.as_deref()),
            Self::OciArchive { path, name } => ("oci-archive", path, name.as_deref()),
            Self::Oci { path, name } => ("oci", path, name.as_deref()),
            Self::Rootfs { path } => ("rootfs", path, None),
        };
        write!(f, "{transport}:{}", path.display())?;
        name.map_or(Ok(()), |name| write!(f, ":{name}"))
    }
}

impl fmt::Display for RegistryRef {
    /// Writes the familiar form: without `docker.io/library/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar_repository())?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

written_as_text!(ImageRef, "What an image is called: a reference, or a transport and a path.");

written_as_text!(RegistryRef, "What an image is called in a registry, in its familiar form.");

/// What an image says about its containers.
///
/// Source: OCI Image Specification, `config.md`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageConfig {
    /// Variables, in the image's order.
    pub env: Vec<(String, String)>,
    /// The first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments after them.
    pub cmd: Vec<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// The user, `name`, `uid`, either with `:group`.
    pub user: Option<String>,
    /// The ports that are listened on.
    pub exposed_ports: BTreeSet<ContainerPort>,
    /// The paths that want a volume.
    pub volumes: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks for the end.
    pub stop_signal: Option<Signal>,
    /// The probe.
    pub healthcheck: Option<Healthcheck>,
}

/// An image that is here, ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedImage {
    /// The digest of its configuration, or for a folder what stands for it; another content has another id.
    pub id: String,
    /// The folders of its layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// What it says about its containers.
    pub config: ImageConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_whole_and_written_in_their_familiar_form() {
        let cases = [
            ("redis", "redis:latest"),
            ("redis:7", "redis:7"),
            ("docker.io/library/redis:7", "redis:7"),
            ("org/app", "org/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("index.docker.io/a/b:1", "a/b:1"),
            ("Host/app", "Host/app:latest"),
            ("oci:./layout:v1", "oci:./layout:v1"),
            ("docker-archive:/x/bb.tar:bb:latest", "docker-archive:/x/bb.tar:bb:latest"),
            ("rootfs:/", "rootfs:/"),
            ("oci", "oci:latest"),
        ];
        for (text, written) in cases {
            assert_eq!(text.parse::<ImageRef>().map(|r| r.to_string()).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn a_digest_needs_no_tag_and_a_bad_reference_says_why() {
        let digest = format!("redis@sha256:{}", "0".repeat(64));
        assert_eq!(digest.parse::<ImageRef>().map(|r| r.to_string()), Ok(digest));
        let bad = ["", "UPPER", "a//b", "redis:", "redis@sha256:12", "rootfs:", "oci:x:", "-a", "a_-b"];
        // What could lead a request elsewhere.
        let hosts = ["a.b?c/x", "a.b#/x", "a.b:x/y", "a..b/x", "u:p@a.b/x", "[::1/x", "a.b:99999/x"];
        for bad in bad.into_iter().chain(hosts) {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_relative_path_is_taken_from_the_project() {
        let reference: ImageRef = "oci:layout:v1".parse().unwrap();
        assert_eq!(reference.resolved(Path::new("/p")).to_string(), "oci:/p/layout:v1");
    }
}
