//! Containers that claim to be somebody else.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use trice_model::port::Protocol::{Tcp, Udp};

use crate::place::{Place, SILENCE, SOON, ask_udp_from};
use crate::server::Server;
use crate::world::{HOST, World};

/// An attacker at .3 and a victim at .2 of one network, and what the attacker serves.
fn scene(world: &World) -> (crate::world::Instance, crate::world::Instance, Server) {
    let victim = world.instance("victim", &["front"], 2);
    let attacker = world.instance("attacker", &["front"], 3);
    let server = Server::start(&attacker.place, Tcp, "[::]:80", "attacker");
    (victim, attacker, server)
}

#[test]
fn a_container_that_takes_an_address_by_arp_is_heard_by_nobody_once_it_is_guarded() {
    let mut world = World::new(&["front"]);
    let (victim, attacker, _server) = scene(&world);
    attacker.place.ip("address add 10.77.1.9/24 dev eth0");
    assert_eq!(victim.place.ask(Tcp, "10.77.1.9:80"), "attacker 10.77.1.2", "without a guard");
    victim.place.ip("neigh flush all");
    world.guard(&attacker);
    world.with_and_without_br_netfilter(|how| {
        assert_eq!(victim.place.outcome(Tcp, "10.77.1.9:80"), SILENCE, "{how}");
        assert_eq!(victim.place.ask(Tcp, "10.77.1.3:80"), "attacker 10.77.1.2", "{how}");
    });
    assert!(!victim.place.ip("neigh show 10.77.1.9").contains("lladdr"));
}

#[test]
fn a_container_that_takes_an_address_of_ipv6_is_heard_by_nobody_once_it_is_guarded() {
    let mut world = World::new(&["front ipv6"]);
    let (victim, attacker, _server) = scene(&world);
    attacker.place.ip("address add fd00:77:1::9/64 dev eth0 nodad");
    crate::place::wait_until("the address is usable", || {
        attacker.place.ip("route get fd00:77:1::9").contains("local")
    });
    assert_eq!(victim.place.ask(Tcp, "[fd00:77:1::9]:80"), "attacker fd00:77:1::2", "without a guard");
    victim.place.ip("neigh flush all");
    world.guard(&attacker);
    assert_eq!(victim.place.outcome(Tcp, "[fd00:77:1::9]:80"), SILENCE);
    assert_eq!(victim.place.ask(Tcp, "[fd00:77:1::3]:80"), "attacker fd00:77:1::2");
    let shown = victim.place.ip("neigh show fd00:77:1::9");
    assert!(!shown.contains("lladdr"), "{shown}");
}

#[test]
fn packets_with_anothers_source_go_nowhere() {
    let mut world = World::new(&["front"]);
    let (_victim, attacker, _server) = scene(&world);
    let _host = Server::start(&world.host, Udp, "0.0.0.0:9000", "host");
    attacker.place.ip("address add 10.77.1.9/24 dev eth0");
    let ask = |from: &str| {
        let socket = attacker.place.run(|| UdpSocket::bind((from, 0))).unwrap();
        ask_udp_from(&socket, "10.77.1.1:9000", SOON).unwrap()
    };
    assert_eq!(ask("10.77.1.9"), "host 10.77.1.9", "without a guard");
    world.guard(&attacker);
    assert_eq!(attacker.place.outcome_from("10.77.1.9", "10.77.1.1:9000"), SILENCE);
    assert_eq!(attacker.place.outcome_from("10.77.1.9", &format!("{HOST}:9000")), SILENCE);
    assert_eq!(ask("10.77.1.3"), "host 10.77.1.3");
}

#[test]
fn frames_with_anothers_hardware_address_go_nowhere() {
    let mut world = World::new(&["front"]);
    let (victim, attacker, _server) = scene(&world);
    world.guard(&attacker);
    assert_eq!(victim.place.ask(Tcp, "10.77.1.3:80"), "attacker 10.77.1.2");
    attacker.place.ip("link set eth0 address 02:42:0a:4d:01:09");
    victim.place.ip("neigh flush all");
    assert_eq!(victim.place.outcome(Tcp, "10.77.1.3:80"), SILENCE);
}

#[test]
fn no_container_becomes_a_router_by_saying_so() {
    let mut world = World::new(&["front ipv6"]);
    let (victim, attacker, _server) = scene(&world);
    let _answers = Server::start(&victim.place, Udp, "[::]:80", "victim");
    let routes = |place: &Place| place.ip("-6 route show default");
    let own = routes(&victim.place);
    advertise(&attacker.place);
    // What comes behind it on the same way has come: so it has been heard, too.
    assert_eq!(attacker.place.ask(Udp, "[fd00:77:1::2]:80"), "victim fd00:77:1::3");
    assert_eq!(routes(&victim.place), own, "containers do not listen to routers");
    assert_eq!(routes(&world.host), "", "nor does the host on our bridges");
    // One that listens all the same hears nothing of a guarded container.
    victim.place.write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1");
    world.guard(&attacker);
    advertise(&attacker.place);
    assert_eq!(attacker.place.ask(Udp, "[fd00:77:1::2]:80"), "victim fd00:77:1::3");
    assert_eq!(routes(&victim.place), own);
    world.firewall.guarded.clear();
    world.apply();
    advertise(&attacker.place);
    crate::place::wait_until("without a guard the attack succeeds", || routes(&victim.place) != own);
}

/// Tells all on the network of `eth0` that the way out is here.
fn advertise(place: &Place) {
    place.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let socket: OwnedFd =
            socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::ICMPV6)).unwrap();
        rustix::net::sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
        let index = rustix::net::netdevice::name_to_index(&socket, "eth0").unwrap();
        let all: Ipv6Addr = "ff02::1".parse().unwrap();
        let to = SocketAddrV6::new(all, 0, 0, index);
        // Type 134, no code, a checksum that the kernel fills in, 64 hops, no flags, for 1,800 s.
        let advertisement = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        sendto(&socket, &advertisement, SendFlags::empty(), &to).unwrap();
    });
}
