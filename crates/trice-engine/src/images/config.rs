//! The configurations of images that are made by hand.
//!
//! Source: OCI Image Specification, `config.md`.

use serde_json::{Value, json};
use trice_api::fault::{Code, Fault};
use trice_api::image::ImportImage;
use trice_image::digest::Digest;
use trice_image::platform::Platform;

use crate::engine::now;

/// Returns the configuration of an image of one layer that came from an archive.
pub(super) fn imported(call: &ImportImage, platform: &Platform, layer: &Digest) -> Result<Vec<u8>, Fault> {
    let comment = match call.message.as_str() {
        "" => format!("Imported from {}", call.source),
        message => message.to_owned(),
    };
    let created = now().rfc3339();
    let mut config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "comment": comment,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created": created, "comment": comment }],
    });
    if let Some(variant) = &platform.variant {
        config["variant"] = json!(variant);
    }
    written(&config)
}

/// Writes a configuration as it is stored.
fn written(config: &Value) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(config).map_err(|error| Fault::of(Code::Internal, &error))
}
