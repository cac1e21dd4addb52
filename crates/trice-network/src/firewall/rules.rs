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

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trice_model::network::{FirewallSpec, Way};
use trice_model::port::Protocol;

use super::FirewallError;
use super::sets::{BRIDGES, INTERNAL, Led, TALK, backend_map, bridge_sets, port_sets, subnet_sets};
use super::version::Words;
use crate::nftables::rule::{Field, Rejection, Rule, State, Statement, Verdict, Version};
use crate::nftables::table::{Chain, Family, Hook, Kind, Point, Priority, Table};
use crate::nftables::value::Value;

/// The family of the tables.
pub(crate) const FAMILY: Family = Family::Inet;

const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));
/// What no other machine is asked for, and no rule can lead elsewhere: the kernel routes no answer to `::1`, and no
/// packet of a link's own addresses to another link.
const UNLED: [Value; 2] = [
    Value::Ipv6(Ipv6Addr::LOCALHOST),
    Value::Network(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10))),
];

pub(super) const IN: &[Field] = &[Field::InputInterface];
const OUT: &[Field] = &[Field::OutputInterface];
const THROUGH: &[Field] = &[Field::InputInterface, Field::OutputInterface];
const PORT: &[Field] = &[Field::Protocol, Field::DestinationPort];

/// Returns the table that makes what `spec` says true. Without any IPv6 in it, it asks nothing of the kernel's IPv6.
///
/// # Errors
/// [`FirewallError::Family`]: a port leads from one version of IP to the other.
pub(super) fn table(spec: &FirewallSpec) -> Result<Table, FirewallError> {
    let mut ports = Vec::new();
    for port in &spec.published {
        ports.extend(Led::of(port)?);
    }
    let has_ipv6 = spec.bridges.iter().any(|bridge| bridge.subnets.iter().any(|net| net.addr().is_ipv6()))
        || ports.iter().any(|port| port.version() == Version::V6);
    let mut versions = vec![Words::of(Version::V4)];
    versions.extend(has_ipv6.then(|| Words::of(Version::V6)));
    let spread: Vec<&Led> = ports.iter().filter(|port| port.backends.len() > 1).collect();
    let mut table = Table { family: FAMILY, name: spec.table.clone(), sets: Vec::new(), chains: Vec::new() };
    table.sets.extend(bridge_sets(&spec.bridges));
    for words in &versions {
        table.sets.extend(subnet_sets(words, &spec.bridges));
        table.sets.extend(port_sets(words, &ports));
    }
    table.sets.extend(spread.iter().map(|port| backend_map(port)));
    table.chains.push(guard(&versions));
    table.chains.extend(spec.published.iter().any(|port| port.way == Way::Transparent).then(divert));
    table.chains.extend([prerouting(&versions), output(&versions)]);
    table.chains.extend(versions.iter().flat_map(|words| [publish(words), refuse(words)]));
    table.chains.extend(spread.iter().map(|port| turns(port)));
    table.chains.extend([forward(), input(&versions), postrouting(&versions)]);
    Ok(table)
}

/// Keeps out what would reach containers or the host's loopback without having come the right way.
///
/// `route_localnet` lets packets for 127.0.0.0/8 in, which a published port of 127.0.0.1 needs. Without the first rule
/// any neighbour on the network could then reach such ports, and any container all services of the host's loopback.
/// The kernel itself turns away what comes for `::1`.
fn guard(versions: &[&Words]) -> Chain {
    let not_loopback = || Statement::IsNot(Field::InputInterface, Value::Interface("lo".to_owned()));
    let for_loopback = Statement::Is(Field::Destination(Version::V4), Value::Network(LOOPBACK));
    let mut rules = vec![rule([not_loopback(), for_loopback, DROP])];
    for words in versions {
        let to_subnets = Statement::In(words.to, words.subnets);
        // What is for others, and that is nearly all, is told by one look.
        rules.push(rule([to_subnets, not_loopback(), Statement::NotIn(IN, BRIDGES), DROP]));
    }
    hooked("guard", Kind::Filter, Point::Prerouting, Priority::Raw, rules)
}

/// Keeps answers to our proxy's sockets on this machine: those sockets have the callers' addresses, and the answers
/// would go to the callers. The mark leads to a table of routes of our own.
fn divert() -> Chain {
    let rules = vec![rule([Statement::ForTransparentSocket, Statement::SetMark(crate::divert::MARK)])];
    hooked("divert", Kind::Filter, Point::Prerouting, Priority::Mangle, rules)
}

/// What is for a published port of an address of the host goes to a container.
fn prerouting(versions: &[&Words]) -> Chain {
    hooked("prerouting", Kind::Nat, Point::Prerouting, Priority::Destination, to_publish(versions))
}

/// The same for what the host itself sends to its own addresses, 127.0.0.1 included.
fn output(versions: &[&Words]) -> Chain {
    hooked("output", Kind::Nat, Point::Output, Priority::Destination, to_publish(versions))
}

fn to_publish(versions: &[&Words]) -> Vec<Rule> {
    let jump = |words: &&Words| {
        let jump = Statement::Then(Verdict::Jump(words.publish.to_owned()));
        rule([Statement::Version(words.version), Statement::ForThisHost, jump])
    };
    versions.iter().map(jump).collect()
}

/// One address of the host comes before all of them. A map without the port lets the next rule try.
fn publish(words: &Words) -> Chain {
    let unled = UNLED.into_iter().filter(|_| words.version == Version::V6);
    let mut rules: Vec<Rule> =
        unled.map(|value| rule([Statement::Is(Field::Destination(Version::V6), value), RETURN])).collect();
    rules.extend([
        rule([Statement::Choose(words.port_at, words.spread_at)]),
        rule([Statement::Translate(words.version, words.port_at, words.published_at)]),
        rule([Statement::Choose(PORT, words.spread)]),
        rule([Statement::Translate(words.version, PORT, words.published)]),
    ]);
    plain(words.publish, rules)
}

/// Spreads the connections of one port over its containers.
fn turns(port: &Led) -> Chain {
    let (version, of) = (port.version(), port.backends.len() as u32);
    plain(&port.name(), vec![rule([Statement::TakeTurns { version, of, map: port.name() }])])
}

/// Keeps networks apart. What belongs to a known connection passes at once, whoever's it is, and then what has nothing to
/// do with our bridges; what is ours and belongs to no connection does not pass, since nobody would give it the host's
/// address on its way out.
///
/// Internal networks are shut before published ports are let through. The rule about talking comes before those about
/// internal networks: with `bridge-nf-call-iptables` this chain sees packets between two containers of one bridge too.
fn forward() -> Chain {
    hooked(
        "forward",
        Kind::Filter,
        Point::Forward,
        Priority::Filter,
        vec![
            rule([known(), ACCEPT]),
            rule([Statement::NotIn(IN, BRIDGES), Statement::NotIn(OUT, BRIDGES), ACCEPT]),
            rule([Statement::State(&[State::Invalid]), DROP]),
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
fn input(versions: &[&Words]) -> Chain {
    let mut rules = vec![
        rule([known(), ACCEPT]),
        rule([Statement::In(IN, INTERNAL), Statement::State(&[State::Invalid, State::New]), DROP]),
    ];
    rules.extend(versions.iter().map(|words| {
        let jump = Statement::Then(Verdict::Jump(words.refuse.to_owned()));
        rule([Statement::Version(words.version), jump])
    }));
    hooked("input", Kind::Filter, Point::Input, Priority::Filter, rules)
}

/// Refuses connections to ports without a container.
fn refuse(words: &Words) -> Chain {
    let tcp = || Statement::Is(Field::Protocol, Value::Protocol(Protocol::Tcp));
    let mut rules = Vec::new();
    for (fields, set) in [(words.port_at, words.refused_at), (PORT, words.refused)] {
        let refused = || Statement::In(fields, set);
        rules.push(rule([refused(), tcp(), Statement::Reject(Rejection::Reset)]));
        rules.push(rule([refused(), Statement::Reject(Rejection::PortUnreachable)]));
    }
    plain(words.refuse, rules)
}

/// Makes answers come back through the host where they would not by themselves: those to 127.0.0.1, those between a
/// container and a published port of its own network, and those from outside.
///
/// It asks for the sender's network and not for the interface that the packet came in by, because for packets on a
/// bridge there is none at this point, and the second rule would silently fail.
fn postrouting(versions: &[&Words]) -> Chain {
    let not_loopback = || Statement::IsNot(Field::OutputInterface, Value::Interface("lo".to_owned()));
    let from_loopback = Statement::Is(Field::Source(Version::V4), Value::Network(LOOPBACK));
    let mut rules = vec![rule([Statement::In(OUT, BRIDGES), from_loopback, Statement::Masquerade])];
    for words in versions {
        rules.push(rule([
            Statement::In(words.from, words.subnets),
            Statement::In(OUT, BRIDGES),
            Statement::Translated,
            Statement::Masquerade,
        ]));
        rules.push(rule([
            Statement::In(words.from, words.masqueraded),
            Statement::NotIn(OUT, BRIDGES),
            not_loopback(),
            Statement::Masquerade,
        ]));
    }
    hooked("postrouting", Kind::Nat, Point::Postrouting, Priority::Source, rules)
}

/// What belongs to a connection that was let through.
const fn known() -> Statement {
    Statement::State(&[State::Established, State::Related])
}

pub(super) const ACCEPT: Statement = Statement::Then(Verdict::Accept);
pub(super) const DROP: Statement = Statement::Then(Verdict::Drop);
const RETURN: Statement = Statement::Then(Verdict::Return);

pub(super) fn rule(statements: impl Into<Vec<Statement>>) -> Rule {
    Rule(statements.into())
}

pub(super) fn hooked(name: &str, kind: Kind, point: Point, priority: Priority, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

fn plain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use trice_model::network::{FirewallBridge, FirewallPort, GuardedPort};

    use super::*;
    use crate::firewall::guard;
    use crate::namespace::in_new_namespace;
    use crate::nftables::{TableOwner, replace};

    fn bridge(link: &str, subnets: &[&str], internal: bool, icc: bool) -> FirewallBridge {
        let subnets = subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
        FirewallBridge { link: link.parse().unwrap(), subnets, internal, icc, masquerade: !internal }
    }

    fn port(host_ip: &str, host_port: u16, protocol: Protocol, backends: &[&str]) -> FirewallPort {
        FirewallPort {
            host_ip: host_ip.parse().unwrap(),
            host_port,
            protocol,
            backends: backends.iter().map(|backend| backend.parse().unwrap()).collect(),
            way: Way::Direct,
        }
    }

    fn shop() -> [Table; 2] {
        let transparent = FirewallPort {
            way: Way::Transparent,
            ..port("0.0.0.0", 443, Protocol::Tcp, &["172.18.0.2:443"])
        };
        let spec = FirewallSpec {
            table: "trice-4f2a-shop".to_owned(),
            bridges: vec![
                bridge("tr4f2afront", &["172.18.0.0/24", "fd00:18::/64"], false, true),
                bridge("tr4f2aback", &["172.19.0.0/24"], true, true),
                bridge("tr4f2aquiet", &["172.20.0.0/24"], false, false),
            ],
            guarded: vec![GuardedPort {
                link: "tr4f2a0001".parse().unwrap(),
                mac: "02:42:ac:12:00:02".parse().unwrap(),
                addresses: vec!["172.18.0.2".parse().unwrap(), "fd00:18::2".parse().unwrap()],
            }],
            published: vec![
                port("0.0.0.0", 8080, Protocol::Tcp, &["172.18.0.2:80", "172.18.0.3:80", "172.18.0.4:80"]),
                port("::", 8080, Protocol::Tcp, &["[fd00:18::2]:80", "[fd00:18::3]:80"]),
                port("127.0.0.1", 5432, Protocol::Tcp, &["172.18.0.5:5432"]),
                port("2001:db8::1", 5432, Protocol::Tcp, &["[fd00:18::5]:5432"]),
                port("0.0.0.0", 53, Protocol::Udp, &["172.18.0.6:53"]),
                port("::", 53, Protocol::Udp, &["[fd00:18::6]:53"]),
                port("192.0.2.1", 9090, Protocol::Sctp, &["172.18.0.7:90", "172.18.0.8:90"]),
                port("0.0.0.0", 9091, Protocol::Tcp, &[]),
                port("::", 9091, Protocol::Tcp, &[]),
                port("192.0.2.1", 9092, Protocol::Udp, &[]),
                transparent,
            ],
            way_back: 0,
        };
        [table(&spec).unwrap(), guard::table(&spec)]
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
        insta::assert_snapshot!(shop()[0], @r#"
        table inet trice-4f2a-shop {
            set bridges {
                type ifname
                elements = { "tr4f2afront", "tr4f2aback", "tr4f2aquiet" }
            }
            set internal {
                type ifname
                elements = { "tr4f2aback" }
            }
            set talk {
                type ifname . ifname
                elements = { "tr4f2afront" . "tr4f2afront", "tr4f2aback" . "tr4f2aback" }
            }
            set subnets {
                type ipv4_addr
                flags interval
                elements = { 172.18.0.0/24, 172.19.0.0/24, 172.20.0.0/24 }
            }
            set masqueraded {
                type ipv4_addr
                flags interval
                elements = { 172.18.0.0/24, 172.20.0.0/24 }
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
            set subnets6 {
                type ipv6_addr
                flags interval
                elements = { fd00:18::/64 }
            }
            set masqueraded6 {
                type ipv6_addr
                flags interval
                elements = { fd00:18::/64 }
            }
            map published6-at {
                type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
                elements = { 2001:db8::1 . tcp . 5432 : fd00:18::5 . 5432 }
            }
            map published6 {
                type inet_proto . inet_service : ipv6_addr . inet_service
                elements = { udp . 53 : fd00:18::6 . 53 }
            }
            map spread6-at {
                type ipv6_addr . inet_proto . inet_service : verdict
            }
            map spread6 {
                type inet_proto . inet_service : verdict
                elements = { tcp . 8080 : goto spread6-tcp-8080 }
            }
            set refused6-at {
                type ipv6_addr . inet_proto . inet_service
            }
            set refused6 {
                type inet_proto . inet_service
                elements = { tcp . 9091 }
            }
            map spread-tcp-8080 {
                type mark : ipv4_addr . inet_service
                elements = { 0x00000000 : 172.18.0.2 . 80, 0x00000001 : 172.18.0.3 . 80, 0x00000002 : 172.18.0.4 . 80 }
            }
            map spread6-tcp-8080 {
                type mark : ipv6_addr . inet_service
                elements = { 0x00000000 : fd00:18::2 . 80, 0x00000001 : fd00:18::3 . 80 }
            }
            map spread-sctp-9090-at-192.0.2.1 {
                type mark : ipv4_addr . inet_service
                elements = { 0x00000000 : 172.18.0.7 . 90, 0x00000001 : 172.18.0.8 . 90 }
            }
            chain guard {
                type filter hook prerouting priority raw; policy accept;
                iifname != "lo" ip daddr 127.0.0.0/8 drop
                ip daddr @subnets iifname != "lo" iifname != @bridges drop
                ip6 daddr @subnets6 iifname != "lo" iifname != @bridges drop
            }
            chain divert {
                type filter hook prerouting priority mangle; policy accept;
                socket transparent 1 meta mark set 0x74726963
            }
            chain prerouting {
                type nat hook prerouting priority dstnat; policy accept;
                meta nfproto ipv4 fib daddr type local jump publish
                meta nfproto ipv6 fib daddr type local jump publish6
            }
            chain output {
                type nat hook output priority -100; policy accept;
                meta nfproto ipv4 fib daddr type local jump publish
                meta nfproto ipv6 fib daddr type local jump publish6
            }
            chain publish {
                ip daddr . meta l4proto . th dport vmap @spread-at
                dnat ip to ip daddr . meta l4proto . th dport map @published-at
                meta l4proto . th dport vmap @spread
                dnat ip to meta l4proto . th dport map @published
            }
            chain refuse {
                ip daddr . meta l4proto . th dport @refused-at meta l4proto tcp reject with tcp reset
                ip daddr . meta l4proto . th dport @refused-at reject
                meta l4proto . th dport @refused meta l4proto tcp reject with tcp reset
                meta l4proto . th dport @refused reject
            }
            chain publish6 {
                ip6 daddr ::1 return
                ip6 daddr fe80::/10 return
                ip6 daddr . meta l4proto . th dport vmap @spread6-at
                dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6-at
                meta l4proto . th dport vmap @spread6
                dnat ip6 to meta l4proto . th dport map @published6
            }
            chain refuse6 {
                ip6 daddr . meta l4proto . th dport @refused6-at meta l4proto tcp reject with tcp reset
                ip6 daddr . meta l4proto . th dport @refused6-at reject
                meta l4proto . th dport @refused6 meta l4proto tcp reject with tcp reset
                meta l4proto . th dport @refused6 reject
            }
            chain spread-tcp-8080 {
                dnat ip to numgen inc mod 3 map @spread-tcp-8080
            }
            chain spread6-tcp-8080 {
                dnat ip6 to numgen inc mod 2 map @spread6-tcp-8080
            }
            chain spread-sctp-9090-at-192.0.2.1 {
                dnat ip to numgen inc mod 2 map @spread-sctp-9090-at-192.0.2.1
            }
            chain forward {
                type filter hook forward priority filter; policy accept;
                ct state established,related accept
                iifname != @bridges oifname != @bridges accept
                ct state invalid drop
                iifname . oifname @talk accept
                iifname @internal drop
                oifname @internal drop
                ct status dnat accept
                oifname @bridges drop
            }
            chain input {
                type filter hook input priority filter; policy accept;
                ct state established,related accept
                iifname @internal ct state invalid,new drop
                meta nfproto ipv4 jump refuse
                meta nfproto ipv6 jump refuse6
            }
            chain postrouting {
                type nat hook postrouting priority srcnat; policy accept;
                oifname @bridges ip saddr 127.0.0.0/8 masquerade
                ip saddr @subnets oifname @bridges ct status dnat masquerade
                ip saddr @masqueraded oifname != @bridges oifname != "lo" masquerade
                ip6 saddr @subnets6 oifname @bridges ct status dnat masquerade
                ip6 saddr @masqueraded6 oifname != @bridges oifname != "lo" masquerade
            }
        }
        "#);
    }

    #[test]
    fn what_containers_may_say_of_themselves_reads_like_this() {
        insta::assert_snapshot!(shop()[1], @r#"
        table bridge trice-4f2a-shop {
            set guarded {
                type ifname
                elements = { "tr4f2a0001" }
            }
            set owners {
                type ifname . ether_addr
                elements = { "tr4f2a0001" . 02:42:ac:12:00:02 }
            }
            set sources {
                type ifname . ether_addr . ipv4_addr
                elements = { "tr4f2a0001" . 02:42:ac:12:00:02 . 172.18.0.2, "tr4f2a0001" . 02:42:ac:12:00:02 . 0.0.0.0 }
            }
            set sources6 {
                type ifname . ipv6_addr
                elements = { "tr4f2a0001" . fd00:18::2, "tr4f2a0001" . ::, "tr4f2a0001" . fe80::42:acff:fe12:2 }
            }
            chain prerouting {
                type filter hook prerouting priority dstnat; policy accept;
                iifname . ether saddr . ip saddr @sources accept
                iifname != @guarded accept
                iifname . ether saddr . ip saddr != @sources drop
                iifname . ether saddr != @owners drop
                arp htype 1 arp hlen 6 arp plen 4 iifname . arp saddr ether . arp saddr ip != @sources drop
                iifname . ip6 saddr != @sources6 drop
                icmpv6 type nd-router-advert drop
                icmpv6 type nd-redirect drop
                icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @sources6 drop
            }
        }
        "#);
    }

    #[test]
    fn a_project_without_ipv6_asks_nothing_of_it() {
        let spec = FirewallSpec {
            table: "trice-4f2a-shop".to_owned(),
            bridges: vec![bridge("tr4f2afront", &["172.18.0.0/24"], false, true)],
            published: vec![port("0.0.0.0", 8080, Protocol::Tcp, &["172.18.0.2:80"])],
            ..FirewallSpec::default()
        };
        let text = table(&spec).unwrap().to_string();
        assert!(!text.contains("ip6") && !text.contains("ipv6"), "{text}");
    }

    #[test]
    fn the_kernel_holds_what_the_text_says() {
        let listed = in_new_namespace(|_| {
            let mut owner = TableOwner::open().unwrap();
            replace(&mut owner, &shop()).expect("this test takes root");
            ["inet", "bridge"].map(|family| {
                let list = ["list", "table", family, "trice-4f2a-shop"];
                let output = Command::new("nft").args(list).output();
                output.expect("this test asks `nft` (Debian: nftables)").stdout
            })
        });
        let listed = listed.expect("this test takes root").map(|text| String::from_utf8(text).unwrap());
        for (listed, table) in listed.iter().zip(shop()) {
            assert_eq!(lines(listed).join("\n"), lines(&table.to_string()).join("\n"));
        }
    }
}
