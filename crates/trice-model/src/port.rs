//! Ports that a container listens on and ports of the host that lead there.
//!
//! Source: Compose Specification, `05-services.md`, "ports" and "expose".

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A transport protocol with ports. The order is that of link variables: TCP first, then by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// SCTP.
    Sctp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Returns the number by which IP calls it.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Sctp => 132,
            Self::Udp => 17,
        }
    }
}

/// A text that names no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a protocol: write `tcp`, `udp` or `sctp`")]
pub struct ProtocolError(String);

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(ProtocolError(text.to_owned())),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port of a container. The order is that of link variables: by protocol, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ContainerPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The number, 1 to 65535.
    pub number: u16,
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// Which port of the host leads to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostPort {
    /// Any free one.
    Any,
    /// This one. Replicas of a service share it: connections are spread over them.
    Fixed(u16),
    /// A free one of these; each replica takes its own.
    OneOf {
        /// The first.
        first: u16,
        /// The last, included.
        last: u16,
    },
}

/// A wish that a port of the host leads to a port of the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Port {
    /// The container's side.
    pub target: ContainerPort,
    /// The host's side.
    pub published: HostPort,
    /// The host's address; `None` is all of them, of both families.
    pub host_ip: Option<IpAddr>,
}

/// A port of the host that leads to a container, with nothing left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PublishedPort {
    /// The host's address; an unspecified one is all of its family.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's side.
    pub target: ContainerPort,
}

impl PublishedPort {
    /// Returns the host's side.
    pub fn host_side(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip, self.host_port)
    }
}

impl fmt::Display for PublishedPort {
    /// Writes `127.0.0.1:8080->80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.host_side(), self.target)
    }
}
