//! What outlives this process, and not yet a power cut: changes beside the store, in the order in which they were made.
//!
//! A transaction that waits for the disk takes milliseconds, and longer on a busy one; what a kill of this process must
//! not lose need not wait, since the kernel has it. So such changes are appended here and carried out in memory, and
//! the next transaction that does wait brings all of them to the disk at once.
//!
//! ```text
//! store  epoch 7 ═══════════════════════════════════ epoch 8 ═════════      what is on the disk
//! journal          7: changes, 7: changes, 7: changes         8: changes    what has happened since
//! ```
//!
//! An entry belongs to one epoch of the store. A new epoch begins at the file's beginning: what is left there of the
//! one before is passed over by its number, and what a kill or a power cut left half written by its checksum.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::batch::Change;

/// The epoch, the payload's length, and the beginning of the checksum of both and the payload.
const HEADER: usize = 8 + 4 + 8;

/// The open journal.
pub(crate) struct Journal {
    file: File,
    epoch: u64,
    end: u64,
}

impl Journal {
    /// Opens the journal at `path`, and makes it, for its owner alone, if there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self { file, epoch: 0, end: 0 })
    }

    /// Returns the epoch that is written.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Begins an epoch without a change.
    pub(crate) fn begin(&mut self, epoch: u64) {
        (self.epoch, self.end) = (epoch, 0);
    }

    /// Returns what was written in `epoch`, up to the first entry that is not whole.
    pub(crate) fn read(&self, epoch: u64) -> io::Result<Vec<Change>> {
        let mut bytes = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, 0)?;
        let (mut rest, mut changes) = (bytes.as_slice(), Vec::new());
        while let Some((payload, after)) = split_entry(rest, epoch) {
            let Ok(more) = serde_json::from_slice::<Vec<Change>>(payload) else { break };
            changes.extend(more);
            rest = after;
        }
        Ok(changes)
    }

    /// Adds an entry. It outlives this process when this returns.
    pub(crate) fn append(&mut self, changes: &[&Change]) -> io::Result<()> {
        let payload = serde_json::to_vec(changes)?;
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut entry = Vec::with_capacity(HEADER + payload.len());
        entry.extend(self.epoch.to_le_bytes());
        entry.extend(length.to_le_bytes());
        entry.extend(checksum(&entry, &payload));
        entry.extend(payload);
        self.file.write_all_at(&entry, self.end)?;
        self.end += entry.len() as u64;
        Ok(())
    }

    /// Returns where the next entry goes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Takes back what was added from `end` on.
    pub(crate) fn take_back(&mut self, end: u64) -> io::Result<()> {
        self.end = end;
        self.file.set_len(end)
    }
}

/// Splits a whole entry of `epoch` from the beginning of `bytes`: its payload, and what follows it.
fn split_entry(bytes: &[u8], epoch: u64) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (about, sum) = header.split_at(8 + 4);
    let (written_in, length) = about.split_at(8);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (written_in == epoch.to_le_bytes() && sum == checksum(about, payload)).then_some((payload, rest))
}

fn checksum(about: &[u8], payload: &[u8]) -> [u8; 8] {
    let whole = Sha256::new().chain_update(about).chain_update(payload).finalize();
    std::array::from_fn(|at| whole[at])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::Folder;

    fn change(key: &str) -> Change {
        Change { table: "fruit".into(), key: key.to_owned(), value: Some((1, "{}".to_owned())) }
    }

    fn keys(path: &Path, epoch: u64) -> String {
        let changes = Journal::open(path).unwrap().read(epoch).unwrap();
        changes.into_iter().map(|change| change.key).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_epoch_covers_what_is_left_of_the_one_before() {
        let folder = Folder::new();
        let path = folder.path("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.begin(7);
        journal.append(&[&change("a"), &change("b")]).unwrap();
        journal.append(&[&change("c")]).unwrap();
        assert_eq!((keys(&path, 7), keys(&path, 6)), ("a b c".to_owned(), String::new()));
        journal.begin(8);
        assert_eq!(keys(&path, 8), "");
        journal.append(&[&change("d"), &change("e")]).unwrap();
        assert_eq!((keys(&path, 8), keys(&path, 7)), ("d e".to_owned(), String::new()));
    }

    #[test]
    fn an_entry_that_is_not_whole_ends_what_is_read() {
        let folder = Folder::new();
        let path = folder.path("journal");
        let mut journal = Journal::open(&path).unwrap();
        for key in ["a", "b"] {
            journal.append(&[&change(key)]).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for length in whole.len() / 2..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(keys(&path, 0), "a", "{length} bytes");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(keys(&path, 0), "a");
        fs::write(&path, whole).unwrap();
        assert_eq!(keys(&path, 0), "a b");
    }
}
