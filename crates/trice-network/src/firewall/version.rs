//! The names and fields of the packet filter that there are once for each version of IP.

use crate::nftables::rule::{Field, Version};
use crate::nftables::value::Type;

/// What sets, chains and fields are called in one version.
pub(super) struct Words {
    pub(super) version: Version,
    /// The addresses on the bridges.
    pub(super) subnets: &'static str,
    /// Those that become the host's on their way out.
    pub(super) masqueraded: &'static str,
    /// The chain in which published ports lead to containers.
    pub(super) publish: &'static str,
    /// The chain in which connections to ports without a container are refused.
    pub(super) refuse: &'static str,
    /// Ports of all addresses of the host, with one container each.
    pub(super) published: &'static str,
    /// Ports of one address.
    pub(super) published_at: &'static str,
    /// Ports of all addresses, with several containers each.
    pub(super) spread: &'static str,
    /// Ports of one address, with several containers each.
    pub(super) spread_at: &'static str,
    /// Ports of all addresses, with no container.
    pub(super) refused: &'static str,
    /// Ports of one address, with no container.
    pub(super) refused_at: &'static str,
    /// An address.
    pub(super) address: &'static [Type],
    /// A port of an address of the host.
    pub(super) port_at_types: &'static [Type],
    /// A container's port.
    pub(super) backend: &'static [Type],
    pub(super) from: &'static [Field],
    pub(super) to: &'static [Field],
    pub(super) port_at: &'static [Field],
}

static V4: Words = Words {
    version: Version::V4,
    subnets: "subnets",
    masqueraded: "masqueraded",
    publish: "publish",
    refuse: "refuse",
    published: "published",
    published_at: "published-at",
    spread: "spread",
    spread_at: "spread-at",
    refused: "refused",
    refused_at: "refused-at",
    address: &[Type::Ipv4],
    port_at_types: &[Type::Ipv4, Type::Protocol, Type::Port],
    backend: &[Type::Ipv4, Type::Port],
    from: &[Field::Source(Version::V4)],
    to: &[Field::Destination(Version::V4)],
    port_at: &[Field::Destination(Version::V4), Field::Protocol, Field::DestinationPort],
};

static V6: Words = Words {
    version: Version::V6,
    subnets: "subnets6",
    masqueraded: "masqueraded6",
    publish: "publish6",
    refuse: "refuse6",
    published: "published6",
    published_at: "published6-at",
    spread: "spread6",
    spread_at: "spread6-at",
    refused: "refused6",
    refused_at: "refused6-at",
    address: &[Type::Ipv6],
    port_at_types: &[Type::Ipv6, Type::Protocol, Type::Port],
    backend: &[Type::Ipv6, Type::Port],
    from: &[Field::Source(Version::V6)],
    to: &[Field::Destination(Version::V6)],
    port_at: &[Field::Destination(Version::V6), Field::Protocol, Field::DestinationPort],
};

impl Words {
    /// Returns the words of a version.
    pub(super) fn of(version: Version) -> &'static Self {
        match version {
            Version::V4 => &V4,
            Version::V6 => &V6,
        }
    }
}
