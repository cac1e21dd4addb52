//! Networks, addresses and ports: what is kept, what is made again, and who moves with it.

use insta::assert_snapshot;
use trice_model::network::{InstanceSpec, MacAddress, Plug};
use trice_model::port::HostPort;
use trice_model::service::{ExtraHost, NetworkMode, Service};

use crate::testing::{World, found, name, plan_for, plan_with, services};
use trice_model::intent::UpOptions;

fn instance<'a>(world: &'a World, text: &str) -> &'a InstanceSpec {
    &world.machine.found.instances[&name::<trice_model::name::ContainerName>(text)].spec
}

#[test]
fn a_changed_network_is_made_again_between_the_stops_and_the_starts_of_its_containers() {
    let mut world = World::new(&[("api", "shop:1"), ("web", "shop:1")]);
    world.attach("web", "front");
    world.service("web").networks.remove("default");
    world.up();
    world.network("front").internal = true;
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1                  network shop_front is made again
    2 disconnect instance shop-web-1             network shop_front is made again   after 1
    3 remove network shop_front                  internal changed from false        after 2
    4 create network shop_front 172.28.35.0/24   internal changed from false        after 3
    5 connect instance shop-web-1 172.28.35.2    network shop_front is made again   after 2 4
    6 start container shop-web-1                 wanted running                     after 1 5
    ");
}

#[test]
fn whoever_is_on_a_changed_network_moves_with_it_named_or_not() {
    let mut world = World::new(&[("api", "shop:1"), ("web", "shop:1")]);
    world.up();
    world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
    let options = UpOptions { services: services(&["web"]), ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, options.clone()), @"
     1 stop container shop-web-1                 network shop_default is made again
     2 stop container shop-api-1                 network shop_default is made again
     3 disconnect instance shop-api-1            network shop_default is made again   after 2
     4 disconnect instance shop-web-1            network shop_default is made again   after 1
     5 remove network shop_default               subnet changed from 172.27.98.0/24   after 3 4
     6 create network shop_default 10.5.0.0/24   subnet changed from 172.27.98.0/24   after 5
     7 connect instance shop-api-1 10.5.0.3      network shop_default is made again   after 3 6
     8 connect instance shop-web-1 10.5.0.2      network shop_default is made again   after 4 6
     9 start container shop-api-1                wanted running                       after 2 7
    10 start container shop-web-1                wanted running                       after 1 8
    ");
    let intent = world.wants(options);
    world.satisfy(&intent);
    assert_eq!(world.address("shop-api-1", "default"), "10.5.0.3");
    assert_snapshot!(plan_for(&mut world), @"");
}

#[test]
fn what_a_reboot_took_is_made_again_and_addresses_stay() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    let address = world.address("shop-web-1", "default");
    found(&mut world).networks.values_mut().for_each(|network| network.present = false);
    found(&mut world).instances.values_mut().for_each(|instance| instance.present = false);
    let exit = trice_model::container::ExitStatus::Unknown;
    world.set_state("web", 1, trice_model::container::ContainerState::Exited { exit });
    assert_snapshot!(plan_for(&mut world), @"
    1 disconnect instance shop-web-1               network shop_default is made again
    2 create network shop_default 172.27.98.0/24   its bridge is gone
    3 connect instance shop-web-1 172.27.98.2      network shop_default is made again   after 1 2
    4 start container shop-web-1                   wanted running                       after 3
    ");
    world.up();
    assert_eq!(world.address("shop-web-1", "default"), address);
}

#[test]
fn a_service_that_joins_a_network_is_made_again_and_keeps_its_other_address() {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.up();
    let address = world.address("shop-web-1", "default");
    world.attach("web", "back").priority = 100;
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1                             networks changed
    2 remove container shop-web-1                           replaced by 6      after 1
    3 disconnect instance shop-web-1                        networks changed   after 2
    4 create network shop_back 172.29.61.0/24               not there yet
    5 connect instance shop-web-1 172.29.61.2 172.27.98.3   networks changed   after 3 4
    6 create container shop-web-1                           replaces 2         after 2 5
    7 start container shop-web-1                            wanted running     after 6
    ");
    world.up();
    assert_eq!(world.address("shop-web-1", "default"), address);
}

#[test]
fn a_fixed_address_moves_the_instance_and_not_the_container() {
    let mut world = World::new(&[("api", "shop:1"), ("web", "shop:1")]);
    world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
    world.up();
    // The address of `api`, who must look for another one.
    world.attach("web", "default").ipv4_address = Some(name("10.5.0.2"));
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1              address changed from 10.5.0.3
    2 stop container shop-api-1              address changed from 10.5.0.2
    3 disconnect instance shop-api-1         address changed from 10.5.0.2   after 2
    4 disconnect instance shop-web-1         address changed from 10.5.0.3   after 1
    5 connect instance shop-api-1 10.5.0.4   address changed from 10.5.0.2   after 3
    6 connect instance shop-web-1 10.5.0.2   address changed from 10.5.0.3   after 3 4
    7 start container shop-api-1             wanted running                  after 2 5
    8 start container shop-web-1             wanted running                  after 1 6
    ");
    world.up();
    assert_eq!(world.address("shop-web-1", "default"), "10.5.0.2");
}

#[test]
fn interfaces_stand_in_the_order_of_priority_and_the_route_goes_the_way_that_was_asked_for() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.attach("web", "aside").gw_priority = 5;
    world.attach("web", "back").priority = 10;
    world.attach("web", "inner").gw_priority = 9;
    world.network("inner").internal = true;
    world.attach("web", "named").interface_name = Some(name("eth1"));
    world.attach("web", "named").mac_address = Some(MacAddress([2, 0, 0, 0, 0, 7]));
    world.network("named").icc = false;
    world.up();
    let line = |endpoint: &trice_model::network::EndpointSpec| {
        let route = if endpoint.gateway.is_some() { " default route" } else { "" };
        let isolated = matches!(endpoint.plug, Plug::Bridge { isolated: true, .. });
        let isolated = if isolated { " isolated" } else { "" };
        let usual = MacAddress::of_ipv4(endpoint.address.unwrap().addr());
        let own = if endpoint.mac == Some(usual) { "" } else { " own mac" };
        format!("{} {}{route}{isolated}{own}\n", endpoint.interface, endpoint.network)
    };
    let lines: String = instance(&world, "shop-web-1").endpoints.iter().map(line).collect();
    assert_snapshot!(lines, @"
    eth0 shop_back
    eth2 shop_aside default route
    eth3 shop_default
    eth4 shop_inner
    eth1 shop_named isolated own mac
    ");
}

#[test]
fn settings_of_the_network_go_to_the_instance_and_the_others_to_the_container() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.service("web").sysctls =
        [("net.core.somaxconn".into(), "1024".into()), ("kernel.msgmax".into(), "1".into())].into();
    world.up();
    let words = |settings: &std::collections::BTreeMap<String, String>| -> String {
        settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    };
    assert_snapshot!(words(&instance(&world, "shop-web-1").sysctls), @"
    net.core.somaxconn=1024
    net.ipv4.ip_unprivileged_port_start=0
    net.ipv4.ping_group_range=0 2147483647
    ");
    assert_snapshot!(words(&world.replica("web", 1).spec.sysctls), @"kernel.msgmax=1");
    world.service("web").network_mode = NetworkMode::Host;
    world.publish("web", HostPort::Fixed(80), 80);
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.ports: ports cannot be published with `network_mode: host`"
    );
    world.service("web").ports.clear();
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.sysctls.net.core.somaxconn: `net.core.somaxconn` cannot be set with \
        `network_mode: host`"
    );
}

#[test]
fn the_host_is_reached_by_the_gateway_of_the_network_that_leads_out() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.attach("web", "aaa");
    world.network("aaa").internal = true;
    world.ipv4("default").gateway = Some(name("10.5.0.254"));
    world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
    world.service("web").extra_hosts = vec![("host".into(), ExtraHost::HostGateway)];
    world.up();
    assert_eq!(world.replica("web", 1).spec.hosts, [(name("10.5.0.254"), "host".to_owned())]);
    world.service("web").network_mode = NetworkMode::None;
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.extra_hosts: `host: host-gateway` needs a network, and the service is on none"
    );
}

#[test]
fn a_container_in_the_hosts_network_has_no_instance() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.service("web").network_mode = NetworkMode::Host;
    world.service("web").networks.clear();
    assert_snapshot!(plan_for(&mut world), @"
    1 create container shop-web-1   not there yet
    2 start container shop-web-1    wanted running   after 1
    ");
}

#[test]
fn ports_without_a_way_out_are_told_and_not_published() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.network("default").internal = true;
    world.publish("web", HostPort::Fixed(80), 80);
    let plan = plan_for(&mut world);
    assert!(!plan.contains("publish ports"), "{plan}");
    assert!(plan.contains("note: ports of `web` are not published"), "{plan}");
}

#[test]
fn open_ports_stay_the_same_from_up_to_up() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.service("web").replicas = 2;
    world.publish("web", HostPort::Any, 80);
    world.up();
    let ports = |world: &World| [1, 2].map(|number| world.replica("web", number).spec.published[0].host_port);
    let before = ports(&world);
    assert_ne!(before[0], before[1]);
    world.service("web").environment.insert("DEBUG".into(), "1".into());
    world.up();
    assert_eq!(ports(&world), before);
    world.pass_time();
    assert_snapshot!(plan_for(&mut world), @"");
}

#[test]
fn a_port_that_leads_to_another_project_is_refused() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.publish("web", HostPort::Fixed(8080), 80);
    world.up();
    world.project.name = name("other");
    world.project.networks.values_mut().for_each(|network| network.name = name("other_default"));
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.ports[0]: host port 8080/tcp is published by `shop-web-1` already"
    );
}

#[test]
fn a_subnet_that_the_host_uses_is_refused_at_its_key() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.ipv4("default").subnet = Some(name("192.168.1.0/24"));
    found(&mut world).host.addresses.push(("wlan0".into(), name("192.168.1.7/24")));
    let intent = world.wants(UpOptions::default());
    let errors = world.plan(&intent).unwrap_err();
    assert_snapshot!(
        errors[0],
        @"networks.default.ipam.config[0].subnet: subnet 192.168.1.0/24 overlaps 192.168.1.7/24 of \
        interface `wlan0`"
    );
    assert_snapshot!(errors[0].hint().unwrap(), @"choose another subnet, or none: a free one is found then");
    found(&mut world).host.addresses.clear();
    world.ipv4("default").gateway = Some(name("10.0.0.1"));
    world.ipv4("default").ip_range = Some(name("192.168.2.0/25"));
    assert_snapshot!(plan_for(&mut world), @"
    networks.default.ipam.config[0].gateway: gateway 10.0.0.1 is not in subnet 192.168.1.0/24
    networks.default.ipam.config[0].ip_range: range 192.168.2.0/25 is not in subnet 192.168.1.0/24
    ");
}

#[test]
fn networks_of_other_projects_are_used_as_they_are_and_not_moved_under_their_feet() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    // `other` shares the network of `shop` as an external one.
    let mut other = World::new(&[("api", "shop:1")]);
    other.project.name = name("other");
    other.machine = world.machine.clone();
    let shared = other.network("default");
    (shared.external, shared.internal) = (true, true);
    assert_snapshot!(plan_for(&mut other), @"
    1 connect instance other-api-1 172.27.98.3   not there yet
    2 create container other-api-1               not there yet    after 1
    3 start container other-api-1                wanted running   after 2
    ");
    other.up();
    world.machine = other.machine.clone();
    world.network("default").mtu = Some(9000);
    assert_snapshot!(
        plan_for(&mut world),
        @"networks.default: network `shop_default` must be made again (mtu changed from 1500), and \
        `other-api-1` of another project is on it"
    );
    // Without `external` the other project still changes nothing.
    other.network("default").external = false;
    assert_snapshot!(
        plan_for(&mut other),
        @"note: network `shop_default` belongs to another project and is used as it is"
    );
}

#[test]
fn replicas_cannot_share_a_fixed_address_or_a_name() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
    world.attach("web", "default").ipv4_address = Some(name("10.5.0.9"));
    let two = |service: &mut Service| service.replicas = 2;
    two(world.service("web"));
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.networks.default.ipv4_address: address 10.5.0.9 on network `shop_default` \
        belongs to `shop-web-1`"
    );
    world.service("web").container_name = Some(name("front"));
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.container_name: `container_name: front` cannot name 2 containers"
    );
}
