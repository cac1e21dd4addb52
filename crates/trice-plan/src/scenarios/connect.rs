//! Containers join and leave networks by hand, while they run.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use trice_model::intent::{ConnectOptions, Intent, UpOptions};
use trice_model::name::ContainerName;
use trice_model::network::{InstanceSpec, Pool};
use trice_model::service::NetworkMode;

use crate::testing::{World, name, text};

/// Returns a project of two services, each on a network of its own.
fn world() -> World {
    let mut world = World::new(&[("web", "shop:1"), ("db", "db:1")]);
    world.network("back").ipv6 = Some(Pool { subnet: Some(name("fd00:6::/64")), ..Pool::default() });
    world.service("db").networks.clear();
    world.attach("db", "back");
    world.up();
    world
}

fn connect(container: &str, network: &str, options: ConnectOptions) -> Intent {
    Intent::Connect { project: name("shop"), container: name(container), network: name(network), options }
}

fn disconnect(container: &str, network: &str) -> Intent {
    Intent::Disconnect { project: name("shop"), container: name(container), network: name(network) }
}

fn web(world: &World) -> &InstanceSpec {
    &world.machine.found.instances[&name::<ContainerName>("shop-web-1")].spec
}

fn way_out(world: &World) -> Vec<&str> {
    let endpoints = web(world).endpoints.iter();
    endpoints.filter(|end| end.gateway.is_some()).map(|end| end.network.as_str()).collect()
}

#[test]
fn a_container_joins_a_network_and_its_program_runs_on() {
    let mut world = world();
    let options = ConnectOptions { aliases: vec!["shop".to_owned()], ..ConnectOptions::default() };
    let intent = connect("shop-web-1", "shop_back", options);
    assert_snapshot!(text(world.plan(&intent)), @"1 reshape instance shop-web-1 172.27.98.2 172.29.61.3 fd00:6::3   joins network shop_back");
    world.satisfy(&intent);
    let joined = web(&world).endpoints.last().unwrap();
    assert_eq!((joined.interface.as_str(), joined.network.as_str()), ("eth1", "shop_back"));
    assert_eq!(joined.by_hand.as_deref(), Some(&["shop".to_owned()][..]));
    assert!(joined.address6.is_some());
    assert_eq!(way_out(&world), ["shop_default"]);
    assert_snapshot!(text(world.plan(&intent)), @"note: `shop-web-1` is on network `shop_back` already");
}

#[test]
fn what_was_joined_by_hand_is_left_alone_by_up_until_it_is_left_by_hand() {
    let mut world = world();
    world.satisfy(&connect("shop-web-1", "shop_back", ConnectOptions::default()));
    let intent = world.wants(UpOptions::default());
    assert!(world.plan(&intent).unwrap().steps.is_empty());
    let leaves = disconnect("shop-web-1", "shop_back");
    assert_snapshot!(text(world.plan(&leaves)), @"1 reshape instance shop-web-1 172.27.98.2   leaves network shop_back");
    world.satisfy(&leaves);
    assert_eq!(web(&world).endpoints.len(), 1);
    assert_snapshot!(text(world.plan(&leaves)), @"note: `shop-web-1` is not on network `shop_back`");
}

#[test]
fn the_way_out_moves_to_the_network_that_is_left_and_up_connects_what_the_files_say_again() {
    let mut world = world();
    let options = ConnectOptions { gw_priority: -1, ..ConnectOptions::default() };
    world.satisfy(&connect("shop-web-1", "shop_back", options));
    assert_eq!(way_out(&world), ["shop_default"]);
    world.satisfy(&disconnect("shop-web-1", "shop_default"));
    assert_eq!(way_out(&world), ["shop_back"]);
    world.up();
    assert_eq!(way_out(&world), ["shop_default"]);
}

#[test]
fn fixed_addresses_are_given_or_refused_with_the_reason() {
    let mut world = world();
    let fixed = |ip| ConnectOptions { ipv4: Some(ip), ..ConnectOptions::default() };
    let db: std::net::Ipv4Addr = name(&world.address("shop-db-1", "back"));
    assert_snapshot!(text(world.plan(&connect("shop-web-1", "shop_back", fixed(db)))), @"networks.shop_back: address 172.29.61.2 on network `shop_back` belongs to `shop-db-1`");
    let options = ConnectOptions { ipv6: Some(name("fd00:6::77")), ..ConnectOptions::default() };
    world.satisfy(&connect("shop-web-1", "shop_back", options));
    assert_eq!(
        web(&world).endpoints[1].address6.map(|net| net.to_string()).as_deref(),
        Some("fd00:6::77/64")
    );
    let options = ConnectOptions { ipv6: Some(name("fd00:6::78")), ..ConnectOptions::default() };
    assert_snapshot!(text(world.plan(&connect("shop-db-1", "shop_default", options))), @"networks.shop_default: network `shop_default` has no IPv6");
}

#[test]
fn what_is_not_there_or_has_no_network_of_its_own_cannot_join() {
    let mut world = world();
    world.add("host", "host:1");
    world.service("host").network_mode = NetworkMode::Host;
    world.service("host").networks.clear();
    world.up();
    let plain = |container, network| connect(container, network, ConnectOptions::default());
    let all = [
        plain("shop-cache-1", "shop_back"),
        plain("shop-web-1", "shop_front"),
        plain("shop-host-1", "shop_back"),
        disconnect("shop-web-1", "shop_front"),
    ];
    let answers: Vec<String> = all.iter().map(|intent| text(world.plan(intent))).collect();
    assert_snapshot!(answers.join("\n"), @"
    containers.shop-cache-1: container `shop-cache-1` is not there

    containers.shop-web-1: network `shop_front` is not there

    containers.shop-host-1: container `shop-host-1` has no network of its own

    containers.shop-web-1: network `shop_front` is not there
    ");
}

#[test]
fn networks_that_nobody_is_on_go_and_others_stay() {
    let mut world = world();
    world.satisfy(&disconnect("shop-web-1", "shop_default"));
    let networks = ["shop_default", "shop_back", "shop_front"].map(name);
    let intent = Intent::RemoveNetworks { project: name("shop"), networks: BTreeSet::from(networks) };
    assert_snapshot!(text(world.plan(&intent)), @"
    1 remove network shop_default   nobody is on it
    note: network `shop_back` stays: `shop-db-1` is on it
    ");
}
