//! Forgetting UDP flows that lead to containers which no longer answer for their port.
//!
//! The packet filter decides where a flow goes when its first packet comes, and connection tracking remembers it for
//! as long as packets keep coming. A client that repeats its question would ask a container that is gone for ever.
//! A TCP client notices, because its packets fit no connection of the new container.
//!
//! Source: Linux `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use trice_model::network::FirewallPort;
use trice_model::port::Protocol;

use crate::address::dump;
use crate::attribute::{Writer, find, find_at};
use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};

/// Why flows were not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The kernel does not tell of its connections.
    #[error("list the UDP flows of published ports (CONFIG_NF_CT_NETLINK)")]
    List(#[source] NetlinkError),
    /// The kernel does not tell which addresses are its own.
    #[error("list the addresses of this machine")]
    Addresses(#[source] NetlinkError),
    /// The kernel keeps the flow.
    #[error("forget the UDP flow to {to}")]
    Forget {
        /// Where it was sent to.
        to: SocketAddr,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
}

/// Forgets the UDP flows to `ports` of this machine that lead elsewhere than to their backends.
///
/// A port that is no longer published is given without backends. The kernel is asked only if there is a UDP port.
///
/// # Errors
/// [`ConntrackError`].
pub fn forget_stale_flows(ports: &[FirewallPort]) -> Result<(), ConntrackError> {
    let ports: Vec<&FirewallPort> = ports.iter().filter(|port| port.protocol == Protocol::Udp).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let own = own_addresses().map_err(ConntrackError::Addresses)?;
    let mut netlink = Netlink::open(NetlinkFamily::Netfilter).map_err(ConntrackError::List)?;
    let mut flows = Vec::new();
    for family in FAMILIES.into_iter().filter(|family| ports.iter().any(|port| family.has(port))) {
        let found = netlink.dump(&list_udp(family), |_, body| Ok(Flow::of(body)));
        flows.extend(found.map_err(ConntrackError::List)?);
    }
    for flow in flows.iter().flatten().filter(|flow| flow.is_stale(&ports, &own)) {
        match netlink.perform(flow.delete()) {
            Err(error) if error.refusal() == Some(Errno::NOENT) => {} // it ended by itself
            other => other.map_err(|source| ConntrackError::Forget { to: flow.to, source })?,
        }
    }
    Ok(())
}

/// A UDP flow, as the kernel tracks it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    /// Where the client sent its first packet.
    to: SocketAddr,
    /// Where answers come from.
    from: SocketAddr,
    /// What identifies it to the kernel: its family, its original direction and its zone.
    family: Family,
    original: Vec<u8>,
    zone: Option<Vec<u8>>,
}

const SUBSYSTEM: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = SUBSYSTEM << 8 | 1;
const IPCTNL_MSG_CT_DELETE: u16 = SUBSYSTEM << 8 | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// The length of an nfgenmsg.
const HEADER: usize = 4;

impl Family {
    /// Returns an nfgenmsg.
    fn header(self) -> [u8; HEADER] {
        match self {
            Self::Ipv4 => [2, 0, 0, 0],
            Self::Ipv6 => [10, 0, 0, 0],
        }
    }

    fn of(body: &[u8]) -> Option<Self> {
        FAMILIES.into_iter().find(|family| body.first() == family.header().first())
    }

    fn has(self, port: &FirewallPort) -> bool {
        port.host_ip.is_ipv4() == (self == Self::Ipv4)
    }
}

impl Flow {
    /// Reads a flow. `None` if it is none of UDP.
    fn of(body: &[u8]) -> Option<Self> {
        let family = Family::of(body)?;
        let attributes = body.get(HEADER..)?;
        let original = find(attributes, CTA_TUPLE_ORIG)?;
        if find_at(original, &[CTA_TUPLE_PROTO, CTA_PROTO_NUM])? != [Protocol::Udp.number()] {
            return None;
        }
        let (destination, source) = match family {
            Family::Ipv4 => (CTA_IP_V4_DST, CTA_IP_V4_SRC),
            Family::Ipv6 => (CTA_IP_V6_DST, CTA_IP_V6_SRC),
        };
        Some(Self {
            to: end(original, destination, CTA_PROTO_DST_PORT)?,
            from: end(find(attributes, CTA_TUPLE_REPLY)?, source, CTA_PROTO_SRC_PORT)?,
            family,
            original: original.to_vec(),
            zone: find(attributes, CTA_ZONE).map(<[u8]>::to_vec),
        })
    }

    /// Returns whether it was sent to one of `ports` and is answered by none of the port's backends.
    fn is_stale(&self, ports: &[&FirewallPort], own: &[IpAddr]) -> bool {
        let is_own = || self.to.ip().is_loopback() || own.contains(&self.to.ip());
        ports.iter().any(|port| {
            let at = if port.host_ip.is_unspecified() {
                self.family.has(port) && is_own()
            } else {
                port.host_ip == self.to.ip()
            };
            at && port.host_port == self.to.port() && !port.backends.contains(&self.from)
        })
    }

    fn delete(&self) -> Batch {
        let mut batch = Batch::default();
        batch.push(IPCTNL_MSG_CT_DELETE, flag::CHANGE, |bytes| {
            bytes.extend_from_slice(&self.family.header());
            let mut writer = Writer::new(bytes);
            writer.nested(CTA_TUPLE_ORIG, |writer| writer.raw(&self.original));
            if let Some(zone) = &self.zone {
                writer.bytes(CTA_ZONE, zone);
            }
        });
        batch
    }
}

fn own_addresses() -> Result<Vec<IpAddr>, NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route)?;
    Ok(dump(&mut netlink)?.into_iter().map(|(_, net)| net.addr()).collect())
}

/// Asks for all flows, and that the kernel leave out those of other protocols: Linux before 5.8 does not know how.
fn list_udp(family: Family) -> Batch {
    const CTA_FILTER: u16 = 25;
    const CTA_FILTER_ORIG_FLAGS: u16 = 1;
    const BY_PROTOCOL: u32 = 1 << 3;
    let mut batch = Batch::default();
    batch.push(IPCTNL_MSG_CT_GET, flag::DUMP, |bytes| {
        bytes.extend_from_slice(&family.header());
        let mut writer = Writer::new(bytes);
        writer.nested(CTA_TUPLE_ORIG, |writer| {
            writer.nested(CTA_TUPLE_PROTO, |writer| writer.byte(CTA_PROTO_NUM, Protocol::Udp.number()));
        });
        writer.nested(CTA_FILTER, |writer| {
            writer.bytes(CTA_FILTER_ORIG_FLAGS, &BY_PROTOCOL.to_ne_bytes());
        });
    });
    batch
}

/// Returns an end of one direction: the address and the port of these kinds.
fn end(tuple: &[u8], address: u16, port: u16) -> Option<SocketAddr> {
    let address = find_at(tuple, &[CTA_TUPLE_IP, address])?;
    let ip = match <[u8; 4]>::try_from(address) {
        Ok(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
    };
    let port: [u8; 2] = find_at(tuple, &[CTA_TUPLE_PROTO, port])?.try_into().ok()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use trice_model::network::Way;

    use super::*;

    fn is_stale(to: &str, from: &str, host_ip: &str, backends: &[&str]) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        let family = if to.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let flow = Flow { to, from: from.parse().unwrap(), family, original: Vec::new(), zone: None };
        let port = FirewallPort {
            host_ip: host_ip.parse().unwrap(),
            host_port: 53,
            protocol: Protocol::Udp,
            backends: backends.iter().map(|backend| backend.parse().unwrap()).collect(),
            way: Way::Direct,
        };
        flow.is_stale(&[&port], &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()])
    }

    #[test]
    fn a_flow_to_a_published_port_is_stale_if_none_of_its_backends_answers() {
        let (old, new) = ("172.18.0.2:53", "172.18.0.3:53");
        assert!(is_stale("192.0.2.1:53", old, "0.0.0.0", &[new]));
        assert!(is_stale("192.0.2.1:53", old, "0.0.0.0", &[]));
        assert!(is_stale("127.0.0.1:53", "127.0.0.1:53", "0.0.0.0", &[new]));
        assert!(is_stale("[2001:db8::1]:53", "[fd00::2]:53", "::", &["[fd00::3]:53"]));
        assert!(!is_stale("192.0.2.1:53", old, "0.0.0.0", &[new, old]));
    }

    #[test]
    fn flows_to_other_ports_and_addresses_are_let_be() {
        let (old, new) = ("172.18.0.2:53", "172.18.0.3:53");
        assert!(!is_stale("192.0.2.1:54", old, "0.0.0.0", &[new]));
        assert!(!is_stale("192.0.2.1:53", old, "127.0.0.1", &[new]));
        assert!(!is_stale("192.0.2.1:53", old, "::", &[new]));
        assert!(!is_stale("8.8.8.8:53", "8.8.8.8:53", "0.0.0.0", &[new]));
    }
}
