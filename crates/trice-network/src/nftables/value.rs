//! What rules compare and sets hold.
//!
//! Source: Linux `Documentation/networking/nf_tables` and nft(8), "DATA TYPES"; the codes of types are those by which
//! `nft list` knows how to print a set.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use trice_model::network::MacAddress;
use trice_model::port::Protocol;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// The name of an interface.
    Interface,
    /// An IPv4 address, or a network of them in a set of intervals.
    Ipv4,
    /// An IPv6 address, or a network of them.
    Ipv6,
    /// A hardware address.
    Ether,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// A kind of message of ICMPv6.
    Icmpv6,
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
    /// An address.
    Ipv6(Ipv6Addr),
    /// All addresses of a network.
    Network(IpNet),
    /// A hardware address.
    Ether(MacAddress),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// A kind of message of ICMPv6.
    Icmpv6(Icmpv6),
    /// A number in native order.
    Mark(u32),
}

/// A kind of message of ICMPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Icmpv6 {
    /// I am a router.
    RouterAdvertisement = 134,
    /// This address is mine.
    NeighbourAdvertisement = 136,
    /// There is a better way.
    Redirect = 137,
}

impl From<IpAddr> for Value {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip),
            IpAddr::V6(ip) => Self::Ipv6(ip),
        }
    }
}

impl Type {
    /// Returns the type's code.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Ether => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Icmpv6 => 29,
            Self::Interface => 41,
        }
    }

    /// Returns how many bytes the kernel compares.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Interface | Self::Ipv6 => 16,
            Self::Ether => 6,
            Self::Ipv4 | Self::Mark => 4,
            Self::Port => 2,
            Self::Protocol | Self::Icmpv6 => 1,
        }
    }

    /// Returns whether `nft` takes its bytes for a number in native order, as it does with texts.
    pub(crate) fn is_native(self) -> bool {
        match self {
            Self::Interface | Self::Mark => true,
            Self::Ipv4 | Self::Ipv6 | Self::Ether | Self::Protocol | Self::Port | Self::Icmpv6 => false,
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
            Self::Ipv6 => "ipv6_addr",
            Self::Ether => "ether_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Icmpv6 => "icmpv6_type",
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
            Self::Ipv6(ip) => ip.octets().to_vec(),
            Self::Network(net) => octets(net.network()),
            Self::Ether(mac) => mac.0.to_vec(),
            Self::Protocol(protocol) => vec![protocol.number()],
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Icmpv6(kind) => vec![*kind as u8],
            Self::Mark(number) => number.to_ne_bytes().to_vec(),
        }
    }

    /// Returns the bytes behind the last of a network, unless there are none behind.
    pub(crate) fn behind(net: &IpNet) -> Option<Vec<u8>> {
        match net {
            IpNet::V4(net) => Some(u32::from(net.broadcast()).checked_add(1)?.to_be_bytes().to_vec()),
            IpNet::V6(net) => Some(u128::from(net.broadcast()).checked_add(1)?.to_be_bytes().to_vec()),
        }
    }

    /// Returns the bits that all addresses of a network share.
    pub(crate) fn mask(net: &IpNet) -> Vec<u8> {
        octets(net.netmask())
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "\"{name}\""),
            Self::Ipv4(ip) => ip.fmt(f),
            Self::Ipv6(ip) => ip.fmt(f),
            Self::Network(net) => net.fmt(f),
            Self::Ether(mac) => mac.fmt(f),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Icmpv6(Icmpv6::RouterAdvertisement) => f.write_str("nd-router-advert"),
            Self::Icmpv6(Icmpv6::NeighbourAdvertisement) => f.write_str("nd-neighbor-advert"),
            Self::Icmpv6(Icmpv6::Redirect) => f.write_str("nd-redirect"),
            Self::Mark(number) => write!(f, "{number:#010x}"),
        }
    }
}

/// Writes the parts of a concatenation as `nft` does.
pub(crate) fn joined(parts: &[impl fmt::Display]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ")
}
