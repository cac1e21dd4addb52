//! Keeping ports of the host for containers, so that no other program takes them meanwhile.
//!
//! The packet filter leads a published port to a container before any socket sees the packet, and so would lead it
//! away from a program that listens there too. A socket of our own finds such a program, keeps later ones out, and
//! drops whatever reaches it: that is what comes before the packet filter is in place.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with};
use trice_model::port::{Protocol, PublishedPort};
use trice_sys::socket_filter::drop_all;

/// Why a port cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program has it.
    #[error("{}: address already in use", at(.port))]
    InUse {
        /// The port.
        port: PublishedPort,
    },
    /// The address is none of this machine's.
    #[error("{}: this machine has no such address", at(.port))]
    NoSuchAddress {
        /// The port.
        port: PublishedPort,
    },
    /// The port is one of those that take root.
    #[error("{}: no right to ports below `net.ipv4.ip_unprivileged_port_start`", at(.port))]
    Denied {
        /// The port.
        port: PublishedPort,
    },
    /// The kernel does not speak the protocol, or that version of IP.
    #[error("{}: this kernel does not speak the protocol", at(.port))]
    Unsupported {
        /// The port.
        port: PublishedPort,
    },
    /// The kernel refused for another reason.
    #[error("{}: keep the port", at(.port))]
    Keep {
        /// The port.
        port: PublishedPort,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Keeps the host's side of `port`, in the namespace of the calling thread, for as long as the descriptor is open.
///
/// # Errors
/// [`PortError`], which names the port.
pub fn reserve_port(port: &PublishedPort) -> Result<OwnedFd, PortError> {
    keep(port).map_err(|errno| match errno {
        Errno::ADDRINUSE => PortError::InUse { port: *port },
        Errno::ADDRNOTAVAIL => PortError::NoSuchAddress { port: *port },
        Errno::ACCESS => PortError::Denied { port: *port },
        Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => PortError::Unsupported { port: *port },
        other => PortError::Keep { port: *port, source: other.into() },
    })
}

fn keep(port: &PublishedPort) -> rustix::io::Result<OwnedFd> {
    let address = port.host_side();
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let (kind, protocol) = match port.target.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    drop_all(socket.as_fd()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
    match port.target.protocol {
        Protocol::Tcp => {
            set_socket_reuseaddr(&socket, true)?; // connections of an earlier program may still be dying
            bind(&socket, &address)?;
            listen(&socket, 1)?;
        }
        // Reuse would mean sharing. SCTP is refused by the kernel as long as nobody listens, and by no packet filter.
        Protocol::Udp | Protocol::Sctp => bind(&socket, &address)?,
    }
    Ok(socket)
}

/// Writes the host's side: `127.0.0.1:8080/tcp`.
fn at(port: &PublishedPort) -> String {
    format!("{}/{}", port.host_side(), port.target.protocol)
}
