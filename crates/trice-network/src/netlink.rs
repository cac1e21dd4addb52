//! Talking to the kernel: many messages in one send, and all answers to them.
//!
//! ```text
//! Batch ──send──► kernel works through it, within the call ──► answers, queued
//!                                                                │
//!   to messages that failed: number, error, the kernel's text ◄──┤
//!   to a request: objects                                     ◄──┤
//!   to the last message: done                                 ◄──┘
//! ```
//!
//! The kernel has answered all before the send returns, so that reading never waits: no answer is an error and not a
//! hang. Only the last message asks for an acknowledgement; those that fail answer anyway.
//!
//! Source: netlink(7); Linux `Documentation/userspace-api/netlink/intro.rst`.

mod answer;
mod batch;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{DecodeError, ParseableParametrized};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_SOCK_DIAG};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use answer::{NLMSG_DONE, NLMSG_ERROR, split};
pub(crate) use batch::{Batch, flag};

/// Why the kernel was not reached, or what it said.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// There is no such socket on this kernel, or no right to it.
    #[error("open a netlink socket for {family}")]
    Open {
        /// What it was for.
        family: NetlinkFamily,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The messages did not get through.
    #[error("send {bytes} bytes to the kernel")]
    Send {
        /// Their length.
        bytes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The answers did not get through.
    #[error("receive the kernel's answer")]
    Receive(#[source] io::Error),
    /// The kernel refused a message.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel did not answer the last message.
    #[error("the kernel did not answer")]
    Unanswered,
    /// The answer is none that we know.
    #[error("the kernel's answer makes no sense: {0}")]
    Unreadable(DecodeError),
}

/// A message that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel refused message {number}{}", .text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Refusal {
    /// The message's place in its batch, from 1.
    pub number: usize,
    /// What the kernel had to say about it, beside the error.
    pub text: Option<String>,
    /// The error.
    #[source]
    pub errno: Errno,
}

/// The parts of the kernel that this crate talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// Links, addresses and routes.
    Route,
    /// The packet filter and connection tracking.
    Netfilter,
    /// Sockets.
    Sockets,
}

impl fmt::Display for NetlinkFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "links, addresses and routes (NETLINK_ROUTE)",
            Self::Netfilter => "the packet filter (NETLINK_NETFILTER)",
            Self::Sockets => "sockets (NETLINK_SOCK_DIAG)",
        })
    }
}

impl NetlinkError {
    /// Returns the error that the kernel gave to a message.
    pub(crate) fn refusal(&self) -> Option<Errno> {
        if let Self::Refused(refusal) = self { Some(refusal.errno) } else { None }
    }

    /// Returns the place of the refused message in its batch, from 0.
    pub(crate) fn place(&self) -> Option<usize> {
        if let Self::Refused(refusal) = self { refusal.number.checked_sub(1) } else { None }
    }
}

/// A socket to a part of the kernel, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// Longer than any answer: those to a dump have 32 KiB.
const BUFFER: usize = 64 << 10;
/// What a socket takes without being asked for more.
const SEND_BUFFER: usize = 128 << 10;
/// How often a dump is repeated because something changed meanwhile.
const DUMPS: usize = 4;

impl Netlink {
    /// Opens a socket.
    pub(crate) fn open(family: NetlinkFamily) -> Result<Self, NetlinkError> {
        let protocol = match family {
            NetlinkFamily::Route => NETLINK_ROUTE,
            NetlinkFamily::Netfilter => NETLINK_NETFILTER,
            NetlinkFamily::Sockets => NETLINK_SOCK_DIAG,
        };
        let open = || {
            let socket = Socket::new(protocol)?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            socket.set_no_enobufs(true)?; // of a thousand refusals the first is enough
            socket.as_fd().try_clone_to_owned()
        };
        Ok(open().map_err(|source| NetlinkError::Open { family, source })?.into())
    }

    /// Sends `batch` and returns when the kernel has carried it out.
    ///
    /// # Errors
    /// The refusal of the first message that was refused.
    pub(crate) fn perform(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        self.ask(batch, |_, _| Ok(()))
    }

    /// Sends `batch` and shows every object in the answers to `each`, by its kind and body.
    pub(crate) fn ask(
        &mut self,
        mut batch: Batch,
        each: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        if batch.count() == 0 {
            return Ok(());
        }
        let last = batch.ask_for_ack();
        self.send(batch.bytes())?;
        self.answers(last, each).map(|_| ())
    }

    /// Returns the objects that answer `message`.
    pub(crate) fn ask_route(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut batch = Batch::default();
        batch.push_route(flag::CHANGE, message);
        let mut found = Vec::new();
        self.ask(batch, |kind, body| {
            found.push(read_route(kind, body)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns all objects that the dump `message` tells of.
    pub(crate) fn dump_route(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut batch = Batch::default();
        batch.push_route(flag::DUMP, message);
        self.dump(&batch, read_route)
    }

    /// Returns what `read` makes of all objects that the dump in `batch` tells of.
    ///
    /// If objects come and go meanwhile, the kernel says so, and the dump is made again, a few times.
    pub(crate) fn dump<T>(
        &mut self,
        batch: &Batch,
        read: impl Fn(u16, &[u8]) -> Result<T, NetlinkError>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut found = Vec::new();
        for _ in 0..DUMPS {
            found.clear();
            self.send(batch.bytes())?;
            let whole = self.answers(batch.count() as u32, |kind, body| {
                found.push(read(kind, body)?);
                Ok(())
            })?;
            if whole {
                break;
            }
        }
        Ok(found)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let fail = |source| NetlinkError::Send { bytes: bytes.len(), source };
        if bytes.len() > SEND_BUFFER {
            // The kernel counts its own bookkeeping too. Without the right to go over the limit, up to the limit.
            set_socket_send_buffer_size_force(&self.socket, bytes.len() * 2)
                .or_else(|_| set_socket_send_buffer_size(&self.socket, bytes.len() * 2))
                .map_err(|errno| fail(errno.into()))?;
        }
        let sent = retry_on_intr(|| send(&self.socket, bytes, SendFlags::empty()));
        sent.map(|_| ()).map_err(|errno| fail(errno.into()))
    }

    /// Reads answers up to the one to message `last`, or the end of a dump. Returns whether they fit together.
    ///
    /// After an error it reads on: what it left would be taken for an answer to the next batch.
    fn answers(
        &mut self,
        last: u32,
        mut each: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        let (mut outcome, mut whole, mut done) = (Ok(()), true, false);
        while !done {
            let received = retry_on_intr(|| recv(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT));
            let length = match received {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return outcome.and(Err(NetlinkError::Unanswered)),
                Err(errno) => return outcome.and(Err(NetlinkError::Receive(errno.into()))),
            };
            for answer in split(&self.buffer[..length]) {
                whole &= !answer.is_interrupted();
                done |= answer.kind == NLMSG_DONE || answer.kind == NLMSG_ERROR && answer.number == last;
                let found = match answer.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        answer.refusal().map_or(Ok(()), |refusal| Err(refusal.into()))
                    }
                    kind => each(kind, answer.body),
                };
                outcome = outcome.and(found);
            }
        }
        outcome.map(|()| whole)
    }
}

impl From<OwnedFd> for Netlink {
    /// Goes on with a socket that [`Netlink::open`] opened, perhaps in another process.
    fn from(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; BUFFER] }
    }
}

impl From<Netlink> for OwnedFd {
    fn from(netlink: Netlink) -> Self {
        netlink.socket
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the kind and body of each message in `bytes`.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    split(bytes).map(|message| (message.kind, message.body))
}

fn read_route(kind: u16, body: &[u8]) -> Result<RouteNetlinkMessage, NetlinkError> {
    RouteNetlinkMessage::parse_with_param(body, kind).map_err(NetlinkError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_of_a_batch_is_told_with_its_number_and_the_next_batch_is_answered_for_itself() {
        let mut netlink = Netlink::open(NetlinkFamily::Route).unwrap();
        for _ in 0..2 {
            let mut batch = Batch::default();
            let question = || RouteNetlinkMessage::GetLink(crate::link::numbered(1));
            batch.push_route(flag::CHANGE, question());
            batch.push_route(flag::CHANGE, RouteNetlinkMessage::GetLink(crate::link::numbered(0x7fff_fff0)));
            batch.push_route(flag::CHANGE, RouteNetlinkMessage::GetLink(crate::link::numbered(0x7fff_fff1)));
            let error = netlink.perform(batch).unwrap_err();
            assert_eq!((error.refusal(), error.place()), (Some(Errno::NODEV), Some(1)), "{error}");
            assert_eq!(netlink.ask_route(question()).unwrap().len(), 1);
        }
    }
}
