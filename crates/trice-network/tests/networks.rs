//! Bridges.

use trice_network::bridge::{BridgeError, create_network, observe_networks, remove_networks};
use trice_network::host::observe_host;

use crate::place::Place;
use crate::world::World;

#[test]
fn a_network_is_a_bridge_that_is_up_with_its_gateways_address_and_a_hardware_address_that_stays() {
    let world = World::new(&["front"]);
    let shown = world.host.ip("-o address show dev trtestfront");
    assert!(shown.contains("inet 10.77.1.1/24 brd 10.77.1.255"), "{shown}");
    assert!(!shown.contains("inet6"), "{shown}");
    let link = || world.host.ip("-o -d link show dev trtestfront");
    for piece in ["link/ether 02:42:0a:4d:01:01", "mtu 1500", "bridge ", ",UP"] {
        assert!(link().contains(piece), "{piece} in {}", link());
    }
    let _instance = world.instance("a", &["front"], 2);
    assert!(link().contains("link/ether 02:42:0a:4d:01:01"), "{}", link());
    assert_eq!(world.host.read("/proc/sys/net/ipv6/conf/trtestfront/disable_ipv6"), "1");
}

#[test]
fn a_network_with_ipv6_has_its_first_address_and_takes_no_container_for_a_router() {
    let world = World::new(&["front ipv6"]);
    let shown = world.host.ip("-o -6 address show dev trtestfront");
    assert!(shown.contains("inet6 fd00:77:1::1/64"), "{shown}");
    assert_eq!(world.host.read("/proc/sys/net/ipv6/conf/trtestfront/accept_ra"), "0");
}

#[test]
fn a_network_that_is_there_in_part_is_completed_and_one_that_is_there_is_left_as_it_is() {
    let world = World::new(&["front"]);
    let spec = world.network("front");
    let is_there = || world.host.run(|| observe_networks(std::slice::from_ref(spec))).unwrap()[0].present;
    let damages = [
        "link set trtestfront down",
        "link set trtestfront mtu 1400",
        "link set trtestfront address 02:00:00:00:00:01",
        "address flush dev trtestfront",
        "link delete trtestfront",
        "link set trtestfront group 7",
    ];
    for damage in damages {
        world.host.ip(damage);
        assert_eq!(is_there(), damage.contains("group"), "after `ip {damage}`");
        world.host.run(|| create_network(spec)).unwrap();
        assert!(is_there(), "after `ip {damage}`");
    }
    world.host.ip("address add 10.99.0.1/24 dev trtestfront");
    world.host.run(|| create_network(spec)).unwrap();
    let shown = world.host.ip("-o -4 address show dev trtestfront");
    assert!(shown.contains("10.77.1.1/24") && !shown.contains("10.99"), "{shown}");
}

#[test]
fn a_link_of_another_kind_with_the_bridges_name_is_an_error_and_not_touched() {
    let world = World::new(&["front"]);
    let spec = world.network("front");
    world.host.ip("link delete trtestfront");
    world.host.ip("link add trtestfront type veth peer name other");
    let error = world.host.run(|| create_network(spec)).unwrap_err();
    assert!(matches!(error, BridgeError::NotABridge { .. }), "{error}");
    assert_eq!(error.to_string(), "`trtestfront` is there already and is no bridge");
    assert!(world.host.ip("-d link show dev trtestfront").contains("veth"));
}

#[test]
fn networks_are_removed_together_with_nothing_else_and_may_be_gone_already() {
    let world = World::new(&["front", "back"]);
    let specs = [world.network("front").clone(), world.network("back").clone()];
    let _instance = world.instance("a", &["front"], 2);
    for _ in 0..2 {
        world.host.run(|| remove_networks(&specs)).unwrap();
        let links = world.host.ip("-o link show");
        assert!(!links.contains("trtestfront") && !links.contains("trtestback"), "{links}");
        assert!(links.contains("lan0"), "{links}");
    }
    assert!(world.host.run(|| observe_networks(&specs)).unwrap().iter().all(|network| !network.present));
}

#[test]
fn the_host_is_seen_with_its_addresses_and_routes_of_all_tables_and_without_our_bridges() {
    let world = World::new(&["front"]);
    world.host.ip("route add default via 192.0.2.254");
    world.host.ip("route add 203.0.113.0/24 via 192.0.2.254 table 77");
    world.host.ip("route add blackhole 198.18.0.0/15");
    let _tcp = world.host.run(|| std::net::TcpListener::bind("127.0.0.1:8080")).unwrap();
    let _udp = world.host.run(|| std::net::UdpSocket::bind("0.0.0.0:5353")).unwrap();
    let host = world.host.run(|| observe_host("trtest", &[])).unwrap();
    let own = ["lan0".parse().unwrap()];
    let without = world.host.run(|| observe_host("trtest", &own)).unwrap();
    assert!(without.addresses.iter().all(|(link, _)| link == "lo"), "a bridge with a name of its own");
    let lines = |list: &[(String, ipnet::IpNet)]| -> Vec<String> {
        list.iter().map(|(link, net)| format!("{link} {net}")).collect()
    };
    assert_eq!(lines(&host.addresses), ["lo 127.0.0.1/8", "lan0 192.0.2.1/24", "lo ::1/128"]);
    let mut routes = lines(&host.routes);
    routes.sort();
    assert_eq!(routes, [" 198.18.0.0/15", "lan0 192.0.2.0/24", "lan0 203.0.113.0/24"]);
    let busy: Vec<String> =
        host.busy_ports.iter().map(|(protocol, port)| format!("{port}/{protocol}")).collect();
    assert_eq!(busy, ["8080/tcp", "5353/udp"]);
}

#[test]
fn an_empty_machine_is_seen_as_empty() {
    let place = Place::new();
    let host = place.run(|| observe_host("trtest", &[])).unwrap();
    assert_eq!((host.routes.len(), host.busy_ports.len()), (0, 0));
    assert_eq!(place.run(|| observe_networks(&[])).unwrap(), []);
}
