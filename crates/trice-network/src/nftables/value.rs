//! What rules compare and sets hold.
//!
//! Source: Linux `Documentation/networking/nf_tables` and nft(8), "DATA TYPES"; the codes of types are those by which
//! `nft list` knows how to print a set.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trice_model::port::Protocol;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// The name of an interface.
    Interface,
    /// An IPv4 address, or a network of them in a set of intervals.
    Ipv4,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// A number in native order, which packets are marked with: here, whose turn it is.
    Mark,
}

/// A value of one of the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The name of an interface.
    Interface(String),
    /// An address.
    Ipv4(Ipv4Addr),
    /// All addresses of a network.
    Network(Ipv4Net),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// A number in native order.
    Mark(u32),
}

impl Type {
    /// Returns the type's code.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Interface => 41,
        }
    }

    /// Returns how many bytes the kernel compares.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Interface => 16,
            Self::Ipv4 | Self::Mark => 4,
            Self::Port => 2,
            Self::Protocol => 1,
        }
    }

    /// Returns whether `nft` takes its bytes for a number in native order, as it does with texts.
    pub(crate) fn is_native(self) -> bool {
        match self {
            Self::Interface | Self::Mark => true,
            Self::Ipv4 | Self::Protocol | Self::Port => false,
        }
    }

    /// Returns how many registers of four bytes it takes.
    pub(crate) fn registers(self) -> usize {
        self.len().div_ceil(4)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "ifname",
            Self::Ipv4 => "ipv4_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Mark => "mark",
        })
    }
}

impl Value {
    /// Returns the bytes that the kernel compares: of a network, its first address.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Interface(name) => {
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(Type::Interface.len(), 0);
                bytes
            }
            Self::Ipv4(ip) => ip.octets().to_vec(),
            Self::Network(net) => net.network().octets().to_vec(),
            Self::Protocol(protocol) => vec![protocol.number()],
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Mark(number) => number.to_ne_bytes().to_vec(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "\"{name}\""),
            Self::Ipv4(ip) => ip.fmt(f),
            Self::Network(net) => net.fmt(f),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Mark(number) => write!(f, "{number:#010x}"),
        }
    }
}

/// Writes the parts of a concatenation as `nft` does.
pub(crate) fn joined(parts: &[impl fmt::Display]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ")
}
