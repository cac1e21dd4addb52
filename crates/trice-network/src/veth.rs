//! Endpoints: pairs of links, one end a port of the network's bridge, the other one in the instance's namespace.
//!
//! ```text
//! host                          instance
//! bridge ── host link (up) ════ interface, with its name and hardware address
//! ```
//!
//! The pair is made where it belongs, by one message: a pair that is made first and then moved and renamed takes 20 ms
//! and more, since each move waits for the kernel to forget the old place, against 0.4 ms. The inner end cannot be
//! made up, because it needs its partner for that.
//!
//! Source: Linux `drivers/net/veth.c`, `net/bridge/br_netlink.c`.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkInfo,
    LinkMessage,
};
use trice_model::name::LinkName;
use trice_model::network::EndpointSpec;

use crate::link::{named, switched};
use crate::netlink::{Batch, flag};

/// The host's end of a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outer<'a> {
    /// Its name.
    pub(crate) link: &'a LinkName,
    /// The bridge that it is a port of.
    pub(crate) bridge: u32,
    /// Other ports of the bridge that are isolated too are out of reach.
    pub(crate) isolated: bool,
}

/// Adds the messages that make the pair of the endpoint.
///
/// The port's settings come in a message of their own: at the creation the kernel does not look at them.
pub(crate) fn create(batch: &mut Batch, spec: &EndpointSpec, outer: Outer<'_>, namespace: BorrowedFd<'_>) {
    let peer = InfoData::Veth(InfoVeth::Peer(inner_end(spec, namespace)));
    let mut message = switched(named(outer.link), true);
    message.attributes.extend([
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::Controller(outer.bridge),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::NumRxQueues(1),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)]),
    ]);
    batch.push_route(flag::CREATE_NEW, RouteNetlinkMessage::NewLink(message));
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::NewLink(port(outer)));
}

fn inner_end(spec: &EndpointSpec, namespace: BorrowedFd<'_>) -> LinkMessage {
    let mut inner = named(&spec.interface);
    inner.attributes.extend([
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::NumRxQueues(1),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ]);
    inner.attributes.extend(spec.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    inner
}

/// The bridge may send a packet back where it came from: with `bridge-nf-call-iptables` a container's packet to its
/// own published port is not routed but bridged, to the port it came through.
fn port(outer: Outer<'_>) -> LinkMessage {
    let settings = vec![InfoBridgePort::HairpinMode(true), InfoBridgePort::Isolated(outer.isolated)];
    let mut message = named(outer.link);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(settings)),
    ]));
    message
}
