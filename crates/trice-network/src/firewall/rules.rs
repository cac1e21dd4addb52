//! The packet filter of a project as values: the same rules for all projects, and sets with what is theirs.
//!
//! ```text
//!                      guard ─► connections ─► prerouting ─► routing ─► forward ─► postrouting ─► container
//! from outside ───────────┘    looked up    (ports are                 │
//!                                           published here)            └► input ─► host
//! from the host ─────────────────────────────► output ─────────────────────────► postrouting ─► container
//! ```
//!
//! Every table only drops: an accept ends a chain of its own table alone, so that tables of several projects, and
//! those of other programs, live side by side without a lock.
//!
//! Source: `nft(8)`; Linux `Documentation/networking/ip-sysctl.rst`, "route_localnet".

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trice_model::network::FirewallSpec;
use trice_model::port::Protocol;

use super::FirewallError;
use super::sets::{
    BRIDGES, INTERNAL, PUBLISHED, PUBLISHED_AT, PublishedIpv4, REFUSED, REFUSED_AT, SPREAD, SPREAD_AT,
    SUBNETS, TALK, backend_map, bridge_sets, port_sets,
};
use crate::nftables::rule::{Field, Rejection, Rule, State, Statement, Verdict};
use crate::nftables::table::{Chain, Family, Hook, Kind, Point, Priority, Table};
use crate::nftables::value::Value;

/// The family of the tables.
pub(crate) const FAMILY: Family = Family::Inet;

/// The chain in which published ports lead to containers.
const PUBLISH: &str = "publish";

const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

const IN: &[Field] = &[Field::InputInterface];
const OUT: &[Field] = &[Field::OutputInterface];
const THROUGH: &[Field] = &[Field::InputInterface, Field::OutputInterface];
const FROM: &[Field] = &[Field::Source];
const TO: &[Field] = &[Field::Destination];
const PORT: &[Field] = &[Field::Protocol, Field::DestinationPort];
const PORT_AT: &[Field] = &[Field::Destination, Field::Protocol, Field::DestinationPort];

/// Returns the table that makes what `spec` says true.
///
/// # Errors
/// [`FirewallError::Ipv6`]: a port of an IPv6 address, or a container's, cannot be published this way yet.
pub(crate) fn table(spec: &FirewallSpec) -> Result<Table, FirewallError> {
    let ports = spec.published.iter().map(PublishedIpv4::of).collect::<Result<Vec<_>, _>>()?;
    let spread: Vec<&PublishedIpv4> = ports.iter().filter(|port| port.backends.len() > 1).collect();
    let mut table = Table { family: FAMILY, name: spec.table.clone(), sets: Vec::new(), chains: Vec::new() };
    table.sets.extend(bridge_sets(&spec.bridges));
    table.sets.extend(port_sets(&ports));
    table.sets.extend(spread.iter().map(|port| backend_map(port)));
    table.chains.extend([guard(), prerouting(), output(), publish()]);
    table.chains.extend(spread.iter().map(|port| turns(port)));
    table.chains.extend([forward(), input(), postrouting()]);
    Ok(table)
}

/// Keeps out what would reach containers or the host's loopback without having come the right way.
///
/// `route_localnet` lets packets for 127.0.0.0/8 in, which a published port of 127.0.0.1 needs. Without the first rule
/// any neighbour on the network could then reach such ports, and any container all services of the host's loopback.
fn guard() -> Chain {
    let not_loopback = || Statement::IsNot(Field::InputInterface, Value::Interface("lo".to_owned()));
    hooked(
        "guard",
        Kind::Filter,
        Point::Prerouting,
        Priority::Raw,
        vec![
            rule([not_loopback(), Statement::Is(Field::Destination, Value::Network(LOOPBACK)), DROP]),
            rule([not_loopback(), Statement::NotIn(IN, BRIDGES), Statement::In(TO, SUBNETS), DROP]),
        ],
    )
}

/// What is for a published port of an address of the host goes to a container.
fn prerouting() -> Chain {
    let rules = vec![rule([Statement::Ipv4, Statement::ForThisHost, to_publish()])];
    hooked("prerouting", Kind::Nat, Point::Prerouting, Priority::Destination, rules)
}

/// The same for what the host itself sends to its own addresses, 127.0.0.1 included.
fn output() -> Chain {
    let rules = vec![rule([Statement::Ipv4, Statement::ForThisHost, to_publish()])];
    hooked("output", Kind::Nat, Point::Output, Priority::Destination, rules)
}

/// One address of the host comes before all of them. A map without the port lets the next rule try.
fn publish() -> Chain {
    plain(
        PUBLISH,
        vec![
            rule([Statement::Choose(PORT_AT, SPREAD_AT)]),
            rule([Statement::Translate(PORT_AT, PUBLISHED_AT)]),
            rule([Statement::Choose(PORT, SPREAD)]),
            rule([Statement::Translate(PORT, PUBLISHED)]),
        ],
    )
}

/// Spreads the connections of one port over its containers.
fn turns(port: &PublishedIpv4) -> Chain {
    let of = port.backends.len() as u32;
    plain(&port.name(), vec![rule([Statement::TakeTurns { of, map: port.name() }])])
}

/// Keeps networks apart. Packets that have nothing to do with our bridges pass at once; those of ours that belong to no
/// known connection do not pass, since nobody would give them the host's address on their way out.
///
/// Internal networks are shut before published ports are let through. The rule about talking comes before those about internal networks: with `bridge-nf-call-iptables` this chain sees
/// packets between two containers of one bridge too.
fn forward() -> Chain {
    hooked(
        "forward",
        Kind::Filter,
        Point::Forward,
        Priority::Filter,
        vec![
            rule([Statement::NotIn(IN, BRIDGES), Statement::NotIn(OUT, BRIDGES), ACCEPT]),
            rule([Statement::State(&[State::Invalid]), DROP]),
            rule([Statement::State(&[State::Established, State::Related]), ACCEPT]),
            rule([Statement::In(THROUGH, TALK), ACCEPT]),
            rule([Statement::In(IN, INTERNAL), DROP]),
            rule([Statement::In(OUT, INTERNAL), DROP]),
            rule([Statement::Translated, ACCEPT]),
            rule([Statement::In(OUT, BRIDGES), DROP]),
        ],
    )
}

/// Keeps containers of internal networks from the host's services, and tells callers of a published port that no
/// container is there: the socket that keeps the port for us would let them wait.
fn input() -> Chain {
    let tcp = || Statement::Is(Field::Protocol, Value::Protocol(Protocol::Tcp));
    let mut rules =
        vec![rule([Statement::In(IN, INTERNAL), Statement::State(&[State::Invalid, State::New]), DROP])];
    for (fields, set) in [(PORT_AT, REFUSED_AT), (PORT, REFUSED)] {
        let refused = || Statement::In(fields, set);
        rules.push(rule([refused(), tcp(), Statement::Reject(Rejection::Reset)]));
        rules.push(rule([refused(), Statement::Reject(Rejection::PortUnreachable)]));
    }
    hooked("input", Kind::Filter, Point::Input, Priority::Filter, rules)
}

/// Makes answers come back through the host where they would not by themselves: those to 127.0.0.1, those between a
/// container and a published port of its own network, and those from outside.
///
/// It asks for the sender's network and not for the interface that the packet came in by, because for packets on a
/// bridge there is none at this point, and the second rule would silently fail.
fn postrouting() -> Chain {
    let not_loopback = Statement::IsNot(Field::OutputInterface, Value::Interface("lo".to_owned()));
    let from_loopback = Statement::Is(Field::Source, Value::Network(LOOPBACK));
    hooked(
        "postrouting",
        Kind::Nat,
        Point::Postrouting,
        Priority::Source,
        vec![
            rule([Statement::In(OUT, BRIDGES), from_loopback, Statement::Masquerade]),
            rule([
                Statement::In(FROM, SUBNETS),
                Statement::In(OUT, BRIDGES),
                Statement::Translated,
                Statement::Masquerade,
            ]),
            rule([
                Statement::In(FROM, SUBNETS),
                Statement::NotIn(OUT, BRIDGES),
                not_loopback,
                Statement::Masquerade,
            ]),
        ],
    )
}

const ACCEPT: Statement = Statement::Then(Verdict::Accept);
const DROP: Statement = Statement::Then(Verdict::Drop);

fn to_publish() -> Statement {
    Statement::Then(Verdict::Jump(PUBLISH.to_owned()))
}

fn rule(statements: impl Into<Vec<Statement>>) -> Rule {
    Rule(statements.into())
}

fn hooked(name: &str, kind: Kind, point: Point, priority: Priority, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

fn plain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use trice_model::network::{FirewallBridge, FirewallPort};

    use super::*;
    use crate::namespace::in_new_namespace;
    use crate::nftables::{TableOwner, replace};

    fn bridge(link: &str, subnet: &str, internal: bool, icc: bool) -> FirewallBridge {
        FirewallBridge { link: link.parse().unwrap(), subnet: subnet.parse().unwrap(), internal, icc }
    }

    fn port(host_ip: Option<&str>, host_port: u16, protocol: Protocol, backends: &[&str]) -> FirewallPort {
        FirewallPort {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port,
            protocol,
            backends: backends.iter().map(|backend| backend.parse().unwrap()).collect(),
        }
    }

    fn shop() -> Table {
        let spec = FirewallSpec {
            table: "trice-4f2a-shop".to_owned(),
            bridges: vec![
                bridge("tr4f2afront", "172.18.0.0/24", false, true),
                bridge("tr4f2aback", "172.19.0.0/24", true, true),
                bridge("tr4f2aquiet", "172.20.0.0/24", false, false),
            ],
            published: vec![
                port(None, 8080, Protocol::Tcp, &["172.18.0.2:80", "172.18.0.3:80", "172.18.0.4:80"]),
                port(Some("127.0.0.1"), 5432, Protocol::Tcp, &["172.18.0.5:5432"]),
                port(Some("0.0.0.0"), 53, Protocol::Udp, &["172.18.0.6:53"]),
                port(Some("192.0.2.1"), 9090, Protocol::Sctp, &["172.18.0.7:90", "172.18.0.8:90"]),
                port(None, 9091, Protocol::Tcp, &[]),
                port(Some("192.0.2.1"), 9092, Protocol::Udp, &[]),
            ],
        };
        table(&spec).unwrap()
    }

    /// Returns the lines of a listing without blanks; those of sets with their elements in order, as `nft` lists them
    /// in the order of a hash.
    fn lines(listing: &str) -> Vec<String> {
        let joined = listing.replace(",\n", ","); // `nft` wraps long lists
        let words = |line: &str| {
            let (text, _) = line.split_once(" # ").unwrap_or((line, "")); // who owns the table
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let ordered = |line: String| match line
            .strip_prefix("elements = { ")
            .and_then(|rest| rest.strip_suffix(" }"))
        {
            Some(elements) => {
                let mut elements: Vec<&str> = elements.split(',').map(str::trim).collect();
                elements.sort_unstable();
                elements.join(", ")
            }
            None => line,
        };
        let lines = joined.lines().map(words).map(ordered);
        lines.filter(|line| !line.is_empty() && line != "flags owner").collect()
    }

    #[test]
    fn the_packet_filter_of_a_project_reads_like_this() {
        insta::assert_snapshot!(shop(), @r#"
        table inet trice-4f2a-shop {
            set bridges {
                type ifname
                elements = { "tr4f2afront", "tr4f2aback", "tr4f2aquiet" }
            }
            set internal {
                type ifname
                elements = { "tr4f2aback" }
            }
            set subnets {
                type ipv4_addr
                flags interval
                elements = { 172.18.0.0/24, 172.19.0.0/24, 172.20.0.0/24 }
            }
            set talk {
                type ifname . ifname
                elements = { "tr4f2afront" . "tr4f2afront", "tr4f2aback" . "tr4f2aback" }
            }
            map published-at {
                type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
                elements = { 127.0.0.1 . tcp . 5432 : 172.18.0.5 . 5432 }
            }
            map published {
                type inet_proto . inet_service : ipv4_addr . inet_service
                elements = { udp . 53 : 172.18.0.6 . 53 }
            }
            map spread-at {
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = { 192.0.2.1 . sctp . 9090 : goto spread-sctp-9090-at-192.0.2.1 }
            }
            map spread {
                type inet_proto . inet_service : verdict
                elements = { tcp . 8080 : goto spread-tcp-8080 }
            }
            set refused-at {
                type ipv4_addr . inet_proto . inet_service
                elements = { 192.0.2.1 . udp . 9092 }
            }
            set refused {
                type inet_proto . inet_service
                elements = { tcp . 9091 }
            }
            map spread-tcp-8080 {
                type mark : ipv4_addr . inet_service
                elements = { 0x00000000 : 172.18.0.2 . 80, 0x00000001 : 172.18.0.3 . 80, 0x00000002 : 172.18.0.4 . 80 }
            }
            map spread-sctp-9090-at-192.0.2.1 {
                type mark : ipv4_addr . inet_service
                elements = { 0x00000000 : 172.18.0.7 . 90, 0x00000001 : 172.18.0.8 . 90 }
            }
            chain guard {
                type filter hook prerouting priority raw; policy accept;
                iifname != "lo" ip daddr 127.0.0.0/8 drop
                iifname != "lo" iifname != @bridges ip daddr @subnets drop
            }
            chain prerouting {
                type nat hook prerouting priority dstnat; policy accept;
                meta nfproto ipv4 fib daddr type local jump publish
            }
            chain output {
                type nat hook output priority -100; policy accept;
                meta nfproto ipv4 fib daddr type local jump publish
            }
            chain publish {
                ip daddr . meta l4proto . th dport vmap @spread-at
                dnat ip to ip daddr . meta l4proto . th dport map @published-at
                meta l4proto . th dport vmap @spread
                dnat ip to meta l4proto . th dport map @published
            }
            chain spread-tcp-8080 {
                dnat ip to numgen inc mod 3 map @spread-tcp-8080
            }
            chain spread-sctp-9090-at-192.0.2.1 {
                dnat ip to numgen inc mod 2 map @spread-sctp-9090-at-192.0.2.1
            }
            chain forward {
                type filter hook forward priority filter; policy accept;
                iifname != @bridges oifname != @bridges accept
                ct state invalid drop
                ct state established,related accept
                iifname . oifname @talk accept
                iifname @internal drop
                oifname @internal drop
                ct status dnat accept
                oifname @bridges drop
            }
            chain input {
                type filter hook input priority filter; policy accept;
                iifname @internal ct state invalid,new drop
                ip daddr . meta l4proto . th dport @refused-at meta l4proto tcp reject with tcp reset
                ip daddr . meta l4proto . th dport @refused-at reject
                meta l4proto . th dport @refused meta l4proto tcp reject with tcp reset
                meta l4proto . th dport @refused reject
            }
            chain postrouting {
                type nat hook postrouting priority srcnat; policy accept;
                oifname @bridges ip saddr 127.0.0.0/8 masquerade
                ip saddr @subnets oifname @bridges ct status dnat masquerade
                ip saddr @subnets oifname != @bridges oifname != "lo" masquerade
            }
        }
        "#);
    }

    #[test]
    fn the_kernel_holds_what_the_text_says() {
        let listed = in_new_namespace(|_| {
            let mut owner = TableOwner::open().unwrap();
            replace(&mut owner, &shop()).expect("this test takes root");
            let list = ["list", "table", "inet", "trice-4f2a-shop"];
            Command::new("nft").args(list).output().expect("this test asks `nft` (Debian: nftables)").stdout
        });
        let listed = String::from_utf8(listed.expect("this test takes root")).unwrap();
        assert_eq!(lines(&listed).join("\n"), lines(&shop().to_string()).join("\n"));
    }
}
