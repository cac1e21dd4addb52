//! Bytes between the caller's streams and a process's.
//!
//! ```text
//! stdin ──► pipe ──► process ──► pipe ──► stdout
//!                       └──────► pipe ──► stderr
//! ```
//!
//! Each way has a thread of its own, which ends with the bytes, or with us.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::oneshot;

/// How long output is waited for that processes hold open which outlive the one that was run. Docker waits as
/// long.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes are copied at a time.
const CHUNK: usize = 64 * 1024;

/// The end of copying: it comes when there are no more bytes.
pub(crate) type Copied = oneshot::Receiver<()>;

/// Pipes to a process, with threads that copy from and to the caller's streams.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// The process's ends: input, output and errors, as far as it has them.
    pub(crate) theirs: Vec<OwnedFd>,
    outputs: Vec<Copied>,
}

impl Pipes {
    /// Opens the pipes that a process is to have, and begins to copy.
    pub(crate) fn open(input: bool, outputs: bool) -> io::Result<Self> {
        let mut pipes = Self { theirs: Vec::new(), outputs: Vec::new() };
        if input {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            // Its end is the pipe's end: the process reads no further.
            drop(copy(own(io::stdin().as_fd())?, writer)?);
            pipes.theirs.push(reader);
        }
        if outputs {
            for stream in [own(io::stdout().as_fd())?, own(io::stderr().as_fd())?] {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
                pipes.outputs.push(copy(reader, stream)?);
                pipes.theirs.push(writer);
            }
        }
        Ok(pipes)
    }

    /// Has a process write to `theirs` directly, its output and its errors: nothing is copied.
    pub(crate) fn of(theirs: Vec<OwnedFd>) -> Self {
        Self { theirs, outputs: Vec::new() }
    }

    /// Lets go of the process's ends: from here on only the process holds them open.
    pub(crate) fn hand_over(&mut self) {
        self.theirs.clear();
    }

    /// Waits for the rest of the output of a process that has ended.
    pub(crate) async fn settle(&mut self) {
        settle(&mut self.outputs).await;
    }

    /// Waits for the end of the output, however long it takes.
    pub(crate) async fn drain(&mut self) {
        drain(&mut self.outputs).await;
    }
}

/// Waits until all is copied, but not for others than the process that was run and has ended.
pub(crate) async fn settle(outputs: &mut Vec<Copied>) {
    // What comes later is left to whoever writes it.
    let _ = tokio::time::timeout(PATIENCE, drain(outputs)).await;
}

/// Waits until all is copied.
pub(crate) async fn drain(outputs: &mut Vec<Copied>) {
    for output in outputs.drain(..) {
        // A thread that is gone has copied all it could.
        let _ = output.await;
    }
}

/// Returns a descriptor of our own for a stream.
pub(crate) fn own(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    stream.try_clone_to_owned()
}

/// Copies `from` to `to` in a thread, until one of them ends.
pub(crate) fn copy(from: OwnedFd, to: OwnedFd) -> io::Result<Copied> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        // A stream that breaks has ended, for whoever reads and for whoever writes.
        let _ = copy_all(from.as_fd(), to.as_fd());
        drop((from, to));
        let _ = sender.send(());
    })?;
    Ok(receiver)
}

fn copy_all(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = match read(from, &mut buffer) {
            // A terminal whose other end is closed says so by an error.
            Ok(0) | Err(Errno::IO) => return Ok(()),
            Ok(length) => length,
            Err(error) => {
                again(error, from, PollFlags::IN)?;
                continue;
            }
        };
        write_all(to, &buffer[..length])?;
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) => again(error, to, PollFlags::OUT)?,
        }
    }
    Ok(())
}

/// Waits if that is all an error asks for. The caller's streams may have been set to never block by others.
fn again(error: Errno, descriptor: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    match error {
        Errno::INTR => Ok(()),
        Errno::AGAIN => {
            poll(&mut [PollFd::from_borrowed_fd(descriptor, flags)], None)?;
            Ok(())
        }
        other => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies `bytes` through a thread into a pipe that is read to its end.
    fn copied(bytes: &[u8], nonblocking: bool) -> Vec<u8> {
        let flags = if nonblocking { PipeFlags::CLOEXEC | PipeFlags::NONBLOCK } else { PipeFlags::CLOEXEC };
        let (from, source) = pipe_with(flags).unwrap();
        let (result, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let copied = copy(from, to).unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || write_all(source.as_fd(), &bytes));
        let mut all = Vec::new();
        io::Read::read_to_end(&mut std::fs::File::from(result), &mut all).unwrap();
        writer.join().unwrap().unwrap();
        copied.blocking_recv().unwrap();
        all
    }

    #[test]
    fn bytes_arrive_whole_and_the_end_arrives_too() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        assert!(copied(&bytes, false) == bytes);
        assert!(copied(&bytes, true) == bytes, "streams that never block are waited for");
        assert_eq!(copied(b"", false), b"");
    }
}
