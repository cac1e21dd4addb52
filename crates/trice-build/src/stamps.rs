//! The digests of files that have not changed since they were last read.
//!
//! ```text
//! DATA/build/stamps/N     one record a file: device and inode; size, times of change; digest
//! ```
//!
//! A file is known by its inode and not by its path, so that a folder that was moved is known too. One that changed
//! in the moments before it was read is read again the next time: it could change once more within the same tick of
//! the file system's clock.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// The digest of a file's content.
pub(crate) type ContentDigest = [u8; 32];

/// What a file is known by.
type Inode = (u64, u64);

/// What changes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// What is known of files.
#[derive(Debug)]
pub(crate) struct Stamps {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Inode, (Stamp, ContentDigest)>,
    /// Those that were asked for: the others are of files that have gone.
    used: HashMap<Inode, (Stamp, ContentDigest)>,
    changed: bool,
}

/// Within so many seconds of its last change, a file is not trusted to be the same.
const RACY_SECONDS: i64 = 2;
/// The length of a record: six numbers and a digest.
const RECORD: usize = 7 * 8 + 32;
/// What the file begins with.
const MAGIC: &[u8; 8] = b"stamps\n\x01";

impl Stamps {
    /// Reads what is known of the files below the folder that `stat` is of. What cannot be read is not known.
    pub(crate) fn open(folder: &Path, root: &Stat) -> Self {
        let path = folder.join(format!("{:x}-{:x}", root.st_dev, root.st_ino));
        let known = read(&path).unwrap_or_default();
        Self { path, state: Mutex::new(State { known, ..State::default() }) }
    }

    /// Returns the digest of a file, which `read` finds out if it is not known.
    pub(crate) fn digest<E>(
        &self,
        stat: &Stat,
        read: impl FnOnce() -> Result<ContentDigest, E>,
    ) -> Result<ContentDigest, E> {
        let inode = (stat.st_dev, stat.st_ino);
        let stamp = Stamp {
            size: stat.st_size.unsigned_abs(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let known = state.known.get(&inode).copied();
            if let Some((known, digest)) = known.filter(|(known, _)| *known == stamp) {
                state.used.insert(inode, (known, digest));
                return Ok(digest);
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let digest = read()?;
        let is_settled =
            stamp.changed.0.max(stamp.modified.0) + RACY_SECONDS < i64::try_from(now).unwrap_or(0);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_settled {
            state.used.insert(inode, (stamp, digest));
            state.changed = true;
        }
        Ok(digest)
    }

    /// Writes down what is known now. A failure costs time only.
    pub(crate) fn save(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut state.changed) {
            return;
        }
        // What another build of a part of the same folder knows stays, as long as it is not too much.
        let State { known, used, .. } = &mut *state;
        if known.len() < 4 * used.len() + 1024 {
            for (inode, stamp) in known.iter() {
                used.entry(*inode).or_insert(*stamp);
            }
        }
        if let Err(error) = write(&self.path, used) {
            tracing::warn!(%error, path = %self.path.display(), "remember the digests of files");
        }
    }
}

fn read(path: &Path) -> io::Result<HashMap<Inode, (Stamp, ContentDigest)>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let records = bytes.strip_prefix(MAGIC).ok_or(io::ErrorKind::InvalidData)?;
    let mut known = HashMap::with_capacity(records.len() / RECORD);
    for record in records.chunks_exact(RECORD) {
        let (numbers, digest) = record.split_at(RECORD - 32);
        let mut numbers =
            numbers.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
        let mut next = || numbers.next().expect("a record has seven numbers");
        let inode = (next(), next());
        let stamp = Stamp {
            size: next(),
            modified: (next().cast_signed(), next()),
            changed: (next().cast_signed(), next()),
        };
        known.insert(inode, (stamp, digest.try_into().expect("32 bytes")));
    }
    Ok(known)
}

fn write(path: &Path, known: &HashMap<Inode, (Stamp, ContentDigest)>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut bytes = Vec::with_capacity(MAGIC.len() + known.len() * RECORD);
    bytes.extend(MAGIC);
    for ((device, inode), (stamp, digest)) in known {
        let numbers = [
            *device,
            *inode,
            stamp.size,
            stamp.modified.0.cast_unsigned(),
            stamp.modified.1,
            stamp.changed.0.cast_unsigned(),
            stamp.changed.1,
        ];
        bytes.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(digest);
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    File::create(&new)?.write_all(&bytes)?;
    fs::rename(&new, path)
}
