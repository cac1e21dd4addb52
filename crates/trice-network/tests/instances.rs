//! Instances: namespaces on networks.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use trice_model::port::Protocol::{Sctp, Tcp, Udp};
use trice_network::instance::{InstanceError, connect, cut_off, reopen_dns, verify};
use trice_network::link::remove_links;
use trice_network::port::{PortError, reserve_port};

use crate::place::{Place, SILENCE, SOON, ask_udp_from, owned_tables_persist, spoken, wait_for, wait_until};
use crate::server::Server;
use crate::world::{Instance, World, published_port};

fn is_as_asked(world: &World, instance: &Instance) -> bool {
    world.host.run(|| verify(instance.place.namespace.as_fd(), &instance.spec)).unwrap()
}

#[test]
fn an_instance_has_its_interfaces_with_names_addresses_and_routes() {
    let world = World::new(&["front", "back internal"]);
    let instance = world.instance("a", &["front", "back"], 2);
    let shown = instance.place.ip("-o address show");
    for piece in
        ["lo    inet 127.0.0.1/8", "eth0    inet 10.77.1.2/24 brd 10.77.1.255", "eth1    inet 10.77.2.2/24"]
    {
        assert!(shown.contains(piece), "{piece} in {shown}");
    }
    assert!(!shown.contains("inet6 fe80"), "{shown}");
    let links = instance.place.ip("-o link show");
    assert!(links.contains("link/ether 02:42:0a:4d:01:02"), "{links}");
    let routes = instance.place.ip("route show default");
    assert_eq!(routes.trim(), "default via 10.77.1.1 dev eth0");
    assert!(is_as_asked(&world, &instance));
}

#[test]
fn an_instance_without_networks_has_lo_alone() {
    let world = World::new(&["front"]);
    let instance = world.instance("a", &[], 2);
    assert_eq!(instance.place.ip("-o link show").lines().count(), 1);
    assert_eq!(instance.place.ip("route show"), "");
    let _server = Server::start(&instance.place, Tcp, "127.0.0.1:80", "a");
    assert_eq!(instance.place.ask(Tcp, "127.0.0.1:80"), "a 127.0.0.1");
    assert!(is_as_asked(&world, &instance));
}

#[test]
fn settings_of_the_kernel_are_made_those_of_interfaces_too_and_wrong_ones_are_named() {
    let world = World::new(&["front"]);
    let mut spec = world.instance_spec("a", &["front"], 2);
    let settings = [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.conf.eth0.rp_filter", "2")];
    spec.sysctls = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let instance = world.connect(spec.clone());
    assert_eq!(instance.place.read("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
    assert_eq!(instance.place.read("/proc/sys/net/ipv4/conf/eth0/rp_filter"), "2");
    for (name, error) in [
        ("kernel.shmmax", "sysctl `kernel.shmmax` is none of the network's: those begin with `net.`"),
        ("net.ipv4.nonsense", "this kernel has no sysctl `net.ipv4.nonsense`"),
        ("net.ipv4.ip_unprivileged_port_start", "set sysctl `net.ipv4.ip_unprivileged_port_start` to `x`"),
    ] {
        spec.sysctls = [(name.to_owned(), "x".to_owned())].into();
        assert_eq!(world.host.run(|| connect(&spec)).unwrap_err().to_string(), error);
    }
}

#[test]
fn a_network_that_is_not_there_is_an_error_that_names_it_and_nothing_is_left() {
    let world = World::new(&["front", "back"]);
    let spec = world.instance_spec("a", &["front", "back"], 2);
    world.host.ip("link delete trtestback");
    let error = world.host.run(|| connect(&spec)).unwrap_err();
    assert_eq!(error.to_string(), "network `back` has no link `trtestback`");
    let name = spec.endpoints[0].host_link().unwrap().as_str();
    wait_until("the links are gone", || !world.host.ip("-o link show").contains(name));
}

#[test]
fn a_name_that_is_taken_is_an_error_that_names_interface_and_network() {
    let world = World::new(&["front"]);
    let spec = world.instance_spec("a", &["front"], 2);
    let _first = world.connect(spec.clone());
    let error = world.host.run(|| connect(&spec)).unwrap_err();
    assert!(matches!(error, InstanceError::Plug { .. }), "{error}");
    assert_eq!(error.to_string(), "make `eth0` on network `front`");
}

#[test]
fn an_adopted_namespace_is_told_from_one_that_was_damaged() {
    let world = World::new(&["front"]);
    let damages: [fn(&World, &Instance); 6] = [
        |_, instance| drop(instance.place.ip("link set eth0 down")),
        |_, instance| drop(instance.place.ip("address flush dev eth0")),
        |_, instance| drop(instance.place.ip("link set eth0 address 02:00:00:00:00:01")),
        |world, instance| drop(world.host.ip(&format!("link set {} down", instance.host_link()))),
        |world, instance| drop(world.host.ip(&format!("link set {} nomaster", instance.host_link()))),
        |world, instance| drop(world.host.ip(&format!("link delete {}", instance.host_link()))),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let instance = world.instance("a", &["front"], 2);
        assert!(is_as_asked(&world, &instance));
        damage(&world, &instance);
        assert!(!is_as_asked(&world, &instance), "damage {number}");
    }
    let other = world.instance("b", &[], 3);
    let strange = Instance { place: other.place, ..world.instance("a", &["front"], 2) };
    assert!(!is_as_asked(&world, &strange));
}

#[test]
fn cutting_off_silences_an_instance_at_once_and_dropping_its_namespace_leaves_no_link() {
    let world = World::new(&["front"]);
    let (a, server) = world.server("a", "front", 2, Tcp, 80);
    let b = world.instance("b", &["front"], 3);
    assert_eq!(b.place.ask(Tcp, "10.77.1.2:80"), "a 10.77.1.3");
    let end = a.spec.endpoints[0].clone();
    world.host.run(|| cut_off(&end)).unwrap();
    assert_eq!(b.place.outcome(Tcp, "10.77.1.2:80"), SILENCE);
    drop((a, server));
    wait_until("its link is gone", || {
        !world.host.ip("-o link show").contains(end.host_link().unwrap().as_str())
    });
    world.host.run(|| cut_off(&end)).unwrap();
}

#[test]
fn links_that_connections_with_something_left_to_say_keep_are_removed() {
    let world = World::new(&["front"]);
    let a = world.instance("a", &["front"], 2);
    // Whoever listens reads nothing, so that what was written stays with the kernel when the writer dies.
    let _listening = world.host.run(|| TcpListener::bind("10.77.1.1:7000").unwrap());
    a.place.run(|| {
        let mut stream = TcpStream::connect("10.77.1.1:7000").unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 4096]).is_ok() {}
    });
    let end = a.spec.endpoints[0].clone();
    world.host.run(|| cut_off(&end)).unwrap();
    drop(a);
    let links = [end.host_link().unwrap().clone()];
    assert_eq!(world.host.run(|| remove_links(&links)).unwrap(), 1, "the namespace is still there");
    assert!(!world.host.ip("-o link show").contains(links[0].as_str()));
    assert_eq!(world.host.run(|| remove_links(&links)).unwrap(), 0);
}

#[test]
fn the_first_connection_of_a_new_instance_is_never_delayed() {
    let world = World::new(&["front ipv6"]);
    let _server = Server::start(&world.host, Tcp, "[::]:80", "host");
    let mut delayed = Vec::new();
    for number in 0..1_000 {
        let instance = world.instance("a", &["front"], 2);
        let gateway = if number % 2 == 0 { "10.77.1.1:80" } else { "[fd00:77:1::1]:80" };
        instance.place.ask(Tcp, gateway);
        if instance.place.run(packets_without_answer) > 0 {
            delayed.push(gateway);
        }
        world.host.run(|| cut_off(&instance.spec.endpoints[0])).unwrap();
    }
    assert!(delayed.is_empty(), "{} of 1000: {delayed:?}", delayed.len());
}

/// Returns how often a packet of a TCP connection got no answer here within the second that the kernel waits. A
/// busy machine delays a connection too, and lets nothing run out.
fn packets_without_answer() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let count = names.zip(values).find(|(name, _)| *name == "TCPTimeouts");
    count.expect("the kernel counts them").1.parse().unwrap()
}

#[test]
fn an_ipv6_address_is_usable_at_once() {
    let world = World::new(&["front ipv6"]);
    for number in 2..22 {
        let instance = world.instance("a", &["front"], number);
        let own = instance.address6();
        let _server = Server::start(&instance.place, Udp, "[::]:80", "a");
        let before = Instant::now();
        let socket = world.host.run(|| UdpSocket::bind("[::]:0")).unwrap();
        let answer = ask_udp_from(&socket, &format!("[{own}]:80"), SOON).unwrap();
        assert_eq!(answer, "a fd00:77:1::1");
        assert!(before.elapsed() < Duration::from_millis(900), "{:?}", before.elapsed());
        assert!(is_as_asked(&world, &instance));
    }
}

#[test]
fn names_are_asked_for_at_port_53_by_udp_and_tcp_and_a_name_server_of_the_containers_own_finds_it_free() {
    let world = World::new(&["front"]);
    let mut spec = world.instance_spec("a", &["front"], 2);
    spec.dns = true;
    let mut instance = world.connect(spec);
    assert!(is_as_asked(&world, &instance));
    let dns = instance.dns.take().unwrap();
    let (_udp, _tcp) = (Server::udp(dns.udp, "names"), Server::tcp(dns.tcp, "names"));
    let _own_udp = Server::start(&instance.place, Udp, "0.0.0.0:53", "own");
    let _own_tcp = Server::start(&instance.place, Tcp, "0.0.0.0:53", "own");
    assert_eq!(instance.place.ask(Udp, "127.0.0.11:53"), "names 127.0.0.1");
    assert_eq!(instance.place.ask(Tcp, "127.0.0.11:53"), "names 127.0.0.1");
    assert_eq!(instance.place.ask(Udp, "127.0.0.1:53"), "own 127.0.0.1");
    assert_eq!(instance.place.ask(Tcp, "127.0.0.1:53"), "own 127.0.0.1");
    let unconnected = instance.place.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    unconnected.set_read_timeout(Some(SOON)).unwrap();
    unconnected.send_to(b"?", "127.0.0.11:53").unwrap();
    let (_, from) = unconnected.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from.to_string(), "127.0.0.11:53");
    if owned_tables_persist() {
        instance.place.program("nft flush ruleset");
        assert_eq!(instance.place.ask(Udp, "127.0.0.11:53"), "names 127.0.0.1");
    }
}

#[test]
fn sockets_for_names_that_were_lost_are_opened_again_and_those_that_somebody_holds_are_not() {
    let world = World::new(&[]);
    let mut spec = world.instance_spec("a", &[], 2);
    spec.dns = true;
    let mut instance = world.connect(spec);
    let namespace = instance.place.namespace.as_fd();
    assert!(reopen_dns(namespace).is_err());
    drop(instance.dns.take());
    // A program that another test is just starting may still hold copies of them.
    let dns = wait_for("nobody holds them", || reopen_dns(namespace).ok());
    let _server = Server::udp(dns.udp, "names");
    assert_eq!(instance.place.ask(Udp, "127.0.0.11:53"), "names 127.0.0.1");
}

#[test]
fn a_kept_port_is_in_use_for_everybody_else_and_free_when_it_is_let_go() {
    let place = Place::new();
    let sctp = spoken().contains(&Sctp).then_some("8085/sctp");
    let ports = ["8080", "127.0.0.1:8081", "8082/udp", "127.0.0.1:8083/udp", "[::1]:8084"];
    for port in ports.into_iter().chain(sctp) {
        let wanted = published_port(port);
        let kept = place.run(|| reserve_port(&wanted)).unwrap();
        let error = place.run(|| reserve_port(&wanted)).unwrap_err();
        assert!(matches!(error, PortError::InUse { .. }), "{error}");
        drop(kept);
        // A program that another test is just starting may still hold a copy of the descriptor.
        wait_until(port, || place.run(|| reserve_port(&wanted)).is_ok());
    }
    let error = place.run(|| {
        let _kept = reserve_port(&published_port("8080"))?;
        reserve_port(&published_port("127.0.0.1:8080"))
    });
    assert_eq!(error.unwrap_err().to_string(), "127.0.0.1:8080/tcp: address already in use");
    let error = place.run(|| reserve_port(&published_port("203.0.113.1:8080"))).unwrap_err();
    assert_eq!(error.to_string(), "203.0.113.1:8080/tcp: this machine has no such address");
}

#[test]
fn nobody_can_connect_to_a_port_that_is_only_kept() {
    let place = Place::new();
    let _kept = place.run(|| reserve_port(&published_port("8080"))).unwrap();
    let address = "127.0.0.1:8080".parse().unwrap();
    let connected = place.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)));
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn another_programs_port_is_found_in_use() {
    let place = Place::new();
    let _server = Server::start(&place, Tcp, "127.0.0.1:8080", "other");
    let error = place.run(|| reserve_port(&published_port("8080"))).unwrap_err();
    assert_eq!(error.to_string(), "0.0.0.0:8080/tcp: address already in use");
}
