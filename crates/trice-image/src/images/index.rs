//! Puts images together in an index.
//!
//! Source: OCI Image Specification, `image-index.md`.

use oci_spec::image::MediaType;
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::platform::Platform;

/// Describes a document of `size` bytes that is made for `platform`.
pub(super) fn descriptor(platform: &Platform, media_type: &MediaType, digest: &Digest, size: usize) -> Value {
    let mut stated = json!({ "architecture": platform.architecture, "os": platform.os });
    if let Some(variant) = &platform.variant {
        stated["variant"] = json!(variant);
    }
    json!({ "mediaType": media_type.to_string(), "digest": digest, "size": size, "platform": stated })
}

/// Writes an index.
pub(super) fn index_of(descriptors: &[Value]) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": descriptors,
    });
    serde_json::to_vec(&index).expect("a value is JSON")
}
