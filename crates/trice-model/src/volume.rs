//! Named volumes: folders that outlive their containers.
//!
//! Source: Compose Specification, `07-volumes.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Key, ProjectName, VolumeName};

/// A volume that a project wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// Its name on this machine.
    pub name: VolumeName,
    /// It is there already and stays.
    pub external: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume that the back end is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeSpec {
    /// Its name.
    pub name: VolumeName,
    /// The project that it belongs to, and its key there.
    pub owner: Option<(ProjectName, Key)>,
    /// It has no name that a person gave: it goes with its container.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedVolume {
    /// As it was asked for.
    pub spec: VolumeSpec,
    /// The folder with its content.
    pub path: PathBuf,
}
