//! Tables: chains of rules, hung into the way of packets, and the sets that they use.

use std::fmt;

use super::rule::Rule;
use super::set::Set;

/// A table, whole. It prints as `nft list table` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Which packets it sees.
    pub(crate) family: Family,
    /// Its name.
    pub(crate) name: String,
    /// Its sets and maps.
    pub(crate) sets: Vec<Set>,
    /// Its chains.
    pub(crate) chains: Vec<Chain>,
}

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Those of IPv4 and IPv6.
    Inet,
    /// Those of IPv4.
    Ip,
    /// Those of IPv6.
    Ip6,
    /// Frames that pass through bridges.
    Bridge,
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name.
    pub(crate) name: String,
    /// Where packets come through it; `None` if rules send them there.
    pub(crate) hook: Option<Hook>,
    /// Its rules.
    pub(crate) rules: Vec<Rule>,
}

/// A place where packets come through a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    /// What the chain is for.
    pub(crate) kind: Kind,
    /// The place.
    pub(crate) point: Point,
    /// When it comes there, among others.
    pub(crate) priority: Priority,
}

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It sees every packet.
    Filter,
    /// It sees the first packet of each connection, and may change where it goes.
    Nat,
}

/// A place on the way of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// They came in.
    Prerouting,
    /// They are for this machine.
    Input,
    /// They are for another machine.
    Forward,
    /// They come from this machine.
    Output,
    /// They go out.
    Postrouting,
}

/// When a chain comes, among those at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Before connections are looked up.
    Raw,
    /// Before a bridge looks where a frame goes.
    Bridging,
    /// Where packets get their marks.
    Mangle,
    /// Where destinations are changed.
    Destination,
    /// Where packets are filtered.
    Filter,
    /// Where sources are changed.
    Source,
}

impl Family {
    /// Returns the kernel's number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }
}

impl Family {
    /// Returns the family with the kernel's number, if it is one that matters here.
    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Inet, Self::Ip, Self::Ip6, Self::Bridge].into_iter().find(|family| family.number() == number)
    }

    /// Returns the word of `nft`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
        }
    }
}

impl Kind {
    /// Returns the kernel's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl Point {
    /// Returns the kernel's number.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

impl Priority {
    /// Returns the kernel's number.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Raw | Self::Bridging => -300,
            Self::Mangle => -150,
            Self::Destination => -100,
            Self::Filter => 0,
            Self::Source => 100,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, self.name)?;
        for set in &self.sets {
            set.fmt(f)?;
        }
        for chain in &self.chains {
            chain.fmt(f)?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    chain {} {{", self.name)?;
        if let Some(Hook { kind, point, priority }) = self.hook {
            // Where the host comes from, `dstnat` has no name of its own.
            let priority = match (priority, point) {
                (Priority::Destination, Point::Output) => "-100".to_owned(),
                (other, _) => other.to_string(),
            };
            writeln!(f, "        type {} hook {point} priority {priority}; policy accept;", kind.word())?;
        }
        for rule in &self.rules {
            writeln!(f, "        {rule}")?;
        }
        writeln!(f, "    }}")
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            // In tables of bridges that name means another number.
            Self::Destination | Self::Bridging => "dstnat",
            Self::Filter => "filter",
            Self::Source => "srcnat",
        })
    }
}
