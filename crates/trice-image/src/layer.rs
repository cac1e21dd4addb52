//! Makes one layer of an archive.
//!
//! ```text
//! source ──► copy to a file ──► digest of the blob ──► decompress ──ahead──► diff ID ──► unpack
//! ```
//!
//! All in one pass, by two threads. Nothing of it is at its place before both digests are right.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::thread;

use trice_sys::writeback;

use crate::ahead;
use crate::compression::{Compression, decompressed};
use crate::digest::{Digest, Hashing};
use crate::layout::{LayoutError, StoredBlob, StoredLayer};
use crate::unpack::{Limits, UnpackError, Unpacked, unpack};
use crate::workshop::{Bench, Finished};

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
    /// What is read of it cannot be kept.
    #[error("keep a copy of `{path}`")]
    Copy {
        /// Where it is.
        path: String,
        /// What the kernel said.
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

/// What an archive should be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// What it is called.
    pub(crate) path: String,
    /// Its digest, where somebody states it.
    pub(crate) blob: Option<Digest>,
    /// Its digest without compression, where somebody states it.
    pub(crate) diff_id: Option<Digest>,
}

/// Makes a layer of the archive `content` on `bench`. `heard` is told how many bytes have been read, and ends it by
/// an error.
pub(crate) fn make(
    content: impl Read + Send,
    expected: &Expected,
    bench: Bench,
    limits: Limits,
    heard: impl FnMut(u64) -> io::Result<()> + Send,
) -> Result<Finished, LayerError> {
    let copying =
        Copying { path: &expected.path, source: content, copy: &bench.blob, bytes: 0, heard, failed: None };
    let mut blob = Hashing::new(copying);
    let outcome = unpack_from(&mut blob, &expected.path, &bench, limits);
    let outcome = match (outcome, &expected.blob) {
        // There is nothing to compare the rest with.
        (Err(error), None) => Err(blob.inner_mut().failed.take().unwrap_or(error)),
        (outcome, _) => {
            // What went wrong with the archive itself is told below.
            let _ = blob.drain();
            Ok(outcome)
        }
    }?;
    if let Some(error) = blob.inner_mut().failed.take() {
        return Err(error);
    }
    let (digest, size) = blob.written();
    // What was damaged on the way here is better called that than by what it looks like inside.
    check(expected, "digest", expected.blob.as_ref(), &digest)?;
    let Plain { unpacked, compression, diff_id, length } = outcome?;
    check(expected, "diff ID", expected.diff_id.as_ref(), &diff_id)?;
    let stored = StoredLayer {
        blob: Some(StoredBlob { digest, size, compression }),
        plain: Some(length),
        bytes: unpacked.bytes,
        opaque: unpacked.opaque,
    };
    Ok(bench.finish(diff_id, stored)?)
}

/// What an archive was.
struct Plain {
    unpacked: Unpacked,
    compression: Compression,
    /// Its digest and its length without compression.
    diff_id: Digest,
    length: u64,
}

/// Unpacks what is read, and returns what it was.
fn unpack_from(
    blob: impl Read + Send,
    path: &str,
    bench: &Bench,
    limits: Limits,
) -> Result<Plain, LayerError> {
    let reading = |source| LayerError::Read { path: path.to_owned(), source };
    let (stream, plain) = decompressed(blob).map_err(reading)?;
    let compression = stream.of_layer().map_err(reading)?;
    // The last of several layers would have one processor work for it, and the others watch.
    thread::scope(|scope| {
        let (feeder, ahead) = ahead::pair();
        scope.spawn(move || feeder.feed(plain));
        let mut plain = Hashing::new(ahead);
        let buffered = BufReader::with_capacity(BUFFER_BYTES, &mut plain);
        let unpacked = unpack(buffered, bench.root.as_fd(), bench.aside.as_fd(), limits)
            .map_err(|source| LayerError::Unpack { path: path.to_owned(), source })?;
        plain.drain().map_err(reading)?;
        let (diff_id, length) = plain.written();
        Ok(Plain { unpacked, compression, diff_id, length })
    })
}

/// How much is read at a time.
const BUFFER_BYTES: usize = 128 << 10;

fn check(
    archive: &Expected,
    what: &'static str,
    expected: Option<&Digest>,
    found: &Digest,
) -> Result<(), LayerError> {
    match expected.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => {
            let (expected, found) = (expected.clone(), found.clone());
            Err(LayerError::WrongDigest { path: archive.path.clone(), what, expected, found })
        }
    }
}

/// After so many bytes the copy is written back to the disk, while the next ones come.
const STRETCH: u64 = 4 << 20;

/// A reader that writes what passes to a file, and tells how much it was. What goes wrong is the end of it, and is
/// kept from those who would take it for a flaw of the archive.
struct Copying<'a, R, H> {
    path: &'a str,
    source: R,
    copy: &'a File,
    bytes: u64,
    heard: H,
    failed: Option<LayerError>,
}

impl<R: Read, H: FnMut(u64) -> io::Result<()>> Copying<'_, R, H> {
    fn pass(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let path = || self.path.to_owned();
        let read = self.source.read(buffer).map_err(|source| LayerError::Read { path: path(), source })?;
        let written = self.copy.write_all(&buffer[..read]);
        written.map_err(|source| LayerError::Copy { path: path(), source })?;
        let before = self.bytes;
        self.bytes += read as u64;
        if before / STRETCH != self.bytes / STRETCH {
            // Who needs it on the disk waits less then; where the kernel does not begin, it is as ever.
            let _ = writeback::begin(self.copy.as_fd());
        }
        (self.heard)(self.bytes).map_err(|source| LayerError::Read { path: path(), source })?;
        Ok(read)
    }
}

impl<R: Read, H: FnMut(u64) -> io::Result<()>> Read for Copying<'_, R, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failure = || io::Error::other("the archive could not be read to its end");
        if self.failed.is_some() {
            return Err(failure());
        }
        self.pass(buffer).map_err(|error| {
            self.failed = Some(error);
            failure()
        })
    }
}
