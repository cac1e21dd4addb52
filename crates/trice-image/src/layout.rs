//! Where the parts of images lie, and how they get there.
//!
//! ```text
//! DATA/blobs/sha256/HEX      as received, never changed            0444
//! DATA/layers/HEX/fs         unpacked, by the digest of the archive without its compression
//! DATA/layers/HEX/meta       what was unpacked
//! DATA/tmp/N/                what somebody is at work on, who holds its lock     (workshop)
//! DATA/locks/HEX             while a layer is being made
//! DATA/leases/N, DATA/gate   what work in progress needs                         (lease)
//! DATA/trash/                what is to go
//! ```
//!
//! What is at its place is whole: existence is truth, and a kill or a power cut at any moment leaves no more
//! than a folder in `tmp` that nobody holds. What is thrown away leaves its place in one step. Nobody but root
//! gets below these folders, because what is in them may be setuid (CVE-2021-41091).

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trice_state::trash::{Trash, TrashError};

use crate::compression::{Compression, decompressed};
use crate::digest::Digest;
use crate::lease::{Gate, Held, Lease, Thing, kept};
use crate::lock::{Lock, abandoned, delete_abandoned};

/// The store of images in a data folder.
#[derive(Debug)]
pub(crate) struct Layout {
    data: PathBuf,
    trash: Trash,
    gate: Gate,
}

/// What is known of a layer that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLayer {
    /// The archive that it was unpacked from, or that was made of it.
    #[serde(flatten)]
    pub(crate) blob: Option<StoredBlob>,
    /// The length of the archive without compression. Earlier versions did not count.
    #[serde(default)]
    pub(crate) plain: Option<u64>,
    /// The bytes of all files.
    pub(crate) bytes: u64,
    /// It hides all layers below it.
    pub(crate) opaque: bool,
}

/// The archive of a layer as it is transported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBlob {
    /// Its digest, which is a blob's.
    #[serde(rename = "blob")]
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
    /// How it is compressed.
    pub(crate) compression: Compression,
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
        for name in ["blobs", "blobs/sha256", "layers", "tmp", "locks", "leases"] {
            let path = data.join(name);
            make_private(&path).map_err(|source| LayoutError::Open { path, source })?;
        }
        let layout = Self { data: data.to_owned(), trash: Trash::open(data)?, gate: Gate::new(data) };
        layout.clear()?;
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
        match File::open(&path).and_then(decompressed).and_then(|(stream, _)| stream.of_layer()) {
            Ok(compression) => Ok(Some(compression)),
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

    /// Begins to keep `things` from being swept away. What is here after that stays until the lease is dropped.
    pub(crate) fn lease(&self, things: &[Thing]) -> Result<Lease, LayoutError> {
        let lease = Lease::begin(&self.leases())
            .map_err(|source| LayoutError::Write { path: self.leases(), source })?;
        self.keep(&lease, things)?;
        Ok(lease)
    }

    /// Keeps `things` too.
    pub(crate) fn keep(&self, lease: &Lease, things: &[Thing]) -> Result<(), LayoutError> {
        let kept = self.gate.enter().and_then(|gate| lease.keep(&gate, things));
        kept.map_err(|source| LayoutError::Write { path: self.leases(), source })
    }

    /// Waits until nobody is about to say what he needs. For as long as this is held, nothing can become needed.
    pub(crate) fn close(&self) -> Result<Held, LayoutError> {
        self.gate.close().map_err(|source| LayoutError::Open { path: self.data.clone(), source })
    }

    /// Returns what is in a lease. The gate is closed.
    ///
    /// To be asked before the records are read: whoever lets go of a lease has made his record before.
    pub(crate) fn leased(&self, gate: &Held) -> Result<Vec<Thing>, LayoutError> {
        kept(gate, &self.leases()).map_err(|source| LayoutError::Open { path: self.leases(), source })
    }

    /// Throws away all that is not in `needed`, and returns it. The gate is closed.
    pub(crate) fn sweep(&self, _: &Held, needed: &HashSet<Thing>) -> Result<Vec<Thing>, LayoutError> {
        let mut swept = Vec::new();
        for thing in self.things()?.into_iter().filter(|thing| !needed.contains(thing)) {
            let path = match &thing {
                Thing::Layer(digest) => self.layer(digest),
                Thing::Blob(digest) => self.blob(digest),
            };
            self.trash.discard(&path)?;
            swept.push(thing);
        }
        Ok(swept)
    }

    /// Returns all that is here.
    pub(crate) fn things(&self) -> Result<Vec<Thing>, LayoutError> {
        let mut things = Vec::new();
        for (name, thing) in [("layers", Thing::Layer as fn(Digest) -> Thing), ("blobs/sha256", Thing::Blob)]
        {
            let path = self.data.join(name);
            let unreadable = |source| LayoutError::Open { path: path.clone(), source };
            for entry in fs::read_dir(&path).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                // What is called otherwise is not ours.
                things.extend(name.to_str().and_then(|hex| Digest::from_hex(hex).ok()).map(thing));
            }
        }
        Ok(things)
    }

    /// Opens a blob; `None` if it is not here.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<Option<File>, LayoutError> {
        let path = self.blob(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(|source| LayoutError::Open { path, source }),
        }
    }

    /// Reads a blob whole; `None` if it is not here.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LayoutError> {
        let path = self.blob(digest);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(|source| LayoutError::Open { path, source }),
        }
    }

    /// Returns the length of a blob; 0 if it is not here.
    pub(crate) fn size_of(&self, digest: &Digest) -> u64 {
        fs::metadata(self.blob(digest)).map_or(0, |blob| blob.len())
    }

    /// Throws away what killed processes left. What others are at work on is theirs.
    fn clear(&self) -> Result<(), LayoutError> {
        let (tmp, locks) = (self.tmp(), self.data.join("locks"));
        for work in abandoned(&tmp).map_err(|source| LayoutError::Open { path: tmp, source })? {
            self.trash.discard(work.path())?;
        }
        delete_abandoned(&locks).map_err(|source| LayoutError::Open { path: locks, source })?;
        let leased = self.gate.enter().and_then(|gate| kept(&gate, &self.leases()));
        leased.map(drop).map_err(|source| LayoutError::Open { path: self.leases(), source })
    }

    pub(crate) fn trash(&self) -> &Trash {
        &self.trash
    }

    /// Returns a folder of the store.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    fn leases(&self) -> PathBuf {
        self.data.join("leases")
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.data.join("layers").join(diff_id.hex())
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.data.join("blobs/sha256").join(digest.hex())
    }
}

/// The name of what a layer says of itself.
pub(crate) const META: &str = "meta";

/// Makes a folder, and those above it, that is its owner's alone.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
