//! The network namespace that a container lives in, with its interfaces.
//!
//! An instance is called like its container and outlives it: a container that is made again finds its
//! addresses. It is itself made again only when something about it changes, and then its container is off for
//! that time.
//!
//! Source: `netdevice(7)`; moby `libnetwork/sandbox.go` for the choice of the default route.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trice_model::id::Ids;
use trice_model::name::{Key, LinkName, NetworkName, ProjectName};
use trice_model::network::{Attachment, EndpointSpec, InstanceSpec, MacAddress, NetworkSpec};
use trice_model::service::NetworkMode;

use crate::address::{Addresses, Seat};
use crate::found::Found;
use crate::network::Networks;
use crate::place::Place;
use crate::realm::Realm;

/// What containers get in a namespace of their own: a port below 1024 and a ping need no privilege there.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Settings of the kernel that belong to a network namespace.
pub(crate) fn is_network_sysctl(name: &str) -> bool {
    name.starts_with("net.")
}

/// Returns the addresses that the container of `place` wants.
pub(crate) fn seats(place: &Place<'_>, networks: &Networks, found: &Found) -> Vec<Seat> {
    if let Some(there) = place.kept().and_then(|kept| found.instance_of(kept)) {
        return seats_of(&there.spec, &networks.moved(found));
    }
    let there = found.instances.get(&place.name);
    attached(place, &networks.specs)
        .into_iter()
        .map(|(key, attachment, network)| Seat {
            instance: place.name.clone(),
            network: network.name.clone(),
            fixed: attachment.ipv4_address,
            remembered: there.and_then(|there| address_on(&there.spec, &network.name)),
            path: format!("services.{}.networks.{key}.ipv4_address", place.service_name),
        })
        .collect()
}

/// Returns the addresses that an instance which stays as it is wants on networks that are made again.
pub(crate) fn seats_of(there: &InstanceSpec, networks: &BTreeMap<NetworkName, &NetworkSpec>) -> Vec<Seat> {
    let moved = there.endpoints.iter().filter(|endpoint| networks.contains_key(&endpoint.network));
    moved
        .map(|endpoint| Seat {
            instance: there.name.clone(),
            network: endpoint.network.clone(),
            fixed: None,
            remembered: Some(endpoint.address.addr()),
            path: format!("networks.{}", endpoint.network),
        })
        .collect()
}

/// Returns the instance of `place`, or `None` if it lives in the host's namespace.
pub(crate) fn wanted(
    place: &Place<'_>,
    project: &ProjectName,
    networks: &BTreeMap<Key, NetworkSpec>,
    addresses: &Addresses,
    realm: &Realm,
    ids: &mut Ids,
) -> Option<InstanceSpec> {
    let name = place.instance_name()?.clone();
    let attached = attached(place, networks);
    let mut names = interface_names(&attached);
    let way_out = way_out(&attached);
    let endpoints: Vec<EndpointSpec> = attached
        .iter()
        .filter_map(|(_, attachment, network)| {
            let address = *addresses.get(&(place.name.clone(), network.name.clone()))?;
            let endpoint = endpoint(network, address, names.next()?, realm, ids);
            Some(EndpointSpec {
                mac: attachment.mac_address.unwrap_or(endpoint.mac),
                gateway: (way_out == Some(&network.name)).then_some(network.gateway),
                ..endpoint
            })
        })
        .collect();
    let own = place.service.sysctls.iter().filter(|(name, _)| is_network_sysctl(name));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    let usual = SYSCTLS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(InstanceSpec {
        name,
        project: project.clone(),
        dns: !endpoints.is_empty(),
        endpoints,
        sysctls: usual.into_iter().chain(own).collect(),
    })
}

/// Returns `there` with its interfaces on `networks` as these are now.
pub(crate) fn reseated(
    there: &InstanceSpec,
    networks: &BTreeMap<NetworkName, &NetworkSpec>,
    addresses: &Addresses,
    realm: &Realm,
    ids: &mut Ids,
) -> InstanceSpec {
    let endpoints = there
        .endpoints
        .iter()
        .map(|old| {
            let key = (there.name.clone(), old.network.clone());
            let (Some(network), Some(address)) = (networks.get(&old.network), addresses.get(&key)) else {
                return EndpointSpec { host_link: realm.host_link(ids), ..old.clone() };
            };
            let own_mac = old.mac != MacAddress::of_ipv4(old.address.addr());
            let new = endpoint(network, *address, old.interface.clone(), realm, ids);
            EndpointSpec {
                mac: if own_mac { old.mac } else { new.mac },
                gateway: old.gateway.filter(|_| !network.internal).map(|_| network.gateway),
                ..new
            }
        })
        .collect();
    InstanceSpec { endpoints, ..there.clone() }
}

/// Returns what makes it another instance. The host's ends are called differently each time and do not count.
pub(crate) fn difference(there: &InstanceSpec, wanted: &InstanceSpec) -> Option<String> {
    if there.sysctls != wanted.sysctls {
        return Some("sysctls changed".to_owned());
    }
    let on = |spec: &InstanceSpec| -> BTreeSet<NetworkName> {
        spec.endpoints.iter().map(|endpoint| endpoint.network.clone()).collect()
    };
    if on(there) != on(wanted) {
        return Some("networks changed".to_owned());
    }
    let pairs = || there.endpoints.iter().zip(&wanted.endpoints);
    let moved = pairs().find(|(old, new)| old.network == new.network && old.address != new.address);
    if let Some((old, _)) = moved {
        return Some(format!("address changed from {}", old.address.addr()));
    }
    let same = |(old, new): (&EndpointSpec, &EndpointSpec)| {
        *old == EndpointSpec { host_link: old.host_link.clone(), ..new.clone() }
    };
    (there.dns != wanted.dns || !pairs().all(same)).then(|| "interfaces changed".to_owned())
}

/// Returns the instance's address on `network`.
pub(crate) fn address_on(instance: &InstanceSpec, network: &NetworkName) -> Option<Ipv4Addr> {
    let endpoint = instance.endpoints.iter().find(|endpoint| endpoint.network == *network)?;
    Some(endpoint.address.addr())
}

type Attached<'a> = (&'a Key, &'a Attachment, &'a NetworkSpec);

/// Returns the networks of `place` in the order of their interfaces: by priority, then by name.
fn attached<'a>(place: &Place<'a>, networks: &'a BTreeMap<Key, NetworkSpec>) -> Vec<Attached<'a>> {
    match place.service.network_mode {
        NetworkMode::Own => {}
        NetworkMode::Host | NetworkMode::None => return Vec::new(),
    }
    let known = place.service.networks.iter();
    let mut attached: Vec<Attached<'a>> = known
        .filter_map(|(key, attachment)| networks.get(key).map(|network| (key, attachment, network)))
        .collect();
    attached.sort_by_key(|(_, attachment, network)| (Reverse(attachment.priority), &network.name));
    attached
}

/// Returns the network that the default route goes through: of those with a way out, the one with the highest
/// `gw_priority`, and the first by name of several.
fn way_out<'a>(attached: &[Attached<'a>]) -> Option<&'a NetworkName> {
    attached
        .iter()
        .filter(|(_, _, network)| !network.internal)
        .min_by_key(|(_, attachment, network)| (Reverse(attachment.gw_priority), &network.name))
        .map(|(_, _, network)| &network.name)
}

/// Returns a name for each interface: the file's, or else the next `ethN` that no file has taken.
fn interface_names(attached: &[Attached<'_>]) -> impl Iterator<Item = LinkName> + use<> {
    let own: Vec<Option<LinkName>> =
        attached.iter().map(|(_, attachment, _)| attachment.interface_name.clone()).collect();
    let taken: BTreeSet<LinkName> = own.iter().flatten().cloned().collect();
    let mut free = (0_u32..)
        .filter_map(|number| format!("eth{number}").parse::<LinkName>().ok())
        .filter(move |name| !taken.contains(name));
    own.into_iter().filter_map(move |own| own.or_else(|| free.next()))
}

fn endpoint(
    network: &NetworkSpec,
    address: Ipv4Addr,
    interface: LinkName,
    realm: &Realm,
    ids: &mut Ids,
) -> EndpointSpec {
    EndpointSpec {
        network: network.name.clone(),
        bridge: network.bridge.clone(),
        host_link: realm.host_link(ids),
        interface,
        mac: MacAddress::of_ipv4(address),
        address: Ipv4Net::new_assert(address, network.subnet.prefix_len()),
        address6: None,
        gateway: None,
        gateway6: None,
        mtu: network.mtu,
        isolated: !network.icc,
    }
}
