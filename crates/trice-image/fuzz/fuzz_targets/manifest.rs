//! Reads indexes, manifests and configurations that nobody would write.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run manifest -- -max_total_time=600
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_spec::image::MediaType;
use trice_image::config::image_config;
use trice_image::manifest::{Document, document};

const TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

fuzz_target!(|data: &[u8]| {
    let mut found = [0, 0];
    for called in TYPES {
        match document(data, &MediaType::from(called)) {
            Ok(Document::Index(_)) => found[0] += 1,
            Ok(Document::Manifest(_)) => found[1] += 1,
            Err(_) => {}
        }
    }
    assert!(found[0] == 0 || found[1] == 0, "it is an index to one reader and a manifest to another");
    let _ = image_config(data);
});
