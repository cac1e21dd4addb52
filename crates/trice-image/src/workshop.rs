//! Where layers and blobs are made before they get their places.
//!
//! ```text
//! DATA/tmp/N/M.layer/fs, meta    a layer          M.aside   what unpacking replaces
//! DATA/tmp/N/M.blob              its archive      HEX       a document
//!
//! write, check ──► syncfs ──► lease ──► rename into place ──► fsync of the folders
//! ```

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;

use crate::digest::Digest;
use crate::layout::{Layout, LayoutError, META, StoredLayer, make_private};
use crate::lease::{Lease, Thing};
use crate::lock::Work;

/// A folder with layers and blobs that are not yet at their places. It goes when it is dropped, or after the death
/// of its process.
pub struct Workshop {
    layout: Arc<Layout>,
    work: Work,
    next: AtomicU64,
}

/// Where one layer is made.
pub(crate) struct Bench {
    /// The folder that becomes the layer's.
    layer: PathBuf,
    /// Where the archive is.
    archive: PathBuf,
    /// The folder to unpack into.
    pub(crate) root: File,
    /// The folder for what the unpacking replaces.
    pub(crate) aside: File,
    /// The file of the archive.
    pub(crate) blob: File,
}

/// A layer that is whole, and not yet at its place.
#[derive(Debug, Clone)]
pub struct Finished {
    layer: PathBuf,
    archive: PathBuf,
    pub(crate) diff_id: Digest,
    pub(crate) stored: StoredLayer,
}

impl Finished {
    /// Returns the digest of its archive without compression.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Returns the folder that overlayfs can use until the layer is at its place.
    pub fn root(&self) -> PathBuf {
        self.layer.join("fs")
    }

    /// Returns the bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.stored.bytes
    }
}

impl Layout {
    /// Begins some work.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Workshop, LayoutError> {
        let work =
            Work::begin(&self.tmp()).map_err(|source| LayoutError::Write { path: self.tmp(), source })?;
        Ok(Workshop { layout: Arc::clone(self), work, next: AtomicU64::new(0) })
    }
}

impl Workshop {
    /// Makes a folder that nobody else uses, on the file system of the layers: for the upper and work folders of
    /// overlayfs, and whatever else is needed on the way.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn scratch(&self) -> Result<PathBuf, LayoutError> {
        let path = self.next("scratch");
        match make_private(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(LayoutError::Write { path, source }),
        }
    }

    /// Makes room for a layer.
    pub(crate) fn bench(&self) -> Result<Bench, LayoutError> {
        let (layer, archive) = (self.next("layer"), self.next("blob"));
        let make = || {
            let (root, aside) = (layer.join("fs"), self.next("aside"));
            make_private(&layer)?;
            make_private(&aside)?;
            make_private(&root)?;
            fs::set_permissions(&root, Permissions::from_mode(0o755))?;
            Ok((File::open(&root)?, File::open(&aside)?, File::create_new(&archive)?))
        };
        match make() {
            Ok((root, aside, blob)) => Ok(Bench { layer, archive, root, aside, blob }),
            Err(source) => Err(LayoutError::Write { path: layer, source }),
        }
    }

    /// Takes the folder at `path` over as the root of a layer. It is on the store's file system, and gone from its
    /// place then.
    pub(crate) fn adopt(&self, path: &Path) -> Result<Bench, LayoutError> {
        let bench = self.bench()?;
        let root = bench.layer.join("fs");
        let adopt = || {
            fs::remove_dir(&root)?;
            fs::rename(path, &root)?;
            File::open(&root)
        };
        let root = adopt().map_err(|source| LayoutError::Write { path: path.to_owned(), source })?;
        Ok(Bench { root, ..bench })
    }

    /// Adds a blob.
    pub(crate) fn add_blob(&self, bytes: &[u8]) -> Result<(), LayoutError> {
        let path = self.path(Digest::of(bytes).hex());
        fs::write(&path, bytes).map_err(|source| LayoutError::Write { path, source })
    }

    /// Makes a file for a blob whose digest is not yet known.
    pub(crate) fn new_blob(&self) -> Result<(PathBuf, File), LayoutError> {
        let path = self.next("blob");
        let made = File::create_new(&path);
        made.map(|file| (path.clone(), file)).map_err(|source| LayoutError::Write { path, source })
    }

    /// Adds the blob that was made in the file `path`.
    pub(crate) fn name_blob(&self, path: &Path, digest: &Digest) -> Result<(), LayoutError> {
        let named = self.path(digest.hex());
        fs::rename(path, &named).map_err(|source| LayoutError::Write { path: named, source })
    }

    /// Brings finished layers with their archives, and other blobs, to their places, where they survive a power
    /// cut, and nobody sweeps them away before `lease` is dropped.
    pub(crate) fn publish(
        &self,
        lease: &Lease,
        layers: &[Finished],
        blobs: &[Digest],
    ) -> Result<(), LayoutError> {
        self.sync(layers.is_empty(), blobs)?;
        let of_layers = layers.iter().flat_map(|layer| {
            let blob = layer.stored.blob.iter().map(|blob| Thing::Blob(blob.digest.clone()));
            blob.chain([Thing::Layer(layer.diff_id.clone())])
        });
        let things: Vec<_> = of_layers.chain(blobs.iter().cloned().map(Thing::Blob)).collect();
        self.layout.keep(lease, &things)?;
        for layer in layers {
            if let Some(blob) = &layer.stored.blob {
                put(&layer.archive, &self.layout.blob(&blob.digest), READ_ONLY)?;
            }
            put(&layer.layer, &self.layout.layer(&layer.diff_id), None)?;
        }
        for digest in blobs {
            put(&self.path(digest.hex()), &self.layout.blob(digest), READ_ONLY)?;
        }
        for name in ["blobs/sha256", "layers"] {
            let path = self.layout.folder(name);
            let synced = File::open(&path).and_then(|folder| folder.sync_all());
            synced.map_err(|source| LayoutError::Write { path, source })?;
        }
        Ok(())
    }

    /// Changes what a layer says of itself, in one step. Its lock is held.
    pub(crate) fn restate(&self, diff_id: &Digest, stored: &StoredLayer) -> Result<(), LayoutError> {
        let (new, path) = (self.next(META), self.layout.layer(diff_id).join(META));
        let write = || {
            fs::write(&new, serde_json::to_vec(stored)?)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| LayoutError::Write { path, source })
    }

    /// Has all on the disk before any of it gets its name: by file if there are few, else by file system.
    fn sync(&self, no_layers: bool, blobs: &[Digest]) -> Result<(), LayoutError> {
        let synced = if no_layers {
            let sync = |digest: &Digest| File::open(self.path(digest.hex()))?.sync_all();
            blobs.iter().try_for_each(sync)
        } else {
            syncfs(self.work.folder()).map_err(io::Error::from)
        };
        synced.map_err(|source| LayoutError::Write { path: self.work.path().to_owned(), source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Returns a path that nothing else has.
    fn next(&self, kind: &str) -> PathBuf {
        self.path(&format!("{}.{kind}", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = self.layout.trash().discard(self.work.path()) {
            tracing::warn!(%error, "what is left of some work goes at the next start");
        }
    }
}

impl Bench {
    /// Says what was unpacked, which completes the layer.
    pub(crate) fn finish(self, diff_id: Digest, stored: StoredLayer) -> Result<Finished, LayoutError> {
        let path = self.layer.join(META);
        let text = serde_json::to_vec(&stored).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text)).map_err(|source| LayoutError::Write { path, source })?;
        Ok(Finished { layer: self.layer, archive: self.archive, diff_id, stored })
    }
}

const READ_ONLY: Option<u32> = Some(0o444);

/// Moves something to its place, unless it is there already.
fn put(from: &Path, to: &Path, mode: Option<u32>) -> Result<(), LayoutError> {
    let written = |source| LayoutError::Write { path: to.to_owned(), source };
    if let Some(mode) = mode {
        fs::set_permissions(from, Permissions::from_mode(mode)).map_err(written)?;
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(written(error.into())),
    }
}
