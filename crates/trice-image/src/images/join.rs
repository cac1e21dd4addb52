//! Gives several images, each for a platform of its own, one name.
//!
//! Source: OCI Image Specification, `image-index.md`.

use oci_spec::image::MediaType;
use serde_json::{Value, json};
use trice_model::image::RegistryRef;
use trice_state::batch::Batch;

use super::Images;
use super::seal::SealError;
use crate::digest::Digest;
use crate::lease::Lease;
use crate::load::{missing_blobs, now};
use crate::record::{ImageRecord, ManifestRecord, NameRecord, NamedImage, tag_key};

impl Images {
    /// Makes an index of images and calls it `name`, which stands for each of them on its own platform then. What
    /// they have no archives of is compressed.
    ///
    /// # Errors
    /// [`SealError`]; no name has changed then.
    pub fn join(&self, lease: &Lease, images: &[Digest], name: &RegistryRef) -> Result<Digest, SealError> {
        let (mut descriptors, mut named) = (Vec::new(), Vec::new());
        for id in images {
            let missing = || SealError::Missing { part: id.to_string() };
            let image = self.store.get::<ImageRecord>(id.as_str())?.ok_or_else(missing)?;
            self.layout.keep(lease, &image.things())?;
            let image = self.seal(image, lease, &Default::default())?;
            let manifest = image.manifest.as_ref().ok_or_else(missing)?;
            descriptors.push(descriptor(&image, manifest, self.document(&manifest.digest)?.len()));
            named.push(NamedImage { platform: image.platform.clone(), image: image.id });
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": descriptors,
        });
        let bytes = serde_json::to_vec(&index).expect("a value is JSON");
        let digest = Digest::of(&bytes);
        let workshop = self.layout.begin()?;
        let blobs = missing_blobs(&self.layout, &workshop, [&bytes])?;
        workshop.publish(lease, &[], &blobs)?;
        let record = NameRecord {
            name: tag_key(name, name.tag.as_deref().unwrap_or("latest")),
            digest: Some(digest.clone()),
            images: named,
            checked_at: Some(now()),
        };
        self.store.commit(Batch::new().put(&record))?;
        Ok(digest)
    }
}

/// Describes the manifest of an image, which has `size` bytes.
pub(super) fn descriptor(image: &ImageRecord, manifest: &ManifestRecord, size: usize) -> Value {
    let mut platform = json!({ "architecture": image.platform.architecture, "os": image.platform.os });
    if let Some(variant) = &image.platform.variant {
        platform["variant"] = json!(variant);
    }
    json!({ "mediaType": manifest.media_type, "digest": manifest.digest, "size": size, "platform": platform })
}
