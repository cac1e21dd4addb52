//! What can be kept in the store, and how it is read by a later trice.
//!
//! ```text
//!            written by an older one       by this one        by a newer one
//! version ──────── < VERSION ─────────────── = ─────────────────── > ────────
//!                  upgrade, then read        read                  refused
//! ```

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value that the store keeps under a key.
pub trait Record: Serialize + DeserializeOwned + JsonSchema {
    /// The table of all records of this type. No two types share one.
    const TABLE: &'static str;

    /// The version of what is written. It grows with each change that an older reader would misunderstand.
    const VERSION: u32;

    /// Returns the key, which is one of a kind in the table.
    fn key(&self) -> String;

    /// Turns what `version` wrote, which is less than [`Self::VERSION`], into what this version reads.
    ///
    /// # Errors
    /// [`UpgradeError`] if there is no way. Unless a type says otherwise, there is none.
    fn upgrade(version: u32, value: Value) -> Result<Value, UpgradeError> {
        drop(value);
        Err(UpgradeError { version })
    }
}

/// A record is older than anything that this trice reads.
#[derive(Debug, thiserror::Error)]
#[error(
    "version {version} of such records is no longer understood: read them once with the trice that wrote them"
)]
pub struct UpgradeError {
    /// The version of the record.
    pub version: u32,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A newer trice wrote it.
    #[error("it has version {found}, and this trice knows {known}: use the newer trice")]
    Newer {
        /// The version of the record.
        found: u32,
        /// The version of this trice.
        known: u32,
    },
    /// It is too old.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// It is not what its version says.
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
}

/// Reads a record of type `R` from what was written as `version`.
pub(crate) fn decode<R: Record>(version: u32, text: &[u8]) -> Result<R, RecordError> {
    if version > R::VERSION {
        return Err(RecordError::Newer { found: version, known: R::VERSION });
    }
    if version == R::VERSION {
        return serde_json::from_slice(text).map_err(RecordError::Damaged);
    }
    let old = serde_json::from_slice(text).map_err(RecordError::Damaged)?;
    serde_json::from_value(R::upgrade(version, old)?).map_err(RecordError::Damaged)
}
