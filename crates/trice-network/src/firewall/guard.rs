//! What a container may say of itself: a second table, in the way of frames through bridges.
//!
//! ```text
//! port of a bridge ──► whose is it? ──► hardware address, ARP, IPv4, IPv6: its owner's ──► bridge
//!                                   └─► another's ──► dropped
//! ```
//!
//! Without it a container that may open raw sockets, which all may by default, tells its neighbours that it is the
//! gateway, or the host that it is a router (CVE-2020-10749). A container that may administer its network is not
//! guarded: it may be a router, and asked for that ability.
//!
//! Source: RFC 826; RFC 4861, sections 4.2, 4.4 and 4.5; RFC 4291, appendix A.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use trice_model::network::{FirewallSpec, GuardedPort, MacAddress};

use super::rules::{ACCEPT, DROP, IN, hooked, rule};
use super::sets::set;
use crate::nftables::rule::{Field, Statement, Version};
use crate::nftables::set::Element;
use crate::nftables::table::{Family, Kind, Point, Priority, Table};
use crate::nftables::value::{Icmpv6, Type, Value};

/// The family of the table.
pub(crate) const FAMILY: Family = Family::Bridge;

/// Ports whose frames are looked at.
const GUARDED: &str = "guarded";
/// Ports, each with the hardware address of its owner.
const OWNERS: &str = "owners";
/// Ports, each with the hardware address and an IPv4 address of its owner.
const SOURCES: &str = "sources";
/// Ports, each with an IPv6 address of its owner.
const SOURCES6: &str = "sources6";

const OWNER: &[Field] = &[Field::InputInterface, Field::EtherSource];
const ARP_SOURCE: &[Field] = &[Field::InputInterface, Field::ArpSourceEther, Field::ArpSource];
const SOURCE: &[Field] = &[Field::InputInterface, Field::EtherSource, Field::Source(Version::V4)];
const SOURCE6: &[Field] = &[Field::InputInterface, Field::Source(Version::V6)];
const TARGET6: &[Field] = &[Field::InputInterface, Field::NeighbourTarget];

/// Returns the table that keeps containers to their own addresses.
pub(super) fn table(spec: &FirewallSpec) -> Table {
    let ports = &spec.guarded;
    let link = |port: &GuardedPort| Value::Interface(port.link.to_string());
    let guarded = ports.iter().map(|port| Element::member(vec![link(port)])).collect();
    let owners = ports.iter().map(|port| Element::member(vec![link(port), Value::Ether(port.mac)])).collect();
    let (mut sources, mut sources6) = (Vec::new(), Vec::new());
    for port in ports {
        for address in port.addresses.iter().copied().chain(nameless(port.mac)) {
            let (link, value) = (link(port), Value::from(address));
            match address {
                IpAddr::V4(_) => sources.push(Element::member(vec![link, Value::Ether(port.mac), value])),
                IpAddr::V6(_) => sources6.push(Element::member(vec![link, value])),
            }
        }
    }
    Table {
        family: FAMILY,
        name: spec.table.clone(),
        sets: vec![
            set(GUARDED, &[Type::Interface], guarded),
            set(OWNERS, &[Type::Interface, Type::Ether], owners),
            set(SOURCES, &[Type::Interface, Type::Ether, Type::Ipv4], sources),
            set(SOURCES6, &[Type::Interface, Type::Ipv6], sources6),
        ],
        chains: vec![chain()],
    }
}

/// Returns what a link says before it has an address, and the address of IPv6 that follows from its hardware.
fn nameless(mac: MacAddress) -> [IpAddr; 3] {
    let [a, b, c, d, e, f] = mac.0.map(u16::from);
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f);
    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into(), link_local.into()]
}

/// Most frames are IPv4 and their owner's: they are looked up once.
fn chain() -> crate::nftables::table::Chain {
    let mut rules = vec![
        rule([Statement::In(SOURCE, SOURCES), ACCEPT]),
        rule([Statement::NotIn(IN, GUARDED), ACCEPT]),
        rule([Statement::NotIn(SOURCE, SOURCES), DROP]),
        rule([Statement::NotIn(OWNER, OWNERS), DROP]),
        rule([Statement::NotIn(ARP_SOURCE, SOURCES), DROP]),
        rule([Statement::NotIn(SOURCE6, SOURCES6), DROP]),
    ];
    for kind in [Icmpv6::RouterAdvertisement, Icmpv6::Redirect] {
        rules.push(rule([Statement::Is(Field::Icmpv6Type, Value::Icmpv6(kind)), DROP]));
    }
    rules.push(rule([
        Statement::Is(Field::Icmpv6Type, Value::Icmpv6(Icmpv6::NeighbourAdvertisement)),
        Statement::NotIn(TARGET6, SOURCES6),
        DROP,
    ]));
    hooked("prerouting", Kind::Filter, Point::Prerouting, Priority::Bridging, rules)
}
