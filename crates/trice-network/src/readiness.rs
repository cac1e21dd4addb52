//! Waiting until a new interface carries packets.
//!
//! The kernel hears of a new carrier through a work queue. Until that has run, the bridge does not forward for the
//! port, the first packet of a container is lost, and its sender repeats it after a whole second; that happens to one
//! container in twenty. To ask for a link makes the kernel run the queue for it first (Linux 6.8 and later), so that
//! the first answer is already the one that is waited for. Older kernels are asked again.
//!
//! An IPv6 address becomes one of the machine's own through another queue, which nothing hastens.
//!
//! Source: Linux `net/core/link_watch.c`.

use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use trice_model::name::{LinkName, NetworkName};
use trice_model::network::{EndpointSpec, Plug};

use crate::link;
use crate::netlink::{Netlink, NetlinkError};

/// Why packets do not pass.
#[derive(Debug, thiserror::Error)]
pub enum ReadinessError {
    /// The kernel does not tell.
    #[error("ask whether `{interface}` is ready")]
    Ask {
        /// The interface in the container.
        interface: LinkName,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// It has taken too long: somebody has switched a link off, or removed it.
    #[error("no packets pass between `{interface}` and network `{network}` after {} s", PATIENCE.as_secs())]
    Late {
        /// The interface in the container.
        interface: LinkName,
        /// The network.
        network: NetworkName,
    },
}

const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(300);

/// Returns when packets pass through all of the endpoints.
pub(crate) fn wait(
    endpoints: &[EndpointSpec],
    host: &mut Netlink,
    inside: &mut Netlink,
) -> Result<(), ReadinessError> {
    let deadline = Instant::now() + PATIENCE;
    for end in endpoints {
        let fail = |source| ReadinessError::Ask { interface: end.interface.clone(), source };
        while !(is_plugged(host, end).map_err(fail)? && is_own(inside, end).map_err(fail)?) {
            if Instant::now() > deadline {
                let (interface, network) = (end.interface.clone(), end.network.clone());
                return Err(ReadinessError::Late { interface, network });
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Returns whether the bridge forwards for the endpoint. What is on an interface of the host's has its carrier, which
/// may come and go with a cable: nobody waits for that.
fn is_plugged(host: &mut Netlink, end: &EndpointSpec) -> Result<bool, NetlinkError> {
    match &end.plug {
        Plug::Bridge { bridge, host_link, .. } => Ok(carries(host, host_link)? && carries(host, bridge)?),
        Plug::Macvlan { .. } | Plug::Ipvlan { .. } => Ok(true),
    }
}

fn carries(host: &mut Netlink, name: &LinkName) -> Result<bool, NetlinkError> {
    Ok(link::get(host, name)?.is_some_and(|link| link.running))
}

/// Returns whether the kernel takes packets for the endpoint's IPv6 address, if it has one.
fn is_own(inside: &mut Netlink, end: &EndpointSpec) -> Result<bool, NetlinkError> {
    let Some(net) = end.address6 else { return Ok(true) };
    if matches!(end.plug, Plug::Macvlan { .. } | Plug::Ipvlan { .. }) {
        return Ok(true); // without a carrier the address is not one's own either
    }
    let answers = inside.ask_route(RouteNetlinkMessage::GetRoute(way_to(net.addr())))?;
    let is_local = |answer: &RouteNetlinkMessage| matches!(answer, RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local);
    Ok(answers.iter().any(is_local))
}

fn way_to(address: Ipv6Addr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
    message
}
