//! What a packet from a client calls for. A pure function: packet and view in, reaction out.
//!
//! ```text
//! not a question at all ─► Drop      we answer, or refuse ─► Reply      somebody outside knows ─► Forward
//! ```
//!
//! Source: RFC 1035, section 4.1.1; RFC 6891, section 6.1.3 (EDNS versions).

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::DNSClass;

use crate::packet;
use crate::reply::{self, Transport};
use crate::table::{Answer, Question, View};

/// What to do about a packet.
#[derive(Debug)]
pub enum Reaction {
    /// Nothing: it is malformed, or no question.
    Drop,
    /// Send this.
    Reply(Vec<u8>),
    /// Ask a resolver outside. The message is the packet, decoded.
    Forward(Box<Message>),
}

/// Returns what `packet` calls for, when it comes from an instance with this `view`; it has none if the table
/// has not been told of it yet.
pub fn react(packet: &[u8], view: Option<&View>, transport: Transport, seed: u64) -> Reaction {
    let Ok(message) = Message::from_vec(packet) else { return Reaction::Drop };
    match message.metadata.message_type {
        MessageType::Query => {}
        MessageType::Response => return Reaction::Drop,
    }
    let reply = match consider(packet, &message, view, seed) {
        Ok(Answer::Forward) => return Reaction::Forward(Box::new(message)),
        Ok(answer) => reply::answer(&message, &answer, transport),
        Err(code) => reply::refusal(&message, code, transport),
    };
    reply.map_or(Reaction::Drop, Reaction::Reply)
}

/// Looks the question up, unless there is a reason to refuse it.
fn consider(
    packet: &[u8],
    message: &Message,
    view: Option<&View>,
    seed: u64,
) -> Result<Answer, ResponseCode> {
    if message.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Err(ResponseCode::BADVERS);
    }
    let [query] = message.queries.as_slice() else { return Err(ResponseCode::FormErr) };
    if query.query_class() != DNSClass::IN {
        return Err(ResponseCode::Refused);
    }
    let view = view.ok_or(ResponseCode::ServFail)?;
    match view.lookup(&Question::from(query), seed) {
        // Without a plain question in the raw bytes no answer could be recognised.
        Answer::Forward if packet::question(packet).is_none() => Err(ResponseCode::FormErr),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Query};
    use hickory_proto::rr::{Name, RecordType};
    use proptest::prelude::{any, proptest};
    use trice_model::dns::NameTable;
    use trice_model::network::InstanceName;

    use super::*;
    use crate::table::Table;

    fn query() -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii("www.test.").expect("a name"), RecordType::A));
        query
    }

    /// Calls `react` for an instance that may ask outside.
    fn reaction(packet: &[u8]) -> Reaction {
        let instance: InstanceName = "shop-web-1".parse().expect("a name");
        let mut names = NameTable::default();
        names.views.entry(instance.clone()).or_default().external = true;
        react(packet, Table::compile(&names).view(&instance), Transport::Udp, 0)
    }

    /// Returns the code of the reply to `message`, as a number because BADVERS and BADSIG share one.
    fn code(message: &Message) -> Option<u16> {
        match reaction(&message.to_vec().expect("it can be encoded")) {
            Reaction::Reply(bytes) => {
                Message::from_vec(&bytes).ok().map(|reply| u16::from(reply.metadata.response_code))
            }
            Reaction::Drop | Reaction::Forward(_) => None,
        }
    }

    #[test]
    fn what_is_no_plain_question_is_refused_with_the_reason() {
        let mut update = query();
        update.metadata.op_code = OpCode::Update;
        assert_eq!(code(&update), Some(u16::from(ResponseCode::NotImp)));

        let mut two = query();
        two.add_query(two.queries[0].clone());
        assert_eq!(code(&two), Some(u16::from(ResponseCode::FormErr)));

        let mut chaos = query();
        chaos.queries[0].set_query_class(DNSClass::CH);
        assert_eq!(code(&chaos), Some(u16::from(ResponseCode::Refused)));

        let mut future = query();
        future.set_edns(Edns::new()).edns.as_mut().expect("set above").set_version(1);
        assert_eq!(code(&future), Some(u16::from(ResponseCode::BADVERS)));
    }

    #[test]
    fn an_answer_is_never_answered_or_two_servers_would_talk_for_ever() {
        let mut response = query();
        response.metadata.message_type = MessageType::Response;
        assert!(matches!(reaction(&response.to_vec().expect("it can be encoded")), Reaction::Drop));
    }

    #[test]
    fn an_instance_that_the_table_does_not_know_yet_is_told_to_ask_again() {
        let packet = query().to_vec().expect("it can be encoded");
        let Reaction::Reply(bytes) = react(&packet, None, Transport::Udp, 0) else { panic!("no reply") };
        assert_eq!(
            Message::from_vec(&bytes).expect("a message").metadata.response_code,
            ResponseCode::ServFail
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            reaction(&bytes);
        }

        #[test]
        fn no_change_of_a_good_packet_makes_it_panic(at in 0_usize..26, byte: u8, length in 0_usize..27) {
            let mut packet = query().to_vec().expect("it can be encoded");
            packet[at] = byte;
            packet.truncate(length);
            reaction(&packet);
        }
    }
}
