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

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
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

/// The folder of one container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFolder {
    path: PathBuf,
}

/// How much a FIFO holds before the writer waits. Users may have 64 MiB in pipes altogether.
const FIFO_SIZE: usize = 256 * 1024;

impl LogFolder {
    /// Names the folder; nothing is made.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the folder and its FIFOs, or finds them.
    pub fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        for stream in Stream::ALL {
            match mknodat(CWD, self.fifo(stream), FileType::Fifo, Mode::from(0o600), 0) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Opens a FIFO in both directions, as the container and the keeper hold it.
    pub fn open_fifo(&self, stream: Stream) -> io::Result<OwnedFd> {
        let fifo = rustix::fs::open(self.fifo(stream), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
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

    fn fifo(&self, stream: Stream) -> PathBuf {
        self.path.join(format!("{}.fifo", stream.file()))
    }
}
