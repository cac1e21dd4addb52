//! What is asked for of a Dockerfile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::graph::BaseRef;
use crate::instruction::Network;

/// What is to be built, and under which circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The stage; the last one if nothing is said.
    pub target: Option<String>,
    /// Values for `ARG`.
    pub args: BTreeMap<String, String>,
    /// The names of contexts beside the usual one.
    pub contexts: BTreeSet<String>,
    /// For which machine.
    pub platform: PlatformNames,
    /// On which machine.
    pub machine: PlatformNames,
    /// What was done before is done again.
    pub no_cache: NoCache,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// The network of steps that do not say another one.
    pub network: Network,
}

/// The names of a platform's parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformNames {
    /// The operating system.
    pub os: String,
    /// The processor.
    pub architecture: String,
    /// Which kind of that processor; may be empty.
    pub variant: String,
}

impl fmt::Display for PlatformNames {
    /// Writes `linux/arm/v7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, architecture, variant } = self;
        write!(f, "{os}/{architecture}")?;
        if variant.is_empty() { Ok(()) } else { write!(f, "/{variant}") }
    }
}

/// Which steps are carried out again although they were before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// Those of these stages.
    Stages(BTreeSet<String>),
    /// All.
    All,
}

impl NoCache {
    pub(crate) fn covers(&self, stage: Option<&str>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Stages(stages) => stage.is_some_and(|stage| stages.contains(stage)),
            Self::All => true,
        }
    }
}

impl Wanted {
    /// Returns the arguments that every Dockerfile has, for those who declare them.
    pub(crate) fn predefined(&self) -> BTreeMap<String, String> {
        let mut args = BTreeMap::new();
        for (side, names) in [("BUILD", &self.machine), ("TARGET", &self.platform)] {
            let values = [
                ("PLATFORM", names.to_string()),
                ("OS", names.os.clone()),
                ("OSVERSION", String::new()),
                ("ARCH", names.architecture.clone()),
                ("VARIANT", names.variant.clone()),
            ];
            args.extend(values.map(|(part, value)| (format!("{side}{part}"), value)));
        }
        args.insert("TARGETSTAGE".to_owned(), self.target.clone().unwrap_or_else(|| "default".to_owned()));
        for (name, value) in &mut args {
            if let Some(given) = self.args.get(name) {
                value.clone_from(given);
            }
        }
        args
    }

    /// Returns the arguments that every command has as variables, in both writings.
    pub(crate) fn proxy(&self) -> Vec<(String, String)> {
        const NAMES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];
        let given = |name: &&str| {
            let found = self.args.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (name.to_string(), value.clone()))
        };
        let both = |(name, value): (String, String)| [(name.to_uppercase(), value.clone()), (name, value)];
        NAMES.iter().filter_map(given).flat_map(both).collect()
    }

    /// Returns an image for `platform`, or for the wanted one.
    pub(crate) fn image_ref(&self, reference: &str, platform: Option<&str>) -> BaseRef {
        BaseRef::Image { reference: reference.to_owned(), platform: self.platform_or(platform) }
    }

    /// Returns a context, for `platform` or the wanted one.
    pub(crate) fn context_ref(&self, name: &str, platform: Option<&str>) -> BaseRef {
        BaseRef::Context { name: name.to_owned(), platform: self.platform_or(platform) }
    }

    fn platform_or(&self, platform: Option<&str>) -> String {
        platform.map_or_else(|| self.platform.to_string(), str::to_owned)
    }

    /// Returns the context that takes the place of `name`, if there is one.
    pub(crate) fn context(&self, name: &str) -> Option<&String> {
        if matches!(name.to_lowercase().as_str(), "scratch" | "context") {
            return None;
        }
        self.contexts.iter().find(|context| familiar(context) == familiar(name))
    }
}

/// Returns an image's name as people write it, without what is usual.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}
