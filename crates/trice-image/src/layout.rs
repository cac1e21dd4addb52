//! Where the parts of images lie, and how they get there.
//!
//! ```text
//! DATA/blobs/sha256/HEX      as received, never changed            0444
//! DATA/layers/HEX/fs         unpacked, by the digest of the archive without its compression
//! DATA/layers/HEX/meta       what was unpacked
//! DATA/tmp/N/                what somebody is at work on, who holds its lock
//! DATA/locks/HEX             while a layer is being made
//! DATA/trash/                what is to go
//!
//! work: write, check ──► syncfs ──► rename into place ──► fsync of the folders ──► records
//! ```
//!
//! What is at its place is whole: existence is truth, and a kill or a power cut at any moment leaves no more
//! than a folder in `tmp` that nobody holds. Nobody but root gets below these folders, because what is in
//! them may be setuid (CVE-2021-41091).

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use trice_state::trash::{Trash, TrashError};

use crate::compression::{Compression, decompressed};
use crate::digest::Digest;
use crate::lock::{Lock, Work, abandoned, delete_abandoned};

/// The store of images in a data folder.
pub(crate) struct Layout {
    data: PathBuf,
    trash: Trash,
}

/// What is known of a layer that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLayer {
    /// The digest of the archive that it was unpacked from.
    pub(crate) blob: Digest,
    /// The length of that archive.
    pub(crate) size: u64,
    /// How that archive is compressed.
    pub(crate) compression: Compression,
    /// The bytes of all files.
    pub(crate) bytes: u64,
    /// It hides all layers below it.
    pub(crate) opaque: bool,
}

/// Why the store of images is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Its folders cannot be made or read.
    #[error("open the store of images `{path}`")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something cannot be written.
    #[error("write `{path}`")]
    Write {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What a layer says of itself cannot be read.
    #[error("the layer `{path}` is damaged: move it away, and load its images again")]
    Meta {
        /// The layer's folder.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// Something cannot be thrown away.
    #[error(transparent)]
    Trash(#[from] TrashError),
}

impl Layout {
    /// Opens the store in the folder `data`, makes what is missing of it, and throws away what killed
    /// processes left.
    pub(crate) fn open(data: &Path) -> Result<Self, LayoutError> {
        for name in ["blobs", "blobs/sha256", "layers", "tmp", "locks"] {
            let path = data.join(name);
            make_private(&path).map_err(|source| LayoutError::Open { path, source })?;
        }
        let layout = Self { data: data.to_owned(), trash: Trash::open(data)? };
        layout.sweep()?;
        Ok(layout)
    }

    /// Returns the folder that overlayfs uses.
    pub(crate) fn root_of(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id).join("fs")
    }

    /// Tells whether a layer is here.
    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.root_of(diff_id).is_dir()
    }

    /// Tells whether a blob is here.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob(digest).is_file()
    }

    /// Returns what is known of a layer, if it is here.
    pub(crate) fn stored(&self, diff_id: &Digest) -> Result<Option<StoredLayer>, LayoutError> {
        let path = self.layer(diff_id);
        let text = match fs::read(path.join(META)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LayoutError::Meta { path, source }),
            Ok(text) => text,
        };
        if !self.has_layer(diff_id) {
            return Err(LayoutError::Meta { path, source: io::ErrorKind::NotFound.into() });
        }
        let stored = serde_json::from_slice(&text);
        stored.map(Some).map_err(|error| LayoutError::Meta { path, source: error.into() })
    }

    /// Tells how a blob is compressed, if it is here.
    pub(crate) fn compression_of(&self, digest: &Digest) -> Result<Option<Compression>, LayoutError> {
        let path = self.blob(digest);
        match File::open(&path).and_then(decompressed) {
            Ok((compression, _)) => Ok(Some(compression)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LayoutError::Open { path, source }),
        }
    }

    /// Waits until nobody else makes the layer.
    pub(crate) fn lock(&self, diff_id: &Digest) -> Result<Lock, LayoutError> {
        let path = self.data.join("locks").join(diff_id.hex());
        Lock::wait(path.clone()).map_err(|source| LayoutError::Open { path, source })
    }

    /// Returns the folder of what people are at work on.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.data.join("tmp")
    }

    /// Begins some work.
    pub(crate) fn begin(&self) -> Result<Workshop<'_>, LayoutError> {
        let work =
            Work::begin(&self.tmp()).map_err(|source| LayoutError::Write { path: self.tmp(), source })?;
        Ok(Workshop { layout: self, work })
    }

    /// Throws away what killed processes left. What others are at work on is theirs.
    fn sweep(&self) -> Result<(), LayoutError> {
        let (tmp, locks) = (self.tmp(), self.data.join("locks"));
        for work in abandoned(&tmp).map_err(|source| LayoutError::Open { path: tmp, source })? {
            self.trash.discard(work.path())?;
        }
        delete_abandoned(&locks).map_err(|source| LayoutError::Open { path: locks, source })
    }

    fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.data.join("layers").join(diff_id.hex())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.data.join("blobs/sha256").join(digest.hex())
    }
}

/// The name of what a layer says of itself.
const META: &str = "meta";

/// A folder with layers and blobs that are not yet at their places.
pub(crate) struct Workshop<'a> {
    layout: &'a Layout,
    work: Work,
}

/// Where one layer is made.
pub(crate) struct Bench {
    /// The folder that becomes the layer's.
    layer: PathBuf,
    /// The folder to unpack into.
    pub(crate) root: File,
    /// The folder for what the unpacking replaces.
    pub(crate) aside: File,
    /// The file of the archive.
    pub(crate) blob: File,
}

impl Workshop<'_> {
    /// Makes room for a layer.
    pub(crate) fn bench(&self, diff_id: &Digest) -> Result<Bench, LayoutError> {
        let layer = self.layer(diff_id);
        let make = || {
            let (root, aside) = (layer.join("fs"), self.path(&format!("{}.aside", diff_id.hex())));
            make_private(&layer)?;
            make_private(&aside)?;
            make_private(&root)?;
            fs::set_permissions(&root, Permissions::from_mode(0o755))?;
            let blob = File::create_new(self.blob_of(diff_id))?;
            Ok((File::open(&root)?, File::open(&aside)?, blob))
        };
        match make() {
            Ok((root, aside, blob)) => Ok(Bench { layer, root, aside, blob }),
            Err(source) => Err(LayoutError::Write { path: layer, source }),
        }
    }

    /// Adds a blob.
    pub(crate) fn add_blob(&self, bytes: &[u8]) -> Result<(), LayoutError> {
        let path = self.path(Digest::of(bytes).hex());
        fs::write(&path, bytes).map_err(|source| LayoutError::Write { path, source })
    }

    /// Brings finished layers with their blobs, and other blobs, to their places, where they survive a power
    /// cut.
    pub(crate) fn publish(
        &self,
        layers: &[(Digest, StoredLayer)],
        blobs: &[Digest],
    ) -> Result<(), LayoutError> {
        self.sync(layers.is_empty(), blobs)?;
        for (diff_id, stored) in layers {
            put(&self.blob_of(diff_id), &self.layout.blob(&stored.blob), READ_ONLY)?;
            put(&self.layer(diff_id), &self.layout.layer(diff_id), None)?;
        }
        for digest in blobs {
            put(&self.path(digest.hex()), &self.layout.blob(digest), READ_ONLY)?;
        }
        for name in ["blobs/sha256", "layers"] {
            let path = self.layout.data.join(name);
            let synced = File::open(&path).and_then(|folder| folder.sync_all());
            synced.map_err(|source| LayoutError::Write { path, source })?;
        }
        Ok(())
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

    fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.path(&format!("{}.layer", diff_id.hex()))
    }

    fn blob_of(&self, diff_id: &Digest) -> PathBuf {
        self.path(&format!("{}.blob", diff_id.hex()))
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.layout.trash.discard(self.work.path()) {
            tracing::warn!(%error, "what is left of some work goes at the next start");
        }
    }
}

impl Bench {
    /// Says what was unpacked, which completes the layer.
    pub(crate) fn finish(&self, stored: &StoredLayer) -> Result<(), LayoutError> {
        let path = self.layer.join(META);
        let text = serde_json::to_vec(stored).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text)).map_err(|source| LayoutError::Write { path, source })
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

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
