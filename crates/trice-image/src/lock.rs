//! Files and folders that belong to whoever holds their lock, and to nobody when that process is gone.
//!
//! ```text
//! make ──► lock ──► is it still the one of that name? ──no──► again
//!                    └── yes: it is ours until it is dropped, or the process ends
//! ```
//!
//! Source: flock(2).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A name that one holder has at a time.
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Waits until `path` is nobody else's. The file is made for it, and goes with it.
    pub(crate) fn wait(path: PathBuf) -> io::Result<Self> {
        loop {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            if is_still(&file, &path)? {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held nobody else deletes it, and whoever waits for it looks for the name again. What
        // cannot be deleted is empty and is taken over by the next holder.
        if is_still(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new folder that is one holder's.
pub(crate) struct Work {
    path: PathBuf,
    folder: File,
}

impl Work {
    /// Makes a folder in `parent` under a name that is free.
    pub(crate) fn begin(parent: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let path = parent.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            if let Some(folder) = locked(&path)? {
                return Ok(Self { path, folder });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> &File {
        &self.folder
    }
}

/// Returns the folders in `parent` whose holders are gone. Each is held until it is dropped.
pub(crate) fn abandoned(parent: &Path) -> io::Result<Vec<Work>> {
    Ok(unheld(parent)?.into_iter().map(|(path, folder)| Work { path, folder }).collect())
}

/// Deletes the files in `parent` that were locked by processes that are gone.
pub(crate) fn delete_abandoned(parent: &Path) -> io::Result<()> {
    unheld(parent)?.into_iter().for_each(|(path, file)| drop(Lock { path, file }));
    Ok(())
}

/// Locks all in `parent` that nobody holds.
fn unheld(parent: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        found.extend(locked(&path)?.map(|file| (path, file)));
    }
    Ok(found)
}

/// Locks what is at `path` if nobody holds it and it is still there.
pub(crate) fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        outcome => {
            outcome?;
            Ok(is_still(&file, path)?.then_some(file))
        }
    }
}

pub(crate) fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32};
    use std::thread;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_lock_is_one_holders_at_a_time_and_leaves_nothing() {
        let folder = Folder::new();
        let (inside, taken) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::wait(folder.path("lock")).unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst));
                        taken.fetch_add(1, Ordering::Relaxed);
                        (0..20).for_each(|_| thread::yield_now());
                        inside.store(false, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!((taken.into_inner(), folder.names("")), (800, Vec::new()));
    }

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let folder = Folder::new();
        let held = Work::begin(&folder.path("")).unwrap();
        let left = Work::begin(&folder.path("")).unwrap().path().to_owned();
        let found: Vec<_> = abandoned(&folder.path("")).unwrap();
        assert_eq!(found.iter().map(Work::path).collect::<Vec<_>>(), [left]);
        assert!(abandoned(&folder.path("")).unwrap().is_empty(), "they are held by whoever found them");
        drop((held, found));
        assert_eq!(abandoned(&folder.path("")).unwrap().len(), 2);
    }

    #[test]
    fn the_locks_of_those_who_are_gone_are_deleted() {
        let folder = Folder::new();
        fs::write(folder.path("left"), "").unwrap();
        let held = Lock::wait(folder.path("held")).unwrap();
        delete_abandoned(&folder.path("")).unwrap();
        assert_eq!(folder.names(""), ["held"]);
        drop(held);
    }
}
