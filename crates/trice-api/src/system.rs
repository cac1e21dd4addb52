//! The requests about all that there is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::name::VolumeName;
use trice_model::time::Timestamp;

use crate::call::Call;
use crate::image::ImageView;
use crate::view::ContainerView;

/// Tell how much room everything takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskUsage {}

impl Call for DiskUsage {
    const PATH: &'static str = "system/df";
    type Answer = DiskUsageView;
}

/// The room that everything takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiskUsageView {
    /// Images, the youngest first.
    pub images: Vec<ImageView>,
    /// The bytes of all images: files, each layer once, and the archives that they came as.
    pub image_bytes: u64,
    /// Those that a removal of all images that nobody uses would free.
    pub image_reclaimable: u64,
    /// Containers, each with the bytes that it has written to its root.
    pub containers: Vec<(ContainerView, u64)>,
    /// Volumes.
    pub volumes: Vec<VolumeUsage>,
    /// What builds may use again.
    pub builds: BuildUsage,
}

/// The room that is taken by what builds may use again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BuildUsage {
    /// How many layers and folders there are.
    pub entries: u64,
    /// How many of them an image, a container or a step has.
    pub in_use: u64,
    /// The bytes of those that nobody has, and of all folders.
    pub bytes: u64,
    /// What of that could go.
    pub reclaimable: u64,
}

/// Remove what builds may use again, the one that was not used for the longest time first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PruneBuilds {
    /// So many bytes may stay.
    pub keep: u64,
    /// Only what was used last before this.
    pub before: Option<Timestamp>,
}

impl Call for PruneBuilds {
    const PATH: &'static str = "system/prune-builds";
    type Answer = PrunedBuilds;
}

/// What builds cannot use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PrunedBuilds {
    /// How many layers and folders.
    pub entries: u64,
    /// The bytes that are free now.
    pub bytes: u64,
}

/// The room that a volume takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeUsage {
    /// Its name.
    pub name: VolumeName,
    /// Nobody gave it a name.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers mount it.
    pub links: usize,
    /// The bytes of its files.
    pub bytes: u64,
    /// Where they are.
    pub path: std::path::PathBuf,
}

/// Remove the volumes that nobody gave a name and no container mounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PruneVolumes {}

impl Call for PruneVolumes {
    const PATH: &'static str = "system/prune-volumes";
    type Answer = Vec<VolumeUsage>;
}
