//! Packet filters of others on the same machine.

use std::net::SocketAddr;

use trice_model::port::Protocol::Tcp;
use trice_network::neighbours::{Neighbours, admit, look, withdraw};
use trice_network::nftables::TableOwner;

use crate::place::{Place, SILENCE};
use crate::server::Server;
use crate::world::{HOST, REMOTE, World};

const MARK: &str = "trice-test";

/// What Docker leaves in the chains that every packet passes through.
const DOCKER: [&str; 8] = [
    "iptables-nft -P FORWARD DROP",
    "iptables-nft -N DOCKER-USER",
    "iptables-nft -A DOCKER-USER -j RETURN",
    "iptables-nft -N DOCKER",
    "iptables-nft -A DOCKER ! -i docker0 -o docker0 -j DROP",
    "iptables-nft -A FORWARD -j DOCKER-USER",
    "iptables-nft -A FORWARD -o docker0 -j DOCKER",
    "iptables-nft -A FORWARD -i docker0 -j ACCEPT",
];

/// What ufw leaves there.
const UFW: [&str; 9] = [
    "iptables-nft -P FORWARD DROP",
    "iptables-nft -P INPUT DROP",
    "iptables-nft -N ufw-user-input",
    "iptables-nft -N ufw-user-forward",
    "iptables-nft -N ufw-reject-forward",
    "iptables-nft -A ufw-reject-forward -j REJECT",
    "iptables-nft -A FORWARD -j ufw-user-forward",
    "iptables-nft -A FORWARD -j ufw-reject-forward",
    "iptables-nft -A INPUT -j ufw-user-input",
];

/// What firewalld leaves there.
const FIREWALLD: [&str; 5] = [
    "nft add table inet firewalld",
    "nft add chain inet firewalld filter_FORWARD { type filter hook forward priority 10 ; policy accept ; }",
    "nft add chain inet firewalld filter_INPUT { type filter hook input priority 10 ; policy accept ; }",
    "nft add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
    "nft add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited",
];

fn seen(place: &Place) -> Neighbours {
    place.run(|| look(&mut TableOwner::open().unwrap(), MARK)).unwrap()
}

fn let_in(place: &Place) {
    place.run(|| {
        let mut owner = TableOwner::open().unwrap();
        let found = look(&mut owner, MARK).unwrap();
        admit(&mut owner, &found, MARK, "trtest", &[]).unwrap();
    });
}

/// Returns the chains of others that are closed.
fn closed(place: &Place) -> Vec<String> {
    seen(place).closed.iter().map(ToString::to_string).collect()
}

#[test]
fn packets_of_ours_pass_through_each_of_them_once_they_are_let_in_and_no_longer_when_we_leave() {
    for (name, rules) in [("docker", &DOCKER[..]), ("ufw", &UFW), ("firewalld", &FIREWALLD)] {
        let mut world = World::new(&["front"]);
        let (web, _web) = world.server("web", "front", 2, Tcp, 80);
        let _remote = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
        world.publish("8080", &[SocketAddr::new(web.address().into(), 80)]);
        for rule in rules {
            world.host.program(rule);
        }
        let before = world.host.program("nft -s list ruleset");
        let in_and_out = || {
            let goes_in = world.remote.outcome(Tcp, &format!("{HOST}:8080")).starts_with("web");
            let goes_out = web.place.outcome(Tcp, &format!("{REMOTE}:80")).starts_with("remote");
            (goes_in, goes_out)
        };
        assert_eq!(in_and_out(), (false, false), "{name} drops what it does not know");
        assert!(!seen(&world.host).are_open(), "{name}");
        let_in(&world.host);
        let_in(&world.host);
        assert!(seen(&world.host).are_open(), "{name}");
        assert_eq!(in_and_out(), (true, true), "{name}");
        assert_ne!(world.host.program("nft -s list ruleset"), before);
        world.host.run(|| {
            let mut owner = TableOwner::open().unwrap();
            let found = look(&mut owner, MARK).unwrap();
            withdraw(&mut owner, &found).unwrap();
        });
        assert_eq!(world.host.program("nft -s list ruleset"), before, "{name} is as it was");
    }
}

#[test]
fn what_their_rules_turn_away_by_name_stays_turned_away() {
    let world = World::new(&["front"]);
    let web = world.instance("web", &["front"], 2);
    let _remote = Server::start(&world.remote, Tcp, "0.0.0.0:80", "remote");
    DOCKER.iter().for_each(|rule| drop(world.host.program(rule)));
    world.host.program(&format!("iptables-nft -I DOCKER-USER -d {REMOTE} -j DROP"));
    let_in(&world.host);
    assert_eq!(web.place.outcome(Tcp, &format!("{REMOTE}:80")), SILENCE);
    // Their own program reads our rules as its own.
    let listed = world.host.program("iptables-nft -S FORWARD");
    assert!(listed.contains("-A FORWARD -i trtest+ -m comment --comment trice-test -j ACCEPT"), "{listed}");
    assert!(listed.contains("-A FORWARD -o trtest+ -m comment --comment trice-test -j ACCEPT"), "{listed}");
}

#[test]
fn they_are_known_by_their_names_and_open_ones_are_none() {
    let names = |rules: &[&str]| {
        let place = Place::new();
        rules.iter().for_each(|rule| drop(place.program(rule)));
        (seen(&place).firewalls, closed(&place))
    };
    let lines = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&[]), (vec![], vec![]));
    assert_eq!(names(&DOCKER), (vec![], lines(&["ip filter FORWARD"])));
    assert_eq!(names(&UFW), (lines(&["ufw"]), lines(&["ip filter FORWARD", "ip filter INPUT"])));
    let both = lines(&["inet firewalld filter_FORWARD", "inet firewalld filter_INPUT"]);
    assert_eq!(names(&FIREWALLD), (lines(&["firewalld"]), both));
    let own = [
        "nft add table inet mine",
        "nft add chain inet mine in { type filter hook input priority 0 ; policy drop ; }",
        "nft add rule inet mine in tcp dport 22 accept",
    ];
    assert_eq!(names(&own).0, ["nftables table `inet mine`"]);
    assert_eq!(names(&["iptables-nft -P INPUT DROP"]).0, ["iptables"]);
    // Rules that turn some packets away leave the rest alone.
    let open = [
        "nft add table inet mine",
        "nft add chain inet mine in { type filter hook input priority 0 ; }",
        "nft add rule inet mine in tcp dport 23 drop",
        "nft add chain inet mine through { type filter hook forward priority 0 ; }",
        "nft add rule inet mine through ip saddr 192.0.2.77 reject",
    ];
    assert_eq!(names(&open), (vec![], vec![]));
}
