//! What this machine has that a new network or port must not collide with.
//!
//! Sources: rtnetlink(7), resolv.conf(5).

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::net::netdevice::index_to_name;
use trice_model::name::LinkName;
use trice_model::network::ObservedHost;

use crate::address::{Route, dump, dump_routes};
use crate::listening::busy_ports;
use crate::netlink::{Netlink, NetlinkError, NetlinkFamily};

/// Why the machine was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel does not tell its addresses or routes.
    #[error("list the addresses and routes of this machine")]
    List(#[source] NetlinkError),
    /// The kernel does not tell its sockets.
    #[error("list the ports that somebody listens on")]
    Ports(#[source] NetlinkError),
}

/// Looks at the network namespace of the calling thread. Links whose names begin with `realm` are our own bridges, and so
/// are those in `own`; they are left out. Packet filters are looked at elsewhere.
///
/// # Errors
/// [`HostError`].
pub fn observe_host(realm: &str, own: &[LinkName]) -> Result<ObservedHost, HostError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route).map_err(HostError::List)?;
    let addresses = dump(&mut netlink).map_err(HostError::List)?;
    let routes = dump_routes(&mut netlink).map_err(HostError::List)?;
    let mut names = Names::of(&netlink, realm, own);
    Ok(ObservedHost {
        addresses: addresses.into_iter().filter_map(|(link, net)| names.foreign(Some(link), net)).collect(),
        routes: routes.into_iter().filter_map(|route| names.foreign_route(route)).collect(),
        resolvers: resolvers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        busy_ports: busy_ports().map_err(HostError::Ports)?,
        firewalls: Vec::new(),
    })
}

/// The names of links, asked for once each.
struct Names<'a> {
    netlink: &'a Netlink,
    realm: &'a str,
    own: &'a [LinkName],
    known: BTreeMap<u32, String>,
}

impl<'a> Names<'a> {
    fn of(netlink: &'a Netlink, realm: &'a str, own: &'a [LinkName]) -> Self {
        Self { netlink, realm, own, known: BTreeMap::new() }
    }

    /// Returns `net` with its link's name, unless the link is ours. What leads nowhere has no name.
    fn foreign(&mut self, link: Option<u32>, net: IpNet) -> Option<(String, IpNet)> {
        if is_everywhere(net) {
            return None;
        }
        let name = link.map(|index| self.name(index)).unwrap_or_default();
        let is_ours = name.starts_with(self.realm) || self.own.iter().any(|link| link.as_str() == name);
        (!is_ours).then_some((name, net))
    }

    /// The same for a route, unless it is a default one, which leads everywhere and so takes nothing away.
    fn foreign_route(&mut self, route: Route) -> Option<(String, IpNet)> {
        let net = route.destination;
        (net.prefix_len() > 0).then(|| self.foreign(route.link, net)).flatten()
    }

    fn name(&mut self, index: u32) -> String {
        let ask = || index_to_name(self.netlink, index).unwrap_or_default(); // it may be gone by now
        self.known.entry(index).or_insert_with(ask).clone()
    }
}

/// Returns whether it says nothing of where it is: each link has such addresses, and the same routes to them.
fn is_everywhere(net: IpNet) -> bool {
    match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.addr().is_unicast_link_local() || net.addr().is_multicast(),
    }
}

/// Returns the resolvers that a resolv.conf names.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let keyword = words.next()?;
        let address = words.next().filter(|_| keyword == "nameserver")?;
        address.split('%').next()?.parse().ok() // `fe80::1%eth0`: the interface is not part of the address
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_with_comments_options_and_scopes_around_them() {
        let text = "# nameserver 1.1.1.1\nsearch example.org\nnameserver 9.9.9.9 \nnameserver fe80::1%eth0\nnameserver x\n";
        let found: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["9.9.9.9", "fe80::1"]);
    }
}
