//! What varies between projects: bridges, addresses, ports, containers.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trice_model::network::{FirewallBridge, FirewallPort, Way};
use trice_model::port::Protocol;

use super::FirewallError;
use super::version::Words;
use crate::nftables::rule::{Verdict, Version};
use crate::nftables::set::{Data, Element, Set, Target};
use crate::nftables::value::{Type, Value};

/// The project's bridges.
pub(super) const BRIDGES: &str = "bridges";
/// Those without a way out.
pub(super) const INTERNAL: &str = "internal";
/// Bridges on which containers may talk to each other, twice: where a packet came from and where it goes.
pub(super) const TALK: &str = "talk";

/// A published port that the packet filter leads, or refuses.
pub(super) struct Led {
    version: Version,
    /// `None` is all addresses of the version.
    host_ip: Option<IpAddr>,
    protocol: Protocol,
    host_port: u16,
    pub(super) backends: Vec<SocketAddr>,
}

impl Led {
    /// Returns the port, unless the engine's proxy has it and somebody to lead to, or the kernel itself says that nobody
    /// is there: SCTP takes no ICMP error for that, but the kernel ends associations with a port where nobody listens.
    ///
    /// # Errors
    /// [`FirewallError::Family`]: the packet filter cannot lead from one version of IP to the other.
    pub(super) fn of(port: &FirewallPort) -> Result<Option<Self>, FirewallError> {
        let version = Version::of(port.host_ip);
        match port.way {
            _ if port.backends.is_empty() && port.protocol == Protocol::Sctp => return Ok(None),
            Way::Proxy | Way::Transparent if !port.backends.is_empty() => return Ok(None),
            Way::Direct | Way::Proxy | Way::Transparent => {}
        }
        if let Some(other) = port.backends.iter().find(|backend| Version::of(backend.ip()) != version) {
            return Err(FirewallError::Family {
                host: SocketAddr::new(port.host_ip, port.host_port),
                protocol: port.protocol,
                backend: *other,
            });
        }
        Ok(Some(Self {
            version,
            host_ip: Some(port.host_ip).filter(|ip| !ip.is_unspecified()),
            protocol: port.protocol,
            host_port: port.host_port,
            backends: port.backends.clone(),
        }))
    }

    /// Returns the version of IP.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Returns the port as the key of a set or map.
    fn key(&self) -> Vec<Value> {
        let address = self.host_ip.map(Value::from);
        let port = [Value::Protocol(self.protocol), Value::Port(self.host_port)];
        address.into_iter().chain(port).collect()
    }

    /// Returns the name of the chain and the map of a port with several containers.
    pub(super) fn name(&self) -> String {
        let port = format!("{}-{}-{}", Words::of(self.version).spread, self.protocol, self.host_port);
        // `nft` takes no colon for a part of a name.
        self.host_ip.map_or(port.clone(), |ip| format!("{port}-at-{}", ip.to_string().replace(':', "_")))
    }
}

/// Returns the sets of bridges.
pub(super) fn bridge_sets(bridges: &[FirewallBridge]) -> [Set; 3] {
    let interface = |bridge: &FirewallBridge| Value::Interface(bridge.link.to_string());
    let once = |bridge| Element::member(vec![interface(bridge)]);
    let twice = |bridge| Element::member(vec![interface(bridge), interface(bridge)]);
    let internal = bridges.iter().filter(|bridge| bridge.internal);
    let talking = bridges.iter().filter(|bridge| bridge.icc);
    [
        set(BRIDGES, &[Type::Interface], bridges.iter().map(once).collect()),
        set(INTERNAL, &[Type::Interface], internal.map(once).collect()),
        set(TALK, &[Type::Interface, Type::Interface], talking.map(twice).collect()),
    ]
}

/// Returns the sets of addresses on the bridges: all of them, and those that become the host's on their way out.
pub(super) fn subnet_sets(words: &Words, bridges: &[FirewallBridge]) -> [Set; 2] {
    let masquerading = || bridges.iter().filter(|bridge| bridge.masquerade);
    let all = |name, bridges: &mut dyn Iterator<Item = &FirewallBridge>| {
        let nets = aggregated(words.version, bridges.flat_map(|bridge| bridge.subnets.iter().copied()));
        let member = |net| Element::member(vec![Value::Network(net)]);
        Set { interval: true, ..set(name, words.address, nets.into_iter().map(member).collect()) }
    };
    [all(words.subnets, &mut bridges.iter()), all(words.masqueraded, &mut masquerading())]
}

/// Returns the networks of one version. Those that touch or overlap become one: the kernel would refuse an interval
/// inside another.
fn aggregated(version: Version, nets: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for net in nets {
        match net {
            IpNet::V4(net) => ipv4.push(net),
            IpNet::V6(net) => ipv6.push(net),
        }
    }
    match version {
        Version::V4 => Ipv4Net::aggregate(&ipv4).into_iter().map(IpNet::V4).collect(),
        Version::V6 => Ipv6Net::aggregate(&ipv6).into_iter().map(IpNet::V6).collect(),
    }
}

/// Returns the sets and maps of ports, by whether one address of the host is meant and how many containers there are.
pub(super) fn port_sets(words: &Words, ports: &[Led]) -> [Set; 6] {
    let some = |at: bool, fits: fn(usize) -> bool, target: fn(&Led) -> Target| {
        let fits = |port: &&Led| {
            port.version == words.version && port.host_ip.is_some() == at && fits(port.backends.len())
        };
        let element = |port: &Led| Element { key: port.key(), target: target(port) };
        ports.iter().filter(fits).map(element).collect::<Vec<_>>()
    };
    let only = |port: &Led| Target::Values(backend(port.backends[0]));
    let turns = |port: &Led| Target::Verdict(Verdict::Goto(port.name()));
    let nothing = |_: &Led| Target::Nothing;
    let (none, one, several) = (|n| n == 0, |n| n == 1, |n| n > 1);
    let (port, port_at) = (&[Type::Protocol, Type::Port], words.port_at_types);
    [
        map(words.published_at, port_at, Data::Values(words.backend), some(true, one, only)),
        map(words.published, port, Data::Values(words.backend), some(false, one, only)),
        map(words.spread_at, port_at, Data::Verdicts, some(true, several, turns)),
        map(words.spread, port, Data::Verdicts, some(false, several, turns)),
        set(words.refused_at, port_at, some(true, none, nothing)),
        set(words.refused, port, some(false, none, nothing)),
    ]
}

/// Returns the containers of a port by whose turn it is.
pub(super) fn backend_map(port: &Led) -> Set {
    let element = |(number, address): (u32, &SocketAddr)| Element {
        key: vec![Value::Mark(number)],
        target: Target::Values(backend(*address)),
    };
    let elements = (0..).zip(&port.backends).map(element).collect();
    let data = Data::Values(Words::of(port.version).backend);
    map(&port.name(), &[Type::Mark], data, elements)
}

fn backend(address: SocketAddr) -> Vec<Value> {
    vec![Value::from(address.ip()), Value::Port(address.port())]
}

/// Returns a set without data.
pub(super) fn set(name: &str, key: &'static [Type], elements: Vec<Element>) -> Set {
    map(name, key, Data::Nothing, elements)
}

fn map(name: &str, key: &'static [Type], data: Data, elements: Vec<Element>) -> Set {
    Set { name: name.to_owned(), key, data, interval: false, elements }
}
