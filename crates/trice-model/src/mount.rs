//! File systems in a container beside its root.
//!
//! Source: Compose Specification, `05-services.md`, "volumes" and "tmpfs".

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::ImageRef;
use crate::name::{Key, VolumeName};
use crate::units::Bytes;

/// How mounts below a bind mount travel between host and container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// They do not.
    #[default]
    Rprivate,
    /// The host's reach the container.
    Rslave,
    /// Both ways.
    Rshared,
}

/// A mount that a service wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// The absolute path in the container.
    pub target: PathBuf,
    /// Nothing may be written there.
    pub read_only: bool,
    /// Where it comes from.
    pub source: MountSource,
}

/// Where a wanted mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A path of the host.
    Bind(Bind),
    /// A volume of the project, or one without a name that belongs to the container.
    Volume {
        /// Its key in the project; `None` for one without a name.
        key: Option<Key>,
        /// A folder inside it.
        subpath: Option<PathBuf>,
        /// It is not filled from the image.
        nocopy: bool,
    },
    /// Memory.
    Tmpfs(Tmpfs),
    /// The files of an image, to be read.
    Image {
        /// The image.
        image: ImageRef,
        /// A folder inside it.
        subpath: Option<PathBuf>,
    },
}

/// A path of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bind {
    /// The absolute path on the host.
    pub path: PathBuf,
    /// A folder is made where there is nothing.
    pub create_host_path: bool,
    /// How mounts below travel.
    pub propagation: Propagation,
    /// Mounts below come along.
    pub recursive: bool,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Tmpfs {
    /// At most this much; `None` is half of the memory.
    pub size: Option<Bytes>,
    /// The mode of its root; `None` is 1777.
    pub mode: Option<u32>,
    /// The owner of its root.
    pub uid: Option<u32>,
    /// The group of its root.
    pub gid: Option<u32>,
    /// Programs may be run from it.
    pub exec: bool,
}

/// A mount that the runtime is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MountSpec {
    /// The absolute path in the container.
    pub target: PathBuf,
    /// Nothing may be written there.
    pub read_only: bool,
    /// Where it comes from.
    pub source: MountSpecSource,
}

/// Where a mount comes from, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MountSpecSource {
    /// A path of the host.
    Bind(Bind),
    /// A volume of this machine.
    Volume {
        /// Its name.
        name: VolumeName,
        /// A folder inside it.
        subpath: Option<PathBuf>,
        /// It is not filled from the image.
        nocopy: bool,
        /// Nobody gave it a name: it belongs to the container.
        anonymous: bool,
    },
    /// Memory.
    Tmpfs(Tmpfs),
    /// The files of an image, to be read.
    Image {
        /// The image as the project calls it.
        image: ImageRef,
        /// Its id at the time of planning.
        id: String,
        /// The folders of its layers, the topmost first.
        layers: Vec<PathBuf>,
        /// A folder inside it.
        subpath: Option<PathBuf>,
    },
}
