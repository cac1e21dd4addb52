//! How much room is taken by what builds may use again, and what of it goes.
//!
//! ```text
//! records of steps ──► layers that no image and no container has      oldest use first, until the rest is in the budget
//! folders of `--mount=type=cache` that no step has at this moment     the same
//! ```
//!
//! A layer that an image has costs nothing here, and its record stays: it is of use for free.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use trice_image::digest::Digest;
use trice_image::images::Images;
use trice_image::images::remove::{RemoveError, Roots};
use trice_image::images::usage::UsageError;
use trice_model::time::Timestamp;
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::{ReadError, Store};

use crate::record::{FilesRecord, StepRecord};

/// Where things are that builds may use again.
pub struct Reusable<'a> {
    /// The images.
    pub images: &'a Images,
    /// The records.
    pub store: &'a Store,
    /// The folder of builds.
    pub folder: &'a Path,
}

/// How much room they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// How many layers and folders there are.
    pub entries: u64,
    /// How many of them an image, a container or a step has.
    pub in_use: u64,
    /// The bytes of those that nobody has, and of all folders.
    pub bytes: u64,
    /// What of that could go.
    pub reclaimable: u64,
    /// The bytes of layers alone.
    pub layer_bytes: u64,
}

/// What goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Going {
    /// So many bytes may stay.
    pub keep: u64,
    /// Only what was used last before this.
    pub before: Option<Timestamp>,
}

/// What has gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gone {
    /// How many layers and folders.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Why it is not known, or stays.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The store of images cannot be read.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A layer stays.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A folder cannot be looked at, or stays.
    #[error("the caches of builds in `{}`", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A layer with the steps that made it, or a folder.
struct Entry {
    used_at: Timestamp,
    bytes: u64,
    /// Somebody has it.
    in_use: bool,
    what: What,
}

enum What {
    Layer { keys: Vec<String> },
    Folder { path: PathBuf },
}

impl Reusable<'_> {
    /// Returns the layers that builds may use again. They stay when images go.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn layers(&self) -> Result<Vec<Digest>, ReadError> {
        Ok(self.store.all::<StepRecord>()?.into_iter().map(|record| record.layer).collect())
    }

    /// Adds up the room that they take. `roots` are the images that somebody uses.
    ///
    /// # Errors
    /// [`BudgetError`].
    pub fn room(&self, roots: &Roots) -> Result<Room, BudgetError> {
        let mut room = Room::default();
        for entry in self.entries(roots)? {
            room.entries += 1;
            room.in_use += u64::from(entry.in_use);
            let is_layer = matches!(entry.what, What::Layer { .. });
            let bytes = if is_layer && entry.in_use { 0 } else { entry.bytes };
            room.bytes += bytes;
            room.layer_bytes += if is_layer { bytes } else { 0 };
            room.reclaimable += if entry.in_use { 0 } else { bytes };
        }
        Ok(room)
    }

    /// Removes those that nobody has, the one that was not used for the longest time first, until what stays is
    /// within the budget.
    ///
    /// # Errors
    /// [`BudgetError`].
    pub fn prune(&self, going: Going, roots: Roots) -> Result<Gone, BudgetError> {
        let mut entries = self.entries(&roots)?;
        entries.retain(|entry| !entry.in_use);
        entries.sort_by_key(|entry| entry.used_at);
        let mut left: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let (mut gone, mut batch) = (Gone::default(), Batch::new());
        for entry in entries {
            let is_old = going.before.is_none_or(|before| entry.used_at < before);
            // What takes no room goes only with all the rest.
            if left <= going.keep && going.keep > 0 || !is_old {
                continue;
            }
            match &entry.what {
                What::Layer { keys } => {
                    batch = keys.iter().fold(batch, |batch, key| batch.remove::<StepRecord>(key));
                }
                What::Folder { path } if !empty(path)? => continue,
                What::Folder { .. } => gone.bytes += entry.bytes,
            }
            left = left.saturating_sub(entry.bytes);
            gone.entries += 1;
        }
        if going == Going::default() {
            for record in self.store.all::<FilesRecord>()? {
                batch = batch.remove::<FilesRecord>(&record.key);
            }
        }
        self.store.commit(batch)?;
        // What is left of the records says what stays; images and leases say it too.
        let removed = self.images.sweep(&roots.built(self.layers()?))?;
        gone.bytes += removed.bytes;
        Ok(gone)
    }

    fn entries(&self, roots: &Roots) -> Result<Vec<Entry>, BudgetError> {
        let layers = self.images.layer_uses(roots)?;
        let mut of_layers: BTreeMap<Digest, Entry> = BTreeMap::new();
        for record in self.store.all::<StepRecord>()? {
            let used = layers.get(&record.layer);
            let entry = of_layers.entry(record.layer).or_insert_with(|| Entry {
                used_at: record.used_at,
                bytes: used.map_or(0, |used| used.bytes),
                in_use: used.is_some_and(|used| used.is_needed),
                what: What::Layer { keys: Vec::new() },
            });
            entry.used_at = entry.used_at.max(record.used_at);
            if let What::Layer { keys } = &mut entry.what {
                keys.push(record.key);
            }
        }
        let mut entries: Vec<Entry> = of_layers.into_values().collect();
        entries.extend(self.folders()?);
        Ok(entries)
    }

    /// Returns the folders that steps keep things in.
    fn folders(&self) -> Result<Vec<Entry>, BudgetError> {
        let folder = self.folder.join("caches");
        let failed = |source| BudgetError::Folder { path: folder.clone(), source };
        let all = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            all => all.map_err(failed)?,
        };
        let mut entries = Vec::new();
        for entry in all {
            let path = entry.map_err(failed)?.path();
            // Beside each folder is its lock; one that is about to be made has another ending.
            if path.extension().is_some() {
                continue;
            }
            let used_at = fs::metadata(lock_of(&path)).and_then(|lock| lock.modified());
            let since = used_at.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            entries.push(Entry {
                used_at: Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
                bytes: bytes_below(&path),
                in_use: taken(&path).map_err(failed)?.is_none(),
                what: What::Folder { path },
            });
        }
        Ok(entries)
    }
}

/// Returns the file that is locked by whoever has the folder `path`.
pub(crate) fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// Says that a folder is being used.
pub(crate) fn mark_used(lock: &File) -> io::Result<()> {
    lock.set_modified(SystemTime::now())
}

/// Takes a folder if nobody has it.
fn taken(path: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(lock_of(path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a folder that nobody has. Its lock stays: somebody may wait for it.
fn empty(path: &Path) -> Result<bool, BudgetError> {
    let failed = |source| BudgetError::Folder { path: path.to_owned(), source };
    let Some(_lock) = taken(path).map_err(failed)? else { return Ok(false) };

    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(true),
    }
}

/// Adds up the bytes of all files below a folder. What cannot be read counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(stat) if stat.is_dir() => bytes_below(&entry.path()),
        Ok(stat) if stat.is_file() => stat.len(),
        Ok(_) | Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
