//! Instances: a network namespace with an interface on each of its networks, and a place where names are answered.
//!
//! ```text
//! thread                                                             host
//! new namespace ─► settings ─► pairs, made in place ──────────────► bridge ports, up
//!              ─► lo, interfaces up; addresses, routes: one send
//!              ─► settings of interfaces ─► DNS sockets and their port ─► until packets pass
//! ```
//!
//! The namespace lives as long as somebody holds its descriptor. Nobody takes interfaces down one by one: that costs
//! 16 ms each, while a namespace without holders is cleared away in the background.
//!
//! Source: network_namespaces(7), veth(4).

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;
use trice_model::name::{LinkName, NetworkName};
use trice_model::network::{EndpointSpec, InstanceSpec};

use crate::address::{address, default_route, dump_ipv4, dump_ipv6};
use crate::link::{self, absent_is_fine, named, numbered, switched};
use crate::namespace::{NamespaceError, in_namespace, in_new_namespace};
use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};
use crate::readiness::{self, ReadinessError};
use crate::resolver::{self, DnsSockets, ResolverError};
use crate::sysctl::{self, SysctlError};
use crate::veth;

/// Why an instance is not on its networks.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The kernel was built or loaded without pairs of links.
    #[error("this kernel has no veth (CONFIG_VETH): containers cannot be on networks")]
    Unsupported,
    /// The network has not been made, or its bridge was removed.
    #[error("network `{network}` has no bridge `{bridge}`")]
    NoBridge {
        /// The network.
        network: NetworkName,
        /// Its bridge.
        bridge: LinkName,
    },
    /// There is no namespace, or no way into it.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A setting was refused.
    #[error(transparent)]
    Setting(#[from] SysctlError),
    /// The kernel was not reached.
    #[error("reach the kernel's network links")]
    Unreached(#[source] NetlinkError),
    /// The kernel refused the pair of links.
    #[error("make `{interface}` on network `{network}`")]
    Plug {
        /// The interface in the container.
        interface: LinkName,
        /// The network.
        network: NetworkName,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused an address or a route, or to switch an interface on.
    #[error("{step}")]
    SwitchOn {
        /// What was to be done.
        step: String,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// Names cannot be asked for.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// The interfaces are there, but nothing passes through one of them.
    #[error(transparent)]
    NotReady(#[from] ReadinessError),
}

/// An instance that is on its networks. It is taken apart when the last descriptor of its namespace is closed.
#[derive(Debug)]
pub struct Connected {
    /// Its network namespace.
    pub namespace: OwnedFd,
    /// Where its questions for names arrive, if it asks here.
    pub dns: Option<DnsSockets>,
}

/// Makes the instance's network namespace and puts it on its networks, ready for its first packet.
///
/// # Errors
/// [`InstanceError`]; then nothing is left of it, once the kernel has cleared the namespace away.
pub fn connect(spec: &InstanceSpec) -> Result<Connected, InstanceError> {
    let mut host = open()?;
    in_new_namespace(|namespace| build(spec, &mut host, namespace))?
}

/// Tells whether the instance is in `namespace`, with all its interfaces on their networks.
///
/// What a container with `NET_ADMIN` adds, such as a tunnel and its routes, does not matter.
///
/// # Errors
/// [`InstanceError`], if the kernel cannot be asked.
pub fn verify(namespace: BorrowedFd<'_>, spec: &InstanceSpec) -> Result<bool, InstanceError> {
    Ok(outer_ends_are_plugged(spec)? && in_namespace(namespace, || is_furnished(spec))??)
}

/// Opens the sockets for names again, of an instance whose former ones nobody holds any more.
///
/// # Errors
/// [`InstanceError::Resolver`], if somebody does hold them, or [`InstanceError::Namespace`].
pub fn reopen_dns(namespace: BorrowedFd<'_>) -> Result<DnsSockets, InstanceError> {
    Ok(in_namespace(namespace, resolver::open)??)
}

/// Takes the endpoint off its network at once, and leaves the rest to the clearing of its namespace.
///
/// A dead container's interface would answer for its address until then. That it is gone already does not hinder.
///
/// # Errors
/// [`InstanceError::Unreached`] or [`InstanceError::SwitchOn`].
pub fn cut_off(spec: &EndpointSpec) -> Result<(), InstanceError> {
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(named(&spec.host_link), false)));
    absent_is_fine(open()?.perform(batch)).map_err(|source| InstanceError::SwitchOn {
        step: format!("switch off `{}` of network `{}`", spec.interface, spec.network),
        source,
    })
}

/// What [`connect`] does on the thread that is in the new namespace; `host` is a socket of the old one.
fn build(spec: &InstanceSpec, host: &mut Netlink, namespace: OwnedFd) -> Result<Connected, InstanceError> {
    let mut inside = open()?;
    let is_of_interface =
        |name: &str| spec.endpoints.iter().any(|end| sysctl::mentions(name, end.interface.as_str()));
    settle_ipv6(spec)?; // before there are interfaces: they begin with the defaults
    for (name, value) in spec.sysctls.iter().filter(|(name, _)| !is_of_interface(name)) {
        sysctl::set(name, value)?;
    }
    plug(spec, host, namespace.as_fd())?;
    switch_on(spec, &mut inside)?;
    for (name, value) in spec.sysctls.iter().filter(|(name, _)| is_of_interface(name)) {
        sysctl::set(name, value)?;
    }
    let dns = if spec.dns { Some(resolver::open()?) } else { None }; // after `lo` is up: it has the address
    readiness::wait(&spec.endpoints, host, &mut inside)?; // last: by now it is often true
    Ok(Connected { namespace, dns })
}

fn open() -> Result<Netlink, InstanceError> {
    Netlink::open(NetlinkFamily::Route).map_err(InstanceError::Unreached)
}

/// Leaves IPv6 out where no network has it; only `lo` keeps `::1`, which some programs insist on. Where a network has
/// it, addresses need no second of asking around, and no container is taken for a router.
fn settle_ipv6(spec: &InstanceSpec) -> Result<(), SysctlError> {
    if !sysctl::exists("net.ipv6.conf.default.disable_ipv6") {
        return Ok(()); // the kernel has no IPv6 at all
    }
    if spec.endpoints.iter().any(|end| end.address6.is_some()) {
        sysctl::set("net.ipv6.conf.default.accept_dad", "0")?;
        sysctl::set("net.ipv6.conf.default.accept_ra", "0")
    } else {
        sysctl::set("net.ipv6.conf.default.disable_ipv6", "1")
    }
}

/// Makes all pairs, in one send.
fn plug(spec: &InstanceSpec, host: &mut Netlink, namespace: BorrowedFd<'_>) -> Result<(), InstanceError> {
    const MESSAGES_EACH: usize = 2;
    let mut batch = Batch::default();
    for end in &spec.endpoints {
        let no_bridge =
            || InstanceError::NoBridge { network: end.network.clone(), bridge: end.bridge.clone() };
        let bridge = link::index_of(host, &end.bridge).ok_or_else(no_bridge)?;
        veth::create(&mut batch, end, bridge, namespace);
    }
    host.perform(batch).map_err(|source| {
        if source.refusal() == Some(Errno::OPNOTSUPP) {
            return InstanceError::Unsupported;
        }
        let refused = source.place().and_then(|place| spec.endpoints.get(place / MESSAGES_EACH));
        match refused {
            Some(EndpointSpec { interface, network, .. }) => {
                InstanceError::Plug { interface: interface.clone(), network: network.clone(), source }
            }
            None => InstanceError::Unreached(source),
        }
    })
}

/// Switches `lo` and the interfaces on and gives them addresses and routes, in one send.
fn switch_on(spec: &InstanceSpec, inside: &mut Netlink) -> Result<(), InstanceError> {
    /// `lo` is the first link of every namespace.
    const LO: u32 = 1;
    let mut steps = vec!["switch on `lo`".to_owned()];
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(numbered(LO), true)));
    for end in &spec.endpoints {
        let index = link::index_of(inside, &end.interface).unwrap_or_default(); // 0 is refused, with the step
        steps.push(format!("switch on `{}`", end.interface));
        batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(numbered(index), true)));
        let addresses = [Some(IpNet::V4(end.address)), end.address6.map(IpNet::V6)];
        for net in addresses.into_iter().flatten() {
            steps.push(format!("give `{}` the address {net}", end.interface));
            batch.push_route(flag::CREATE_NEW, RouteNetlinkMessage::NewAddress(address(index, net)));
        }
        let gateways = [end.gateway.map(IpAddr::V4), end.gateway6.map(IpAddr::V6)];
        for gateway in gateways.into_iter().flatten() {
            steps.push(format!("lead the default route of `{}` to {gateway}", end.interface));
            let route = RouteNetlinkMessage::NewRoute(default_route(index, gateway));
            batch.push_route(flag::CREATE_NEW, route);
        }
    }
    inside.perform(batch).map_err(|source| match source.place().and_then(|place| steps.get(place)) {
        Some(step) => InstanceError::SwitchOn { step: step.clone(), source },
        None => InstanceError::Unreached(source),
    })
}

/// Asks in the host's namespace whether the outer ends are up and ports of their bridges.
fn outer_ends_are_plugged(spec: &InstanceSpec) -> Result<bool, InstanceError> {
    let mut host = open()?;
    for end in &spec.endpoints {
        let bridge = link::index_of(&host, &end.bridge);
        let outer = link::get(&mut host, &end.host_link).map_err(InstanceError::Unreached)?;
        if !outer.is_some_and(|outer| outer.up && bridge.is_some() && outer.master == bridge) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks in the instance's namespace whether its interfaces are there, with their addresses, and names are answered.
fn is_furnished(spec: &InstanceSpec) -> Result<bool, InstanceError> {
    let mut inside = open()?;
    let links = link::dump(&mut inside, None).map_err(InstanceError::Unreached)?;
    let ipv4 = dump_ipv4(&mut inside).map_err(InstanceError::Unreached)?;
    let ipv6 = dump_ipv6(&mut inside).map_err(InstanceError::Unreached)?;
    let is_there = |end: &EndpointSpec| {
        links.iter().any(|link| {
            link.name == end.interface.as_str()
                && link.up
                && link.has_mac(end.mac)
                && ipv4.contains(&(link.index, end.address))
                && end.address6.is_none_or(|net| ipv6.contains(&(link.index, net)))
        })
    };
    let named = !spec.dns || resolver::is_led().map_err(ResolverError::Lead)?;
    Ok(named && spec.endpoints.iter().all(is_there))
}
