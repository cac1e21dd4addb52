//! Ports of the host that lead to containers.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use trice_model::network::FirewallSpec;
use trice_model::port::Protocol::{Tcp, Udp};
use trice_network::firewall::apply_firewall;
use trice_network::nftables::TableOwner;
use trice_network::port::reserve_port;

use crate::place::{REFUSAL, SILENCE, SOON, ask_udp_from, spoken};
use crate::server::Server;
use crate::world::{HOST, Instance, REMOTE, World, published_port};

fn backend(instance: &Instance, port: u16) -> SocketAddr {
    SocketAddr::new(instance.address().into(), port)
}

#[test]
fn a_published_port_is_reached_from_outside_with_the_callers_address() {
    let mut world = World::new(&["front"]);
    let web = world.instance("web", &["front"], 2);
    for protocol in spoken() {
        let _server = Server::start(&web.place, protocol, "0.0.0.0:80", "web");
        world.publish(&format!("8080/{protocol}"), &[backend(&web, 80)]);
        world.with_and_without_br_netfilter(|how| {
            let answer = world.remote.ask(protocol, &format!("{HOST}:8080"));
            assert_eq!(answer, format!("web {REMOTE}"), "{protocol} {how}");
        });
    }
}

#[test]
fn a_published_port_is_reached_from_the_host_itself_by_any_of_its_addresses() {
    let mut world = World::new(&["front"]);
    let web = world.instance("web", &["front"], 2);
    for protocol in spoken() {
        let _server = Server::start(&web.place, protocol, "0.0.0.0:80", "web");
        world.publish(&format!("8080/{protocol}"), &[backend(&web, 80)]);
        world.with_and_without_br_netfilter(|how| {
            assert_eq!(world.host.ask(protocol, "127.0.0.1:8080"), "web 10.77.1.1", "{how}");
            assert_eq!(world.host.ask(protocol, "127.0.0.5:8080"), "web 10.77.1.1", "{how}");
            assert_eq!(world.host.ask(protocol, "10.77.1.1:8080"), "web 10.77.1.1", "{how}");
            assert_eq!(world.host.ask(protocol, &format!("{HOST}:8080")), format!("web {HOST}"), "{how}");
        });
    }
}

#[test]
fn a_container_reaches_the_published_port_of_itself_of_its_neighbour_and_of_another_network() {
    let mut world = World::new(&["front", "back"]);
    let web = world.instance("web", &["front"], 2);
    let (neighbour, other) = (world.instance("n", &["front"], 3), world.instance("o", &["back"], 3));
    for protocol in spoken() {
        let _server = Server::start(&web.place, protocol, "0.0.0.0:80", "web");
        world.publish(&format!("8080/{protocol}"), &[backend(&web, 80)]);
        world.with_and_without_br_netfilter(|how| {
            for place in [&web.place, &neighbour.place, &other.place] {
                assert_eq!(place.ask(protocol, &format!("{HOST}:8080")), "web 10.77.1.1", "{protocol} {how}");
            }
        });
    }
}

#[test]
fn a_port_of_one_address_is_reached_there_alone_and_one_of_the_loopback_not_from_outside() {
    let mut world = World::new(&["front"]);
    world.host.ip("address add 192.0.2.9/24 dev lan0");
    let (web, _web) = world.server("web", "front", 2, Tcp, 80);
    let _question = Server::start(&web.place, Udp, "0.0.0.0:53", "web");
    world.publish("192.0.2.9:8080", &[backend(&web, 80)]);
    world.publish("127.0.0.1:8081", &[backend(&web, 80)]);
    world.publish("127.0.0.1:8082/udp", &[backend(&web, 53)]);
    world.remote.send_loopback_to(HOST, "lan1");
    world.host.write("/proc/sys/net/ipv4/conf/lan0/route_localnet", "1"); // as some other program may
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(world.remote.ask(Tcp, "192.0.2.9:8080"), format!("web {REMOTE}"), "{how}");
        assert_eq!(world.remote.eventual_outcome(Tcp, &format!("{HOST}:8080")), REFUSAL, "{how}");
        assert_eq!(world.host.ask(Tcp, "127.0.0.1:8081"), "web 10.77.1.1", "{how}");
        assert_eq!(world.remote.eventual_outcome(Tcp, &format!("{HOST}:8081")), REFUSAL, "{how}");
        assert_eq!(world.remote.outcome_from(REMOTE, "127.0.0.1:8082"), SILENCE, "{how}");
    });
}

#[test]
fn a_port_of_one_address_comes_before_the_same_port_of_all() {
    let mut world = World::new(&["front"]);
    let (one, _one) = world.server("one", "front", 2, Tcp, 80);
    let (all, _all) = world.server("all", "front", 3, Tcp, 80);
    world.publish("127.0.0.1:8080", &[backend(&one, 80)]);
    world.publish("8080", &[backend(&all, 80)]);
    assert_eq!(world.host.ask(Tcp, "127.0.0.1:8080"), "one 10.77.1.1");
    assert_eq!(world.remote.ask(Tcp, &format!("{HOST}:8080")), format!("all {REMOTE}"));
}

#[test]
fn connections_are_spread_evenly_over_replicas() {
    let mut world = World::new(&["front"]);
    let replicas: Vec<_> = (2..5).map(|n| world.server(&format!("w{n}"), "front", n, Tcp, 80)).collect();
    let backends: Vec<_> = replicas.iter().map(|(instance, _)| backend(instance, 80)).collect();
    for port in ["8080", "127.0.0.1:8080"] {
        world.firewall.published.clear();
        world.publish(port, &backends);
        let mut answers = BTreeMap::new();
        for _ in 0..30 {
            *answers.entry(world.host.ask(Tcp, "127.0.0.1:8080")).or_insert(0) += 1;
        }
        assert_eq!(answers.values().copied().collect::<Vec<_>>(), [10, 10, 10], "{port}");
    }
}

#[test]
fn a_published_port_without_a_container_refuses_at_once() {
    let mut world = World::new(&["front"]);
    // Connections are reset: not everybody takes an ICMP error for the end of one.
    world.remote.program("nft add table ip deaf");
    world.remote.program("nft add chain ip deaf input { type filter hook input priority 0 ; }");
    world.remote.program("nft add rule ip deaf input icmp type destination-unreachable @th,136,8 6 drop");
    for (port, at) in [("8080", HOST), ("192.0.2.1:8081", HOST), ("127.0.0.1:8082", "127.0.0.1")] {
        for protocol in spoken() {
            let published = format!("{port}/{protocol}");
            let _kept = world.host.run(|| reserve_port(&published_port(&published))).unwrap();
            world.publish(&published, &[]);
            let address = format!("{at}:{}", &port[port.len() - 4..]);
            assert_eq!(world.host.eventual_outcome(protocol, &address), REFUSAL, "{published}");
            if at == HOST {
                assert_eq!(world.remote.eventual_outcome(protocol, &address), REFUSAL, "{published}");
            }
        }
    }
}

#[test]
fn a_container_that_comes_back_is_reached_again_over_the_same_udp_socket() {
    let mut world = World::new(&["front"]);
    let (old, _old) = world.server("old", "front", 2, Udp, 53);
    let (new, _new) = world.server("new", "front", 3, Udp, 53);
    let bind = || UdpSocket::bind("0.0.0.0:0").unwrap();
    for (socket, at) in [(world.remote.run(bind), HOST), (world.host.run(bind), "127.0.0.1")] {
        let (to_old, to_new) = ([backend(&old, 53)], [backend(&new, 53)]);
        for (backends, answer) in [(&to_old[..], "old"), (&to_new, "new"), (&[], "refused"), (&to_old, "old")]
        {
            world.publish("53/udp", backends);
            let found = ask_udp_from(&socket, &format!("{at}:53"), SOON);
            let found = found.unwrap_or_else(|_| "refused".to_owned());
            assert!(found.starts_with(answer), "{found} instead of {answer}");
        }
    }
}

#[test]
fn a_udp_flow_stays_with_its_container_while_others_change() {
    let mut world = World::new(&["front"]);
    let (a, _a) = world.server("a", "front", 2, Udp, 53);
    let (b, _b) = world.server("b", "front", 3, Udp, 53);
    world.publish("53/udp", &[backend(&a, 53)]);
    world.publish("54/udp", &[backend(&a, 53), backend(&b, 53)]);
    let [first, second, other] = [(); 3].map(|()| world.remote.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()));
    let ask = |socket, port| ask_udp_from(socket, &format!("{HOST}:{port}"), SOON).unwrap();
    assert_eq!(ask(&first, 54), format!("a {REMOTE}"));
    assert_eq!(ask(&second, 54), format!("b {REMOTE}"));
    assert_eq!(ask(&other, 53), format!("a {REMOTE}"));
    world.publish("53/udp", &[backend(&b, 53)]);
    assert_eq!(ask(&other, 53), format!("b {REMOTE}"));
    assert_eq!(ask(&second, 54), format!("b {REMOTE}"));
}

#[test]
fn without_the_packet_filter_no_udp_flow_goes_on() {
    let mut world = World::new(&["front"]);
    // As long as another project has one too, the kernel goes on to translate the connections that it knows.
    let mut their_engine = world.host.run(|| TableOwner::open().unwrap());
    let theirs = FirewallSpec { table: "trice-test-other".to_owned(), ..FirewallSpec::default() };
    world.host.run(|| apply_firewall(&mut their_engine, &theirs)).unwrap();
    let (web, _web) = world.server("web", "front", 2, Udp, 53);
    world.publish("53/udp", &[backend(&web, 53)]);
    let socket = world.remote.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    assert!(ask_udp_from(&socket, &format!("{HOST}:53"), SOON).is_ok());
    world.remove_firewall();
    let error = ask_udp_from(&socket, &format!("{HOST}:53"), SOON).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
