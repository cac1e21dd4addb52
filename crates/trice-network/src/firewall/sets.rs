//! What varies between projects: bridges, addresses, ports, containers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use ipnet::Ipv4Net;
use trice_model::network::{FirewallBridge, FirewallPort};
use trice_model::port::Protocol;

use super::FirewallError;
use crate::nftables::rule::Verdict;
use crate::nftables::set::{Data, Element, Set, Target};
use crate::nftables::value::{Type, Value};

/// The project's bridges.
pub(super) const BRIDGES: &str = "bridges";
/// Those without a way out.
pub(super) const INTERNAL: &str = "internal";
/// The addresses on the bridges.
pub(super) const SUBNETS: &str = "subnets";
/// Bridges on which containers may talk to each other, twice: where a packet came from and where it goes.
pub(super) const TALK: &str = "talk";
/// Ports of all addresses of the host, with one container each.
pub(super) const PUBLISHED: &str = "published";
/// Ports of one address.
pub(super) const PUBLISHED_AT: &str = "published-at";
/// Ports of all addresses, with several containers each.
pub(super) const SPREAD: &str = "spread";
/// Ports of one address, with several containers each.
pub(super) const SPREAD_AT: &str = "spread-at";
/// Ports of all addresses, with no container.
pub(super) const REFUSED: &str = "refused";
/// Ports of one address, with no container.
pub(super) const REFUSED_AT: &str = "refused-at";

const PORT_TYPES: &[Type] = &[Type::Protocol, Type::Port];
const PORT_AT_TYPES: &[Type] = &[Type::Ipv4, Type::Protocol, Type::Port];
const BACKEND_TYPES: &[Type] = &[Type::Ipv4, Type::Port];

/// A published port, all of whose addresses are IPv4.
pub(super) struct PublishedIpv4 {
    host_ip: Option<Ipv4Addr>,
    protocol: Protocol,
    host_port: u16,
    pub(super) backends: Vec<SocketAddrV4>,
}

impl PublishedIpv4 {
    /// Checks that it is one.
    pub(super) fn of(port: &FirewallPort) -> Result<Self, FirewallError> {
        let fail = || FirewallError::Ipv6 { port: port.host_port, protocol: port.protocol };
        let host_ip = match port.host_ip {
            None => None,
            Some(IpAddr::V4(ip)) if ip.is_unspecified() => None,
            Some(IpAddr::V4(ip)) => Some(ip),
            Some(IpAddr::V6(_)) => return Err(fail()),
        };
        let ipv4 = |backend: &SocketAddr| match backend {
            SocketAddr::V4(backend) => Ok(*backend),
            SocketAddr::V6(_) => Err(fail()),
        };
        let backends = port.backends.iter().map(ipv4).collect::<Result<_, _>>()?;
        Ok(Self { host_ip, protocol: port.protocol, host_port: port.host_port, backends })
    }

    /// Returns the port as the key of a set or map.
    fn key(&self) -> Vec<Value> {
        let address = self.host_ip.map(Value::Ipv4);
        let port = [Value::Protocol(self.protocol), Value::Port(self.host_port)];
        address.into_iter().chain(port).collect()
    }

    /// Returns the name of the chain and the map of a port with several containers.
    pub(super) fn name(&self) -> String {
        let port = format!("{SPREAD}-{}-{}", self.protocol, self.host_port);
        self.host_ip.map_or(port.clone(), |ip| format!("{port}-at-{ip}"))
    }
}

/// Returns the sets of bridges.
pub(super) fn bridge_sets(bridges: &[FirewallBridge]) -> [Set; 4] {
    let interface = |bridge: &FirewallBridge| Value::Interface(bridge.link.to_string());
    let once = |bridge| Element::member(vec![interface(bridge)]);
    let twice = |bridge| Element::member(vec![interface(bridge), interface(bridge)]);
    // Networks that touch or overlap become one: the kernel would refuse an interval inside another.
    let subnets = Ipv4Net::aggregate(&bridges.iter().map(|bridge| bridge.subnet).collect());
    let subnet = |net: &Ipv4Net| Element::member(vec![Value::Network(*net)]);
    let internal = bridges.iter().filter(|bridge| bridge.internal);
    let talking = bridges.iter().filter(|bridge| bridge.icc);
    [
        set(BRIDGES, &[Type::Interface], bridges.iter().map(once).collect()),
        set(INTERNAL, &[Type::Interface], internal.map(once).collect()),
        Set { interval: true, ..set(SUBNETS, &[Type::Ipv4], subnets.iter().map(subnet).collect()) },
        set(TALK, &[Type::Interface, Type::Interface], talking.map(twice).collect()),
    ]
}

/// Returns the sets and maps of ports, by whether one address of the host is meant and how many containers there are.
pub(super) fn port_sets(ports: &[PublishedIpv4]) -> [Set; 6] {
    let some = |at: bool, fits: fn(usize) -> bool, target: fn(&PublishedIpv4) -> Target| {
        let fits = |port: &&PublishedIpv4| port.host_ip.is_some() == at && fits(port.backends.len());
        let element = |port: &PublishedIpv4| Element { key: port.key(), target: target(port) };
        ports.iter().filter(fits).map(element).collect::<Vec<_>>()
    };
    let only = |port: &PublishedIpv4| Target::Values(backend(port.backends[0]));
    let turns = |port: &PublishedIpv4| Target::Verdict(Verdict::Goto(port.name()));
    let nothing = |_: &PublishedIpv4| Target::Nothing;
    let (none, one, several) = (|n| n == 0, |n| n == 1, |n| n > 1);
    [
        map(PUBLISHED_AT, PORT_AT_TYPES, Data::Values(BACKEND_TYPES), some(true, one, only)),
        map(PUBLISHED, PORT_TYPES, Data::Values(BACKEND_TYPES), some(false, one, only)),
        map(SPREAD_AT, PORT_AT_TYPES, Data::Verdicts, some(true, several, turns)),
        map(SPREAD, PORT_TYPES, Data::Verdicts, some(false, several, turns)),
        set(REFUSED_AT, PORT_AT_TYPES, some(true, none, nothing)),
        set(REFUSED, PORT_TYPES, some(false, none, nothing)),
    ]
}

/// Returns the containers of a port by whose turn it is.
pub(super) fn backend_map(port: &PublishedIpv4) -> Set {
    let element = |(number, address): (u32, &SocketAddrV4)| Element {
        key: vec![Value::Mark(number)],
        target: Target::Values(backend(*address)),
    };
    let elements = (0..).zip(&port.backends).map(element).collect();
    map(&port.name(), &[Type::Mark], Data::Values(BACKEND_TYPES), elements)
}

fn backend(address: SocketAddrV4) -> Vec<Value> {
    vec![Value::Ipv4(*address.ip()), Value::Port(address.port())]
}

fn set(name: &str, key: &'static [Type], elements: Vec<Element>) -> Set {
    map(name, key, Data::Nothing, elements)
}

fn map(name: &str, key: &'static [Type], data: Data, elements: Vec<Element>) -> Set {
    Set { name: name.to_owned(), key, data, interval: false, elements }
}
