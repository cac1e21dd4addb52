//! Reads indexes, manifests and configurations, which come from whoever made the image.
//!
//! Sources: OCI Image Specification, `image-index.md`, `manifest.md`, `config.md`; CVE-2021-41190.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::digest::{Digest, DigestError};

/// The most that an index, a manifest or a configuration may have, as registries have it.
pub(crate) const DOCUMENT_BYTES: u64 = 4 << 20;

/// Why a document is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not JSON of the right shape.
    #[error("it is malformed")]
    Json(#[source] serde_json::Error),
    /// It can be read as two different things.
    #[error("it is both an index and a manifest, and so says different things to different readers")]
    Ambiguous,
    /// It states another type than it was called.
    #[error("it calls itself `{stated}`, and was called `{called}`")]
    OtherType {
        /// What it says.
        stated: String,
        /// What the descriptor says.
        called: String,
    },
    /// It is of a form that was given up.
    #[error(
        "it is of schema 1, which was given up for its weak digests: push the image again with a newer program"
    )]
    SchemaOne,
    /// It is neither an index nor a manifest that trice reads.
    #[error("it is a `{0}`, and no image")]
    NoImage(String),
    /// A digest in it is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// What a descriptor can lead to.
#[derive(Debug)]
pub enum Document {
    /// Manifests for several platforms.
    Index(Box<ImageIndex>),
    /// An image.
    Manifest(Box<ImageManifest>),
}

/// What tells documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// Returns what a document is that a registry calls `called`, or nothing in particular.
pub(crate) fn type_of(bytes: &[u8], called: Option<MediaType>) -> Result<MediaType, DocumentError> {
    if let Some(called) = called {
        return Ok(called);
    }
    let shape: Shape = json(bytes)?;
    match (shape.media_type, shape.manifests) {
        (Some(stated), _) => Ok(MediaType::from(stated.as_str())),
        (None, Some(_)) => Ok(MediaType::ImageIndex),
        (None, None) => Ok(MediaType::ImageManifest),
    }
}

/// Reads an index or a manifest that is called `called`.
///
/// # Errors
/// [`DocumentError`] if it is another thing, or could be read as one.
pub fn document(bytes: &[u8], called: &MediaType) -> Result<Document, DocumentError> {
    let shape: Shape = json(bytes)?;
    if shape.schema_version == Some(1) {
        return Err(DocumentError::SchemaOne);
    }
    if shape.manifests.is_some() && (shape.layers.is_some() || shape.config.is_some()) {
        return Err(DocumentError::Ambiguous);
    }
    if let Some(stated) = shape.media_type.filter(|stated| stated != called.as_ref()) {
        return Err(DocumentError::OtherType { stated, called: called.to_string() });
    }
    match called.as_ref() {
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => {
            Ok(Document::Index(Box::new(json(bytes)?)))
        }
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => {
            Ok(Document::Manifest(Box::new(json(bytes)?)))
        }
        other => Err(DocumentError::NoImage(other.to_owned())),
    }
}

/// Reads the index at the root of a layout, which nothing describes.
pub(crate) fn root_index(bytes: &[u8]) -> Result<ImageIndex, DocumentError> {
    json(bytes)
}

/// Reads the configuration of an image.
pub(crate) fn configuration(bytes: &[u8]) -> Result<ImageConfiguration, DocumentError> {
    json(bytes)
}

/// Reads a document that no specification describes.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(DocumentError::Json)
}

/// Returns the digest that a descriptor states.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Digest, DocumentError> {
    Ok(descriptor.digest().as_ref().parse()?)
}

/// Returns the digests of the layers' unpacked archives, the lowest first.
pub(crate) fn diff_ids(configuration: &ImageConfiguration) -> Result<Vec<Digest>, DocumentError> {
    configuration.rootfs().diff_ids().iter().map(|id| Ok(id.parse()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn kind(text: &str, called: &str) -> Result<&'static str, DocumentError> {
        let text = text.replace("DIGEST", DIGEST);
        document(text.as_bytes(), &MediaType::from(called)).map(|document| match document {
            Document::Index(_) => "index",
            Document::Manifest(_) => "manifest",
        })
    }

    const MANIFEST: &str =
        r#"{"schemaVersion":2,"layers":[],"config":{"mediaType":"c","digest":"DIGEST","size":1}}"#;
    const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

    #[test]
    fn both_families_of_media_types_are_read() {
        let docker = "application/vnd.docker.distribution.manifest.";
        assert_eq!(kind(MANIFEST, "application/vnd.oci.image.manifest.v1+json").unwrap(), "manifest");
        assert_eq!(kind(MANIFEST, &format!("{docker}v2+json")).unwrap(), "manifest");
        assert_eq!(kind(INDEX, "application/vnd.oci.image.index.v1+json").unwrap(), "index");
        assert_eq!(kind(INDEX, &format!("{docker}list.v2+json")).unwrap(), "index");
    }

    #[test]
    fn a_document_that_can_be_read_in_two_ways_is_refused() {
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        let called = "application/vnd.oci.image.index.v1+json";
        assert!(matches!(kind(both, called), Err(DocumentError::Ambiguous)));
        let lying =
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#;
        assert!(matches!(kind(lying, called), Err(DocumentError::OtherType { .. })));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        assert!(matches!(kind("{}", signed), Err(DocumentError::NoImage(name)) if name == signed));
        assert!(matches!(kind("[", signed), Err(DocumentError::Json(_))));
        let old = r#"{"schemaVersion":1,"name":"a","fsLayers":[],"history":[]}"#;
        assert!(matches!(kind(old, signed), Err(DocumentError::SchemaOne)));
    }

    #[test]
    fn what_has_no_name_is_called_what_it_says_or_what_it_looks_like() {
        let named = |text: &str| type_of(text.as_bytes(), None).unwrap().to_string();
        assert_eq!(named(INDEX), "application/vnd.oci.image.index.v1+json");
        assert_eq!(named(r#"{"layers":[]}"#), "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(named(r#"{"mediaType":"x","manifests":[]}"#), "x");
        assert_eq!(type_of(b"[", Some(MediaType::ImageIndex)).unwrap(), MediaType::ImageIndex);
    }
}
