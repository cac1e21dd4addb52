//! Answers to sockets of ours that have other machines' addresses.
//!
//! ```text
//! container ──answer to the caller──► marked by the packet filter ──rule──► table of routes: all of it is for us
//! ```
//!
//! The engine's proxy speaks to a container with the caller's address, so that the container sees who calls. What the
//! container answers would be routed to the caller; it must end here instead.
//!
//! Source: Linux `Documentation/networking/tproxy.rst`; ip-rule(8).

use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};

/// What the packets are marked with: the letters of the program's name. All engines in a network namespace have it in
/// common, and each its own table of routes, so that one that ends takes away nothing of another's.
pub(crate) const MARK: u32 = u32::from_be_bytes(*b"tric");
/// When the rule is asked: before the main table. Without a number the kernel takes another one each time.
const PRIORITY: u32 = 0x7472;
/// `lo` is the first link of every namespace.
const LO: u32 = 1;

/// Why answers do not end here.
#[derive(Debug, thiserror::Error)]
pub enum DivertError {
    /// The kernel was built without several tables of routes, or it takes root.
    #[error("keep answers to the proxy on this machine (CONFIG_IP_MULTIPLE_TABLES)")]
    Change(#[source] NetlinkError),
}

/// Has marked packets end on this machine, by the routes' table with the number `table`.
///
/// # Errors
/// [`DivertError`].
pub fn begin(table: u32) -> Result<(), DivertError> {
    change(table, true)
}

/// Undoes that. That there is nothing to undo does not hinder.
///
/// # Errors
/// [`DivertError`].
pub fn end(table: u32) -> Result<(), DivertError> {
    change(table, false)
}

fn change(table: u32, wanted: bool) -> Result<(), DivertError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(DivertError::Change)?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let (rule, route) = if wanted {
            (
                RouteNetlinkMessage::NewRule(rule(table, family)),
                RouteNetlinkMessage::NewRoute(route(table, family)),
            )
        } else {
            (
                RouteNetlinkMessage::DelRule(rule(table, family)),
                RouteNetlinkMessage::DelRoute(route(table, family)),
            )
        };
        let flags = if wanted { flag::CREATE_NEW } else { flag::CHANGE };
        for message in [rule, route] {
            let mut batch = Batch::default();
            batch.push_route(flags, message);
            match netlink.perform(batch) {
                // There already, gone already, or no IPv6 at all.
                Err(error)
                    if matches!(
                        error.refusal(),
                        Some(
                            Errno::EXIST | Errno::NOENT | Errno::SRCH | Errno::AFNOSUPPORT | Errno::OPNOTSUPP
                        )
                    ) => {}
                other => other.map_err(DivertError::Change)?,
            }
        }
    }
    Ok(())
}

fn rule(table: u32, family: AddressFamily) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    message.header.action = RuleAction::ToTable;
    message.attributes.extend([
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::FwMark(MARK),
        RuleAttribute::Table(table),
    ]);
    message
}

fn route(table: u32, family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Host;
    message.header.kind = RouteType::Local;
    message.attributes.extend([RouteAttribute::Table(table), RouteAttribute::Oif(LO)]);
    message
}
