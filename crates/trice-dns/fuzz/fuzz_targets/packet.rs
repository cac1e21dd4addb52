//! Sends packets that nobody would send, and sees that answers are answers to them, and of a length that is allowed.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run packet -- -max_total_time=600 -max_len=4096
//! ```
#![no_main]

use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use trice_dns::packet;
use trice_dns::react::{Reaction, react};
use trice_dns::reply::Transport;
use trice_dns::table::Table;
use trice_model::dns::{NameTable, NameView, NamedEndpoint};
use trice_model::name::NetworkName;
use trice_model::network::InstanceName;

static ASKER: LazyLock<InstanceName> = LazyLock::new(|| "shop-web-1".parse().unwrap());

/// More containers under one name than fit into a datagram.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let network: NetworkName = "shop_default".parse().unwrap();
    let endpoint = |host: u8| NamedEndpoint {
        names: vec![format!("shop-db-{host}"), "db".to_owned()],
        ipv4: Some([172, 27, 98, host].into()),
        ipv6: Some([0xfd00, 7, 0, 0, 0, 0, 0, u16::from(host)].into()),
    };
    let view = NameView { networks: vec![network.clone()], external: true, ..NameView::default() };
    Table::compile(&NameTable {
        networks: [(network, (1..200).map(endpoint).collect())].into(),
        views: [(ASKER.clone(), view)].into(),
    })
});

fuzz_target!(|data: &[u8]| {
    for transport in [Transport::Udp, Transport::Tcp] {
        match react(data, TABLE.view(&ASKER), transport, 7) {
            Reaction::Drop => {}
            Reaction::Reply(reply) => {
                let longest = if transport == Transport::Udp { 65_507 } else { 65_535 };
                assert!(reply.len() <= longest);
                let answer = Message::from_vec(&reply).expect("what we say can be read");
                assert_eq!(answer.metadata.message_type, MessageType::Response);
                assert_eq!(reply[..2], data[..2], "another id");
                // It is not itself answered, or two servers would talk for ever.
                assert!(matches!(react(&reply, TABLE.view(&ASKER), transport, 7), Reaction::Drop));
            }
            Reaction::Forward(_) => {
                let mut echo = data.to_vec();
                echo[2] |= 0x80;
                assert!(packet::answers(&echo, data), "no answer to it would be recognised");
                assert!(!packet::answers(data, data), "a question is no answer");
            }
        }
    }
});
