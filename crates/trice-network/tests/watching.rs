//! Changes of the network by others.

use std::io::ErrorKind;
use std::time::Duration;

use trice_model::network::FirewallSpec;
use trice_network::firewall::apply_firewall;
use trice_network::nftables::TableOwner;
use trice_network::watch::{Change, Watch};

use crate::place::Place;

#[test]
fn routes_and_packet_filters_of_others_are_heard_of_and_our_own_filters_are_not() {
    let place = Place::new();
    place.run(|| {
        let mut watch = Watch::open().unwrap();
        let soon = Some(crate::place::SOON);
        // Our own table makes no noise: what is heard first is what comes after it.
        let mut owner = TableOwner::open().unwrap();
        let (bridges, guarded, published) = (Vec::new(), Vec::new(), Vec::new());
        let spec = FirewallSpec { table: "trice-test".to_owned(), bridges, guarded, published, way_back: 0 };
        apply_firewall(&mut owner, &spec).unwrap();
        let quiet = watch.next(Some(Duration::from_millis(50))).unwrap_err();
        assert_eq!(quiet.kind(), ErrorKind::TimedOut);
        program("ip route add 203.0.113.0/24 dev lo");
        assert_eq!(watch.next(soon).unwrap(), Change::Routes);
        program("nft add table ip other");
        while watch.next(soon).unwrap() != Change::Filters {}
    });
}

/// Runs a program in the namespace of this thread.
fn program(line: &str) {
    let mut words = line.split(' ');
    let status = std::process::Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}");
}
