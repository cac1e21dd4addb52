//! What the store keeps of images.
//!
//! ```text
//! name ──────► image ──► layers, blobs
//! archive ──────┘
//! ```
//!
//! Whatever no name, no archive and no container leads to may be deleted one day.

use serde::{Deserialize, Serialize};
use trice_model::image::{ImageConfig, RegistryRef};
use trice_model::time::Timestamp;
use trice_state::record::Record;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::source::Stamp;

/// An image, under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The digest of its configuration.
    pub id: Digest,
    /// The digest of its manifest, which is a blob.
    pub manifest: Digest,
    /// The media type of its manifest.
    pub manifest_type: String,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerRecord>,
    /// What it is made for.
    pub platform: Platform,
    /// What it says about its containers.
    pub config: ImageConfig,
    /// When it came here.
    pub loaded_at: Timestamp,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The digest of its archive when it is not compressed, by which it is stored.
    pub diff_id: Digest,
    /// The digest of its archive as it is, which is a blob.
    pub blob: Digest,
    /// The length of that archive.
    pub size: u64,
    /// The bytes of all its files.
    pub bytes: u64,
    /// It hides all layers below it.
    pub opaque: bool,
}

/// A name of an image, as registries have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The name, whole: `docker.io/library/redis:7`.
    pub name: String,
    /// The image.
    pub image: Digest,
    /// The manifest that the name stands for.
    pub manifest: Digest,
}

/// A reference to an archive or a layout, and what it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// The reference, as it is written.
    pub reference: String,
    /// The file.
    pub stamp: Stamp,
    /// The image.
    pub image: Digest,
}

/// Returns the key of names in a repository.
pub(crate) fn repository_key(name: &RegistryRef) -> String {
    format!("{}/{}", name.host, name.repository)
}

/// Returns the key of a name with a tag.
pub(crate) fn name_key(name: &RegistryRef, tag: &str) -> String {
    format!("{}:{tag}", repository_key(name))
}

impl Record for ImageRecord {
    const TABLE: &'static str = "image";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.id.to_string()
    }
}

impl Record for NameRecord {
    const TABLE: &'static str = "image-name";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Record for ArchiveRecord {
    const TABLE: &'static str = "image-archive";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.reference.clone()
    }
}
