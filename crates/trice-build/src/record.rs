//! What steps made before, by what they depend on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_image::digest::Digest;
use trice_model::time::Timestamp;
use trice_state::record::Record;

/// A layer that a step has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// What the step depends on.
    pub key: String,
    /// The layer.
    pub layer: Digest,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was of use, to the hour.
    pub used_at: Timestamp,
}

impl Record for StepRecord {
    const TABLE: &'static str = "build-steps";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.key.clone()
    }
}

/// The digest of files in layers, which never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesRecord {
    /// Which files, of which layers.
    pub key: String,
    /// Their digest.
    pub digest: String,
}

impl Record for FilesRecord {
    const TABLE: &'static str = "build-files";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.key.clone()
    }
}
