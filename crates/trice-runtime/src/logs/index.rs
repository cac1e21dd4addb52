//! The index of a log: one record of 24 bytes for each piece that was moved.
//!
//! ```text
//! 0        8        16      20  21      24
//! │ offset │ time   │ length │ s │ zeros │     little-endian; s: 0 stdout, 1 stderr
//! ```
//!
//! The time is in nanoseconds since 1970. Records are only ever appended, so that a torn one can only be the last; it is
//! written over, or cut off when the index is opened again.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use trice_model::time::Timestamp;

use super::{LogFile, Stream};

/// The size of a record.
pub const RECORD: usize = 24;

/// A piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which stream.
    pub stream: Stream,
    /// Where it begins in the stream's file.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
    /// When it was moved.
    pub time: Timestamp,
}

impl Piece {
    fn encode(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20] = match self.stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        bytes
    }

    /// Reads a record; `None` if it is none of ours.
    pub fn decode(bytes: &[u8; RECORD]) -> Option<Self> {
        let long = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let length = bytes[16..20].try_into().map(u32::from_le_bytes).ok()?;
        let stream = match bytes[20] {
            0 => Stream::Stdout,
            1 => Stream::Stderr,
            _ => return None,
        };
        Some(Self { stream, offset: long(0)?, length, time: Timestamp(long(8)?) })
    }
}

/// An index that is written.
#[derive(Debug)]
pub struct IndexWriter {
    file: LogFile,
    /// The end of the last whole record.
    end: u64,
}

impl IndexWriter {
    /// Opens the index at `path`, and returns with it the end of each stream as far as it is entered.
    pub fn open(path: PathBuf) -> io::Result<(Self, [u64; 2])> {
        let file = LogFile::open(path)?;
        let (mut whole, mut ends) = (0, [0; 2]);
        if let Some(file) = file.existing() {
            let length = file.metadata()?.len();
            whole = length - length % RECORD as u64;
            file.set_len(whole)?;
            for piece in read_all(file)? {
                ends[piece.stream as usize] = piece.offset + u64::from(piece.length);
            }
        }
        Ok((Self { file, end: whole }, ends))
    }

    /// Enters a piece. What a failure has written of it is written over by the next one.
    pub fn append(&mut self, piece: Piece) -> io::Result<()> {
        self.file.make()?.write_all_at(&piece.encode(), self.end)?;
        self.end += RECORD as u64;
        Ok(())
    }
}

/// Reads all pieces of an index.
pub fn read_all(mut file: &File) -> io::Result<Vec<Piece>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks::<RECORD>().0.iter().filter_map(Piece::decode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let piece = Piece { stream: Stream::Stderr, offset: 1 << 40, length: 7, time: Timestamp(99) };
        assert_eq!(Piece::decode(&piece.encode()), Some(piece));
    }
}
