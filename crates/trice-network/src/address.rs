//! Addresses of links and the default routes through them.
//!
//! Source: rtnetlink(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Netlink, NetlinkError};

/// Returns the message that gives `address` and its network's mask to a link, or takes it away.
///
/// An IPv6 address is usable at once: nobody else can have it, so that the kernel need not ask around for a second.
pub(crate) fn address(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    match address {
        IpNet::V4(net) => {
            message.header.family = AddressFamily::Inet;
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        IpNet::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.header.flags = AddressHeaderFlags::Nodad;
        }
    }
    message
}

/// Returns the message that makes a link the way to everywhere else.
pub(crate) fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.header.address_family = family(&gateway);
    message.attributes.push(RouteAttribute::Gateway(match gateway {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    }));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// Returns the family of an address.
pub(crate) fn family(address: &IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Returns all addresses of the socket's namespace, each with the number of its link.
pub(crate) fn dump(netlink: &mut Netlink) -> Result<Vec<(u32, IpNet)>, NetlinkError> {
    let answers = netlink.dump_route(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    Ok(answers.iter().filter_map(address_of).collect())
}

/// A route of the kernel's, as far as it tells which addresses are taken.
pub(crate) struct Route {
    /// Where it leads out; `None` if it leads nowhere or several ways.
    pub(crate) link: Option<u32>,
    pub(crate) destination: IpNet,
}

/// Returns all routes to other machines, of all tables.
pub(crate) fn dump_routes(netlink: &mut Netlink) -> Result<Vec<Route>, NetlinkError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let answers = netlink.dump_route(RouteNetlinkMessage::GetRoute(message))?;
        routes.extend(answers.iter().filter_map(route_of));
    }
    Ok(routes)
}

/// Returns the link's own address. On a point-to-point link `IFA_ADDRESS` is the other end's and `IFA_LOCAL` is ours;
/// IPv6 has `IFA_ADDRESS` alone.
fn address_of(answer: &RouteNetlinkMessage) -> Option<(u32, IpNet)> {
    let RouteNetlinkMessage::NewAddress(message) = answer else { return None };
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => own = own.or(Some(*address)),
            _ => {}
        }
    }
    Some((message.header.index, IpNet::new(own?, message.header.prefix_len).ok()?))
}

fn route_of(answer: &RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = answer else { return None };
    // The table `local` repeats the addresses of the links.
    if matches!(
        message.header.kind,
        RouteType::Local | RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast
    ) {
        return None;
    }
    let mut address: IpAddr = match message.header.address_family {
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let mut link = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Destination(RouteAddress::Inet(destination)) => address = (*destination).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(destination)) => address = (*destination).into(),
            _ => {}
        }
    }
    let destination = IpNet::new(address, message.header.destination_prefix_length).ok()?;
    Some(Route { link, destination })
}
