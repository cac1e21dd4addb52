//! Reading ahead: who decompresses works at the same time as who unpacks.
//!
//! ```text
//! a thread: source ──full buffers──► [ at most a few ] ──► Ahead, a reader
//!                  ◄──empty buffers──
//! ```

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How much is handed over at once.
const BUFFER_BYTES: usize = 128 << 10;
/// How many full buffers may wait.
const BUFFERS: usize = 4;

/// What a thread has read ahead.
pub(crate) struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    spent: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    taken: usize,
}

/// The thread's side.
pub(crate) struct Feeder {
    full: SyncSender<io::Result<Vec<u8>>>,
    spent: Receiver<Vec<u8>>,
}

/// Returns both sides.
pub(crate) fn pair() -> (Feeder, Ahead) {
    let (full, filled) = sync_channel(BUFFERS);
    let (spent, emptied) = channel();
    (Feeder { full, spent: emptied }, Ahead { full: filled, spent, buffer: Vec::new(), taken: 0 })
}

impl Feeder {
    /// Hands over all that `source` has, until it ends, fails, or nobody wants more.
    pub(crate) fn feed(self, mut source: impl Read) {
        loop {
            let mut buffer = self.spent.try_recv().unwrap_or_default();
            buffer.resize(BUFFER_BYTES, 0);
            let (filled, failed) = fill(&mut source, &mut buffer);
            buffer.truncate(filled);
            let is_all = filled < BUFFER_BYTES;
            if filled > 0 && self.full.send(Ok(buffer)).is_err() {
                return;
            }
            if let Some(error) = failed {
                // Whoever has gone wants no error either.
                let _ = self.full.send(Err(error));
                return;
            }
            if is_all {
                return;
            }
        }
    }
}

/// Reads until the buffer is full or nothing is left; returns how much it was, and what went wrong after that.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            // A thread that has ended needs no buffer.
            let _ = self.spent.send(std::mem::take(&mut self.buffer));
            self.taken = 0;
            match self.full.recv() {
                Ok(Ok(next)) => self.buffer = next,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.buffer.len() - self.taken);
        buffer[..length].copy_from_slice(&self.buffer[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Ends with an error where others end.
    struct Broken<'a>(&'a [u8]);

    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1000);
            match self.0.read(&mut buffer[..most])? {
                0 => Err(io::Error::other("broken")),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn all_bytes_come_in_their_order_and_an_error_after_those_before_it() {
        for length in [0, 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 1] {
            let bytes: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            thread::scope(|scope| {
                let (feeder, mut ahead) = pair();
                scope.spawn(|| feeder.feed(&bytes[..]));
                let mut read = Vec::new();
                ahead.read_to_end(&mut read).unwrap();
                assert!(read == bytes, "{length}");
                let (feeder, mut ahead) = pair();
                scope.spawn(|| feeder.feed(Broken(&bytes)));
                let mut read = Vec::new();
                assert_eq!(ahead.read_to_end(&mut read).unwrap_err().to_string(), "broken");
                assert!(read == bytes, "{length}");
            });
        }
    }

    #[test]
    fn who_feeds_ends_when_nobody_reads() {
        thread::scope(|scope| {
            let (feeder, mut ahead) = pair();
            scope.spawn(|| feeder.feed(io::repeat(7)));
            ahead.read_exact(&mut [0; 10]).unwrap();
            drop(ahead);
        });
    }
}
