//! Links: finding them, switching them on and off, removing many at once.
//!
//! Removing takes 16 to 40 ms a link, whether they are named one by one or in one send, because the kernel waits each
//! time until nobody looks at the link any more. Only a whole group is removed with one such wait. So those to be
//! removed are moved into a group of their own first, which costs microseconds, and then the group is removed.
//!
//! Source: rtnetlink(7); Linux `net/core/rtnetlink.c`, `rtnl_group_dellink`.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use trice_model::name::LinkName;
use trice_model::network::MacAddress;

use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};

/// Why links were not removed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The kernel refused to tell which there are.
    #[error("list the network links")]
    List(#[source] NetlinkError),
    /// The kernel refused to remove them.
    #[error("remove {count} network links")]
    Remove {
        /// How many.
        count: usize,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
}

/// The group of links that are about to be removed: the letters of the program's name.
///
/// Two engines that use it at the same time remove each other's links, which both were about to do anyway.
const DOOMED: u32 = u32::from_be_bytes(*b"tric");

/// Removes those of `links` that are there, pairs with both ends, and returns how many there were.
///
/// # Errors
/// [`LinkError`], with what the kernel said.
pub fn remove_links(links: &[LinkName]) -> Result<usize, LinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(LinkError::List)?;
    let there: Vec<u32> = links.iter().filter_map(|link| index_of(&netlink, link)).collect();
    remove(&mut netlink, &there)?;
    Ok(there.len())
}

/// What this crate wants to know of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) address: Vec<u8>,
    pub(crate) mtu: u32,
    pub(crate) is_bridge: bool,
    /// The bridge that it is a port of.
    pub(crate) master: Option<u32>,
    /// Somebody switched it on.
    pub(crate) up: bool,
    /// It carries packets.
    pub(crate) running: bool,
}

impl Link {
    fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            address: Vec::new(),
            mtu: 0,
            is_bridge: false,
            master: None,
            up: message.header.flags.contains(LinkFlags::Up),
            running: false,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(address) => link.address.clone_from(address),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::LinkInfo(infos) => {
                    link.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
                }
                LinkAttribute::Controller(master) => link.master = Some(*master),
                LinkAttribute::OperState(state) => link.running = *state == State::Up,
                _ => {}
            }
        }
        link
    }

    /// Returns whether it has this hardware address.
    pub(crate) fn has_mac(&self, mac: MacAddress) -> bool {
        self.address == mac.0
    }
}

/// Returns the number of the link, if there is one, in the namespace of the socket.
pub(crate) fn index_of(netlink: &Netlink, name: &LinkName) -> Option<u32> {
    name_to_index(netlink, name.as_str()).ok()
}

/// Returns the link as it is now, or `None` if there is none.
///
/// The kernel brings the link's state up to date before it answers.
pub(crate) fn get(netlink: &mut Netlink, name: &LinkName) -> Result<Option<Link>, NetlinkError> {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    match netlink.ask_route(RouteNetlinkMessage::GetLink(message)) {
        Ok(answers) => Ok(links_of(&answers).next()),
        Err(error) if error.refusal() == Some(Errno::NODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns all links of the socket's namespace, or those of one kind.
pub(crate) fn dump(netlink: &mut Netlink, kind: Option<InfoKind>) -> Result<Vec<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    if let Some(kind) = kind {
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    }
    Ok(links_of(&netlink.dump_route(RouteNetlinkMessage::GetLink(message))?).collect())
}

/// Returns whether the kernel can make links of this kind: it looks for the kind before it refuses a link that sends
/// nothing.
pub(crate) fn is_known(netlink: &mut Netlink, kind: InfoKind) -> Result<bool, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::NumTxQueues(0));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    let mut batch = Batch::default();
    batch.push_route(flag::CREATE_NEW, RouteNetlinkMessage::NewLink(message));
    match netlink.perform(batch) {
        Ok(()) => Ok(true),
        Err(error) => match error.refusal() {
            Some(Errno::OPNOTSUPP) => Ok(false),
            Some(_) => Ok(true),
            None => Err(error),
        },
    }
}

/// Removes the links. Those that are gone already do not hinder.
pub(crate) fn remove(netlink: &mut Netlink, indexes: &[u32]) -> Result<(), LinkError> {
    let fail = |source| LinkError::Remove { count: indexes.len(), source };
    for index in indexes {
        let mut message = LinkMessage::default();
        message.header.index = *index;
        message.attributes.push(LinkAttribute::Group(DOOMED));
        let mut batch = Batch::default();
        batch.push_route(flag::CHANGE, RouteNetlinkMessage::SetLink(message));
        absent_is_fine(netlink.perform(batch)).map_err(fail)?;
    }
    if indexes.is_empty() {
        return Ok(());
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(DOOMED));
    let mut batch = Batch::default();
    batch.push_route(flag::CHANGE, RouteNetlinkMessage::DelLink(message));
    absent_is_fine(netlink.perform(batch)).map_err(fail)
}

/// Turns the error that there is no such link into success.
pub(crate) fn absent_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.refusal() == Some(Errno::NODEV) => Ok(()),
        other => other,
    }
}

/// Begins a message about the link of this name.
pub(crate) fn named(name: &LinkName) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_string()));
    message
}

/// Begins a message about the link of this number.
pub(crate) fn numbered(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// Makes `message` switch its link on or off.
pub(crate) fn switched(mut message: LinkMessage, on: bool) -> LinkMessage {
    message.header.change_mask |= LinkFlags::Up;
    message.header.flags.set(LinkFlags::Up, on);
    message
}

fn links_of(answers: &[RouteNetlinkMessage]) -> impl Iterator<Item = Link> {
    answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(Link::of(message)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::in_new_namespace;

    #[test]
    fn links_that_vanish_while_they_are_being_removed_do_not_hinder() {
        let removed = in_new_namespace(|_| {
            let mut netlink = Netlink::open(NetlinkFamily::Route).unwrap();
            remove(&mut netlink, &[77, 78])
        });
        removed.expect("this test takes root").unwrap();
    }
}
