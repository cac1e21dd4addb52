//! What a child and the engine say to each other between fork and `execve`.
//!
//! ```text
//! child                                     engine
//!   │  Created, with a terminal's other end ──►│     only if the plan says `wait`
//!   │◄── one byte: go on                       │     (end of file: engine and keeper have let go: the child ends)
//!   │  Failed ────────────────────────────────►│     at any time, then the child ends
//!   └─ execve closes the socket ──────────────►│     end of file without a failure: the program runs
//! ```
//!
//! It is a `SOCK_SEQPACKET` pair, one message a packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// What a child reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// Everything but the process is there; the child waits.
    Created,
    /// The process has a terminal, whose other end comes along.
    Terminal,
    /// A step failed, and the child has ended.
    Failed(Failure),
}

/// Why a child could not become what the plan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// The step and its object, and the kernel's word on it.
    pub what: String,
    /// The kernel's error number, where there is one.
    pub errno: Option<i32>,
    /// What it means for the caller.
    pub kind: FailureKind,
}

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The program does not exist; shells say 127.
    CommandNotFound,
    /// The program cannot be run; shells say 126.
    CommandNotExecutable,
    /// Anything else.
    Setup,
}

/// Makes the two ends: the engine's and the child's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The child's end.
#[derive(Debug)]
pub struct Child {
    socket: OwnedFd,
}

impl Child {
    /// Takes the child's end.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Reports, with a descriptor if there is one.
    pub fn report(&self, report: &Report, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(report)?;
        let descriptors: Vec<_> = descriptor.into_iter().collect();
        send(self.socket.as_fd(), &bytes, &descriptors)
    }

    /// Waits for the word to go on. `false` if nobody is left to say it.
    pub fn wait(&self) -> io::Result<bool> {
        Ok(receive(self.socket.as_fd(), 1)?.is_some())
    }
}

/// The engine's end.
#[derive(Debug)]
pub struct Parent {
    socket: OwnedFd,
}

impl Parent {
    /// Takes the engine's end.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Our end, for whoever holds it in case that this process dies.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits for the next report; `None` once the child has become the program, or has died.
    pub fn next(&self) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        let Some(mut packet) = receive(self.socket.as_fd(), LONGEST_REPORT)? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&packet.bytes)?, packet.descriptors.pop())))
    }

    /// Lets the child go on.
    pub fn release(&self) -> io::Result<()> {
        send(self.socket.as_fd(), &[1], &[])
    }
}

/// The longest report of a child.
const LONGEST_REPORT: usize = 64 * 1024;
/// The most descriptors that one message carries (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS: usize = 253;

/// Sends one packet with descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            // Told once where the other end was closed with packets of ours unread: that it is closed is told next.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// What arrives at once.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Descriptors were lost: this process may not have as many.
    pub(crate) cut: bool,
}

/// Receives one packet of at most `longest` bytes; `None` if the other end is closed.
pub(crate) fn receive(socket: BorrowedFd<'_>, longest: usize) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0; longest];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            // Told once where the other end was closed with packets of ours unread; its last ones come after that.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    bytes.truncate(received.bytes);
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    // No packet of ours is empty.
    Ok((received.bytes > 0).then_some(Packet { bytes, descriptors, cut }))
}
