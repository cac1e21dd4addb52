//! What is said on a connection that has left HTTP, for `exec`, `run` and `attach`.
//!
//! ```text
//! client                                      engine
//!   │  Begin [stdin, stdout, stderr] ───────────►│    for a process without a terminal
//!   │◄────────────────────── Started [terminal] ─│    for one with: its outer end
//!   │  Signal ──────────────────────────────────►│
//!   │◄──────────────────────────────────── Ended │    or Failed, at any time
//!   │  Done ────────────────────────────────────►│    its log has been read: it may be removed
//! ```
//!
//! The process writes to the client's own pipes, or the client reads the terminal itself: no byte passes through the
//! engine, and an engine that dies takes nothing along. Each message is a line of JSON; descriptors go with its first
//! byte. The client speaks first, so that nothing of the engine's can arrive together with the end of HTTP.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trice_model::signal::Signal;

use crate::event::OperationEvent;
use crate::fault::Fault;

/// What the client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamRequest {
    /// Here are the standard streams, those that the process is to have: with a terminal none; else the input, if it
    /// is to read, then output and errors.
    Begin,
    /// Pass this signal on.
    Signal(Signal),
    /// All that it wrote has been read: nothing more of it is wanted.
    Done,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamNotice {
    /// What happens on the way to a one-off's start.
    Operation(OperationEvent),
    /// The process runs; with a terminal its outer end comes along.
    Started,
    /// It has ended, with this code as a shell shows it.
    Ended(i32),
    /// It could not be run, or not be followed.
    Failed(Fault),
}

/// One end of such a connection; it blocks.
#[derive(Debug)]
pub struct StreamEnd {
    socket: OwnedFd,
    unread: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// The most descriptors that come with a message.
const DESCRIPTORS: usize = 3;
/// The longest message.
const LONGEST: usize = 1 << 20;

impl StreamEnd {
    /// Takes the connection, which must not be set to never block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, unread: Vec::new(), descriptors: Vec::new() }
    }

    /// Returns another handle to the same connection, to be written to only.
    pub fn writer(&self) -> io::Result<Self> {
        Ok(Self::new(self.socket.try_clone()?))
    }

    /// Says `message`.
    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let mut sent = sendmsg(&self.socket, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
        while sent < line.len() {
            sent += rustix::net::send(&self.socket, &line[sent..], SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// Waits for the next message and the descriptors with it; `None` if the other end has closed.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some((serde_json::from_slice(&line)?, std::mem::take(&mut self.descriptors))));
            }
            if self.unread.len() > LONGEST || !self.read_more()? {
                return Ok(None);
            }
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(self.socket.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                self.descriptors.extend(received);
            }
        }
        self.unread.extend_from_slice(&bytes[..received.bytes]);
        Ok(received.bytes > 0)
    }
}
