//! The server on loopback sockets, with resolvers that answer, keep silent, fail and lie.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use trice_model::dns::NamedEndpoint;

use super::*;
use crate::exchange::{read_message, write_message};
use crate::sockets::{tcp_here, udp_here};
use rig::{Resolver, Rig, addresses, code, query, resolvers, shop, soon};

mod rig;

#[tokio::test]
async fn names_of_the_project_are_answered_on_both_transports() {
    let rig = Rig::new(Vec::new(), Settings::default());
    for answer in [rig.ask("WEB.", RecordType::A).await, rig.ask_by_tcp("WEB.", RecordType::A).await] {
        assert_eq!(addresses(&answer), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(answer.queries[0].name().to_ascii(), "WEB.");
    }
    assert_eq!(code(&rig.ask("nobody.", RecordType::A).await), ResponseCode::NXDomain);
    assert_eq!(code(&rig.ask("web.", RecordType::AAAA).await), ResponseCode::NoError);
}

#[tokio::test]
async fn other_names_are_answered_by_the_hosts_resolver() {
    let (servers, settings) = resolvers(vec![Resolver::Good]).await;
    let rig = Rig::new(servers, settings);
    for answer in
        [rig.ask("www.test.", RecordType::A).await, rig.ask_by_tcp("www.test.", RecordType::A).await]
    {
        assert_eq!(addresses(&answer), ["192.0.2.2"]);
    }
    assert!(rig.sockets.calls().is_empty(), "the engine's own namespace");
}

#[tokio::test]
async fn a_silent_resolver_is_overtaken_by_the_next_one() {
    let (servers, mut settings) = resolvers(vec![Resolver::Silent, Resolver::Good]).await;
    settings.next_server_after = Duration::from_millis(20);
    let rig = Rig::new(servers, settings);
    assert_eq!(addresses(&rig.ask("www.test.", RecordType::A).await), ["192.0.2.3"]);
}

#[tokio::test]
async fn a_resolver_that_fails_makes_room_for_the_next_one_at_once() {
    for failing in [ResponseCode::ServFail, ResponseCode::Refused] {
        let (servers, mut settings) = resolvers(vec![Resolver::Says(failing), Resolver::Good]).await;
        settings.next_server_after = Duration::from_secs(3600);
        let rig = Rig::new(servers, settings);
        assert_eq!(addresses(&rig.ask("www.test.", RecordType::A).await), ["192.0.2.3"], "{failing}");
    }
}

#[tokio::test]
async fn no_such_name_is_an_answer_and_ends_the_search() {
    let (servers, settings) = resolvers(vec![Resolver::Says(ResponseCode::NXDomain), Resolver::Good]).await;
    let rig = Rig::new(servers, settings);
    assert_eq!(code(&rig.ask("www.test.", RecordType::A).await), ResponseCode::NXDomain);
}

#[tokio::test]
async fn the_client_hears_of_it_when_no_resolver_answers() {
    let (servers, mut settings) = resolvers(vec![Resolver::Silent, Resolver::Silent]).await;
    settings.next_server_after = Duration::from_millis(10);
    settings.server_timeout = Duration::from_millis(50);
    let rig = Rig::new(servers, settings);
    assert_eq!(code(&rig.ask("www.test.", RecordType::A).await), ResponseCode::ServFail);
    let none = Rig::new(Vec::new(), Settings::default());
    assert_eq!(code(&none.ask("www.test.", RecordType::A).await), ResponseCode::ServFail);
}

#[tokio::test]
async fn forged_answers_are_passed_over_and_the_true_one_is_taken() {
    let (servers, settings) = resolvers(vec![Resolver::Surrounded]).await;
    let rig = Rig::new(servers, settings);
    for answer in
        [rig.ask("www.test.", RecordType::A).await, rig.ask_by_tcp("www.test.", RecordType::A).await]
    {
        assert_eq!(addresses(&answer), ["192.0.2.2"]);
    }
}

#[tokio::test]
async fn a_liar_on_a_connection_is_given_up() {
    let (servers, settings) = resolvers(vec![Resolver::LiesOnTcp, Resolver::Good]).await;
    let rig = Rig::new(servers, settings);
    assert_eq!(addresses(&rig.ask_by_tcp("www.test.", RecordType::A).await), ["192.0.2.3"]);
}

#[tokio::test]
async fn a_cut_answer_is_passed_on_to_datagrams_and_made_whole_for_connections() {
    let (servers, settings) = resolvers(vec![Resolver::Long]).await;
    let rig = Rig::new(servers, settings);
    let cut = rig.ask("www.test.", RecordType::A).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = rig.ask_by_tcp("www.test.", RecordType::A).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
}

#[tokio::test]
async fn an_instances_own_resolvers_are_asked_from_inside_it() {
    let (servers, settings) = resolvers(vec![Resolver::Good]).await;
    let rig = Rig::new(Vec::new(), settings);
    let mut names = shop();
    let view = names.views.get_mut(rig.instance.as_str()).expect("the shop has it");
    (view.servers, view.external) = (servers, false);
    rig.server.replace(&names);
    assert_eq!(addresses(&rig.ask("www.test.", RecordType::A).await), ["192.0.2.2"]);
    assert_eq!(rig.sockets.calls(), std::slice::from_ref(&rig.instance));
}

#[tokio::test]
async fn other_upstreams_are_asked_from_the_next_question_on() {
    let (servers, settings) = resolvers(vec![Resolver::Silent, Resolver::Good]).await;
    let rig = Rig::new(servers[..1].to_vec(), settings);
    rig.server.set_upstreams(servers[1..].to_vec());
    assert_eq!(addresses(&rig.ask("www.test.", RecordType::A).await), ["192.0.2.3"]);
}

#[tokio::test]
async fn too_many_questions_in_flight_are_refused_and_names_of_ours_still_answered() {
    for (own, all) in [(1, 9), (9, 1)] {
        let (servers, mut settings) = resolvers(vec![Resolver::Silent]).await;
        (settings.in_flight_per_instance, settings.in_flight) = (own, all);
        let rig = Rig::new(servers, settings);
        let client = rig.client().await;
        for id in [1, 2] {
            client.send(&query(id, "www.test.", RecordType::A)).await.expect("a datagram is sent");
        }
        let refused = rig.receive(&client).await;
        assert_eq!((refused.metadata.id, code(&refused)), (2, ResponseCode::Refused));
        assert_eq!(rig.ask("web.", RecordType::A).await.answers.len(), 2);
    }
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once() {
    let settings = Settings { connections_per_instance: 2, ..Settings::default() };
    let rig = Rig::new(Vec::new(), settings);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = rig.connect().await;
        rig.ask_on(&mut stream, "web.", RecordType::A).await;
        open.push(stream);
    }
    let mut third = rig.connect().await;
    assert_eq!(soon(third.read(&mut [0; 1])).await.unwrap_or(0), 0, "closed");
    rig.ask_on(&mut open[0], "web.", RecordType::A).await;
}

#[tokio::test]
async fn a_connection_that_is_silent_slow_or_broken_is_closed() {
    let settings = Settings { idle: Duration::from_millis(50), ..Settings::default() };
    let rig = Rig::new(Vec::new(), settings);
    for bytes in [&b""[..], b"\0", b"\0\x40abc", b"\0\0", b"\0\x03abc"] {
        let mut stream = rig.connect().await;
        stream.write_all(bytes).await.expect("the connection is open");
        assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap_or(0), 0, "{bytes:?}");
    }
    drop(rig.connect().await);
    assert_eq!(rig.ask_by_tcp("web.", RecordType::A).await.answers.len(), 2);
}

#[tokio::test]
async fn a_thousand_questions_of_ten_clients_are_all_answered() {
    let (servers, settings) = resolvers(vec![Resolver::Good]).await;
    let rig = Arc::new(Rig::new(servers, settings));
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let rig = Arc::clone(&rig);
        clients.spawn(async move {
            for _ in 0..50 {
                assert_eq!(rig.ask("web.", RecordType::A).await.answers.len(), 2);
                assert_eq!(addresses(&rig.ask("www.test.", RecordType::A).await), ["192.0.2.2"]);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every answer is right");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_under_a_changing_table_comes_from_one_table() {
    let rig = Rig::new(Vec::new(), Settings::default());
    let tables = [1_u8, 2].map(|network| {
        let mut names = shop();
        let ends = names.networks.values_mut().next().expect("the shop has one");
        *ends = (1..=8).map(|host| rig::endpoint("web", Ipv4Addr::new(10, network, 0, host))).collect();
        names
    });
    rig.server.replace(&tables[0]);
    let server = rig.server.clone();
    let swapping = tokio::spawn(async move {
        for table in tables.iter().cycle() {
            server.replace(table);
            tokio::task::yield_now().await;
        }
    });
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let answer = addresses(&rig.ask("web.", RecordType::A).await);
        let networks: BTreeSet<String> = answer.iter().map(|address| address[..5].to_owned()).collect();
        assert_eq!((answer.len(), networks.len()), (8, 1), "{answer:?}");
        seen.extend(networks);
    }
    swapping.abort();
    assert_eq!(seen.len(), 2, "both tables answered");
}

#[tokio::test]
async fn an_instance_is_answered_until_its_handle_is_dropped() {
    let Rig { server: _server, serving, udp, .. } = Rig::new(Vec::new(), Settings::default());
    assert!(std::net::UdpSocket::bind(udp).is_err(), "the port is taken");
    drop(serving);
    let free = async {
        while std::net::UdpSocket::bind(udp).is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(free).await;
}
