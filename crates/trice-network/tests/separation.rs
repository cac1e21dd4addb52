//! Who may talk to whom, and who may not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use trice_model::network::FirewallSpec;
use trice_model::port::Protocol::{Tcp, Udp};
use trice_network::firewall::apply_firewall;
use trice_network::nftables::TableOwner;

use crate::place::{Place, SILENCE, attach};
use crate::server::Server;
use crate::world::{HOST, REMOTE, World};

#[test]
fn containers_of_one_network_talk_to_each_other_and_those_of_two_do_not() {
    let world = World::new(&["front", "back"]);
    let (a, _server) = world.server("a", "front", 2, Tcp, 80);
    let b = world.instance("b", &["front"], 3);
    let c = world.instance("c", &["back"], 3);
    let address = format!("{}:80", a.address());
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.ask(Tcp, &address), format!("a {}", b.address()), "{how}");
        assert_eq!(c.place.outcome(Tcp, &address), SILENCE, "{how}");
    });
}

#[test]
fn a_container_on_two_networks_talks_on_both() {
    let world = World::new(&["front", "back"]);
    let (front, _front) = world.server("front", "front", 2, Tcp, 80);
    let (back, _back) = world.server("back", "back", 2, Tcp, 80);
    let both = world.instance("both", &["front", "back"], 3);
    assert_eq!(both.place.ask(Tcp, &format!("{}:80", front.address())), "front 10.77.1.3");
    assert_eq!(both.place.ask(Tcp, &format!("{}:80", back.address())), "back 10.77.2.3");
}

#[test]
fn without_icc_containers_of_one_network_do_not_talk_but_get_out_and_reach_published_ports() {
    let mut world = World::new(&["quiet no-icc"]);
    let (a, _a) = world.server("a", "quiet", 2, Tcp, 80);
    let b = world.instance("b", &["quiet"], 3);
    let _remote = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
    world.publish("8080", &[format!("{}:80", a.address()).parse().unwrap()]);
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.outcome(Tcp, &format!("{}:80", a.address())), SILENCE, "{how}");
        assert_eq!(b.place.ask(Tcp, &format!("{REMOTE}:80")), format!("remote {HOST}"), "{how}");
        // With packets on bridges going through the packet filter, those for a published port of the same network
        // stay on the bridge, between two isolated ports: the wish for separation wins.
        if how.ends_with('1') {
            assert_eq!(b.place.outcome(Tcp, &format!("{HOST}:8080")), SILENCE, "{how}");
        } else {
            assert_eq!(b.place.ask(Tcp, &format!("{HOST}:8080")), "a 10.77.1.1", "{how}");
        }
    });
}

#[test]
fn an_internal_network_has_no_way_out_and_none_in_and_its_containers_talk() {
    let mut world = World::new(&["back internal"]);
    let (a, _a) = world.server("a", "back", 2, Tcp, 80);
    let b = world.instance("b", &["back"], 3);
    let _remote = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
    world.publish("8080", &[format!("{}:80", a.address()).parse().unwrap()]);
    world.host.write("/proc/sys/net/ipv4/ip_forward", "1"); // as another project's network may have done
    // Even containers that give themselves a route do not get out.
    a.place.ip("route add default via 10.77.1.1");
    b.place.ip("route add default via 10.77.1.1");
    world.remote.ip(&format!("route add 10.77.1.0/24 via {HOST}"));
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.ask(Tcp, &format!("{}:80", a.address())), "a 10.77.1.3", "{how}");
        assert_eq!(b.place.outcome(Tcp, &format!("{REMOTE}:80")), SILENCE, "{how}");
        assert_eq!(world.remote.outcome(Tcp, &format!("{}:80", a.address())), SILENCE, "{how}");
        assert_eq!(world.remote.outcome(Tcp, &format!("{HOST}:8080")), SILENCE, "{how}");
        assert_eq!(world.host.ask(Tcp, "127.0.0.1:8080"), "a 10.77.1.1", "{how}");
    });
}

#[test]
fn containers_of_an_internal_network_reach_no_service_of_the_host_and_the_host_reaches_them() {
    let mut world = World::new(&["front", "back internal"]);
    let (web, _web) = world.server("web", "front", 2, Tcp, 80);
    let (inner, _inner) = world.server("inner", "back", 2, Tcp, 80);
    let _service = Server::start(&world.host, Tcp, "0.0.0.0:9000", "host");
    let _question = Server::start(&world.host, Udp, "0.0.0.0:9000", "host");
    world.publish("8080", &[format!("{}:80", web.address()).parse().unwrap()]);
    inner.place.ip("route add default via 10.77.2.1");
    world.with_and_without_br_netfilter(|how| {
        for address in ["10.77.2.1:9000", "192.0.2.1:9000", "192.0.2.1:8080", "10.77.2.1:8080"] {
            assert_eq!(inner.place.outcome(Tcp, address), SILENCE, "{address} {how}");
        }
        assert_eq!(inner.place.outcome(Udp, "10.77.2.1:9000"), SILENCE, "{how}");
        assert_eq!(world.host.ask(Tcp, "10.77.2.2:80"), "inner 10.77.2.1", "{how}");
    });
}

#[test]
fn containers_get_out_with_the_hosts_address() {
    let world = World::new(&["front"]);
    let a = world.instance("a", &["front"], 2);
    let _tcp = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
    let _udp = Server::start(&world.remote, Udp, "0.0.0.0:80", "remote");
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(a.place.ask(Tcp, &format!("{REMOTE}:80")), format!("remote {HOST}"), "{how}");
        assert_eq!(a.place.ask(Udp, &format!("{REMOTE}:80")), format!("remote {HOST}"), "{how}");
    });
}

#[test]
fn a_neighbour_on_the_hosts_network_reaches_no_container_by_its_address() {
    let world = World::new(&["front"]);
    let (a, _a) = world.server("a", "front", 2, Tcp, 80);
    world.remote.ip(&format!("route add 10.77.1.0/24 via {HOST}"));
    assert_eq!(world.remote.outcome(Tcp, &format!("{}:80", a.address())), SILENCE);
    assert_eq!(world.remote.outcome(Tcp, "10.77.1.1:80"), SILENCE);
    assert_eq!(world.host.ask(Tcp, &format!("{}:80", a.address())), "a 10.77.1.1");
}

#[test]
fn a_container_reaches_no_service_on_the_hosts_loopback() {
    let mut world = World::new(&["front"]);
    let (a, _a) = world.server("a", "front", 2, Udp, 80);
    let _service = Server::start(&world.host, Udp, "127.0.0.1:9000", "host");
    world.publish("127.0.0.1:8080/udp", &[format!("{}:80", a.address()).parse().unwrap()]);
    a.place.send_loopback_to("10.77.1.1", "eth0"); // as any container with NET_ADMIN can
    assert_eq!(world.host.read("/proc/sys/net/ipv4/conf/trtestfront/route_localnet"), "1");
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(a.place.outcome_from(&a.address().to_string(), "127.0.0.1:9000"), SILENCE, "{how}");
        assert_eq!(a.place.outcome_from(&a.address().to_string(), "127.0.0.1:8080"), SILENCE, "{how}");
    });
}

#[test]
fn two_projects_side_by_side_do_not_reach_each_other_but_by_published_ports() {
    let mut world = World::new(&["front", "other"]);
    // The network `other` becomes another project's: it has a table of its own.
    let bridges = world.firewall.bridges.split_off(1);
    let theirs = FirewallSpec { table: "trice-test-other".to_owned(), bridges, ..FirewallSpec::default() };
    let (a, _a) = world.server("a", "front", 2, Tcp, 80);
    let (b, _b) = world.server("b", "other", 2, Tcp, 80);
    world.publish("8080", &[format!("{}:80", a.address()).parse().unwrap()]);
    let mut their_engine = world.host.run(|| TableOwner::open().unwrap());
    world.host.run(|| apply_firewall(&mut their_engine, &theirs)).unwrap();
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.outcome(Tcp, &format!("{}:80", a.address())), SILENCE, "{how}");
        assert_eq!(a.place.outcome(Tcp, &format!("{}:80", b.address())), SILENCE, "{how}");
        assert!(b.place.ask(Tcp, &format!("{HOST}:8080")).starts_with("a "), "{how}");
    });
}

#[test]
fn the_hosts_own_forwarding_is_left_alone() {
    let world = World::new(&["front"]);
    // Another network of the host's, which has nothing to do with us.
    let neighbour = Place::new();
    attach(&world.host, &neighbour, "lan2", "198.51.100");
    neighbour.ip("route add default via 198.51.100.1");
    let _remote = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
    world.remote.ip(&format!("route add 198.51.100.0/24 via {HOST}"));
    assert_eq!(neighbour.ask(Tcp, &format!("{REMOTE}:80")), "remote 198.51.100.2");
}

#[test]
fn connections_older_than_the_packet_filter_go_on_elsewhere_and_do_not_leak_from_our_networks() {
    let mut world = World::without_firewall(&["front"]);
    world.host.write("/proc/sys/net/ipv4/ip_forward", "1");
    let neighbour = Place::new();
    attach(&world.host, &neighbour, "lan2", "198.51.100");
    neighbour.ip("route add default via 198.51.100.1");
    world.remote.ip(&format!("route add 198.51.100.0/24 via {HOST}"));
    world.remote.ip(&format!("route add 10.77.1.0/24 via {HOST}"));
    let container = world.instance("a", &["front"], 2);
    let listener = world.remote.run(|| TcpListener::bind("0.0.0.0:80")).unwrap();
    let connect = |place: &Place| {
        let stream = place.run(|| TcpStream::connect((REMOTE, 80))).unwrap();
        (stream, listener.accept().unwrap().0)
    };
    let (theirs, ours) = (connect(&neighbour), connect(&container.place));
    world.host.write("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "0"); // it shall not guess
    world.apply();
    assert!(passes(&theirs));
    assert!(!passes(&ours));
}

/// Returns whether what is written to one end arrives at the other.
fn passes((from, to): &(TcpStream, TcpStream)) -> bool {
    let (mut from, mut to) = (from, to);
    to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    from.write_all(b"?").unwrap();
    to.read_exact(&mut [0]).is_ok()
}
