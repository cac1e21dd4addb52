//! What the store keeps of images.
//!
//! ```text
//! name ──────► image ──► layers, blobs
//! archive ──────┘
//! ```
//!
//! Whatever no record, no lease and no container leads to is deleted by the next sweep.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trice_model::image::{ImageConfig, RegistryRef};
use trice_model::time::Timestamp;
use trice_state::record::{Record, UpgradeError};

use crate::digest::Digest;
use crate::lease::Thing;
use crate::platform::Platform;
use crate::source::Stamp;

/// An image, under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRecord {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its manifest. What was built here has none before it is first needed.
    #[serde(flatten)]
    pub manifest: Option<ManifestRecord>,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerRecord>,
    /// The folder of this machine that lies below them, as it stands. Only what is built here has one: no document of an
    /// image can ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// What it is made for.
    pub platform: Platform,
    /// What it says about its containers.
    pub config: ImageConfig,
    /// When it came here.
    pub loaded_at: Timestamp,
    /// What its build stated about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<AttestationRecord>,
}

impl ImageRecord {
    /// Returns all that the image consists of.
    pub(crate) fn things(&self) -> Vec<Thing> {
        let layers = self.layers.iter().flat_map(|layer| {
            let blob = layer.blob.iter().map(|blob| Thing::Blob(blob.digest.clone()));
            blob.chain([Thing::Layer(layer.diff_id.clone())])
        });
        let manifest = self.manifest.iter().map(|manifest| Thing::Blob(manifest.digest.clone()));
        let stated = self.attestations.iter().map(|attestation| Thing::Blob(attestation.predicate.clone()));
        layers.chain(manifest).chain(stated).chain([Thing::Blob(self.id.clone())]).collect()
    }
}

/// A statement about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttestationRecord {
    /// What kind of statement it is, as in-toto names it.
    pub predicate_type: String,
    /// What it states, which is a blob.
    pub predicate: Digest,
    /// What it depends on: with the same it need not be stated anew.
    pub basis: Digest,
}

/// The manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestRecord {
    /// Its digest, which is a blob's.
    #[serde(rename = "manifest")]
    pub digest: Digest,
    /// Its media type.
    #[serde(rename = "manifest_type")]
    pub media_type: String,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LayerRecord {
    /// The digest of its archive when it is not compressed, by which it is stored.
    pub diff_id: Digest,
    /// Its archive. What was built here has none before it is first needed.
    #[serde(flatten)]
    pub blob: Option<BlobRecord>,
    /// The bytes of all its files.
    pub bytes: u64,
    /// It hides all layers below it.
    pub opaque: bool,
}

/// The archive of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlobRecord {
    /// Its digest, which is a blob's.
    #[serde(rename = "blob")]
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

/// A name of images, as registries have them: one image for each platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameRecord {
    /// The name, whole: `docker.io/library/redis:7`, or with `@` and a digest.
    pub name: String,
    /// The manifest or index that the registry has under the name, where the image is from one or was sent to one.
    pub digest: Option<Digest>,
    /// Those of its images that are here.
    pub images: Vec<NamedImage>,
    /// When it was last compared with the registry.
    pub checked_at: Option<Timestamp>,
}

/// An image of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedImage {
    /// What it was asked for: the best image for a platform may be made for an older one.
    pub platform: Platform,
    /// The image.
    pub image: Digest,
}

impl NameRecord {
    /// Returns the image for `platform`.
    pub(crate) fn image_for(&self, platform: &Platform) -> Option<&Digest> {
        let best =
            self.images.iter().filter_map(|named| Some((platform.distance(&named.platform)?, &named.image)));
        best.min_by_key(|(far, _)| *far).map(|(_, image)| image)
    }

    /// Tells whether the name ends with a digest and not with a tag.
    pub(crate) fn is_digest(&self) -> bool {
        self.name.contains('@')
    }
}

/// A reference to an archive or a layout, and what it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveRecord {
    /// The reference, as it is written.
    pub reference: String,
    /// What it was read for, if that is another machine than this.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// The file.
    pub stamp: Stamp,
    /// The image.
    pub image: Digest,
}

impl ArchiveRecord {
    /// Returns the key of what was read by `reference`, for another machine than this if `platform` says so.
    pub(crate) fn key_of(reference: &str, platform: Option<&Platform>) -> String {
        platform.map_or_else(|| reference.to_owned(), |platform| format!("{reference} for {platform}"))
    }
}

/// Returns the key of a name with a tag.
pub(crate) fn tag_key(name: &RegistryRef, tag: &str) -> String {
    format!("{}:{tag}", name.whole_repository())
}

/// Returns the key of a name with a digest.
pub(crate) fn digest_key(name: &RegistryRef, digest: &Digest) -> String {
    format!("{}@{digest}", name.whole_repository())
}

impl Record for ImageRecord {
    const TABLE: &'static str = "image";
    const VERSION: u32 = 2;

    /// Version 1 always had a manifest and archives.
    fn upgrade(version: u32, value: Value) -> Result<Value, UpgradeError> {
        if version == 1 { Ok(value) } else { Err(UpgradeError { version }) }
    }

    fn key(&self) -> String {
        self.id.to_string()
    }
}

impl Record for NameRecord {
    const TABLE: &'static str = "image-name";
    const VERSION: u32 = 2;

    /// Version 1 had one image, for this machine, and the manifest of an archive.
    fn upgrade(version: u32, value: Value) -> Result<Value, UpgradeError> {
        if version != 1 {
            return Err(UpgradeError { version });
        }
        let image = json!({ "platform": Platform::host(), "image": value["image"] });
        Ok(json!({ "name": value["name"], "digest": null, "images": [image], "checked_at": null }))
    }

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Record for ArchiveRecord {
    const TABLE: &'static str = "image-archive";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        Self::key_of(&self.reference, self.platform.as_ref())
    }
}
