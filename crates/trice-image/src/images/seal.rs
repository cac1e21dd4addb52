//! Makes archives of what was built here, so that all of an image is bytes that have digests.
//!
//! ```text
//! layer without an archive ──pack, compress──► blob ──► what the layer says of itself
//! manifest of all ──► blob ──► the image's record
//! ```
//!
//! It is done once: who sends an image twice sends the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flate2::GzBuilder;
use oci_spec::image::MediaType;
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::ReadError;

use super::Images;
use crate::compression::Compression;
use crate::digest::{Digest, Hashing};
use crate::layout::{LayoutError, StoredBlob, StoredLayer};
use crate::lease::Lease;
use crate::load::manifest_of;
use crate::pack::{PackError, Packing, pack};
use crate::record::{BlobRecord, ImageRecord, LayerRecord, ManifestRecord};
use crate::workshop::Workshop;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A layer's folder cannot be packed.
    #[error("pack the layer {diff_id}")]
    Pack {
        /// The layer.
        diff_id: Digest,
        /// Why not.
        source: PackError,
    },
    /// A layer's folder is not what it was.
    #[error("the layer {diff_id} is damaged: it packs to {found}. Build or load its images again")]
    Changed {
        /// The layer.
        diff_id: Digest,
        /// What its folder gives.
        found: Digest,
    },
    /// It begins with files that it does not have.
    #[error(
        "the image begins with `rootfs:{rootfs}`, the files of this machine as they stand: it can be used here and sent nowhere"
    )]
    Stays {
        /// The folder.
        rootfs: PathBuf,
    },
    /// A part of the image is not here.
    #[error("`{part}` of the image is not here: build or load it again")]
    Missing {
        /// The part.
        part: String,
    },
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// How many layers are compressed at the same time.
const WORKERS: usize = 4;

impl Images {
    /// Makes what is missing of an image's archives and its manifest. `lease` keeps them.
    pub(super) fn seal(
        &self,
        image: ImageRecord,
        lease: &Lease,
        stop: &AtomicBool,
    ) -> Result<ImageRecord, SealError> {
        can_travel(&image)?;
        if image.manifest.is_some() {
            return Ok(image);
        }
        let image = self.sealed(image, lease, stop)?;
        self.store.commit(Batch::new().put(&image))?;
        Ok(image)
    }

    /// The same for what is to be no image of ours: nobody remembers it.
    pub(super) fn sealed(
        &self,
        mut image: ImageRecord,
        lease: &Lease,
        stop: &AtomicBool,
    ) -> Result<ImageRecord, SealError> {
        let workshop = self.layout.begin()?;
        let missing: Vec<&mut LayerRecord> =
            image.layers.iter_mut().filter(|layer| layer.blob.is_none()).collect();
        let queue = Mutex::new(missing);
        thread::scope(|scope| {
            let work = || loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(layer) = next else { return Ok::<(), SealError>(()) };
                layer.blob = Some(self.seal_layer(&workshop, &layer.diff_id, lease, stop)?);
            };
            let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })?;
        let config = self.document(&image.id)?;
        let blobs =
            image.layers.iter().map(|layer| self.stored_blob(layer)).collect::<Result<Vec<_>, _>>()?;
        let manifest = manifest_of(&config, &blobs);
        workshop.add_blob(&manifest)?;
        workshop.publish(lease, &[], &[Digest::of(&manifest)])?;
        let media_type = MediaType::ImageManifest.to_string();
        image.manifest = Some(ManifestRecord { digest: Digest::of(&manifest), media_type });
        Ok(image)
    }

    /// Returns a document that is a blob.
    pub(super) fn document(&self, digest: &Digest) -> Result<Vec<u8>, SealError> {
        self.layout.read_blob(digest)?.ok_or_else(|| SealError::Missing { part: digest.to_string() })
    }

    fn seal_layer(
        &self,
        workshop: &Workshop,
        diff_id: &Digest,
        lease: &Lease,
        stop: &AtomicBool,
    ) -> Result<BlobRecord, SealError> {
        let _lock = self.layout.lock(diff_id)?; // two who want the same archive make it once
        let missing = || SealError::Missing { part: diff_id.to_string() };
        let stored = self.layout.stored(diff_id)?.ok_or_else(missing)?;
        if let Some(blob) = stored.blob.as_ref().filter(|blob| self.layout.has_blob(&blob.digest)) {
            return Ok(BlobRecord { digest: blob.digest.clone(), size: blob.size });
        }
        let (path, file) = workshop.new_blob()?;
        let written = |source| LayoutError::Write { path: path.clone(), source };
        let output = Hashing::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        // Neither a time nor a name: the same layer gives the same bytes.
        let compressed = GzBuilder::new().write(output, flate2::Compression::default());
        let compressed = self.write_plain(diff_id, Stopping { output: compressed, stop })?.output;
        let mut output = compressed.finish().map_err(written)?;
        output.flush().map_err(written)?;
        let (digest, size) = output.written();
        workshop.name_blob(&path, &digest)?;
        workshop.publish(lease, &[], std::slice::from_ref(&digest))?;
        let blob = StoredBlob { digest: digest.clone(), size, compression: Compression::Gzip };
        workshop.restate(diff_id, &StoredLayer { blob: Some(blob), ..stored })?;
        Ok(BlobRecord { digest, size })
    }

    /// Packs a layer's folder, which must give what it is called by.
    pub(super) fn write_plain<W: Write>(&self, diff_id: &Digest, output: W) -> Result<W, SealError> {
        let path = self.layout.root_of(diff_id);
        let opened = File::open(&path);
        let root = opened.map_err(|_| SealError::Missing { part: diff_id.to_string() })?;
        let packing = Packing { overlay: true, ..Packing::default() };
        let mut output = Hashing::new(output);
        pack(root.as_fd(), &packing, &mut output)
            .map_err(|source| SealError::Pack { diff_id: diff_id.clone(), source })?;
        let (inner, found) = output.into_inner();
        if found != *diff_id {
            return Err(SealError::Changed { diff_id: diff_id.clone(), found });
        }
        Ok(inner)
    }

    /// Returns the archive of a layer that has one.
    fn stored_blob(&self, layer: &LayerRecord) -> Result<StoredBlob, SealError> {
        let missing = || SealError::Missing { part: layer.diff_id.to_string() };
        let blob = layer.blob.as_ref().ok_or_else(missing)?;
        let compression = self.layout.compression_of(&blob.digest)?.ok_or_else(missing)?;
        Ok(StoredBlob { digest: blob.digest.clone(), size: blob.size, compression })
    }
}

/// Refuses an image of which a part is this machine's.
pub(super) fn can_travel(image: &ImageRecord) -> Result<(), SealError> {
    image.rootfs.clone().map_or(Ok(()), |rootfs| Err(SealError::Stays { rootfs }))
}

/// How much is written at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// A writer that ends when nobody wants what is written.
struct Stopping<'a, W> {
    output: W,
    stop: &'a AtomicBool,
}

impl<W: Write> Write for Stopping<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody wants it any more"));
        }
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
