//! The same over IPv6.

use std::net::SocketAddr;

use trice_model::port::Protocol::{self, Tcp, Udp};

use crate::place::{REFUSAL, SILENCE};
use crate::server::Server;
use crate::world::{HOST6, Instance, REMOTE6, World};

fn backend(instance: &Instance, port: u16) -> SocketAddr {
    SocketAddr::new(instance.address6().into(), port)
}

/// Makes an instance with a server at port 80 on IPv6.
fn server(world: &World, name: &str, network: &str, number: u8, protocol: Protocol) -> (Instance, Server) {
    world.server(name, network, number, protocol, 80)
}

#[test]
fn containers_of_one_network_talk_and_those_of_two_do_not() {
    let world = World::new(&["front ipv6", "back ipv6"]);
    let (a, _server) = server(&world, "a", "front", 2, Tcp);
    let (b, c) = (world.instance("b", &["front"], 3), world.instance("c", &["back"], 3));
    let address = format!("[{}]:80", a.address6());
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.ask(Tcp, &address), format!("a {}", b.address6()), "{how}");
        assert_eq!(c.place.outcome(Tcp, &address), SILENCE, "{how}");
    });
}

#[test]
fn a_network_of_ipv6_alone_works_like_any_other() {
    let mut world = World::new(&["front only-ipv6"]);
    let (a, _server) = server(&world, "a", "front", 2, Tcp);
    let b = world.instance("b", &["front"], 3);
    let shown = a.place.ip("-4 -o address show dev eth0");
    assert_eq!(shown, "", "no IPv4");
    assert_eq!(b.place.ask(Tcp, &format!("[{}]:80", a.address6())), format!("a {}", b.address6()));
    world.publish("[::]:8080", &[backend(&a, 80)]);
    assert_eq!(world.remote.ask(Tcp, &format!("[{HOST6}]:8080")), format!("a {REMOTE6}"));
}

#[test]
fn a_published_port_is_reached_from_outside_with_the_callers_address_and_from_the_host() {
    let mut world = World::new(&["front ipv6"]);
    let web = world.instance("web", &["front"], 2);
    for protocol in [Tcp, Udp] {
        let _server = Server::start(&web.place, protocol, "[::]:80", "web");
        world.publish(&format!("[::]:8080/{protocol}"), &[backend(&web, 80)]);
        world.with_and_without_br_netfilter(|how| {
            let at = format!("[{HOST6}]:8080");
            assert_eq!(world.remote.ask(protocol, &at), format!("web {REMOTE6}"), "{protocol} {how}");
            assert_eq!(world.host.ask(protocol, &at), format!("web {HOST6}"), "{protocol} {how}");
            assert_eq!(world.host.ask(protocol, "[fd00:77:1::1]:8080"), "web fd00:77:1::1", "{how}");
        });
    }
}

#[test]
fn a_container_reaches_the_published_port_of_itself_of_its_neighbour_and_of_another_network() {
    let mut world = World::new(&["front ipv6", "back ipv6"]);
    let (web, _web) = server(&world, "web", "front", 2, Tcp);
    let (neighbour, other) = (world.instance("n", &["front"], 3), world.instance("o", &["back"], 3));
    world.publish("[::]:8080", &[backend(&web, 80)]);
    world.with_and_without_br_netfilter(|how| {
        for place in [&web.place, &neighbour.place, &other.place] {
            assert_eq!(place.ask(Tcp, &format!("[{HOST6}]:8080")), "web fd00:77:1::1", "{how}");
        }
    });
}

#[test]
fn a_port_of_one_address_is_reached_there_alone_and_one_without_a_container_refuses_at_once() {
    let mut world = World::new(&["front ipv6"]);
    world.host.ip("address add 2001:db8::9/64 dev lan0 nodad");
    let (web, _web) = server(&world, "web", "front", 2, Tcp);
    world.publish("[2001:db8::9]:8080", &[backend(&web, 80)]);
    world.publish("[::]:8081", &[]);
    world.publish("[2001:db8::1]:8082/udp", &[]);
    assert_eq!(world.remote.ask(Tcp, "[2001:db8::9]:8080"), format!("web {REMOTE6}"));
    assert_eq!(world.remote.eventual_outcome(Tcp, &format!("[{HOST6}]:8080")), REFUSAL);
    assert_eq!(world.remote.eventual_outcome(Tcp, &format!("[{HOST6}]:8081")), REFUSAL);
    assert_eq!(world.remote.eventual_outcome(Udp, &format!("[{HOST6}]:8082")), REFUSAL);
    // The same numbers of the other version are not ours.
    world.publish("8083", &[]);
    let _own = Server::start(&world.host, Tcp, "[2001:db8::1]:8083", "own");
    assert_eq!(world.remote.ask(Tcp, &format!("[{HOST6}]:8083")), format!("own {REMOTE6}"));
}

#[test]
fn connections_are_spread_evenly_over_replicas() {
    let mut world = World::new(&["front ipv6"]);
    let replicas: Vec<_> = (2..5).map(|n| server(&world, &format!("w{n}"), "front", n, Tcp)).collect();
    let backends: Vec<_> = replicas.iter().map(|(instance, _)| backend(instance, 80)).collect();
    world.publish("[2001:db8::1]:8080", &backends);
    world.publish("[::]:8080", &backends);
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..30 {
        *answers.entry(world.remote.ask(Tcp, &format!("[{HOST6}]:8080"))).or_insert(0) += 1;
    }
    assert_eq!(answers.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn an_internal_network_has_no_way_out_and_none_in_and_reaches_no_service_of_the_host() {
    let world = World::new(&["front ipv6", "back ipv6 internal"]);
    let (a, _a) = server(&world, "a", "back", 2, Tcp);
    let b = world.instance("b", &["back"], 3);
    let _remote = Server::start(&world.remote, Tcp, "[::]:80", "remote");
    let _service = Server::start(&world.host, Tcp, "[::]:9000", "host");
    a.place.ip("route add default via fd00:77:2::1");
    b.place.ip("route add default via fd00:77:2::1");
    world.remote.ip(&format!("route add fd00:77:2::/64 via {HOST6}"));
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(b.place.ask(Tcp, "[fd00:77:2::2]:80"), "a fd00:77:2::3", "{how}");
        assert_eq!(b.place.outcome(Tcp, &format!("[{REMOTE6}]:80")), SILENCE, "{how}");
        assert_eq!(b.place.outcome(Tcp, "[fd00:77:2::1]:9000"), SILENCE, "{how}");
        assert_eq!(b.place.outcome(Tcp, &format!("[{HOST6}]:9000")), SILENCE, "{how}");
        assert_eq!(world.remote.outcome(Tcp, "[fd00:77:2::2]:80"), SILENCE, "{how}");
        assert_eq!(world.host.ask(Tcp, "[fd00:77:2::2]:80"), "a fd00:77:2::1", "{how}");
    });
}

#[test]
fn containers_get_out_with_the_hosts_address_and_no_neighbour_reaches_them_by_theirs() {
    let world = World::new(&["front ipv6"]);
    let (a, _a) = server(&world, "a", "front", 2, Tcp);
    let _tcp = Server::start(&world.remote, Tcp, "[::]:80", "remote");
    let _udp = Server::start(&world.remote, Udp, "[::]:80", "remote");
    world.remote.ip(&format!("route add fd00:77:1::/64 via {HOST6}"));
    world.with_and_without_br_netfilter(|how| {
        for protocol in [Tcp, Udp] {
            let answer = a.place.ask(protocol, &format!("[{REMOTE6}]:80"));
            assert_eq!(answer, format!("remote {HOST6}"), "{protocol} {how}");
        }
    });
    assert_eq!(world.remote.outcome(Tcp, &format!("[{}]:80", a.address6())), SILENCE);
    assert_eq!(world.remote.outcome(Tcp, "[fd00:77:1::1]:80"), SILENCE);
}

#[test]
fn without_icc_containers_of_one_network_do_not_talk() {
    let world = World::new(&["quiet ipv6 no-icc"]);
    let (a, _a) = server(&world, "a", "quiet", 2, Tcp);
    let b = world.instance("b", &["quiet"], 3);
    assert_eq!(b.place.outcome(Tcp, &format!("[{}]:80", a.address6())), SILENCE);
    assert_eq!(world.host.ask(Tcp, &format!("[{}]:80", a.address6())), "a fd00:77:1::1");
}

#[test]
fn a_host_that_begins_to_forward_goes_on_listening_to_its_routers() {
    let mut world = World::without_firewall(&["front ipv6"]);
    world.host.write("/proc/sys/net/ipv6/conf/lan0/accept_ra", "1");
    world.apply();
    assert_eq!(world.host.read("/proc/sys/net/ipv6/conf/all/forwarding"), "1");
    assert_eq!(world.host.read("/proc/sys/net/ipv6/conf/lan0/accept_ra"), "2");
    assert_eq!(world.host.read("/proc/sys/net/ipv6/conf/trtestfront/accept_ra"), "0");
}
