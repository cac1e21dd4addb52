//! How a service's image is built, normalised: paths absolute, variables filled in.
//!
//! Source: Compose Build Specification.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attestation::{Provenance, Sbom};
use crate::build_cache::{CacheStore, CacheTarget};
use crate::image::ImageRef;
use crate::name::ServiceName;
use crate::service::{ExtraHost, Ulimit};
use crate::units::Bytes;

/// A build that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The files that `COPY` copies.
    pub context: Context,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// Values for `ARG`.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// The stage; the last one if nothing is said.
    #[serde(default)]
    pub target: Option<String>,
    /// Other contexts, by the names that the Dockerfile has for them.
    #[serde(default)]
    pub additional_contexts: BTreeMap<String, Context>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// More names for the image, as they are written.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The platforms that it is built for, an image for each; none is this machine's.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// What was done before is done again.
    #[serde(default)]
    pub no_cache: bool,
    /// The same for these stages only.
    #[serde(default)]
    pub no_cache_filter: BTreeSet<String>,
    /// Caches elsewhere, in which steps are looked for that were not done here.
    #[serde(default)]
    pub cache_from: Vec<CacheStore>,
    /// Where its steps go for others to find.
    #[serde(default)]
    pub cache_to: Vec<CacheTarget>,
    /// It is stated what the image was made of.
    #[serde(default)]
    pub provenance: Option<Provenance>,
    /// The software in the image is listed.
    #[serde(default)]
    pub sbom: Option<Sbom>,
    /// Registries are asked for newer base images.
    #[serde(default)]
    pub pull: bool,
    /// The network of steps.
    #[serde(default)]
    pub network: BuildNetwork,
    /// Lines for `/etc/hosts` of steps.
    #[serde(default)]
    pub extra_hosts: Vec<(String, ExtraHost)>,
    /// The size of `/dev/shm` of steps.
    #[serde(default)]
    pub shm_size: Option<Bytes>,
    /// Limits of each process of steps.
    #[serde(default)]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Steps may ask for all privileges, or the host's network.
    #[serde(default)]
    pub entitlements: BTreeSet<Entitlement>,
    /// Secrets that steps may use, by their ids.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of agents that steps may use, by their ids.
    #[serde(default)]
    pub ssh: BTreeMap<String, PathBuf>,
    /// No file in the image, and not the image, is later than this, in seconds since 1970.
    #[serde(default)]
    pub source_date_epoch: Option<i64>,
}

/// Files for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An image.
    Image(ImageRef),
    /// The image of another service of the project.
    Service(ServiceName),
    /// A repository or an archive elsewhere.
    Remote(String),
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DockerfileSource {
    /// In a file. Relative paths are counted from the context.
    File(PathBuf),
    /// Here.
    Inline(String),
}

/// The network of the steps of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuildNetwork {
    /// One of its own, from which other machines can be reached.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// A right that steps do not have by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Entitlement {
    /// `RUN --network=host`.
    NetworkHost,
    /// `RUN --security=insecure`.
    SecurityInsecure,
}

/// A text that is no right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a right of a build: there are `network.host` and `security.insecure`")]
pub struct EntitlementError(String);

impl FromStr for Entitlement {
    type Err = EntitlementError;

    fn from_str(text: &str) -> Result<Self, EntitlementError> {
        match text {
            "network.host" => Ok(Self::NetworkHost),
            "security.insecure" => Ok(Self::SecurityInsecure),
            _ => Err(EntitlementError(text.to_owned())),
        }
    }
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A value that the client has.
    Value(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value"),
        }
    }
}

impl Build {
    /// Returns a build of the Dockerfile in `folder`, with nothing special.
    pub fn of_folder(folder: &Path) -> Self {
        Self {
            context: Context::Folder(folder.to_owned()),
            dockerfile: DockerfileSource::File("Dockerfile".into()),
            args: BTreeMap::new(),
            target: None,
            additional_contexts: BTreeMap::new(),
            labels: BTreeMap::new(),
            tags: Vec::new(),
            platforms: Vec::new(),
            no_cache: false,
            no_cache_filter: BTreeSet::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            provenance: None,
            sbom: None,
            pull: false,
            network: BuildNetwork::Default,
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: BTreeMap::new(),
            entitlements: BTreeSet::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            source_date_epoch: None,
        }
    }

    /// Returns the services whose images it needs.
    pub fn needs(&self) -> BTreeSet<&ServiceName> {
        let contexts = self.additional_contexts.values().chain([&self.context]);
        contexts
            .filter_map(|context| match context {
                Context::Service(service) => Some(service),
                Context::Folder(_) | Context::Image(_) | Context::Remote(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_services_that_are_needed_are_known() {
        assert_eq!(format!("{:?}", SecretSource::Value("hush".to_owned())), "Value");
        let service: ServiceName = "base".parse().unwrap();
        let contexts = [("b".to_owned(), Context::Service(service.clone()))].into();
        let build = Build { additional_contexts: contexts, ..Build::of_folder(Path::new("/p")) };
        assert_eq!(build.needs(), [&service].into());
    }
}
