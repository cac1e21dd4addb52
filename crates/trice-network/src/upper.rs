//! Endpoints on an interface of the host's: links that share its wire, with hardware addresses of their own or with its
//! one.
//!
//! ```text
//! host              instance
//! parent ═════════ interface, made in place: the host has no end of it
//! ```
//!
//! Such an endpoint is on the host's own network, beside the host: neither its packet filter nor its routes have a say.
//!
//! Source: Linux `drivers/net/macvlan.c`, `Documentation/networking/ipvlan.rst`.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, IpVlanMode, LinkAttribute, LinkInfo, MacVlanMode,
};
use trice_model::network::{EndpointSpec, IpvlanMode, MacvlanMode};

use crate::link::named;
use crate::netlink::{Batch, flag};

/// What an endpoint is on its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upper {
    /// It has a hardware address of its own.
    Macvlan(MacvlanMode),
    /// It shares the parent's.
    Ipvlan(IpvlanMode),
}

impl Upper {
    fn info(self) -> [LinkInfo; 2] {
        match self {
            Self::Macvlan(mode) => {
                let mode = match mode {
                    MacvlanMode::Bridge => MacVlanMode::Bridge,
                    MacvlanMode::Private => MacVlanMode::Private,
                    MacvlanMode::Vepa => MacVlanMode::Vepa,
                    MacvlanMode::Passthru => MacVlanMode::Passthrough,
                };
                let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]);
                [LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(data)]
            }
            Self::Ipvlan(mode) => {
                let mode = match mode {
                    IpvlanMode::L2 => IpVlanMode::L2,
                    IpvlanMode::L3 => IpVlanMode::L3,
                    IpvlanMode::L3s => IpVlanMode::L3S,
                };
                let data = InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]);
                [LinkInfo::Kind(InfoKind::IpVlan), LinkInfo::Data(data)]
            }
        }
    }
}

/// Adds the message that makes the endpoint in `namespace`, on the link `parent` of the socket's namespace.
pub(crate) fn create(
    batch: &mut Batch,
    spec: &EndpointSpec,
    upper: Upper,
    parent: u32,
    namespace: BorrowedFd<'_>,
) {
    let mut message = named(&spec.interface);
    message.attributes.extend([
        LinkAttribute::Link(parent),
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        LinkAttribute::LinkInfo(upper.info().into()),
    ]);
    message.attributes.extend(spec.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    batch.push_route(flag::CREATE_NEW, RouteNetlinkMessage::NewLink(message));
}
