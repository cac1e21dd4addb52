//! Netlink attributes: a length, a kind and a value, padded to four bytes, one inside another.
//!
//! ```text
//!  0       2       4                     n
//! ┌───────┬───────┬─────────────────────┬─────────┐
//! │ n     │ kind  │ value               │ padding │   all of n counts, padding does not
//! └───────┴───────┴─────────────────────┴─────────┘
//! ```
//!
//! The crates of the rtnetlink family know those of links, addresses and routes. This file is for the netfilter
//! family, which they do not know: there numbers are in network order.
//!
//! Source: Linux `include/uapi/linux/netlink.h`.

/// The bit of a kind which says that the value is attributes again.
const NESTED: u16 = 1 << 15;
/// The bit of a kind which says that the value is in network order.
const NETWORK_ORDER: u16 = 1 << 14;
/// The length of the part before the value.
const HEADER: usize = 4;

/// Writes attributes to the end of a message.
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Continues `bytes`.
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    /// Writes attributes that somebody else wrote.
    pub(crate) fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
    }

    /// Writes one byte.
    pub(crate) fn byte(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Writes a number in network order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Writes a text and the zero that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// Writes the attributes that `inner` writes, inside one of this kind.
    pub(crate) fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Writer<'_>)) {
        let start = self.open(kind | NESTED);
        inner(&mut Writer { bytes: self.bytes });
        self.close(start);
    }

    /// Returns how many bytes the message has so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    /// Enters the length where [`Self::open`] left room for it. Whoever writes lists keeps them below 64 KiB.
    fn close(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Returns the attributes in `bytes`, each with its kind; it ends where they make no sense any more.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, kind) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
        let value = rest.get(HEADER..usize::from(length))?;
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & !(NESTED | NETWORK_ORDER), value))
    })
}

/// Returns the value of the first attribute of this kind.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Returns the value of the attribute that `path` leads to, one nesting a step.
pub(crate) fn find_at<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |inner, kind| find(inner, *kind))
}

/// Returns the number in native order that begins at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

/// Returns the number in native order that begins at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_through_any_nesting_and_padding() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.text(1, "ab");
        writer.nested(2, |inner| {
            inner.byte(3, 9);
            inner.number(4, 0x0102_0304);
        });
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 1), Some(&b"ab\0"[..]));
        assert_eq!(find_at(&bytes, &[2, 3]), Some(&[9][..]));
        assert_eq!(find_at(&bytes, &[2, 4]), Some(&[1, 2, 3, 4][..]));
        assert_eq!(find_at(&bytes, &[2, 5]), None);
    }

    #[test]
    fn bytes_that_are_no_attributes_end_the_reading() {
        assert_eq!(attributes(&[]).count(), 0);
        assert_eq!(attributes(&[8, 0, 1, 0, 7]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[5, 0, 1, 0, 7]).collect::<Vec<_>>(), [(1, &[7][..])]);
    }
}
