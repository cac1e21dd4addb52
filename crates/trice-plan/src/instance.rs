//! The network namespace that a container lives in, with its interfaces.
//!
//! An instance is called like its container and outlives it: a container that is made again finds its
//! addresses. It is itself made again only when something about it changes, and then its container is off for
//! that time.
//!
//! Source: `netdevice(7)`; moby `libnetwork/sandbox.go` for the choice of the default route.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trice_model::capability::Capability;
use trice_model::id::Ids;
use trice_model::name::{Key, LinkName, NetworkName};
use trice_model::network::{
    Attachment, EndpointSpec, InstanceName, InstanceSpec, MacAddress, Medium, NetworkSpec, Plug,
};
use trice_model::project::Project;
use trice_model::service::{NetworkMode, Service};

use crate::address::{Addresses, Seat, Version};
use crate::found::Found;
use crate::lower::process;
use crate::network::Networks;
use crate::place::Place;
use crate::realm::Realm;

/// What containers get in a namespace of their own: a port below 1024 and a ping need no privilege there.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Returns what all containers get in a namespace of their own.
pub(crate) fn usual_sysctls() -> impl Iterator<Item = (String, String)> {
    SYSCTLS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Settings of the kernel that belong to a network namespace.
pub(crate) fn is_network_sysctl(name: &str) -> bool {
    name.starts_with("net.")
}

/// Returns the addresses that the container of `place` wants.
pub(crate) fn seats(place: &Place<'_>, networks: &Networks, found: &Found) -> Vec<Seat> {
    if let Some(there) = place.kept().and_then(|kept| found.instance_of(kept)) {
        return seats_of(&there.spec, &networks.moved(found));
    }
    let Some(name) = place.own_instance() else { return Vec::new() };
    let there = found.instances.get(name).map(|there| &there.spec);
    let mut seats = Vec::new();
    for (key, attachment, network) in attached(place, &networks.specs) {
        let seat = |version, fixed, remembered, word: &str| Seat {
            instance: name.clone(),
            network: network.name.clone(),
            version,
            fixed,
            remembered,
            path: format!("services.{}.networks.{key}.{word}", place.service_name),
        };
        let old = there.and_then(|there| endpoint_on(there, &network.name));
        if network.ipv4.is_some() || attachment.ipv4_address.is_some() {
            let remembered = old.and_then(|old| old.address).map(|net| IpAddr::V4(net.addr()));
            seats.push(seat(
                Version::V4,
                attachment.ipv4_address.map(IpAddr::V4),
                remembered,
                "ipv4_address",
            ));
        }
        if network.ipv6.is_some() || attachment.ipv6_address.is_some() {
            let remembered = old.and_then(|old| old.address6).map(|net| IpAddr::V6(net.addr()));
            seats.push(seat(
                Version::V6,
                attachment.ipv6_address.map(IpAddr::V6),
                remembered,
                "ipv6_address",
            ));
        }
    }
    // What somebody connected by hand stays where it is; the network may be none of the project's.
    let by_hand = there.into_iter().flat_map(|there| by_hand(there, place, &networks.specs));
    let moved = networks.moved(found);
    for endpoint in by_hand.filter(|endpoint| moved.contains_key(&endpoint.network)) {
        seats.extend(seats_of_endpoint(name, endpoint, moved[&endpoint.network]));
    }
    seats
}

/// Returns the addresses that an instance which stays as it is wants on networks that are made again.
pub(crate) fn seats_of(there: &InstanceSpec, networks: &BTreeMap<NetworkName, &NetworkSpec>) -> Vec<Seat> {
    let moved =
        there.endpoints.iter().filter_map(|endpoint| Some((endpoint, *networks.get(&endpoint.network)?)));
    moved.flat_map(|(endpoint, network)| seats_of_endpoint(&there.name, endpoint, network)).collect()
}

fn seats_of_endpoint(instance: &InstanceName, endpoint: &EndpointSpec, network: &NetworkSpec) -> Vec<Seat> {
    let seat = |version, remembered| Seat {
        instance: instance.clone(),
        network: endpoint.network.clone(),
        version,
        fixed: None,
        remembered,
        path: format!("networks.{}", endpoint.network),
    };
    let ipv4 = endpoint.address.map(|net| IpAddr::V4(net.addr()));
    let ipv6 = endpoint.address6.map(|net| IpAddr::V6(net.addr()));
    let ipv4 = network.ipv4.as_ref().map(|_| seat(Version::V4, ipv4));
    let ipv6 = network.ipv6.as_ref().map(|_| seat(Version::V6, ipv6));
    ipv4.into_iter().chain(ipv6).collect()
}

/// Returns the endpoints that somebody connected by hand, beside the networks that the files name.
fn by_hand<'a>(
    there: &'a InstanceSpec,
    place: &Place<'_>,
    networks: &BTreeMap<Key, NetworkSpec>,
) -> impl Iterator<Item = &'a EndpointSpec> + use<'a> {
    let named: BTreeSet<NetworkName> =
        attached(place, networks).into_iter().map(|(_, _, network)| network.name.clone()).collect();
    there
        .endpoints
        .iter()
        .filter(move |endpoint| endpoint.by_hand.is_some() && !named.contains(&endpoint.network))
}

/// What instances of a plan are made of.
pub(crate) struct Making<'a> {
    /// The project.
    pub(crate) project: &'a Project,
    /// Its networks.
    pub(crate) networks: &'a Networks,
    /// What is there.
    pub(crate) found: &'a Found,
    /// The addresses of all.
    pub(crate) addresses: &'a Addresses,
    /// The engine.
    pub(crate) realm: &'a Realm,
}

/// Returns the instance of `place`, or `None` if it lives in the host's namespace or in another's instance.
pub(crate) fn wanted(place: &Place<'_>, making: &Making<'_>, ids: &mut Ids) -> Option<InstanceSpec> {
    let Making { project, networks, found, addresses, realm } = making;
    let name = place.own_instance()?.clone();
    let attached = attached(place, &networks.specs);
    let mut names = interface_names(&attached);
    let guarded = !may_administer(place, project);
    let mut endpoints: Vec<EndpointSpec> = attached
        .iter()
        .filter_map(|(_, attachment, network)| {
            let given = Given {
                ipv4: addresses.ipv4(&name, &network.name),
                ipv6: addresses.ipv6(&name, &network.name),
                interface: names.next()?,
                guarded,
            };
            let endpoint = endpoint(network, given, realm, ids);
            let own = |ip: &IpAddr| more_address(*ip);
            let sysctls = attachment.sysctls.iter();
            Some(EndpointSpec {
                mac: attachment.mac_address.or(endpoint.mac).filter(|_| endpoint.mac.is_some()),
                more_addresses: attachment.link_local_ips.iter().map(own).collect(),
                gw_priority: attachment.gw_priority,
                sysctls: sysctls
                    .map(|(name, value)| (named_sysctl(name, &endpoint.interface), value.clone()))
                    .collect(),
                ..endpoint
            })
        })
        .collect();
    if let Some(there) = found.instances.get(&name) {
        let moved = networks.moved(found);
        let kept = by_hand(&there.spec, place, &networks.specs)
            .filter(|endpoint| found.networks.contains_key(&endpoint.network))
            .map(|endpoint| reseat(&name, endpoint, &moved, addresses, realm, ids));
        endpoints.extend(kept.collect::<Vec<_>>());
    }
    lead_out(&mut endpoints, &|network| known(networks, found, network));
    let own = place.service.sysctls.iter().filter(|(name, _)| is_network_sysctl(name));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    Some(InstanceSpec {
        name,
        project: project.name.clone(),
        dns: !endpoints.is_empty(),
        endpoints,
        sysctls: usual_sysctls().chain(own).collect(),
    })
}

/// Returns the network of this name as it will be, or as it is.
fn known<'a>(networks: &'a Networks, found: &'a Found, name: &NetworkName) -> Option<&'a NetworkSpec> {
    let ours = networks.specs.values().find(|spec| spec.name == *name);
    ours.or_else(|| found.networks.get(name).map(|there| &there.spec))
}

/// Tells whether a container of the instance may give itself other addresses: then it is not kept to those that it was
/// given.
fn may_administer(place: &Place<'_>, project: &Project) -> bool {
    let may = |service: &Service| process::capabilities(service).contains(&Capability::NET_ADMIN);
    let is_guest = |service: &&Service| match &service.network_mode {
        NetworkMode::Service(host) => host == place.service_name,
        NetworkMode::Own | NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => false,
    };
    may(place.service) || project.services.values().filter(is_guest).any(may)
}

/// Returns the setting for an interface, whose name stands in it as `IFNAME`.
fn named_sysctl(name: &str, interface: &LinkName) -> String {
    // With slashes, as interfaces may have dots in their names.
    name.replace('.', "/").replace("IFNAME", interface.as_str())
}

/// Returns an address that is not the network's with its mask: that of the link for those that belong to links.
pub(crate) fn more_address(ip: IpAddr) -> IpNet {
    let length = match ip {
        IpAddr::V4(ip) if ip.is_link_local() => 16,
        IpAddr::V4(_) => 32,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => 64,
        IpAddr::V6(_) => 128,
    };
    IpNet::new_assert(ip, length)
}

/// Returns `there` with its interfaces on `networks` as these are now.
pub(crate) fn reseated(
    there: &InstanceSpec,
    networks: &BTreeMap<NetworkName, &NetworkSpec>,
    addresses: &Addresses,
    realm: &Realm,
    ids: &mut Ids,
) -> InstanceSpec {
    let endpoints = there.endpoints.iter();
    let endpoints = endpoints.map(|old| reseat(&there.name, old, networks, addresses, realm, ids)).collect();
    InstanceSpec { endpoints, ..there.clone() }
}

fn reseat(
    instance: &InstanceName,
    old: &EndpointSpec,
    networks: &BTreeMap<NetworkName, &NetworkSpec>,
    addresses: &Addresses,
    realm: &Realm,
    ids: &mut Ids,
) -> EndpointSpec {
    let Some(network) = networks.get(&old.network) else {
        let mut endpoint = old.clone();
        if let Plug::Bridge { host_link, .. } = &mut endpoint.plug {
            *host_link = realm.host_link(ids);
        }
        return endpoint;
    };
    let given = Given {
        ipv4: addresses.ipv4(instance, &old.network),
        ipv6: addresses.ipv6(instance, &old.network),
        interface: old.interface.clone(),
        guarded: matches!(old.plug, Plug::Bridge { guarded: true, .. }),
    };
    let own_mac = old.mac.filter(|mac| Some(*mac) != usual_mac(old.address, old.address6));
    let new = endpoint(network, given, realm, ids);
    EndpointSpec {
        mac: if new.mac.is_some() { own_mac.or(new.mac) } else { None },
        more_addresses: old.more_addresses.clone(),
        gateway: network
            .ipv4
            .as_ref()
            .filter(|_| old.gateway.is_some() && !network.internal)
            .map(|pool| pool.gateway),
        gateway6: network
            .ipv6
            .as_ref()
            .filter(|_| old.gateway6.is_some() && !network.internal)
            .map(|pool| pool.gateway),
        gw_priority: old.gw_priority,
        sysctls: old.sysctls.clone(),
        by_hand: old.by_hand.clone(),
        ..new
    }
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
    for (old, new) in pairs().filter(|(old, new)| old.network == new.network) {
        if old.address != new.address {
            return Some(address_change(old.address.map(IpNet::V4), new.address.map(IpNet::V4)));
        }
        if old.address6 != new.address6 {
            return Some(address_change(old.address6.map(IpNet::V6), new.address6.map(IpNet::V6)));
        }
    }
    let same = |(old, new): (&EndpointSpec, &EndpointSpec)| *old == with_host_link_of(new, old);
    (there.dns != wanted.dns || !pairs().all(same)).then(|| "interfaces changed".to_owned())
}

fn address_change(old: Option<IpNet>, new: Option<IpNet>) -> String {
    match (old, new) {
        (Some(old), _) => format!("address changed from {}", old.addr()),
        (None, Some(new)) => format!("address {} is new", new.addr()),
        (None, None) => "address changed".to_owned(),
    }
}

/// Returns `endpoint` with the host's end of `other`.
fn with_host_link_of(endpoint: &EndpointSpec, other: &EndpointSpec) -> EndpointSpec {
    let mut endpoint = endpoint.clone();
    if let (Plug::Bridge { host_link, .. }, Some(theirs)) = (&mut endpoint.plug, other.host_link()) {
        host_link.clone_from(theirs);
    }
    endpoint
}

/// Returns the instance's interface on `network`.
pub(crate) fn endpoint_on<'a>(instance: &'a InstanceSpec, network: &NetworkName) -> Option<&'a EndpointSpec> {
    instance.endpoints.iter().find(|endpoint| endpoint.network == *network)
}

/// Returns the instance's address on `network`: of IPv4, or else of IPv6.
pub(crate) fn address_on(instance: &InstanceSpec, network: &NetworkName) -> Option<IpAddr> {
    endpoint_on(instance, network)?.addresses().next()
}

type Attached<'a> = (&'a Key, &'a Attachment, &'a NetworkSpec);

/// Returns the networks of `place` in the order of their interfaces: by priority, then by name.
fn attached<'a>(place: &Place<'a>, networks: &'a BTreeMap<Key, NetworkSpec>) -> Vec<Attached<'a>> {
    match place.service.network_mode {
        NetworkMode::Own => {}
        NetworkMode::Host | NetworkMode::None | NetworkMode::Service(_) | NetworkMode::Container(_) => {
            return Vec::new();
        }
    }
    let known = place.service.networks.iter();
    let mut attached: Vec<Attached<'a>> = known
        .filter_map(|(key, attachment)| networks.get(key).map(|network| (key, attachment, network)))
        .collect();
    attached.sort_by_key(|(_, attachment, network)| (Reverse(attachment.priority), &network.name));
    attached
}

/// Leads the default routes out, one of each version of IP: of the networks with a way out, through the one with the
/// highest `gw_priority`, and the first by name of several. Those that the files name come before those that somebody
/// connected by hand, unless these ask for more.
pub(crate) fn lead_out<'a>(
    endpoints: &mut [EndpointSpec],
    network: &dyn Fn(&NetworkName) -> Option<&'a NetworkSpec>,
) {
    let rank = |end: &EndpointSpec| (Reverse(end.gw_priority), end.by_hand.is_some(), end.network.clone());
    let mut ways4 = Vec::new();
    let mut ways6 = Vec::new();
    for (index, end) in endpoints.iter_mut().enumerate() {
        (end.gateway, end.gateway6) = (None, None);
        let Some(network) = network(&end.network).filter(|network| !network.internal) else { continue };
        ways4.extend(network.ipv4.as_ref().map(|pool| (rank(end), index, pool.gateway)));
        ways6.extend(network.ipv6.as_ref().map(|pool| (rank(end), index, pool.gateway)));
    }
    if let Some((_, index, gateway)) = ways4.into_iter().min() {
        endpoints[index].gateway = Some(gateway);
    }
    if let Some((_, index, gateway)) = ways6.into_iter().min() {
        endpoints[index].gateway6 = Some(gateway);
    }
}

/// Returns a name for each interface: the file's, or else the next `ethN` that no file has taken; `eth` is what the
/// network says instead.
fn interface_names(attached: &[Attached<'_>]) -> impl Iterator<Item = LinkName> + use<> {
    let own: Vec<(Option<LinkName>, Option<LinkName>)> = attached
        .iter()
        .map(|(_, attachment, network)| (attachment.interface_name.clone(), network.interface_prefix.clone()))
        .collect();
    let mut taken: BTreeSet<LinkName> = own.iter().filter_map(|(own, _)| own.clone()).collect();
    own.into_iter().filter_map(move |(own, prefix)| own.or_else(|| free_name(prefix.as_ref(), &mut taken)))
}

/// Returns the first name for an interface that is not in `taken`, and takes it.
pub(crate) fn free_name(prefix: Option<&LinkName>, taken: &mut BTreeSet<LinkName>) -> Option<LinkName> {
    let prefix = prefix.map_or("eth", LinkName::as_str);
    let mut names = (0_u32..).map_while(|number| format!("{prefix}{number}").parse::<LinkName>().ok());
    let name = names.find(|name| !taken.contains(name))?;
    taken.insert(name.clone());
    Some(name)
}

/// What an interface gets.
pub(crate) struct Given {
    /// Its address.
    pub(crate) ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// Its name.
    pub(crate) interface: LinkName,
    /// What it sends must bear its addresses.
    pub(crate) guarded: bool,
}

/// Returns the hardware address that stands for the addresses.
fn usual_mac(ipv4: Option<Ipv4Net>, ipv6: Option<Ipv6Net>) -> Option<MacAddress> {
    let ipv4 = ipv4.map(|net| MacAddress::of_ipv4(net.addr()));
    ipv4.or_else(|| ipv6.map(|net| MacAddress::of_ipv6(net.addr())))
}

/// Returns an interface on `network`; the default routes are led later.
pub(crate) fn endpoint(network: &NetworkSpec, given: Given, realm: &Realm, ids: &mut Ids) -> EndpointSpec {
    let address = network.ipv4.as_ref().zip(given.ipv4);
    let address = address.map(|(pool, ip)| Ipv4Net::new_assert(ip, pool.subnet.prefix_len()));
    let address6 = network.ipv6.as_ref().zip(given.ipv6);
    let address6 = address6.map(|(pool, ip)| Ipv6Net::new_assert(ip, pool.subnet.prefix_len()));
    let (plug, has_mac) = match &network.medium {
        Medium::Bridge(bridge) => {
            let (bridge, host_link) = (bridge.clone(), realm.host_link(ids));
            (Plug::Bridge { bridge, host_link, isolated: !network.icc, guarded: given.guarded }, true)
        }
        Medium::Macvlan { parent, mode } => (Plug::Macvlan { parent: parent.clone(), mode: *mode }, true),
        Medium::Ipvlan { parent, mode } => (Plug::Ipvlan { parent: parent.clone(), mode: *mode }, false),
    };
    EndpointSpec {
        network: network.name.clone(),
        plug,
        interface: given.interface,
        mac: usual_mac(address, address6).filter(|_| has_mac),
        address,
        address6,
        more_addresses: Vec::new(),
        gateway: None,
        gateway6: None,
        gw_priority: 0,
        mtu: network.mtu,
        sysctls: BTreeMap::new(),
        by_hand: None,
    }
}
