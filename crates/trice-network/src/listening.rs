//! Which ports of this machine somebody listens on.
//!
//! The tables in `/proc/net` tell it too, but to read `tcp` makes the kernel walk over all places where a connection
//! could be: 5 ms on a machine without any. A dump that asks for listening sockets alone takes microseconds.
//!
//! Source: sock_diag(7).

use std::collections::BTreeSet;

use rustix::io::Errno;
use trice_model::port::Protocol;

use crate::netlink::{Batch, Netlink, NetlinkError, NetlinkFamily, flag};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Returns the ports that somebody listens on, of any address.
///
/// None are known on a kernel that was built without the means to tell; to keep such a port then fails.
pub(crate) fn busy_ports() -> Result<Vec<(Protocol, u16)>, NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Sockets)?;
    let mut busy = BTreeSet::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for family in [AF_INET, AF_INET6] {
            match netlink.dump(&question(protocol, family), |_, socket| Ok(local_port(socket))) {
                Ok(ports) => busy.extend(ports.into_iter().flatten().map(|port| (protocol, port))),
                Err(error) if error.refusal() == Some(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(busy.into_iter().collect())
}

/// Asks for the sockets of one protocol and version of IP.
///
/// ```text
/// family │ protocol │ extensions │ 0 │ states (4) │ which socket (48): any
/// ```
fn question(protocol: Protocol, family: u8) -> Batch {
    const ANY_SOCKET: [u8; 48] = [0; 48];
    let mut batch = Batch::default();
    batch.push(SOCK_DIAG_BY_FAMILY, flag::DUMP, |bytes| {
        bytes.extend_from_slice(&[family, protocol.number(), 0, 0]);
        bytes.extend_from_slice(&states(protocol).to_ne_bytes());
        bytes.extend_from_slice(&ANY_SOCKET);
    });
    batch
}

/// Returns the states in which a socket keeps others from its port, a bit each.
fn states(protocol: Protocol) -> u32 {
    const LISTEN: u32 = 1 << 10;
    const ANY: u32 = u32::MAX;
    match protocol {
        Protocol::Tcp | Protocol::Sctp => LISTEN,
        Protocol::Udp => ANY,
    }
}

/// Returns the local port of a socket: the first two bytes of what says which socket it is.
fn local_port(socket: &[u8]) -> Option<u16> {
    socket.get(4..)?.first_chunk().map(|port| u16::from_be_bytes(*port)).filter(|port| *port != 0)
}
