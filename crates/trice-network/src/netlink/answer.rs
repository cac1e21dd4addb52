//! Answers of the kernel: objects, refusals with a text, the end of a dump.
//!
//! ```text
//! header │ error │ the message's header, or all of it │ attributes: the kernel's text
//! ```
//!
//! Source: Linux `include/uapi/linux/netlink.h`, `struct nlmsgerr`.

use rustix::io::Errno;

use super::Refusal;
use super::batch::HEADER;
use crate::attribute::{find, u16_at, u32_at};

/// The kind of an answer that acknowledges or refuses a message.
pub(super) const NLMSG_ERROR: u16 = 2;
/// The kind of an answer that ends a dump.
pub(super) const NLMSG_DONE: u16 = 3;
/// The kernel's text in an answer.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// What the dump tells of changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// The answer repeats no more than the header of the message.
const CAPPED: u16 = 0x100;
/// The answer has attributes.
const ACK_ATTRIBUTES: u16 = 0x200;

/// One message of the kernel.
pub(super) struct Answer<'a> {
    pub(super) kind: u16,
    flags: u16,
    /// The number of the message that is answered.
    pub(super) number: u32,
    pub(super) body: &'a [u8],
}

impl Answer<'_> {
    /// Returns whether it belongs to a dump that does not fit together.
    pub(super) fn is_interrupted(&self) -> bool {
        self.flags & INTERRUPTED != 0
    }

    /// Returns the error in the answer, if there is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
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
        if self.flags & ACK_ATTRIBUTES == 0 {
            return None;
        }
        let repeated = match self.kind {
            NLMSG_DONE => 0,
            _ if self.flags & CAPPED != 0 => HEADER,
            _ => u32_at(self.body, 4)? as usize,
        };
        self.body.get(4 + repeated.next_multiple_of(4)..)
    }
}

/// Returns the messages in `bytes`.
pub(super) fn split(bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let body = rest.get(HEADER..length)?;
        let (kind, flags, number) = (u16_at(rest, 4)?, u16_at(rest, 6)?, u32_at(rest, 8)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Answer { kind, flags, number, body })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;
    use crate::netlink::batch::Batch;

    fn answer(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut batch = Batch::default();
        batch.push(kind, flags, |bytes| bytes.extend_from_slice(body));
        batch.bytes().to_vec()
    }

    fn refusal_in(bytes: &[u8]) -> Option<Refusal> {
        split(bytes).next().and_then(|answer| answer.refusal())
    }

    #[test]
    fn a_refusal_tells_the_message_the_error_and_the_kernels_text() {
        let mut body = (-17_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER]);
        Writer::new(&mut body).text(NLMSGERR_ATTR_MSG, "there is one");
        let refusal = refusal_in(&answer(NLMSG_ERROR, CAPPED | ACK_ATTRIBUTES, &body)).unwrap();
        assert_eq!(refusal.errno, Errno::EXIST);
        assert_eq!(refusal.to_string(), "the kernel refused message 1 (there is one)");
    }

    #[test]
    fn a_refusal_that_repeats_the_whole_message_is_read_behind_it() {
        let repeated = answer(20, 0, b"what was sent");
        let mut body = (-22_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&repeated);
        Writer::new(&mut body).text(NLMSGERR_ATTR_MSG, "no");
        let refusal = refusal_in(&answer(NLMSG_ERROR, ACK_ATTRIBUTES, &body)).unwrap();
        assert_eq!((refusal.errno, refusal.text.as_deref()), (Errno::INVAL, Some("no")));
    }

    #[test]
    fn an_acknowledgement_is_no_refusal_and_broken_bytes_are_no_answer() {
        assert_eq!(refusal_in(&answer(NLMSG_ERROR, 0, &[0; 20])), None);
        assert_eq!(refusal_in(&[40, 0, 0, 0, 2, 0]), None);
        assert_eq!(refusal_in(&[0; 32]), None);
    }
}
