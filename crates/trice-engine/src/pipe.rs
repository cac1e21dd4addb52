//! A descriptor of a client's, for as long as the client is there.
//!
//! What he hands over stays open here when he goes: without a look at him, an engine would read on from a pipe whose
//! other end somebody else holds, and that somebody would write on, for nobody.
//!
//! Source: pipe(7), poll(2).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// What a pipe that can be written to takes without waiting.
const AT_ONCE: usize = 4096;

/// A client's descriptor.
pub(crate) struct Pipe {
    file: File,
    is_file: bool,
    client: OwnedFd,
}

impl Pipe {
    /// Reads or writes `descriptor` while `client`, a connection, is open.
    pub(crate) fn new(descriptor: OwnedFd, client: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        let is_file = file.metadata()?.is_file();
        Ok(Self { file, is_file, client })
    }

    /// Returns the file, if it is a regular one: nobody can keep it from being read.
    pub(crate) fn regular(self) -> Result<File, Self> {
        if self.is_file { Ok(self.file) } else { Err(self) }
    }

    /// Waits until the descriptor is ready.
    fn wait(&self, ready: PollFlags) -> io::Result<()> {
        if self.is_file {
            return Ok(());
        }
        loop {
            let mut watched = [
                PollFd::new(&self.file, ready),
                PollFd::from_borrowed_fd(self.client.as_fd(), PollFlags::RDHUP),
            ];
            match poll(&mut watched, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
            if watched[1].revents().intersects(gone) {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"));
            }
            if !watched[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN)?;
        self.file.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT)?;
        let most = if self.is_file { buffer.len() } else { buffer.len().min(AT_ONCE) };
        self.file.write(&buffer[..most])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_pipe_is_read_and_written_until_the_client_has_gone() {
        let (client, ours) = UnixStream::pair().unwrap();
        let (reads, writes) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut writing = Pipe::new(writes, ours.try_clone().unwrap().into()).unwrap();
        let mut reading = Pipe::new(reads, ours.into()).unwrap();
        writing.write_all(b"abc").unwrap();
        let mut read = [0; 3];
        reading.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abc");
        drop(client);
        assert_eq!(reading.read(&mut read).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(writing.write(b"d").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
