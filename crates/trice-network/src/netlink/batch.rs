//! Messages to the kernel, one behind the other, each with its number in the batch.
//!
//! Source: Linux `include/uapi/linux/netlink.h`.

use netlink_packet_core::NetlinkSerializable;
use netlink_packet_route::RouteNetlinkMessage;

use crate::attribute::{u16_at, u32_at};

/// The length of a message's header.
pub(super) const HEADER: usize = 16;

/// Messages that are sent at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    count: usize,
    /// Where the message begins that is acknowledged.
    last: usize,
}

/// The flags of a message to the kernel.
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
}

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

    /// Returns the messages as they are sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many messages there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of the message that is acknowledged, having asked for it.
    pub(super) fn ask_for_ack(&mut self) -> u32 {
        let (flags, number) = (self.last + 6, self.last + 8);
        let asked = u16_at(&self.bytes, flags).unwrap_or_default() | flag::ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        u32_at(&self.bytes, number).unwrap_or_default()
    }
}
