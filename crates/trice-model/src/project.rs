//! A project as it is wanted: the end of the loader's work, the beginning of the planner's.
//!
//! Source: Compose Specification.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::Build;
use crate::name::{Key, ProjectName, ServiceName};
use crate::network::Network;
use crate::service::Service;
use crate::volume::Volume;

/// A project that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// The folder that relative paths began from.
    pub working_dir: PathBuf,
    /// The files it was read from.
    pub files: Vec<PathBuf>,
    /// The services that are active.
    pub services: BTreeMap<ServiceName, Service>,
    /// How the images of those services are built that have a build, active or not. It goes its own way to the engine, since it may
    /// hold secrets: neither a request nor a record of a project has it.
    #[serde(skip)]
    pub builds: BTreeMap<ServiceName, Build>,
    /// Services that are known but not active: their profile was not asked for. Their containers are no orphans.
    pub inactive: BTreeSet<ServiceName>,
    /// The networks that its services are on.
    pub networks: BTreeMap<Key, Network>,
    /// The volumes that its services mount.
    pub volumes: BTreeMap<Key, Volume>,
}
