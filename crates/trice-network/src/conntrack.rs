//! Forgetting UDP flows that lead to containers which no longer answer for their port.
//!
//! The packet filter decides where a flow goes when its first packet comes, and connection tracking remembers it for
//! as long as packets keep coming. A client that repeats its question would ask a container that is gone for ever.
//! A TCP client notices, because its packets fit no connection of the new container.
//!
//! Source: Linux `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use rustix::io::Errno;
use trice_model::network::FirewallPort;
use trice_model::port::Protocol;

use crate::address::dump_ipv4;
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
        to: SocketAddrV4,
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
    let flows = netlink.dump(&list_udp(), |_, body| Ok(Flow::of(body))).map_err(ConntrackError::List)?;
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
    to: SocketAddrV4,
    /// Where answers come from.
    from: SocketAddrV4,
    /// What identifies it to the kernel: its original direction and its zone.
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
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// An nfgenmsg of IPv4.
const IPV4: [u8; 4] = [2, 0, 0, 0];

impl Flow {
    /// Reads a flow. `None` if it is none of UDP over IPv4.
    fn of(body: &[u8]) -> Option<Self> {
        let attributes = body.get(IPV4.len()..)?;
        let original = find(attributes, CTA_TUPLE_ORIG)?;
        if find_at(original, &[CTA_TUPLE_PROTO, CTA_PROTO_NUM])? != [Protocol::Udp.number()] {
            return None;
        }
        Some(Self {
            to: end(original, CTA_IP_V4_DST, CTA_PROTO_DST_PORT)?,
            from: end(find(attributes, CTA_TUPLE_REPLY)?, CTA_IP_V4_SRC, CTA_PROTO_SRC_PORT)?,
            original: original.to_vec(),
            zone: find(attributes, CTA_ZONE).map(<[u8]>::to_vec),
        })
    }

    /// Returns whether it was sent to one of `ports` and is answered by none of the port's backends.
    fn is_stale(&self, ports: &[&FirewallPort], own: &[Ipv4Addr]) -> bool {
        let is_own = || self.to.ip().is_loopback() || own.contains(self.to.ip());
        ports.iter().any(|port| {
            let at = match port.host_ip {
                Some(IpAddr::V4(ip)) if !ip.is_unspecified() => ip == *self.to.ip(),
                Some(IpAddr::V6(_)) => false,
                Some(IpAddr::V4(_)) | None => is_own(),
            };
            at && port.host_port == self.to.port() && !port.backends.contains(&self.from.into())
        })
    }

    fn delete(&self) -> Batch {
        let mut batch = Batch::default();
        batch.push(IPCTNL_MSG_CT_DELETE, flag::CHANGE, |bytes| {
            bytes.extend_from_slice(&IPV4);
            let mut writer = Writer::new(bytes);
            writer.nested(CTA_TUPLE_ORIG, |writer| writer.raw(&self.original));
            if let Some(zone) = &self.zone {
                writer.bytes(CTA_ZONE, zone);
            }
        });
        batch
    }
}

fn own_addresses() -> Result<Vec<Ipv4Addr>, NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route)?;
    Ok(dump_ipv4(&mut netlink)?.into_iter().map(|(_, net)| net.addr()).collect())
}

/// Asks for all flows, and that the kernel leave out those of other protocols: Linux before 5.8 does not know how.
fn list_udp() -> Batch {
    const CTA_FILTER: u16 = 25;
    const CTA_FILTER_ORIG_FLAGS: u16 = 1;
    const BY_PROTOCOL: u32 = 1 << 3;
    let mut batch = Batch::default();
    batch.push(IPCTNL_MSG_CT_GET, flag::DUMP, |bytes| {
        bytes.extend_from_slice(&IPV4);
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
fn end(tuple: &[u8], address: u16, port: u16) -> Option<SocketAddrV4> {
    let address: [u8; 4] = find_at(tuple, &[CTA_TUPLE_IP, address])?.try_into().ok()?;
    let port: [u8; 2] = find_at(tuple, &[CTA_TUPLE_PROTO, port])?.try_into().ok()?;
    Some(SocketAddrV4::new(address.into(), u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stale(to: &str, from: &str, host_ip: Option<&str>, backends: &[&str]) -> bool {
        let flow =
            Flow { to: to.parse().unwrap(), from: from.parse().unwrap(), original: Vec::new(), zone: None };
        let port = FirewallPort {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port: 53,
            protocol: Protocol::Udp,
            backends: backends.iter().map(|backend| backend.parse().unwrap()).collect(),
        };
        flow.is_stale(&[&port], &[Ipv4Addr::new(192, 0, 2, 1)])
    }

    #[test]
    fn a_flow_to_a_published_port_is_stale_if_none_of_its_backends_answers() {
        let (old, new) = ("172.18.0.2:53", "172.18.0.3:53");
        assert!(is_stale("192.0.2.1:53", old, None, &[new]));
        assert!(is_stale("192.0.2.1:53", old, None, &[]));
        assert!(is_stale("127.0.0.1:53", "127.0.0.1:53", None, &[new]));
        assert!(!is_stale("192.0.2.1:53", old, None, &[new, old]));
    }

    #[test]
    fn flows_to_other_ports_and_addresses_are_let_be() {
        let (old, new) = ("172.18.0.2:53", "172.18.0.3:53");
        assert!(!is_stale("192.0.2.1:54", old, None, &[new]));
        assert!(!is_stale("192.0.2.1:53", old, Some("127.0.0.1"), &[new]));
        assert!(!is_stale("8.8.8.8:53", "8.8.8.8:53", None, &[new]));
    }
}
