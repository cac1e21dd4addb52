//! What a caller hears while an image is fetched or sent.

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

/// One step of sending an image to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushProgress {
    /// The registry has the blob already.
    Present {
        /// The blob.
        blob: Digest,
    },
    /// The registry had the blob in another repository, and has it here now.
    Mounted {
        /// The blob.
        blob: Digest,
    },
    /// So much of the blob has been sent.
    Sending {
        /// The blob.
        blob: Digest,
        /// The bytes so far.
        bytes: u64,
        /// All its bytes.
        of: u64,
    },
    /// The blob is there.
    Sent {
        /// The blob.
        blob: Digest,
    },
}
