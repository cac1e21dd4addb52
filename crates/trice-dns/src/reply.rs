//! Answers of our own as bytes: cut to what the client takes, time to live zero.
//!
//! Nothing may be kept by the client, because the next container under a name may come in a second. The
//! question is echoed as it was spelled.
//!
//! Sources: RFC 1035, section 4.1; RFC 2181, section 9 (TC); RFC 6891 (EDNS).

use hickory_proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData, Record};

use crate::table::Answer;

/// How a question came, and so how long its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// The length of a datagram that everybody takes.
const PLAIN: usize = 512;
/// The length of a datagram that we take, as we say in answers.
pub(crate) const DATAGRAM: u16 = 4096;
/// The length of any message.
const LONGEST: usize = 65_535;
/// The longest datagram of UDP on IPv4.
const LONGEST_DATAGRAM: usize = 65_507;

/// Writes an answer from the table to the `query`. [`Answer::Forward`] is none: it becomes SERVFAIL.
pub(crate) fn answer(query: &Message, answer: &Answer, transport: Transport) -> Option<Vec<u8>> {
    let (code, data) = match answer {
        Answer::Addresses(addresses) => {
            (ResponseCode::NoError, addresses.iter().copied().map(RData::from).collect())
        }
        Answer::Names(names) => {
            (ResponseCode::NoError, names.iter().filter_map(|name| pointer(name)).collect())
        }
        Answer::Empty => (ResponseCode::NoError, Vec::new()),
        Answer::Unknown => (ResponseCode::NXDomain, Vec::new()),
        Answer::Forward => (ResponseCode::ServFail, Vec::new()),
    };
    let mut message = empty(query, code);
    message.metadata.authoritative = code == ResponseCode::NoError;
    if let [question] = query.queries.as_slice() {
        let record = |data| Record::from_rdata(question.name().clone(), 0, data);
        message.insert_answers(data.into_iter().map(record).collect());
    }
    encode(message, limit(query, transport))
}

/// Writes an answer that only says why there is none.
pub(crate) fn refusal(query: &Message, code: ResponseCode, transport: Transport) -> Option<Vec<u8>> {
    encode(empty(query, code), limit(query, transport))
}

/// Returns a name as the data of a PTR record; `None` if it is too long for the wire.
fn pointer(name: &str) -> Option<RData> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(RData::PTR(PTR(name)))
}

fn empty(query: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM);
        message.set_edns(edns);
    }
    message
}

/// Returns the length that the client takes.
fn limit(query: &Message, transport: Transport) -> usize {
    match transport {
        Transport::Tcp => LONGEST,
        Transport::Udp => {
            let offered = query.edns.as_ref().map_or(0, |edns| usize::from(edns.max_payload()));
            offered.clamp(PLAIN, LONGEST_DATAGRAM)
        }
    }
}

/// Encodes `message` in at most `limit` bytes: what does not fit is left out, and TC says so.
///
/// As many answers as possible are kept, because old resolvers of musl know no TCP and use what is there.
fn encode(message: Message, limit: usize) -> Option<Vec<u8>> {
    let whole = message.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    // The number of answers that fit lies between these two; the encoder compresses, so only trying tells the
    // length.
    let (mut fits, mut too_many) = (0, message.answers.len());
    let mut best = first_answers(&message, fits)?;
    while fits + 1 < too_many {
        let middle = fits.midpoint(too_many);
        let bytes = first_answers(&message, middle)?;
        if bytes.len() <= limit {
            (fits, best) = (middle, bytes);
        } else {
            too_many = middle;
        }
    }
    Some(best)
}

/// Encodes `message` with its first `count` answers and TC.
fn first_answers(message: &Message, count: usize) -> Option<Vec<u8>> {
    let mut cut = message.truncate();
    cut.insert_answers(message.answers[..count].to_vec());
    cut.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hickory_proto::op::{MessageType, Query};
    use hickory_proto::rr::RecordType;

    use super::*;

    fn query(name: &str, payload: Option<u16>) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            query.set_edns(edns);
        }
        query
    }

    /// Answers with `count` addresses and decodes the bytes; gives their number as well.
    fn answered(query: &Message, count: u8, transport: Transport) -> (Message, usize) {
        let addresses = (0..count).map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last))).collect();
        let bytes = answer(query, &Answer::Addresses(addresses), transport).expect("it can be encoded");
        (Message::from_vec(&bytes).expect("it can be decoded"), bytes.len())
    }

    #[test]
    fn an_answer_echoes_the_spelling_and_may_not_be_kept() {
        let (message, _) = answered(&query("WeB.", None), 3, Transport::Udp);
        assert_eq!(message.queries[0].name().to_ascii(), "WeB.");
        assert!(message.answers.iter().all(|record| record.ttl == 0 && record.name.to_ascii() == "WeB."));
        assert_eq!((message.metadata.id, message.answers.len()), (7, 3));
        assert!(message.edns.is_none(), "a client without EDNS gets none");
    }

    #[test]
    fn a_long_answer_fits_into_what_the_client_takes_and_says_that_it_was_cut() {
        for (payload, limit) in [(None, 512), (Some(100), 512), (Some(1232), 1232)] {
            let query = query("web.", payload);
            let (message, length) = answered(&query, 200, Transport::Udp);
            assert!(length <= limit && length > limit - 28, "{length} of {limit}");
            assert!(message.metadata.truncation && !message.answers.is_empty());
            assert_eq!(message.edns.is_some(), payload.is_some());
        }
    }

    #[test]
    fn a_long_answer_is_whole_where_there_is_room() {
        for (payload, transport) in [(None, Transport::Tcp), (Some(8192), Transport::Udp)] {
            let (message, _) = answered(&query("web.", payload), 200, transport);
            assert!(!message.metadata.truncation);
            assert_eq!(message.answers.len(), 200);
        }
    }
}
