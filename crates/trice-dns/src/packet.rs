//! The few fields of a DNS message that forwarding touches, read and written in its raw bytes.
//!
//! ```text
//!  0      2      4         6        8       10       12
//!  ├ id ──┼ flags┼ questions ┼ answers ┼ … ──┼────────┼ the question ┼ …
//!          QR TC RCODE
//! ```
//!
//! A message that is only passed on is never decoded: what this crate does not know arrives as it was sent.
//!
//! Source: RFC 1035, section 4.1.1.

/// The length of the header.
const HEADER: usize = 12;

/// What the resolvers' answers that mean "ask another one" say.
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// Returns the message with another id.
pub(crate) fn with_id(mut message: Vec<u8>, id: [u8; 2]) -> Vec<u8> {
    if let Some(field) = message.get_mut(..2) {
        field.copy_from_slice(&id);
    }
    message
}

/// Returns the id, if the message has one.
pub(crate) fn id(message: &[u8]) -> Option<[u8; 2]> {
    message.first_chunk().copied()
}

/// Says whether `message` is an answer to `query`: the same id, the same question.
///
/// Names are compared without regard to case, because some servers echo them in lower case.
pub fn answers(message: &[u8], query: &[u8]) -> bool {
    let is_response = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
    match (question(message), question(query)) {
        (Some(echo), Some(asked)) => is_response && id(message) == id(query) && echo.is_same(&asked),
        (None, _) | (_, None) => false,
    }
}

/// Says whether the answer was cut to fit into a datagram.
pub(crate) fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Says whether the answer means that another resolver should be asked.
pub(crate) fn is_failure(message: &[u8]) -> bool {
    message.get(3).is_some_and(|flags| matches!(flags & 0x0f, SERVFAIL | REFUSED))
}

/// The bytes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawQuestion<'a> {
    name: &'a [u8],
    type_and_class: &'a [u8],
}

impl RawQuestion<'_> {
    fn is_same(&self, other: &RawQuestion<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.type_and_class == other.type_and_class
    }
}

/// Returns the only question. `None` if there is not exactly one, or its name is compressed, which nothing
/// that stands first can be.
pub(crate) fn question(message: &[u8]) -> Option<RawQuestion<'_>> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut end = HEADER;
    loop {
        let length = *message.get(end)?;
        end += 1 + usize::from(length);
        match length {
            0 => break,
            1..=63 => {}
            64.. => return None,
        }
    }
    Some(RawQuestion { name: message.get(HEADER..end)?, type_and_class: message.get(end..end + 4)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04test\x00\x00\x01\x00\x01";

    /// Returns an answer to `QUERY`, with one byte changed.
    fn answer_with(at: usize, byte: u8) -> Vec<u8> {
        let mut message = QUERY.to_vec();
        message[2] = 0x81;
        message[at] = byte;
        message
    }

    #[test]
    fn an_answer_has_the_id_and_the_question_of_its_query() {
        assert!(answers(&answer_with(3, 0), QUERY));
        assert!(answers(&answer_with(13, b'W'), QUERY), "in another case");
        for (at, byte, what) in [
            (0, 0x13, "the id"),
            (2, 0x01, "a query, not an answer"),
            (5, 0, "no question"),
            (5, 2, "two questions"),
            (12, 0xc0, "a compressed name"),
            (13, b'v', "the name"),
            (23, 28, "the type"),
            (22, b'A', "a type that is a letter"),
            (25, 3, "the class"),
        ] {
            assert!(!answers(&answer_with(at, byte), QUERY), "{what}");
        }
    }

    #[test]
    fn a_message_that_ends_early_has_no_question_and_answers_nothing() {
        for end in 0..QUERY.len() {
            assert_eq!(question(&QUERY[..end]), None, "{end}");
            assert!(!answers(&answer_with(3, 0)[..end], QUERY), "{end}");
        }
        assert!(question(QUERY).is_some());
    }

    #[test]
    fn the_flags_are_read_where_they_stand() {
        assert!(is_truncated(&answer_with(2, 0x83)) && !is_truncated(&answer_with(2, 0x81)));
        for (code, fails) in [(0, false), (2, true), (3, false), (5, true), (0x82, true)] {
            assert_eq!(is_failure(&answer_with(3, code)), fails, "{code}");
        }
        assert_eq!(id(&with_id(QUERY.to_vec(), [9, 8])), Some([9, 8]));
    }
}
