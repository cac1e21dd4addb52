//! What the store keeps of a volume.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::volume::VolumeSpec;
use trice_state::record::Record;

/// A volume as it was asked for, under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeRecord {
    /// As it was asked for.
    pub spec: VolumeSpec,
}

impl Record for VolumeRecord {
    const TABLE: &'static str = "volume";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.spec.name.to_string()
    }
}
