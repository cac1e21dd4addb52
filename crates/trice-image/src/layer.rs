//! Makes one layer of the archive that a source has.
//!
//! ```text
//! source ──► copy to a file ──► digest of the blob ──► decompress ──► diff ID ──► unpack
//! ```
//!
//! All in one pass. Nothing of it is at its place before both digests are right.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;

use crate::compression::{Compression, decompressed};
use crate::digest::{Digest, Hashing};
use crate::layout::{Bench, LayoutError, StoredLayer};
use crate::source::{Files, OfferedLayer};
use crate::unpack::{Limits, UnpackError, Unpacked, unpack};

/// Why a layer is not here.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The source does not have it.
    #[error("there is no `{path}` in it")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// The source cannot be read.
    #[error("read `{path}`")]
    Read {
        /// Where it is.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// It is not as long as the manifest says.
    #[error("`{path}` is damaged: it should have {expected} bytes, and has {found}")]
    WrongSize {
        /// Where it is.
        path: String,
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// It is not what the manifest or the configuration says.
    #[error("`{path}` is damaged: it should have the {what} {expected}, and has {found}")]
    WrongDigest {
        /// Where it is.
        path: String,
        /// Which digest.
        what: &'static str,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// It cannot be unpacked.
    #[error("unpack `{path}`")]
    Unpack {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// It cannot be written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Makes a layer on `bench`. `heard` is told how many bytes have been read, and ends it by an error.
pub(crate) fn make(
    files: &dyn Files,
    layer: &OfferedLayer,
    bench: &Bench,
    limits: Limits,
    heard: impl FnMut(u64) -> io::Result<()> + Send,
) -> Result<StoredLayer, LayerError> {
    let path = || layer.path.clone();
    let reading = |source| LayerError::Read { path: path(), source };
    let opened =
        files.open(&layer.path).map_err(reading)?.ok_or_else(|| LayerError::Missing { path: path() })?;
    if opened.size != layer.size {
        return Err(LayerError::WrongSize { path: path(), expected: layer.size, found: opened.size });
    }
    let mut blob = Hashing::new(Copying { source: opened.content, copy: &bench.blob, bytes: 0, heard });
    let outcome = unpack_from(&mut blob, layer, bench, limits);
    let outcome = if layer.blob.is_some() { outcome } else { Ok(outcome?) }; // nothing to compare with
    let (digest, size) = blob.finish().map_err(reading)?;
    if let Some(expected) = &layer.blob {
        // What was damaged on the way here is better called that than by what it looks like inside.
        check(layer, "digest", expected, &digest)?;
    }
    let (unpacked, compression, diff_id) = outcome?;
    check(layer, "diff ID", &layer.diff_id, &diff_id)?;
    let stored =
        StoredLayer { blob: digest, size, compression, bytes: unpacked.bytes, opaque: unpacked.opaque };
    bench.finish(&stored)?;
    Ok(stored)
}

/// Unpacks what is read, and returns what it was, its compression and its digest without that.
fn unpack_from(
    blob: impl Read + Send,
    layer: &OfferedLayer,
    bench: &Bench,
    limits: Limits,
) -> Result<(Unpacked, Compression, Digest), LayerError> {
    let reading = |source| LayerError::Read { path: layer.path.clone(), source };
    let (compression, plain) = decompressed(blob).map_err(reading)?;
    let mut plain = Hashing::new(plain);
    let buffered = BufReader::with_capacity(BUFFER_BYTES, &mut plain);
    let unpacked = unpack(buffered, bench.root.as_fd(), bench.aside.as_fd(), limits)
        .map_err(|source| LayerError::Unpack { path: layer.path.clone(), source })?;
    let (diff_id, _) = plain.finish().map_err(reading)?;
    Ok((unpacked, compression, diff_id))
}

/// How much is read at a time.
const BUFFER_BYTES: usize = 128 << 10;

fn check(
    layer: &OfferedLayer,
    what: &'static str,
    expected: &Digest,
    found: &Digest,
) -> Result<(), LayerError> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (expected.clone(), found.clone());
    Err(LayerError::WrongDigest { path: layer.path.clone(), what, expected, found })
}

/// A reader that writes what passes to a file, and tells how much it was.
struct Copying<'a, R, H> {
    source: R,
    copy: &'a File,
    bytes: u64,
    heard: H,
}

impl<R: Read, H: FnMut(u64) -> io::Result<()>> Read for Copying<'_, R, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.copy.write_all(&buffer[..read])?;
        self.bytes += read as u64;
        (self.heard)(self.bytes)?;
        Ok(read)
    }
}
