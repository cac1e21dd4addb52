//! Rules: what is asked of a packet, and what becomes of it. They print as `nft list` prints them.

use std::fmt;
use std::net::IpAddr;

use trice_model::port::Protocol;

use super::value::{Type, Value, joined};

/// Statements that are carried out one after the other, until one does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule(pub(crate) Vec<Statement>);

/// A question to a packet, or what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// It is a packet of this version of IP.
    Version(Version),
    /// It is for an address of this machine.
    ForThisHost,
    /// The field has the value.
    Is(Field, Value),
    /// The field has another value.
    IsNot(Field, Value),
    /// The fields, one after the other, are in the set of this name.
    In(&'static [Field], &'static str),
    /// They are not.
    NotIn(&'static [Field], &'static str),
    /// Its connection is in one of these states.
    State(&'static [State]),
    /// The destination of its connection was changed.
    Translated,
    /// What the verdict says.
    Then(Verdict),
    /// What the verdict map says of the fields; on with the next rule if it says nothing.
    Choose(&'static [Field], &'static str),
    /// Its connection goes where the map says of the fields; on with the next rule if it says nothing.
    Translate(Version, &'static [Field], &'static str),
    /// Its connection goes where the map says of a number: that of the connection, modulo `of`.
    TakeTurns {
        /// The version of IP of the addresses.
        version: Version,
        /// How many there are to take turns.
        of: u32,
        /// The map's name.
        map: String,
    },
    /// Its connection appears to come from this machine.
    Masquerade,
    /// The sender is told that nobody is there.
    Reject(Rejection),
    /// The port is changed, and nobody keeps account of it.
    SetPort(Protocol, Side, u16),
    /// It is for a socket that has another machine's address.
    ForTransparentSocket,
    /// The packet bears this mark from now on.
    SetMark(u32),
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// Returns the version of an address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns the kind of its addresses.
    pub(crate) fn address_type(self) -> Type {
        match self {
            Self::V4 => Type::Ipv4,
            Self::V6 => Type::Ipv6,
        }
    }

    /// Returns the word by which `nft` calls its header.
    fn word(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// A part of a packet, or something that the kernel knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The interface that it came in by.
    InputInterface,
    /// The interface that it goes out by.
    OutputInterface,
    /// The transport protocol.
    Protocol,
    /// The address that it comes from.
    Source(Version),
    /// The address that it goes to.
    Destination(Version),
    /// The port that it goes to, in any protocol with ports.
    DestinationPort,
    /// A port of a packet of this protocol.
    PortOf(Protocol, Side),
    /// The hardware address that a frame comes from.
    EtherSource,
    /// The hardware address that the sender of ARP says it has.
    ArpSourceEther,
    /// The IPv4 address that the sender of ARP says it has.
    ArpSource,
    /// The kind of a message of ICMPv6.
    Icmpv6Type,
    /// The address that a neighbour says is its own.
    NeighbourTarget,
}

/// An end of a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// A state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The packet belongs to no connection that could be.
    Invalid = 1,
    /// There were packets both ways.
    Established = 2,
    /// It belongs to an established one, such as an error.
    Related = 4,
    /// It is the first.
    New = 8,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This chain lets it pass.
    Accept,
    /// It vanishes.
    Drop,
    /// It goes through another chain first.
    Jump(String),
    /// It goes through another chain instead of the rest of this one.
    Goto(String),
    /// It goes back to where this chain was begun.
    Return,
}

/// How a sender is told that nobody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// By a reset of the connection, which must be one of TCP.
    Reset,
    /// By an ICMP error.
    PortUnreachable,
}

impl Field {
    /// Returns the kind of its values.
    pub(crate) fn value_type(self) -> Type {
        match self {
            Self::InputInterface | Self::OutputInterface => Type::Interface,
            Self::Protocol => Type::Protocol,
            Self::Source(version) | Self::Destination(version) => version.address_type(),
            Self::EtherSource | Self::ArpSourceEther => Type::Ether,
            Self::ArpSource => Type::Ipv4,
            Self::Icmpv6Type => Type::Icmpv6,
            Self::NeighbourTarget => Type::Ipv6,
            Self::DestinationPort | Self::PortOf(..) => Type::Port,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&statements.join(" "))
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Version::V4) => f.write_str("meta nfproto ipv4"),
            Self::Version(Version::V6) => f.write_str("meta nfproto ipv6"),
            Self::ForThisHost => f.write_str("fib daddr type local"),
            Self::Is(field, value) => write!(f, "{field} {value}"),
            Self::IsNot(field, value) => write!(f, "{field} != {value}"),
            Self::In(fields, set) => write!(f, "{} @{set}", joined(fields)),
            Self::NotIn(fields, set) => write!(f, "{}{} != @{set}", given(fields), joined(fields)),
            Self::State(states) => {
                let names: Vec<String> = states.iter().map(ToString::to_string).collect();
                write!(f, "ct state {}", names.join(","))
            }
            Self::Translated => f.write_str("ct status dnat"),
            Self::Then(verdict) => verdict.fmt(f),
            Self::Choose(fields, map) => write!(f, "{} vmap @{map}", joined(fields)),
            Self::Translate(version, fields, map) => {
                write!(f, "dnat {} to {} map @{map}", version.word(), joined(fields))
            }
            Self::TakeTurns { version, of, map } => {
                write!(f, "dnat {} to numgen inc mod {of} map @{map}", version.word())
            }
            Self::Masquerade => f.write_str("masquerade"),
            Self::Reject(Rejection::Reset) => f.write_str("reject with tcp reset"),
            Self::Reject(Rejection::PortUnreachable) => f.write_str("reject"),
            Self::SetPort(protocol, side, port) => {
                write!(f, "{} set {port}", Field::PortOf(*protocol, *side))
            }
            Self::ForTransparentSocket => f.write_str("socket transparent 1"),
            Self::SetMark(mark) => write!(f, "meta mark set {mark:#010x}"),
        }
    }
}

/// Returns what is asked before `fields` are read and is shown: that addresses in ARP are where they are looked for.
fn given(fields: &[Field]) -> &'static str {
    let is_arp = |field: &Field| matches!(field, Field::ArpSource | Field::ArpSourceEther);
    if fields.iter().any(is_arp) { "arp htype 1 arp hlen 6 arp plen 4 " } else { "" }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputInterface => f.write_str("iifname"),
            Self::OutputInterface => f.write_str("oifname"),
            Self::Protocol => f.write_str("meta l4proto"),
            Self::Source(version) => write!(f, "{} saddr", version.word()),
            Self::Destination(version) => write!(f, "{} daddr", version.word()),
            Self::EtherSource => f.write_str("ether saddr"),
            Self::ArpSourceEther => f.write_str("arp saddr ether"),
            Self::ArpSource => f.write_str("arp saddr ip"),
            Self::Icmpv6Type => f.write_str("icmpv6 type"),
            Self::NeighbourTarget => f.write_str("@th,64,128"),
            Self::DestinationPort => f.write_str("th dport"),
            Self::PortOf(protocol, Side::Source) => write!(f, "{protocol} sport"),
            Self::PortOf(protocol, Side::Destination) => write!(f, "{protocol} dport"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Established => "established",
            Self::Related => "related",
            Self::New => "new",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
        }
    }
}
