//! What a caller hears while an image is fetched.

use crate::digest::Digest;

/// One step of fetching an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The layer is here already.
    Present {
        /// The layer, by the digest of its unpacked archive.
        layer: Digest,
    },
    /// So much of the layer has been read.
    Reading {
        /// The layer.
        layer: Digest,
        /// The bytes so far, compressed as they are.
        bytes: u64,
        /// All its bytes.
        of: u64,
    },
    /// The layer is unpacked and right.
    Unpacked {
        /// The layer.
        layer: Digest,
    },
}
