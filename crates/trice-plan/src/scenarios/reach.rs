//! Who has which addresses, in whose network, and who reaches whom by which way.

use insta::assert_snapshot;
use trice_model::capability::Capability;
use trice_model::network::{Driver, InstanceSpec, MacvlanMode, Plug, Pool};
use trice_model::port::HostPort;
use trice_model::service::{CapabilitySet, Condition, ExternalLink, NetworkMode, PublishMode};

use crate::testing::{World, name, plan_for, realm};
use trice_model::intent::UpOptions;

fn instance<'a>(world: &'a World, text: &str) -> &'a InstanceSpec {
    &world.machine.found.instances[&name::<trice_model::name::ContainerName>(text)].spec
}

/// Writes the endpoints of an instance, a line each.
fn shown(world: &World, instance_name: &str) -> String {
    let line = |end: &trice_model::network::EndpointSpec| {
        let nets: Vec<String> = end.nets().map(|net| net.to_string()).collect();
        let gateways = end.gateway.map(|ip| ip.to_string()).into_iter();
        let gateways: Vec<String> = gateways.chain(end.gateway6.map(|ip| ip.to_string())).collect();
        let out = if gateways.is_empty() { String::new() } else { format!(" via {}", gateways.join(" ")) };
        format!("{} {} {}{out}\n", end.interface, end.network, nets.join(" "))
    };
    instance(world, instance_name).endpoints.iter().map(line).collect()
}

#[test]
fn a_network_with_ipv6_gets_addresses_of_both_versions_and_keeps_them() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.network("default").ipv6 = Some(Pool::default());
    world.attach("web", "six");
    world.network("six").ipv4 = None;
    world.network("six").ipv6 = Some(Pool { subnet: Some(name("fd00:6::/64")), ..Pool::default() });
    world.service("web").networks.get_mut("six").unwrap().ipv6_address = Some(name("fd00:6::9"));
    world.up();
    assert_snapshot!(shown(&world, "shop-web-1"), @"
    eth0 shop_default 172.27.98.2/24 fd78:2273:b6ae:b672::2/64 via 172.27.98.1 fd78:2273:b6ae:b672::1
    eth1 shop_six fd00:6::9/64
    ");
    let intent = world.wants(UpOptions::default());
    assert!(world.plan(&intent).unwrap().steps.is_empty());
}

#[test]
fn ipv6_that_comes_and_goes_makes_a_network_again() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    world.network("default").ipv6 = Some(Pool::default());
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1                                             network shop_default is made again
    2 disconnect instance shop-web-1                                        network shop_default is made again   after 1
    3 remove network shop_default                                           IPv6 is new                          after 2
    4 create network shop_default 172.27.98.0/24 fd78:2273:b6ae:b672::/64   IPv6 is new                          after 3
    5 connect instance shop-web-1 172.27.98.2 fd78:2273:b6ae:b672::2        network shop_default is made again   after 2 4
    6 start container shop-web-1                                            wanted running                       after 1 5
    ");
    world.up();
    world.network("default").ipv6 = None;
    let plan = plan_for(&mut world);
    assert!(plan.contains("IPv6 goes"), "{plan}");
}

#[test]
fn a_network_without_any_addresses_is_refused() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.network("default").ipv4 = None;
    assert_snapshot!(plan_for(&mut world), @"networks.default: the network has neither IPv4 nor IPv6");
}

#[test]
fn a_network_on_an_interface_of_the_host_may_have_its_addresses_and_publishes_nothing() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.machine.found.host.addresses = vec![("eth0".to_owned(), name("192.168.7.2/24"))];
    world.publish("web", HostPort::Fixed(80), 80);
    let network = world.network("default");
    network.driver = Driver::Macvlan { parent: name("eth0"), mode: MacvlanMode::Bridge };
    assert_snapshot!(plan_for(&mut world), @"networks.default.ipam.config[0].subnet: a network on interface `eth0` needs the subnet that is there");
    world.ipv4("default").subnet = Some(name("192.168.7.0/24"));
    world.ipv4("default").aux_addresses = [("host".to_owned(), name("192.168.7.2"))].into();
    assert_snapshot!(plan_for(&mut world), @"
    1 create network shop_default 192.168.7.0/24   not there yet
    2 connect instance shop-web-1 192.168.7.3      not there yet    after 1
    3 create container shop-web-1                  not there yet    after 2
    4 start container shop-web-1                   wanted running   after 3
    note: ports of `web` are not published: it is on no network with a way out
    ");
    world.up();
    assert_snapshot!(shown(&world, "shop-web-1"), @"eth0 shop_default 192.168.7.3/24 via 192.168.7.1");
}

#[test]
fn a_service_in_anothers_network_lives_in_its_first_container_and_follows_when_that_moves() {
    let mut world = World::new(&[("vpn", "vpn:1"), ("app", "app:1")]);
    world.service("app").network_mode = NetworkMode::Service(name("vpn"));
    world.service("app").networks.clear();
    world.service("vpn").replicas = 2;
    world.depends("app", "vpn", Condition::ServiceStarted);
    assert_snapshot!(plan_for(&mut world), @"
    1 create network shop_default 172.27.98.0/24   not there yet
    2 connect instance shop-vpn-1 172.27.98.2      not there yet    after 1
    3 connect instance shop-vpn-2 172.27.98.3      not there yet    after 1
    4 create container shop-vpn-1                  not there yet    after 2
    5 create container shop-vpn-2                  not there yet    after 3
    6 create container shop-app-1                  not there yet    after 2
    7 start container shop-vpn-1                   wanted running   after 4
    8 start container shop-vpn-2                   wanted running   after 5
    9 start container shop-app-1                   wanted running   after 6 7 8
    ");
    world.up();
    let app = &world.replica("app", 1).spec;
    assert_eq!(crate::found::instance_of(app), Some(&name("shop-vpn-1")));
    assert!(app.is_guest());
    let intent = world.wants(UpOptions::default());
    assert!(world.plan(&intent).unwrap().steps.is_empty());
    world.attach("vpn", "more");
    assert_snapshot!(plan_for(&mut world), @"
     1 stop container shop-app-1                             networks changed
     2 stop container shop-vpn-1                             networks changed   after 1
     3 stop container shop-vpn-2                             networks changed   after 1
     4 remove container shop-vpn-1                           replaced by 11     after 2
     5 remove container shop-vpn-2                           replaced by 12     after 3
     6 disconnect instance shop-vpn-1                        networks changed   after 1 4
     7 disconnect instance shop-vpn-2                        networks changed   after 5
     8 create network shop_more 172.30.12.0/24               not there yet
     9 connect instance shop-vpn-1 172.27.98.2 172.30.12.2   networks changed   after 6 8
    10 connect instance shop-vpn-2 172.27.98.3 172.30.12.3   networks changed   after 7 8
    11 create container shop-vpn-1                           replaces 4         after 4 9
    12 create container shop-vpn-2                           replaces 5         after 5 10
    13 start container shop-vpn-1                            wanted running     after 11
    14 start container shop-vpn-2                            wanted running     after 12
    15 start container shop-app-1                            wanted running     after 1 9 13 14
    ");
}

#[test]
fn a_service_in_the_network_of_a_container_of_another_project_keeps_that_alive() {
    let mut world = World::new(&[("app", "app:1")]);
    world.service("app").network_mode = NetworkMode::Container(name("other-vpn-1"));
    world.service("app").networks.clear();
    assert_snapshot!(plan_for(&mut world), @"services.app.network_mode: there is no container `other-vpn-1` whose network could be used");
    let mut other = World::new(&[("vpn", "vpn:1")]);
    other.project.name = name("other");
    other.network("default").name = name("other_default");
    other.up();
    world.machine = other.machine.clone();
    world.image("app:1");
    world.up();
    other.machine = world.machine.clone();
    let intent = trice_model::intent::Intent::Down { project: name("other"), options: Default::default() };
    assert_snapshot!(crate::testing::text(other.plan(&intent)), @"
    1 stop container other-vpn-1     the project goes down
    2 remove container other-vpn-1   the project goes down   after 1
    note: network `other_default` stays: `other-vpn-1` is on it
    ");
}

#[test]
fn what_belongs_to_anothers_network_is_refused_in_it() {
    let mut world = World::new(&[("vpn", "vpn:1"), ("app", "app:1")]);
    let app = world.service("app");
    app.network_mode = NetworkMode::Service(name("vpn"));
    app.networks.clear();
    app.dns = vec![name("9.9.9.9")];
    app.sysctls.insert("net.core.somaxconn".to_owned(), "9".to_owned());
    assert_snapshot!(plan_for(&mut world), @"
    services.app.sysctls.net.core.somaxconn: `net.core.somaxconn` belongs to the network, which is that of another container
    services.app.dns: `dns` belongs to the network, which is that of another container
    ");
    world.publish("app", HostPort::Fixed(80), 80);
    assert_snapshot!(plan_for(&mut world), @"services.app.ports: ports cannot be published with the network of another container");
}

#[test]
fn only_containers_that_may_not_administer_their_network_are_kept_to_their_addresses() {
    let guarded = |world: &World, name: &str| {
        matches!(instance(world, name).endpoints[0].plug, Plug::Bridge { guarded: true, .. })
    };
    let mut world = World::new(&[("web", "a:1"), ("vpn", "a:1"), ("host", "a:1"), ("guest", "a:1")]);
    let admin = || CapabilitySet::Only([Capability::NET_ADMIN].into());
    world.service("vpn").cap_add = admin();
    world.service("guest").cap_add = admin();
    world.service("guest").network_mode = NetworkMode::Service(name("host"));
    world.service("guest").networks.clear();
    world.depends("guest", "host", Condition::ServiceStarted);
    world.up();
    assert!(guarded(&world, "shop-web-1"));
    assert!(!guarded(&world, "shop-vpn-1") && !guarded(&world, "shop-host-1"));
    let filter = crate::firewall::firewall(&world.machine.found, &realm(), &world.project.name);
    assert_eq!(filter.guarded.len(), 1);
}

#[test]
fn each_address_of_the_host_leads_by_the_packet_filter_or_by_the_proxy() {
    let ways = |ipv6: bool, publish: PublishMode| -> String {
        let mut world = World::new(&[("web", "shop:1")]);
        world.network("default").ipv6 =
            ipv6.then(|| Pool { subnet: Some(name("fd00:6::/64")), ..Pool::default() });
        world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
        world.service("web").publish = publish;
        for (port, ip) in [(80, None), (81, Some("::1")), (82, Some("127.0.0.1"))] {
            world.publish("web", HostPort::Fixed(port), port);
            world.service("web").ports.last_mut().unwrap().host_ip = ip.map(name);
        }
        world.up();
        let filter = crate::firewall::firewall(&world.machine.found, &realm(), &world.project.name);
        let line = |port: &trice_model::network::FirewallPort| {
            let side = std::net::SocketAddr::new(port.host_ip, port.host_port);
            format!("{side} {:?} {}\n", port.way, port.backends[0])
        };
        filter.published.iter().map(line).collect()
    };
    assert_snapshot!(ways(false, PublishMode::Direct), @"
    0.0.0.0:80 Direct 10.5.0.2:80
    127.0.0.1:82 Direct 10.5.0.2:82
    [::]:80 Proxy 10.5.0.2:80
    [::1]:81 Proxy 10.5.0.2:81
    ");
    assert_snapshot!(ways(true, PublishMode::Direct), @"
    0.0.0.0:80 Direct 10.5.0.2:80
    127.0.0.1:82 Direct 10.5.0.2:82
    [::]:80 Direct [fd00:6::2]:80
    [::1]:81 Proxy [fd00:6::2]:81
    ");
    assert_snapshot!(ways(true, PublishMode::RespectFirewall), @"
    0.0.0.0:80 Transparent 10.5.0.2:80
    127.0.0.1:82 Transparent 10.5.0.2:82
    [::]:80 Transparent [fd00:6::2]:80
    [::1]:81 Transparent [fd00:6::2]:81
    ");
}

#[test]
fn ports_that_pass_by_a_packet_filter_of_the_hosts_are_told_of() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.publish("web", HostPort::Fixed(8080), 80);
    world.machine.found.host.firewalls = vec!["ufw".to_owned()];
    let notes = |world: &mut World| {
        let intent = world.wants(UpOptions::default());
        world.plan(&intent).unwrap().notes.join("\n")
    };
    assert_snapshot!(notes(&mut world), @"everybody who reaches this machine reaches 80/tcp of `web`, past the rules of ufw: publish on 127.0.0.1, or write `x-trice: {publish: respect-firewall}`");
    world.service("web").publish = PublishMode::RespectFirewall;
    assert_eq!(notes(&mut world), "");
    world.service("web").publish = PublishMode::Direct;
    world.network("default").host_binding = Some(name("127.0.0.1"));
    assert_eq!(notes(&mut world), "");
    world.up();
    assert_eq!(world.replica("web", 1).spec.published[0].to_string(), "127.0.0.1:8080->80/tcp");
}

#[test]
fn an_external_link_is_a_name_for_a_container_on_a_common_network() {
    let mut other = World::new(&[("db", "pg:16")]);
    other.project.name = name("other");
    other.network("default").name = name("shared");
    other.up();
    let mut world = World::new(&[("web", "shop:1")]);
    world.machine = other.machine.clone();
    world.image("shop:1");
    world.attach("web", "shared");
    world.network("shared").name = name("shared");
    world.network("shared").external = true;
    world.service("web").external_links =
        vec![ExternalLink { container: name("other-db-1"), alias: "DB".to_owned() }];
    world.up();
    let table = crate::names::names(&world.machine.found, &world.project.name);
    let view = &table.views[&name::<trice_model::name::ContainerName>("shop-web-1")];
    assert_eq!(view.links["db"], ["other-db-1"]);
    assert!(table.networks["shared"].iter().any(|end| end.names[0] == "other-db-1"));
}
