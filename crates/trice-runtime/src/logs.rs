//! What containers write, kept as they wrote it.
//!
//! ```text
//! container ──► FIFO ──splice──► stdout, stderr          the bytes, one file a stream
//!                                index                   offset, length, time and stream of each piece
//! ```
//!
//! The container holds its FIFOs open in both directions, so that no death of ours is a SIGPIPE to it; the keeper holds
//! them too, so that what is in them outlives the container. A byte is either still in the FIFO or already in the file:
//! whatever dies in between, none is lost and none is there twice. A piece that was moved but not entered in the index
//! is entered by the next engine, with the time of that moment. Lines, prefixes, times and JSON are made when the log
//! is read.

pub mod index;
pub mod pump;
pub mod reader;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// A stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; a terminal writes here alone.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    fn file(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Where one container's log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFolder {
    path: PathBuf,
    fifos: PathBuf,
}

/// How much a FIFO holds before the writer waits. Users may have 64 MiB in pipes altogether.
const FIFO_SIZE: usize = 256 * 1024;

impl LogFolder {
    /// Names the folder, and the one of the FIFOs, which need not outlive a reboot. Nothing is made: many containers
    /// never write a word, and files cost more than anything else on some disks.
    pub fn new(path: PathBuf, fifos: PathBuf) -> Self {
        Self { path, fifos }
    }

    /// Opens a FIFO in both directions, as the container and the keeper hold it. It is made if there is none.
    pub fn open_fifo(&self, stream: Stream) -> io::Result<OwnedFd> {
        let path = self.fifos.join(format!("{}.fifo", stream.file()));
        fs::create_dir_all(&self.fifos)?;
        match mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let fifo = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::pipe::fcntl_setpipe_size(&fifo, FIFO_SIZE)?;
        Ok(fifo)
    }

    /// The bytes of a stream.
    pub fn spool(&self, stream: Stream) -> PathBuf {
        self.path.join(stream.file())
    }

    /// The index of both streams.
    pub fn index(&self) -> PathBuf {
        self.path.join("index")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file of a log, which is made when there is something to be written.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

impl LogFile {
    /// Opens the file at `path` if there is one.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Ok(Self { path, file: Some(file) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path, file: None }),
            Err(error) => Err(error),
        }
    }

    /// Returns the file, unless nothing was written yet.
    pub(crate) fn existing(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Returns the file, which is made with its folder if there is none. The container's own folder is not: that of one
    /// which has been removed must not come back.
    pub(crate) fn make(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            match self.path.parent().map(fs::create_dir) {
                Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Some(_) | None => {}
            }
            let mut options = OpenOptions::new();
            let file =
                options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_a_container_that_has_been_removed_does_not_bring_its_folder_back() {
        let top = std::env::temp_dir().join(format!("trice-log-{}", std::process::id()));
        fs::create_dir(&top).unwrap();
        let (there, gone) = (top.join("log/stdout"), top.join("gone/log/stdout"));
        assert!(LogFile::open(there.clone()).unwrap().make().is_ok() && there.exists());
        let refused = LogFile::open(gone).unwrap().make().map(drop).unwrap_err();
        assert_eq!((refused.kind(), top.join("gone").exists()), (io::ErrorKind::NotFound, false));
        fs::remove_dir_all(&top).unwrap();
    }
}
