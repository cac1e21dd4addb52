//! Statements about images, as they are sent beside them.
//!
//! ```text
//! index ──► manifest of the image
//!     └───► manifest for the platform unknown/unknown ──► statements: what is stated, of which manifest
//! ```
//!
//! Sources: BuildKit, `docs/attestations/attestation-storage.md`; in-toto, `spec/v0.1.0/statement.md`; package-url,
//! "docker".

use serde_json::{Value, json};
use trice_model::image::RegistryRef;

use super::Images;
use super::build::Attestation;
use super::seal::SealError;
use crate::digest::Digest;
use crate::platform::Platform;
use crate::record::ImageRecord;

const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// The statements about an image, with the manifest that leads to them.
pub(super) struct Attested {
    /// How an index describes the manifest.
    pub(super) descriptor: Value,
    /// The manifest.
    pub(super) manifest: Vec<u8>,
    /// What it speaks of.
    pub(super) blobs: Vec<Vec<u8>>,
}

impl Images {
    /// Returns what was stated about an image on the same basis.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn attestations(&self, image: &Digest, basis: &Digest) -> Result<Vec<Attestation>, SealError> {
        let record = self.store.get::<ImageRecord>(image.as_str())?;
        let same = record.into_iter().flat_map(|record| record.attestations);
        let same = same.filter(|attestation| attestation.basis == *basis);
        same.map(|attestation| {
            let predicate = self.document(&attestation.predicate)?;
            Ok(Attestation {
                predicate_type: attestation.predicate_type,
                predicate,
                basis: attestation.basis,
            })
        })
        .collect()
    }

    /// Writes the statements about an image that has `names` and the manifest `manifest`; nothing if there are none.
    pub(super) fn attested(
        &self,
        image: &ImageRecord,
        names: &[RegistryRef],
        manifest: &Digest,
    ) -> Result<Option<Attested>, SealError> {
        if image.attestations.is_empty() {
            return Ok(None);
        }
        let digest = json!({ "sha256": manifest.hex() });
        let subjects: Vec<Value> = names
            .iter()
            .map(|name| json!({ "name": package(name, &image.platform), "digest": digest }))
            .collect();
        let (mut layers, mut blobs) = (Vec::new(), Vec::new());
        for attestation in &image.attestations {
            let predicate: Value = serde_json::from_slice(&self.document(&attestation.predicate)?)
                .expect("it was JSON when it was stored");
            let statement = written(&json!({
                "_type": STATEMENT, "predicateType": attestation.predicate_type, "subject": subjects,
                "predicate": predicate,
            }));
            layers.push(json!({
                "mediaType": IN_TOTO, "digest": Digest::of(&statement), "size": statement.len(),
                "annotations": { "in-toto.io/predicate-type": attestation.predicate_type },
            }));
            blobs.push(statement);
        }
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = written(&json!({
            "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }));
        let document = written(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": Digest::of(&config), "size": config.len() },
            "layers": layers,
        }));
        let descriptor = json!({
            "mediaType": MANIFEST, "digest": Digest::of(&document), "size": document.len(),
            "annotations": {
                "vnd.docker.reference.digest": manifest,
                "vnd.docker.reference.type": "attestation-manifest",
            },
            "platform": { "architecture": "unknown", "os": "unknown" },
        });
        blobs.push(config);
        Ok(Some(Attested { descriptor, manifest: document, blobs }))
    }
}

/// Returns the package URL of an image.
pub fn package(name: &RegistryRef, platform: &Platform) -> String {
    let tag = name.tag.as_deref().unwrap_or("latest");
    let platform = platform.to_string().replace('/', "%2F");
    format!("pkg:docker/{}@{tag}?platform={platform}", name.familiar_repository())
}

fn written(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is JSON")
}
