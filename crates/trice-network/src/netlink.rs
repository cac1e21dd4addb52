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

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{DecodeError, NetlinkSerializable, ParseableParametrized};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::attribute::{find, u16_at, u32_at};

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
}

impl fmt::Display for NetlinkFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "links, addresses and routes (NETLINK_ROUTE)",
            Self::Netfilter => "the packet filter (NETLINK_NETFILTER)",
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

/// Messages that are sent at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    count: usize,
    /// Where the message begins that is acknowledged.
    last: usize,
}

const HEADER: usize = 16;

/// The flags of a message's header.
pub(crate) mod flag {
    const REQUEST: u16 = 1;
    /// The message is answered even if all is well.
    pub(super) const ACK: u16 = 4;
    /// No flag but the one that all have.
    pub(crate) const CHANGE: u16 = REQUEST;
    /// Make it; change it if it is there.
    pub(crate) const CREATE: u16 = REQUEST | 0x400;
    /// Make it; fail if it is there.
    pub(crate) const CREATE_NEW: u16 = REQUEST | 0x400 | 0x200;
    /// Make it; put it in the place of what is there.
    pub(crate) const REPLACE: u16 = REQUEST | 0x400 | 0x100;
    /// Make it; put it behind what is there.
    pub(crate) const APPEND: u16 = REQUEST | 0x400 | 0x800;
    /// Tell all of them.
    pub(crate) const DUMP: u16 = REQUEST | 0x100 | 0x200;
    /// Of an answer: what it tells of changed meanwhile.
    pub(super) const INTERRUPTED: u16 = 0x10;
    /// Of an answer: it repeats no more than the header of the message.
    pub(super) const CAPPED: u16 = 0x100;
    /// Of an answer: it has attributes.
    pub(super) const ACK_ATTRIBUTES: u16 = 0x200;
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The kernel's text in an answer.
const NLMSGERR_ATTR_MSG: u16 = 1;

impl Batch {
    /// Adds a message of `kind` whose body `write` writes.
    pub(crate) fn push(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        self.last = self.bytes.len();
        self.push_last(kind, flags, write);
    }

    /// Adds a message that only closes the batch: the one before it is acknowledged.
    pub(crate) fn push_last(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        self.count += 1;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&(self.count as u32).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds a message about links, addresses or routes.
    pub(crate) fn push_route(&mut self, flags: u16, message: RouteNetlinkMessage) {
        self.push(message.message_type(), flags, |bytes| {
            let start = bytes.len();
            bytes.resize(start + message.buffer_len(), 0);
            message.serialize(&mut bytes[start..]);
        });
    }

    /// Returns the number of the message that is acknowledged, having asked for it.
    fn ask_for_ack(&mut self) -> u32 {
        let (flags, number) = (self.last + 6, self.last + 8);
        let asked = u16_at(&self.bytes, flags).unwrap_or_default() | flag::ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        u32_at(&self.bytes, number).unwrap_or_default()
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
        if batch.count == 0 {
            return Ok(());
        }
        let last = batch.ask_for_ack();
        self.send(&batch.bytes)?;
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
            self.send(&batch.bytes)?;
            let whole = self.answers(batch.count as u32, |kind, body| {
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
        send(&self.socket, bytes, SendFlags::empty()).map_err(|errno| fail(errno.into()))?;
        Ok(())
    }

    /// Reads answers up to the one to message `last`, or the end of a dump. Returns whether they fit together.
    fn answers(
        &mut self,
        last: u32,
        mut each: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        let (mut first_refusal, mut whole, mut done) = (None, true, false);
        while !done {
            let length = match recv(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) => length.min(BUFFER),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if first_refusal.is_some() => break,
                Err(Errno::AGAIN) => return Err(NetlinkError::Unanswered),
                Err(errno) => return Err(NetlinkError::Receive(errno.into())),
            };
            for answer in split(&self.buffer[..length]) {
                whole &= answer.flags & flag::INTERRUPTED == 0;
                match answer.kind {
                    NLMSG_ERROR => {
                        done |= answer.number == last;
                        first_refusal = first_refusal.or_else(|| answer.refusal());
                    }
                    NLMSG_DONE => {
                        done = true;
                        first_refusal = first_refusal.or_else(|| answer.refusal());
                    }
                    kind => each(kind, answer.body)?,
                }
            }
        }
        first_refusal.map_or(Ok(whole), |refusal| Err(refusal.into()))
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

/// One message of the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    number: u32,
    body: &'a [u8],
}

impl Answer<'_> {
    /// Returns the error in the answer, if there is one.
    fn refusal(&self) -> Option<Refusal> {
        let code = u32_at(self.body, 0).filter(|code| *code != 0)? as i32;
        let text = self.attributes().and_then(|attributes| find(attributes, NLMSGERR_ATTR_MSG));
        let text = text.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        Some(Refusal {
            number: self.number as usize,
            text,
            errno: Errno::from_raw_os_error(code.wrapping_neg()),
        })
    }

    /// Returns the attributes behind the error and behind what is repeated of the message.
    fn attributes(&self) -> Option<&[u8]> {
        if self.flags & flag::ACK_ATTRIBUTES == 0 {
            return None;
        }
        let repeated = match self.kind {
            NLMSG_DONE => 0,
            _ if self.flags & flag::CAPPED != 0 => HEADER,
            _ => u32_at(self.body, 4)? as usize,
        };
        self.body.get(4 + repeated.next_multiple_of(4)..)
    }
}

/// Returns the messages in `bytes`.
fn split(bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let body = rest.get(HEADER..length)?;
        let (kind, flags, number) = (u16_at(rest, 4)?, u16_at(rest, 6)?, u32_at(rest, 8)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Answer { kind, flags, number, body })
    })
}

fn read_route(kind: u16, body: &[u8]) -> Result<RouteNetlinkMessage, NetlinkError> {
    RouteNetlinkMessage::parse_with_param(body, kind).map_err(NetlinkError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;

    fn answer(kind: u16, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
        let mut batch = Batch { count: number as usize - 1, ..Batch::default() };
        batch.push(kind, flags, |bytes| bytes.extend_from_slice(body));
        batch.bytes
    }

    fn refusal_in(bytes: &[u8]) -> Option<Refusal> {
        split(bytes).next().and_then(|answer| answer.refusal())
    }

    #[test]
    fn a_refusal_tells_the_message_the_error_and_the_kernels_text() {
        let mut body = (-17_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER]);
        Writer::new(&mut body).text(NLMSGERR_ATTR_MSG, "there is one");
        let bytes = answer(NLMSG_ERROR, flag::CAPPED | flag::ACK_ATTRIBUTES, 3, &body);
        let refusal = refusal_in(&bytes).unwrap();
        assert_eq!(refusal.errno, Errno::EXIST);
        assert_eq!(refusal.to_string(), "the kernel refused message 3 (there is one)");
    }

    #[test]
    fn a_refusal_that_repeats_the_whole_message_is_read_behind_it() {
        let repeated = answer(20, 0, 1, b"what was sent");
        let mut body = (-22_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&repeated);
        Writer::new(&mut body).text(NLMSGERR_ATTR_MSG, "no");
        let refusal = refusal_in(&answer(NLMSG_ERROR, flag::ACK_ATTRIBUTES, 1, &body)).unwrap();
        assert_eq!((refusal.errno, refusal.text.as_deref()), (Errno::INVAL, Some("no")));
    }

    #[test]
    fn an_acknowledgement_is_no_refusal_and_broken_bytes_are_no_answer() {
        assert_eq!(refusal_in(&answer(NLMSG_ERROR, 0, 1, &[0; 20])), None);
        assert_eq!(refusal_in(&[40, 0, 0, 0, 2, 0]), None);
        assert_eq!(refusal_in(&[0; 32]), None);
    }

    #[test]
    fn a_socket_answers_without_the_right_to_change_anything() {
        let mut netlink = Netlink::open(NetlinkFamily::Route).unwrap();
        let mut batch = Batch::default();
        batch.push(0x7fff, flag::CHANGE, |_| ());
        let error = netlink.perform(batch).unwrap_err();
        assert!(matches!(error, NetlinkError::Refused(Refusal { number: 1, .. })), "{error}");
    }
}
