//! Which named volumes a project wants. What is there is never made again: it holds somebody's data.
//!
//! Source: Compose Specification, `07-volumes.md`.

use std::collections::BTreeSet;

use trice_model::name::{Key, VolumeName};
use trice_model::project::Project;
use trice_model::volume::{Volume, VolumeSpec};

use crate::found::Found;
use crate::label;
use crate::mistake::PlanError;
use crate::realm::Realm;

/// Why a volume cannot be as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// An external volume must be there.
    #[error("external volume `{volume}` is not there")]
    ExternalMissing {
        /// Its name.
        volume: VolumeName,
    },
    /// No volume has this key.
    #[error("volume `{key}` is not defined")]
    Undefined {
        /// The key.
        key: Key,
    },
}

impl VolumeError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::ExternalMissing { .. } => Some("create it, or drop `external: true`".into()),
            Self::Undefined { .. } => Some("add it to the top-level `volumes`".into()),
        }
    }
}

/// The volumes that must be made, and what the user should know.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// What is not there yet.
    pub(crate) missing: Vec<VolumeSpec>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// Works out the volumes of `keys`.
///
/// # Errors
/// All external volumes that are not there.
pub(crate) fn wanted(
    project: &Project,
    keys: &BTreeSet<Key>,
    found: &Found,
    realm: &Realm,
) -> Result<Volumes, Vec<PlanError>> {
    let mut volumes = Volumes::default();
    let mut errors = Vec::new();
    let defined = |key| project.volumes.get(key).map(|volume| (key, volume));
    for (key, volume) in keys.iter().filter_map(defined) {
        let owner = (project.name.clone(), key.clone());
        match found.volumes.get(&volume.name) {
            Some(there) if volume.external || there.spec.owner.as_ref() == Some(&owner) => {}
            Some(_) => volumes
                .notes
                .push(format!("volume `{}` was not made for this project and is used as it is", volume.name)),
            None if volume.external => {
                let error = VolumeError::ExternalMissing { volume: volume.name.clone() };
                errors.push(PlanError::new(format!("volumes.{key}"), error));
            }
            None => volumes.missing.push(spec(project, key, volume, realm)),
        }
    }
    if errors.is_empty() { Ok(volumes) } else { Err(errors) }
}

fn spec(project: &Project, key: &Key, volume: &Volume, realm: &Realm) -> VolumeSpec {
    VolumeSpec {
        name: volume.name.clone(),
        owner: Some((project.name.clone(), key.clone())),
        anonymous: false,
        labels: label::of_volume(&volume.labels, &project.name, key, realm),
    }
}
