//! The packet filter's table: replaced whole, held against others, taken over by the next engine.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, abort};

use trice_model::network::{FirewallBridge, FirewallSpec};
use trice_network::firewall::{FirewallError, apply_firewall, observe_firewalls, remove_firewall};
use trice_network::nftables::{NftablesError, TableOwner};

use crate::place::{Place, owned_tables_persist};
use crate::world::published;

const TABLE: &str = "trice-test-shop";

fn spec(ports: &[&str]) -> FirewallSpec {
    let backends: Vec<SocketAddr> = vec!["10.77.1.2:80".parse().unwrap()];
    let published = ports.iter().map(|port| published(port, &backends)).collect();
    FirewallSpec { table: TABLE.to_owned(), published, ..FirewallSpec::default() }
}

/// An engine on `place`, which owns its table until it is dropped.
fn engine(place: &Place) -> TableOwner {
    place.run(|| TableOwner::open().unwrap())
}

fn apply(place: &Place, ports: &[&str]) -> TableOwner {
    let mut engine = engine(place);
    place.run(|| apply_firewall(&mut engine, &spec(ports))).unwrap();
    engine
}

fn exists(place: &Place) -> bool {
    place.run(|| observe_firewalls(&mut TableOwner::open().unwrap(), TABLE)).unwrap().contains(TABLE)
}

fn published_ports(place: &Place) -> String {
    let listed = place.program(&format!("nft list map inet {TABLE} published"));
    let (_, rest) = listed.split_once("elements = {").unwrap_or_default();
    rest.split_once('}').unwrap_or_default().0.trim().to_owned()
}

#[test]
fn a_table_is_replaced_whole_and_removed_and_both_may_happen_twice() {
    let place = Place::new();
    assert!(!exists(&place));
    let mut engine = engine(&place);
    for ports in [&["8080"], &["8080"], &["9090"]] {
        place.run(|| apply_firewall(&mut engine, &spec(ports))).unwrap();
        assert!(exists(&place));
        assert_eq!(published_ports(&place), format!("tcp . {} : 10.77.1.2 . 80", ports[0]));
    }
    for _ in 0..2 {
        place.run(|| remove_firewall(&mut engine, &spec(&[]))).unwrap();
        assert!(!exists(&place));
        assert_eq!(place.program("nft list ruleset"), "");
    }
}

#[test]
fn a_table_of_our_name_that_somebody_else_made_is_replaced() {
    let place = Place::new();
    place.program(&format!("nft add table inet {TABLE}"));
    place.program(&format!("nft add chain inet {TABLE} foreign"));
    let _engine = apply(&place, &["8080"]);
    assert!(!place.program("nft list ruleset").contains("foreign"));
}

#[test]
fn where_the_kernel_lets_a_table_be_owned_others_can_neither_flush_nor_delete_nor_replace_it() {
    let place = Place::new();
    let _engine = apply(&place, &["8080"]);
    if !owned_tables_persist() {
        return; // then they are shared, and the engine finds out that its table is gone
    }
    place.program("nft flush ruleset");
    assert_eq!(published_ports(&place), "tcp . 8080 : 10.77.1.2 . 80");
    let delete = || Command::new("nft").args(["delete", "table", "inet", TABLE]).status();
    assert!(!place.run(delete).unwrap().success());
    let mut second = engine(&place);
    let error = place.run(|| apply_firewall(&mut second, &spec(&["9090"]))).unwrap_err();
    assert!(matches!(error, FirewallError::Nftables(NftablesError::Denied { .. })), "{error}");
}

#[test]
fn an_owner_that_another_process_has_kept_goes_on_as_the_owner() {
    let place = Place::new();
    let kept: OwnedFd = apply(&place, &["8080"]).into();
    place.program("nft flush ruleset");
    let mut next = TableOwner::from(kept);
    apply_firewall(&mut next, &spec(&["9090"])).unwrap();
    assert_eq!(published_ports(&place), "tcp . 9090 : 10.77.1.2 . 80");
}

#[test]
fn the_table_of_an_engine_that_was_killed_stays_and_the_next_engine_takes_it_over() {
    let place = Place::new();
    let this_test = "tables::an_engine_that_is_killed";
    let run =
        || Command::new(std::env::current_exe().unwrap()).args(["--exact", this_test, "--ignored"]).output();
    let output = place.run(run).unwrap();
    assert!(!output.status.success(), "it should have been killed");
    assert_eq!(published_ports(&place), "tcp . 8080 : 10.77.1.2 . 80");
    let mut next = apply(&place, &["9090"]);
    assert_eq!(published_ports(&place), "tcp . 9090 : 10.77.1.2 . 80");
    place.run(|| remove_firewall(&mut next, &spec(&[]))).unwrap();
    assert!(!exists(&place));
}

#[test]
#[ignore = "another test runs it, in a process of its own"]
fn an_engine_that_is_killed() {
    apply_firewall(&mut TableOwner::open().unwrap(), &spec(&["8080"])).unwrap();
    abort();
}

#[test]
fn a_table_that_the_kernel_refuses_leaves_the_old_one_as_it_was_and_says_what_was_wrong() {
    let place = Place::new();
    let mut engine = apply(&place, &["8080"]);
    let twice =
        ["10.77.1.2:80", "10.77.1.3:80"].map(|backend| published("9090", &[backend.parse().unwrap()]));
    let wrong = FirewallSpec { published: twice.to_vec(), ..spec(&[]) };
    let error = place.run(|| apply_firewall(&mut engine, &wrong)).unwrap_err();
    assert_eq!(error.to_string(), format!("write set `published` of table `{TABLE}`"));
    assert_eq!(published_ports(&place), "tcp . 8080 : 10.77.1.2 . 80");
}

#[test]
fn a_port_that_leads_to_another_version_of_ip_is_an_error_that_names_both_sides() {
    let place = Place::new();
    let backends = ["10.77.1.2:80".parse().unwrap()];
    let spec = FirewallSpec { published: vec![published("[::]:8080", &backends)], ..spec(&[]) };
    let mut engine = engine(&place);
    let error = place.run(|| apply_firewall(&mut engine, &spec)).unwrap_err();
    assert_eq!(error.to_string(), "publish [::]:8080/tcp: the packet filter cannot lead it to 10.77.1.2:80");
    assert!(!exists(&place));
}

#[test]
fn thousands_of_published_ports_are_replaced_in_one_transaction() {
    let place = Place::new();
    let ports: Vec<String> = (20_000..25_000).map(|port| port.to_string()).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let mut engine = apply(&place, &["8080"]);
    place.run(|| apply_firewall(&mut engine, &spec(&ports))).unwrap();
    assert_eq!(published_ports(&place).matches("tcp .").count(), 5000);
}

#[test]
fn networks_that_touch_or_overlap_are_no_error() {
    let place = Place::new();
    let bridge = |(number, subnet): (usize, &str)| FirewallBridge {
        link: format!("trtest{number}").parse().unwrap(),
        subnets: vec![subnet.parse().unwrap()],
        internal: true,
        icc: true,
        masquerade: false,
    };
    let subnets = ["10.77.0.0/24", "10.77.1.0/24", "10.77.0.0/22", "10.77.4.0/24", "10.77.4.0/24"];
    let spec = FirewallSpec { bridges: subnets.into_iter().enumerate().map(bridge).collect(), ..spec(&[]) };
    let mut engine = engine(&place);
    place.run(|| apply_firewall(&mut engine, &spec)).unwrap();
    let listed = place.program(&format!("nft list set inet {TABLE} subnets"));
    assert!(listed.contains("elements = { 10.77.0.0/22, 10.77.4.0/24 }"), "{listed}");
}
