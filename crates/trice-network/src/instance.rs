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

use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;
use trice_model::name::{LinkName, NetworkName};
use trice_model::network::{EndpointSpec, InstanceSpec, Plug};

use crate::address::{address, default_route, dump};
use crate::link::{self, absent_is_fine, named, numbered, switched};
use crate::namespace::{NamespaceError, in_namespace, in_new_namespace};
use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};
use crate::readiness::{self, ReadinessError};
use crate::resolver::{self, DnsSockets, ResolverError};
use crate::sysctl::{self, SysctlError};
use crate::upper::{self, Upper};
use crate::veth::{self, Outer};

/// Why an instance is not on its networks.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The kernel was built or loaded without such links.
    #[error("this kernel has no {kind}: containers cannot be on network `{network}`")]
    Unsupported {
        /// What is missing.
        kind: &'static str,
        /// The network.
        network: NetworkName,
    },
    /// The network has not been made, or its bridge was removed.
    #[error("network `{network}` has no link `{bridge}`")]
    NoBridge {
        /// The network.
        network: NetworkName,
        /// Its bridge, or its parent.
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

/// Gives the instance in `namespace`, which is as `there` says, the interfaces and routes of `wanted`, while its programs
/// run on. What both have is left alone.
///
/// # Errors
/// [`InstanceError`]; then some of it may have changed, and to ask again leads to the rest.
pub fn reshape(
    namespace: BorrowedFd<'_>,
    there: &InstanceSpec,
    wanted: &InstanceSpec,
) -> Result<(), InstanceError> {
    let mut host = open()?;
    in_namespace(namespace, || {
        let mut inside = open()?;
        let is_kept = |end: &&EndpointSpec, others: &[EndpointSpec]| {
            others.iter().any(|other| {
                EndpointSpec { gateway: end.gateway, gateway6: end.gateway6, ..other.clone() } == **end
            })
        };
        for end in there.endpoints.iter().filter(|end| !is_kept(end, &wanted.endpoints)) {
            unplug(end, &mut inside)?;
        }
        let added: Vec<EndpointSpec> =
            wanted.endpoints.iter().filter(|end| !is_kept(end, &there.endpoints)).cloned().collect();
        if added.iter().any(has_ipv6) {
            settle_ipv6(&added)?;
        }
        furnish(&added, &wanted.endpoints, &mut host, &mut inside, namespace)?;
        lead_out(there, wanted, &mut inside)?;
        Ok(readiness::wait(&added, &mut host, &mut inside)?)
    })?
}

/// Takes the endpoint off its network at once, and leaves the rest to the clearing of its namespace.
///
/// A dead container's interface would answer for its address until then. That it is gone already does not hinder.
///
/// # Errors
/// [`InstanceError::Unreached`] or [`InstanceError::SwitchOn`].
pub fn cut_off(spec: &EndpointSpec) -> Result<(), InstanceError> {
    let Some(host_link) = spec.host_link() else { return Ok(()) };
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(named(host_link), false)));
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
    settle_ipv6(&spec.endpoints)?; // before there are interfaces: they begin with the defaults
    for (name, value) in spec.sysctls.iter().filter(|(name, _)| !is_of_interface(name)) {
        sysctl::set(name, value)?;
    }
    switch_on_lo(&mut inside)?;
    furnish(&spec.endpoints, &spec.endpoints, host, &mut inside, namespace.as_fd())?;
    lead_out(&InstanceSpec { endpoints: Vec::new(), ..spec.clone() }, spec, &mut inside)?;
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

/// Makes the interfaces of `ends` with their settings and addresses; `all` are those of the instance.
fn furnish(
    ends: &[EndpointSpec],
    all: &[EndpointSpec],
    host: &mut Netlink,
    inside: &mut Netlink,
    namespace: BorrowedFd<'_>,
) -> Result<(), InstanceError> {
    plug(ends, host, namespace)?;
    settle_interfaces(ends, all)?;
    switch_on(ends, inside)
}

/// Leaves IPv6 out where no network has it; only `lo` keeps `::1`, which some programs insist on. Where a network has
/// it, addresses need no second of asking around, and no container is taken for a router.
fn settle_ipv6(ends: &[EndpointSpec]) -> Result<(), SysctlError> {
    if !sysctl::exists("net.ipv6.conf.default.disable_ipv6") {
        return Ok(()); // the kernel has no IPv6 at all
    }
    if ends.iter().any(has_ipv6) {
        sysctl::set("net.ipv6.conf.default.disable_ipv6", "0")?;
        sysctl::set("net.ipv6.conf.default.accept_dad", "0")?;
        sysctl::set("net.ipv6.conf.default.accept_ra", "0")
    } else {
        sysctl::set("net.ipv6.conf.default.disable_ipv6", "1")
    }
}

/// Makes the settings of single interfaces: no IPv6 where the network has none and another one has, and those that were
/// asked for.
fn settle_interfaces(ends: &[EndpointSpec], all: &[EndpointSpec]) -> Result<(), SysctlError> {
    let mixed = all.iter().any(has_ipv6);
    for end in ends {
        let name = format!("net/ipv6/conf/{}/disable_ipv6", end.interface);
        if mixed && !has_ipv6(end) && sysctl::exists(&name) {
            sysctl::set(&name, "1")?;
        }
        for (name, value) in &end.sysctls {
            sysctl::set(name, value)?;
        }
    }
    Ok(())
}

fn has_ipv6(end: &EndpointSpec) -> bool {
    end.nets().any(|net| net.addr().is_ipv6())
}

/// Makes all interfaces, in one send.
fn plug(ends: &[EndpointSpec], host: &mut Netlink, namespace: BorrowedFd<'_>) -> Result<(), InstanceError> {
    let mut batch = Batch::default();
    let mut owners = Vec::new(); // whose each message is
    for end in ends {
        let index_of = |link: &LinkName| {
            let no_link = || InstanceError::NoBridge { network: end.network.clone(), bridge: link.clone() };
            link::index_of(host, link).ok_or_else(no_link)
        };
        match &end.plug {
            Plug::Bridge { bridge, host_link, isolated, .. } => {
                let outer = Outer { link: host_link, bridge: index_of(bridge)?, isolated: *isolated };
                veth::create(&mut batch, end, outer, namespace);
                owners.extend([end, end]);
            }
            Plug::Macvlan { parent, mode } => {
                upper::create(&mut batch, end, Upper::Macvlan(*mode), index_of(parent)?, namespace);
                owners.push(end);
            }
            Plug::Ipvlan { parent, mode } => {
                upper::create(&mut batch, end, Upper::Ipvlan(*mode), index_of(parent)?, namespace);
                owners.push(end);
            }
        }
    }
    host.perform(batch).map_err(|source| {
        let Some(end) = source.place().and_then(|place| owners.get(place)) else {
            return InstanceError::Unreached(source);
        };
        if source.refusal() == Some(Errno::OPNOTSUPP) {
            return InstanceError::Unsupported { kind: kind(&end.plug), network: end.network.clone() };
        }
        InstanceError::Plug { interface: end.interface.clone(), network: end.network.clone(), source }
    })
}

/// Returns the kernel's word for what an endpoint is, and the option that brings it.
fn kind(plug: &Plug) -> &'static str {
    match plug {
        Plug::Bridge { .. } => "veth (CONFIG_VETH)",
        Plug::Macvlan { .. } => "macvlan (CONFIG_MACVLAN)",
        Plug::Ipvlan { .. } => "ipvlan (CONFIG_IPVLAN)",
    }
}

/// Takes an interface away, both ends of it.
fn unplug(end: &EndpointSpec, inside: &mut Netlink) -> Result<(), InstanceError> {
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::DelLink(named(&end.interface)));
    absent_is_fine(inside.perform(batch)).map_err(|source| InstanceError::SwitchOn {
        step: format!("take `{}` off network `{}`", end.interface, end.network),
        source,
    })
}

fn switch_on_lo(inside: &mut Netlink) -> Result<(), InstanceError> {
    /// `lo` is the first link of every namespace.
    const LO: u32 = 1;
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(switched(numbered(LO), true)));
    inside
        .perform(batch)
        .map_err(|source| InstanceError::SwitchOn { step: "switch on `lo`".to_owned(), source })
}

/// Messages, and what each is for.
#[derive(Default)]
struct Steps {
    batch: Batch,
    words: Vec<String>,
}

impl Steps {
    fn add(&mut self, word: String, flags: u16, message: RouteNetlinkMessage) {
        self.words.push(word);
        self.batch.push_route(flags, message);
    }

    fn perform(self, netlink: &mut Netlink) -> Result<(), InstanceError> {
        let Self { batch, words } = self;
        netlink.perform(batch).map_err(|source| match source.place().and_then(|place| words.get(place)) {
            Some(step) => InstanceError::SwitchOn { step: step.clone(), source },
            None => InstanceError::Unreached(source),
        })
    }
}

/// Switches interfaces on and gives them addresses, in one send.
fn switch_on(ends: &[EndpointSpec], inside: &mut Netlink) -> Result<(), InstanceError> {
    let mut steps = Steps::default();
    for end in ends {
        let index = link::index_of(inside, &end.interface).unwrap_or_default(); // 0 is refused, with the step
        let on = RouteNetlinkMessage::SetLink(switched(numbered(index), true));
        steps.add(format!("switch on `{}`", end.interface), flag::CHANGE, on);
        for net in end.nets() {
            let message = RouteNetlinkMessage::NewAddress(address(index, net));
            steps.add(format!("give `{}` the address {net}", end.interface), flag::CREATE_NEW, message);
        }
    }
    steps.perform(inside)
}

/// Leads the default routes the ways that `wanted` says, in place of those of `there`.
fn lead_out(there: &InstanceSpec, wanted: &InstanceSpec, inside: &mut Netlink) -> Result<(), InstanceError> {
    let mut steps = Steps::default();
    for (old, new) in ways_out(there).into_iter().zip(ways_out(wanted)) {
        let Some((end, gateway)) = new else {
            forget_route(old, inside)?;
            continue;
        };
        let index = link::index_of(inside, &end.interface).unwrap_or_default();
        let route = RouteNetlinkMessage::NewRoute(default_route(index, gateway));
        steps.add(
            format!("lead the default route of `{}` to {gateway}", end.interface),
            flag::REPLACE,
            route,
        );
        // A route of IPv6 through another link stays beside the new one.
        if gateway.is_ipv6() && old.is_some_and(|(other, _)| other.network != end.network) {
            forget_route(old, inside)?;
        }
    }
    steps.perform(inside)
}

type WayOut<'a> = Option<(&'a EndpointSpec, IpAddr)>;

/// Returns the interfaces that the default routes of both families go through, and to whom.
fn ways_out(spec: &InstanceSpec) -> [WayOut<'_>; 2] {
    let way = |gateway: fn(&EndpointSpec) -> Option<IpAddr>| {
        spec.endpoints.iter().find_map(|end| Some((end, gateway(end)?)))
    };
    [way(|end| end.gateway.map(IpAddr::V4)), way(|end| end.gateway6.map(IpAddr::V6))]
}

/// Forgets a default route, which may have gone with its link.
fn forget_route(way: WayOut<'_>, inside: &mut Netlink) -> Result<(), InstanceError> {
    let Some((end, gateway)) = way else { return Ok(()) };
    let Some(index) = link::index_of(inside, &end.interface) else { return Ok(()) };
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::DelRoute(default_route(index, gateway)));
    match inside.perform(batch) {
        Err(error) if error.refusal() == Some(Errno::SRCH) => Ok(()),
        other => other.map_err(|source| InstanceError::SwitchOn {
            step: format!("take the default route of `{}` away", end.interface),
            source,
        }),
    }
}

/// Asks in the host's namespace whether the outer ends are up and ports of their bridges.
fn outer_ends_are_plugged(spec: &InstanceSpec) -> Result<bool, InstanceError> {
    let mut host = open()?;
    for end in &spec.endpoints {
        let Plug::Bridge { bridge, host_link, .. } = &end.plug else { continue };
        let bridge = link::index_of(&host, bridge);
        let outer = link::get(&mut host, host_link).map_err(InstanceError::Unreached)?;
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
    let addresses = dump(&mut inside).map_err(InstanceError::Unreached)?;
    let is_there = |end: &EndpointSpec| {
        links.iter().any(|link| {
            link.name == end.interface.as_str()
                && link.up
                && end.mac.is_none_or(|mac| link.has_mac(mac))
                && end.nets().all(|net| addresses.contains(&(link.index, net)))
        })
    };
    let named = !spec.dns || resolver::is_led().map_err(ResolverError::Lead)?;
    Ok(named && spec.endpoints.iter().all(is_there))
}
