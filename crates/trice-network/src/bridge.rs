//! Networks: one bridge each, with the gateway's address on it.
//!
//! ```text
//! create bridge (down, with its hardware address) ──► IPv6 off, or no router advertisements ──► up, address
//! ```
//!
//! The hardware address is given at the creation: a bridge without one takes that of its lowest port and so changes it
//! while containers hold it in their neighbour caches. IPv6 is settled while the bridge is down: once up, it would
//! already have an address of its own and listen to whatever router a container pretends to be (CVE-2020-13401).
//!
//! Source: Linux `Documentation/networking/bridge.rst`.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::io::Errno;
use trice_model::name::LinkName;
use trice_model::network::{MacAddress, NetworkSpec, ObservedNetwork};

use crate::address::{address, dump_ipv4};
use crate::link::{self, Link, LinkError, named, numbered, switched};
use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};
use crate::sysctl::{self, SysctlError};

/// Why a network is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The kernel was built or loaded without bridges.
    #[error("this kernel has no bridges (CONFIG_BRIDGE): network links cannot be made")]
    Unsupported,
    /// Something else has the name.
    #[error("`{bridge}` is there already and is no bridge")]
    NotABridge {
        /// The name.
        bridge: LinkName,
    },
    /// The kernel refused the link.
    #[error("create bridge `{bridge}`")]
    Create {
        /// Its name.
        bridge: LinkName,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused the address, or to switch the bridge on.
    #[error("give bridge `{bridge}` the address {address}")]
    Address {
        /// Its name.
        bridge: LinkName,
        /// The address and the network's mask.
        address: IpNet,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// A setting of the bridge was refused.
    #[error("set up bridge `{bridge}`")]
    Setting {
        /// Its name.
        bridge: LinkName,
        /// What the kernel said.
        #[source]
        source: SysctlError,
    },
    /// It was gone while it was being made.
    #[error("bridge `{bridge}` was removed by somebody else")]
    Vanished {
        /// Its name.
        bridge: LinkName,
    },
    /// The kernel refused to tell which bridges and addresses there are.
    #[error("list the bridges")]
    List(#[source] NetlinkError),
    /// The bridges were not removed.
    #[error(transparent)]
    Remove(#[from] LinkError),
}

/// Makes the network's bridge, or makes it as it should be if it is there.
///
/// # Errors
/// [`BridgeError`], which names the bridge and the step.
pub fn create_network(spec: &NetworkSpec) -> Result<(), BridgeError> {
    let fail = |source| BridgeError::Create { bridge: spec.bridge.clone(), source };
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(fail)?;
    match perform_one(&mut netlink, flag::CREATE_NEW, RouteNetlinkMessage::NewLink(link_message(spec))) {
        Ok(()) => {}
        Err(error) if error.refusal() == Some(Errno::EXIST) => mend(&mut netlink, spec)?,
        Err(error) if error.refusal() == Some(Errno::OPNOTSUPP) => return Err(BridgeError::Unsupported),
        Err(error) => return Err(fail(error)),
    }
    settle_ipv6(spec)?;
    let vanished = || BridgeError::Vanished { bridge: spec.bridge.clone() };
    let index = link::index_of(&netlink, &spec.bridge).ok_or_else(vanished)?;
    for address in addresses(spec) {
        give(&mut netlink, spec, index, address)?;
    }
    Ok(())
}

/// Removes the networks' bridges, all at once. Those that are not there do not hinder.
///
/// Containers' interfaces are not looked for: they go with their namespaces.
///
/// # Errors
/// [`BridgeError::Remove`].
pub fn remove_networks(specs: &[NetworkSpec]) -> Result<(), BridgeError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(BridgeError::List)?;
    let indexes: Vec<u32> = specs.iter().filter_map(|spec| link::index_of(&netlink, &spec.bridge)).collect();
    Ok(link::remove(&mut netlink, &indexes)?)
}

/// Tells which of the networks are there: by one dump of the bridges and one of the addresses, however many they are.
///
/// # Errors
/// [`BridgeError::List`].
pub fn observe_networks(specs: &[NetworkSpec]) -> Result<Vec<ObservedNetwork>, BridgeError> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(BridgeError::List)?;
    let bridges = link::dump(&mut netlink, Some(InfoKind::Bridge)).map_err(BridgeError::List)?;
    let addresses = dump_ipv4(&mut netlink).map_err(BridgeError::List)?;
    let observe = |spec: &NetworkSpec| ObservedNetwork {
        spec: spec.clone(),
        present: bridges.iter().any(|link| is_as_asked(link, &addresses, spec)),
    };
    Ok(specs.iter().map(observe).collect())
}

fn is_as_asked(link: &Link, addresses: &[(u32, Ipv4Net)], spec: &NetworkSpec) -> bool {
    link.name == spec.bridge.as_str()
        && link.up
        && link.mtu == spec.mtu
        && link.has_mac(MacAddress::of_ipv4(spec.gateway))
        && addresses.contains(&(link.index, gateway(spec)))
}

/// Changes the bridge that has the name already, and takes the addresses away that it should not have.
fn mend(netlink: &mut Netlink, spec: &NetworkSpec) -> Result<(), BridgeError> {
    let fail = |source| BridgeError::Create { bridge: spec.bridge.clone(), source };
    let found = link::get(netlink, &spec.bridge).map_err(fail)?;
    if found.is_some_and(|link| !link.is_bridge) {
        return Err(BridgeError::NotABridge { bridge: spec.bridge.clone() });
    }
    perform_one(netlink, flag::CREATE, RouteNetlinkMessage::NewLink(link_message(spec))).map_err(fail)?;
    let index = link::index_of(netlink, &spec.bridge);
    let wrong = |(link, found): &(u32, Ipv4Net)| Some(*link) == index && *found != gateway(spec);
    for (link, found) in dump_ipv4(netlink).map_err(fail)?.into_iter().filter(wrong) {
        let message = RouteNetlinkMessage::DelAddress(address(link, found.into()));
        perform_one(netlink, flag::CHANGE, message).map_err(fail)?;
    }
    Ok(())
}

/// Gives the bridge one of its addresses and switches it on.
fn give(netlink: &mut Netlink, spec: &NetworkSpec, index: u32, found: IpNet) -> Result<(), BridgeError> {
    let mut batch = Batch::default();
    batch.push_route(flag::REPLACE, RouteNetlinkMessage::NewAddress(address(index, found)));
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(numbered(index), true)));
    netlink.perform(batch).map_err(|source| BridgeError::Address {
        bridge: spec.bridge.clone(),
        address: found,
        source,
    })
}

fn settle_ipv6(spec: &NetworkSpec) -> Result<(), BridgeError> {
    let setting = if spec.subnet6.is_some() { ("accept_ra", "0") } else { ("disable_ipv6", "1") };
    let name = format!("net/ipv6/conf/{}/{}", spec.bridge, setting.0);
    if !sysctl::exists(&name) {
        return Ok(()); // the kernel has no IPv6 at all
    }
    sysctl::set(&name, setting.1)
        .map_err(|source| BridgeError::Setting { bridge: spec.bridge.clone(), source })
}

fn link_message(spec: &NetworkSpec) -> LinkMessage {
    let mut message = named(&spec.bridge);
    message.attributes.push(LinkAttribute::Address(MacAddress::of_ipv4(spec.gateway).0.to_vec()));
    message.attributes.push(LinkAttribute::Mtu(spec.mtu));
    message.attributes.push(LinkAttribute::Group(0)); // an earlier removal may have stopped half way
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    message
}

fn gateway(spec: &NetworkSpec) -> Ipv4Net {
    Ipv4Net::new_assert(spec.gateway, spec.subnet.prefix_len())
}

/// Returns the bridge's addresses: the gateway's, and the first of the IPv6 network.
fn addresses(spec: &NetworkSpec) -> Vec<IpNet> {
    let ipv6 = |net: Ipv6Net| {
        let first = (u128::from(net.network()) + 1).into();
        IpNet::V6(Ipv6Net::new_assert(first, net.prefix_len()))
    };
    [IpNet::V4(gateway(spec))].into_iter().chain(spec.subnet6.map(ipv6)).collect()
}

fn perform_one(netlink: &mut Netlink, flags: u16, message: RouteNetlinkMessage) -> Result<(), NetlinkError> {
    let mut batch = Batch::default();
    batch.push_route(flags, message);
    netlink.perform(batch)
}
