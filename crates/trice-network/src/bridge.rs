//! Networks: one bridge each, with the gateways' addresses on it; or an interface of the host's, which is there.
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

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::io::Errno;
use trice_model::name::LinkName;
use trice_model::network::{MacAddress, Medium, NetworkSpec, ObservedNetwork};

use crate::address::{address, dump};
use crate::link::{self, Link, LinkError, named, numbered, switched};
use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};
use crate::sysctl::{self, SysctlError};

/// Why a network is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The kernel was built or loaded without bridges.
    #[error("this kernel has no bridges (CONFIG_BRIDGE): network links cannot be made")]
    Unsupported,
    /// The kernel was built or loaded without the driver.
    #[error("this kernel has no {driver} ({option})")]
    NoDriver {
        /// The driver, as Compose calls it.
        driver: &'static str,
        /// The kernel's word for it.
        option: &'static str,
    },
    /// The interface is not there.
    #[error("the host has no interface `{parent}`, which is the network's parent")]
    NoParent {
        /// Its name.
        parent: LinkName,
    },
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

/// Makes the network, or makes it as it should be if it is there: its bridge, if it is one of bridges.
///
/// One on an interface of the host's needs that interface, and nothing is made.
///
/// # Errors
/// [`BridgeError`], which names the bridge and the step.
pub fn create_network(spec: &NetworkSpec) -> Result<(), BridgeError> {
    match &spec.medium {
        Medium::Bridge(link) => create_bridge(&Bridge { link, spec }),
        Medium::Macvlan { parent, .. } | Medium::Ipvlan { parent, .. } => check_parent(spec, parent),
    }
}

/// Removes the networks' bridges, all at once. Those that are not there do not hinder.
///
/// Containers' interfaces are not looked for: they go with their namespaces.
///
/// # Errors
/// [`BridgeError::Remove`].
pub fn remove_networks(specs: &[NetworkSpec]) -> Result<(), BridgeError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(BridgeError::List)?;
    let bridges = specs.iter().filter_map(|spec| spec.medium.bridge());
    let indexes: Vec<u32> = bridges.filter_map(|bridge| link::index_of(&netlink, bridge)).collect();
    Ok(link::remove(&mut netlink, &indexes)?)
}

/// Tells which of the networks are there: by one dump of the links and one of the addresses, however many they are.
///
/// # Errors
/// [`BridgeError::List`].
pub fn observe_networks(specs: &[NetworkSpec]) -> Result<Vec<ObservedNetwork>, BridgeError> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(BridgeError::List)?;
    let has_parents = specs.iter().any(|spec| spec.medium.bridge().is_none());
    let kind = (!has_parents).then_some(InfoKind::Bridge);
    let links = link::dump(&mut netlink, kind).map_err(BridgeError::List)?;
    let addresses = dump(&mut netlink).map_err(BridgeError::List)?;
    let observe = |spec: &NetworkSpec| ObservedNetwork {
        spec: spec.clone(),
        present: match &spec.medium {
            Medium::Bridge(link) => {
                let bridge = Bridge { link, spec };
                links.iter().any(|link| bridge.is_as_asked(link, &addresses))
            }
            Medium::Macvlan { parent, .. } | Medium::Ipvlan { parent, .. } => {
                links.iter().any(|link| link.name == parent.as_str())
            }
        },
    };
    Ok(specs.iter().map(observe).collect())
}

/// Returns the hardware address of a bridge: that of its gateway.
fn mac(spec: &NetworkSpec) -> MacAddress {
    let ipv4 = spec.ipv4.as_ref().map(|pool| MacAddress::of_ipv4(pool.gateway));
    let ipv6 = || spec.ipv6.as_ref().map(|pool| MacAddress::of_ipv6(pool.gateway));
    ipv4.or_else(ipv6).unwrap_or(MacAddress([0x02, 0x42, 0, 0, 0, 1]))
}

/// A network of the kind that has a bridge.
struct Bridge<'a> {
    link: &'a LinkName,
    spec: &'a NetworkSpec,
}

impl Bridge<'_> {
    fn is_as_asked(&self, found: &Link, addresses: &[(u32, IpNet)]) -> bool {
        found.name == self.link.as_str()
            && found.is_bridge
            && found.up
            && found.mtu == self.spec.mtu
            && found.has_mac(mac(self.spec))
            && self.addresses().iter().all(|wanted| addresses.contains(&(found.index, *wanted)))
    }

    /// Returns its addresses: the gateways'.
    fn addresses(&self) -> Vec<IpNet> {
        let ipv4 = self.spec.ipv4.as_ref().map(|pool| IpNet::V4(pool.gateway_net()));
        let ipv6 = self.spec.ipv6.as_ref().map(|pool| IpNet::V6(pool.gateway_net()));
        ipv4.into_iter().chain(ipv6).collect()
    }

    fn message(&self) -> LinkMessage {
        let mut message = named(self.link);
        message.attributes.push(LinkAttribute::Address(mac(self.spec).0.to_vec()));
        message.attributes.push(LinkAttribute::Mtu(self.spec.mtu));
        message.attributes.push(LinkAttribute::Group(0)); // an earlier removal may have stopped half way
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        message
    }

    fn refused(&self, source: NetlinkError) -> BridgeError {
        BridgeError::Create { bridge: self.link.clone(), source }
    }

    /// Changes the bridge that has the name already, and takes the addresses away that it should not have.
    fn mend(&self, netlink: &mut Netlink) -> Result<(), BridgeError> {
        let fail = |source| self.refused(source);
        let found = link::get(netlink, self.link).map_err(fail)?;
        if found.is_some_and(|link| !link.is_bridge) {
            return Err(BridgeError::NotABridge { bridge: self.link.clone() });
        }
        perform_one(netlink, flag::CREATE, RouteNetlinkMessage::NewLink(self.message())).map_err(fail)?;
        let index = link::index_of(netlink, self.link);
        let wanted = self.addresses();
        let wrong = |(link, found): &(u32, IpNet)| {
            Some(*link) == index && !wanted.contains(found) && !is_link_local(*found)
        };
        for (link, found) in dump(netlink).map_err(fail)?.into_iter().filter(wrong) {
            let message = RouteNetlinkMessage::DelAddress(address(link, found));
            perform_one(netlink, flag::CHANGE, message).map_err(fail)?;
        }
        Ok(())
    }

    /// Gives the bridge one of its addresses and switches it on.
    fn give(&self, netlink: &mut Netlink, index: u32, found: IpNet) -> Result<(), BridgeError> {
        let mut batch = Batch::default();
        batch.push_route(flag::REPLACE, RouteNetlinkMessage::NewAddress(address(index, found)));
        batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(numbered(index), true)));
        netlink.perform(batch).map_err(|source| BridgeError::Address {
            bridge: self.link.clone(),
            address: found,
            source,
        })
    }

    fn settle_ipv6(&self) -> Result<(), BridgeError> {
        let settings: &[(&str, &str)] = match self.spec.ipv6 {
            // Nobody else can have its addresses, and no container is a router for the host.
            Some(_) => &[("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")],
            None => &[("disable_ipv6", "1")],
        };
        for (setting, value) in settings {
            let name = format!("net/ipv6/conf/{}/{setting}", self.link);
            if !sysctl::exists(&name) {
                return Ok(()); // the kernel has no IPv6 at all
            }
            sysctl::set(&name, value)
                .map_err(|source| BridgeError::Setting { bridge: self.link.clone(), source })?;
        }
        Ok(())
    }
}

fn create_bridge(bridge: &Bridge<'_>) -> Result<(), BridgeError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(|source| bridge.refused(source))?;
    match perform_one(&mut netlink, flag::CREATE_NEW, RouteNetlinkMessage::NewLink(bridge.message())) {
        Ok(()) => {}
        Err(error) if error.refusal() == Some(Errno::EXIST) => bridge.mend(&mut netlink)?,
        Err(error) if error.refusal() == Some(Errno::OPNOTSUPP) => return Err(BridgeError::Unsupported),
        Err(error) => return Err(bridge.refused(error)),
    }
    bridge.settle_ipv6()?;
    let vanished = || BridgeError::Vanished { bridge: bridge.link.clone() };
    let index = link::index_of(&netlink, bridge.link).ok_or_else(vanished)?;
    for address in bridge.addresses() {
        bridge.give(&mut netlink, index, address)?;
    }
    Ok(())
}

/// Checks that the host has the interface, and that the kernel can put others on it.
fn check_parent(spec: &NetworkSpec, parent: &LinkName) -> Result<(), BridgeError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(BridgeError::List)?;
    let kind = match spec.medium {
        Medium::Bridge(_) => InfoKind::Bridge,
        Medium::Macvlan { .. } => InfoKind::MacVlan,
        Medium::Ipvlan { .. } => InfoKind::IpVlan,
    };
    if !link::is_known(&mut netlink, kind).map_err(BridgeError::List)? {
        let (driver, option) = match spec.medium {
            Medium::Bridge(_) => ("bridge", "CONFIG_BRIDGE"),
            Medium::Macvlan { .. } => ("macvlan", "CONFIG_MACVLAN"),
            Medium::Ipvlan { .. } => ("ipvlan", "CONFIG_IPVLAN"),
        };
        return Err(BridgeError::NoDriver { driver, option });
    }
    match link::index_of(&netlink, parent) {
        Some(_) => Ok(()),
        None => Err(BridgeError::NoParent { parent: parent.clone() }),
    }
}

/// Returns whether it is one that the kernel gives by itself.
fn is_link_local(net: IpNet) -> bool {
    match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.addr().is_unicast_link_local(),
    }
}

fn perform_one(netlink: &mut Netlink, flags: u16, message: RouteNetlinkMessage) -> Result<(), NetlinkError> {
    let mut batch = Batch::default();
    batch.push_route(flags, message);
    netlink.perform(batch)
}
