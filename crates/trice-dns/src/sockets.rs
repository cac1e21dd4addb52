//! Where the sockets for questions to resolvers come from.
//!
//! The host's resolvers are asked from the engine's own network namespace; those that an instance names
//! itself from inside the instance's, where even a network without a way out may have one. This crate cannot
//! enter a namespace: the engine passes what can.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tokio::net::TcpSocket;
use trice_model::network::InstanceName;

/// Makes sockets inside the network namespaces of instances. Calls must not wait: they come from an async
/// task.
pub trait InstanceSockets: Send + Sync + 'static {
    /// Makes a datagram socket of the address family of `server`, bound to a port that the kernel chooses.
    ///
    /// # Errors
    /// Whatever keeps it from being made, such as a namespace that is gone.
    fn udp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<UdpSocket>;

    /// Makes a stream socket of the address family of `server`, not connected.
    ///
    /// # Errors
    /// Whatever keeps it from being made, such as a namespace that is gone.
    fn tcp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<TcpSocket>;
}

/// From where a resolver is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the engine's own namespace.
    Engine,
    /// From inside this instance's.
    Instance(InstanceName),
}

/// Makes a datagram socket in the namespace of the calling thread.
///
/// The kernel chooses the port at random, which is half of what an attacker must guess; the id is the other
/// half.
///
/// # Errors
/// Those of socket(2) and bind(2).
pub fn udp_here(server: IpAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind(SocketAddr::new(any, 0))
}

/// Makes a stream socket in the namespace of the calling thread.
///
/// # Errors
/// Those of socket(2).
pub fn tcp_here(server: IpAddr) -> io::Result<TcpSocket> {
    match server {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
}

impl Origin {
    pub(crate) fn udp(&self, sockets: &dyn InstanceSockets, server: IpAddr) -> io::Result<UdpSocket> {
        match self {
            Self::Engine => udp_here(server),
            Self::Instance(instance) => sockets.udp(instance, server),
        }
    }

    pub(crate) fn tcp(&self, sockets: &dyn InstanceSockets, server: IpAddr) -> io::Result<TcpSocket> {
        match self {
            Self::Engine => tcp_here(server),
            Self::Instance(instance) => sockets.tcp(instance, server),
        }
    }
}
