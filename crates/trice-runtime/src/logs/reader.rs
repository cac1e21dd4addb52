//! Reading a log: pieces in the order of their arrival, put together to lines.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use trice_model::time::Timestamp;

use super::index::{Piece, RECORD};
use super::{LogFolder, Stream};

/// What is longer is handed out in parts: a program that never ends its line must not fill our memory.
const LONGEST_LINE: usize = 1 << 20;

/// A line of a stream, without its end; the time is that of its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which stream.
    pub stream: Stream,
    /// When it began to arrive.
    pub time: Timestamp,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The part of a line that has arrived.
#[derive(Debug, Default)]
struct Partial {
    time: Option<Timestamp>,
    bytes: Vec<u8>,
}

/// Reads a log from its beginning on, and goes on where it stopped.
#[derive(Debug)]
pub struct LogReader {
    folder: LogFolder,
    index: Option<File>,
    spools: [Option<File>; 2],
    partial: [Partial; 2],
}

impl LogReader {
    /// Begins at the beginning. A log that is not there yet is empty.
    pub fn new(folder: LogFolder) -> Self {
        Self { folder, index: None, spools: [None, None], partial: Default::default() }
    }

    /// Skips to the pieces that begin at or after `time`, as far as whole pieces before it go.
    pub fn skip_to(&mut self, time: Timestamp) -> io::Result<()> {
        while let Some(piece) = self.next_piece()? {
            if piece.time >= time {
                self.step_back()?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the next lines, of one piece or more; empty if all that is there has been read.
    pub fn next_lines(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            let Some((piece, bytes)) = self.next_bytes()? else { break };
            self.split(piece, &bytes, &mut lines);
        }
        Ok(lines)
    }

    /// Returns the next bytes as they arrived, `None` if all that is there has been read.
    pub fn next_bytes(&mut self) -> io::Result<Option<(Piece, Vec<u8>)>> {
        let Some(piece) = self.next_piece()? else { return Ok(None) };
        let spool = &mut self.spools[piece.stream as usize];
        let file = match spool {
            Some(file) => file,
            None => spool.insert(File::open(self.folder.spool(piece.stream))?),
        };
        let mut bytes = vec![0; piece.length as usize];
        file.read_exact_at(&mut bytes, piece.offset)?;
        Ok(Some((piece, bytes)))
    }

    /// Returns the last lines that have no end, once nothing more will come.
    pub fn rest(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for stream in Stream::ALL {
            let partial = &mut self.partial[stream as usize];
            if let Some(time) = partial.time.take() {
                lines.push(Line { stream, time, bytes: std::mem::take(&mut partial.bytes) });
            }
        }
        lines.sort_by_key(|line| line.time);
        lines
    }

    fn split(&mut self, piece: Piece, bytes: &[u8], lines: &mut Vec<Line>) {
        let partial = &mut self.partial[piece.stream as usize];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let time = *partial.time.get_or_insert(piece.time);
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    partial.bytes.extend_from_slice(end);
                    let bytes = std::mem::take(&mut partial.bytes);
                    partial.time = None;
                    lines.push(Line { stream: piece.stream, time, bytes });
                }
                None => partial.bytes.extend_from_slice(part),
            }
            if partial.bytes.len() > LONGEST_LINE {
                let bytes = std::mem::take(&mut partial.bytes);
                lines.push(Line { stream: piece.stream, time, bytes });
            }
        }
    }

    fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        let index = match &mut self.index {
            Some(index) => index,
            None => match File::open(self.folder.index()) {
                Ok(file) => self.index.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut record = [0; RECORD];
        let place = index.stream_position()?;
        match index.read_exact_at(&mut record, place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        index.seek(SeekFrom::Start(place + RECORD as u64))?;
        let piece = Piece::decode(&record);
        piece
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the log's index is damaged"))
    }

    fn step_back(&mut self) -> io::Result<()> {
        if let Some(index) = &mut self.index {
            index.seek(SeekFrom::Current(-(RECORD as i64)))?;
        }
        Ok(())
    }
}

/// Keeps the last `count` lines of those that are pushed.
#[derive(Debug)]
pub struct Tail {
    count: usize,
    lines: VecDeque<Line>,
}

impl Tail {
    /// Keeps none yet.
    pub fn new(count: usize) -> Self {
        Self { count, lines: VecDeque::new() }
    }

    /// Takes one more.
    pub fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        if self.lines.len() > self.count {
            self.lines.pop_front();
        }
    }

    /// Returns those that are left.
    pub fn into_lines(self) -> VecDeque<Line> {
        self.lines
    }
}
