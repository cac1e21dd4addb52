//! Bridge networks, the instances on them, and what the outside may reach.
//!
//! Sources: Compose Specification, `06-networks.md`; `netdevice(7)`; Linux `Documentation/networking/`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{ContainerName, Key, LinkName, NetworkName, ProjectName};
use crate::port::Protocol;
use crate::text::written_as_text;

/// A network that a project wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// Its name on this machine.
    pub name: NetworkName,
    /// It is there already and stays.
    pub external: bool,
    /// How containers are on it.
    pub driver: Driver,
    /// It has no way out.
    pub internal: bool,
    /// Containers of others may join it.
    pub attachable: bool,
    /// Its IPv4 addresses; `None` is a network without.
    pub ipv4: Option<Ipv4Pool>,
    /// Its IPv6 addresses; `None` is a network without.
    pub ipv6: Option<Ipv6Pool>,
    /// The largest packet; `None` is 1500.
    pub mtu: Option<u32>,
    /// Containers may talk to each other.
    pub icc: bool,
    /// What leaves for other machines bears the host's address.
    pub masquerade: bool,
    /// The host's address of ports that name none.
    pub host_binding: Option<IpAddr>,
    /// How the names of interfaces in containers begin; `None` is `eth`.
    pub interface_prefix: Option<LinkName>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// How containers are on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// By ports of a bridge of the host's.
    Bridge {
        /// The bridge's interface; `None` lets the planner choose.
        link: Option<LinkName>,
    },
    /// By interfaces with hardware addresses of their own on an interface of the host's.
    Macvlan {
        /// The host's interface.
        parent: LinkName,
        /// Who hears whom.
        mode: MacvlanMode,
    },
    /// By interfaces that share the hardware address of an interface of the host's.
    Ipvlan {
        /// The host's interface.
        parent: LinkName,
        /// By which addresses packets are told apart.
        mode: IpvlanMode,
    },
}

/// Who hears whom on one interface of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Containers hear each other directly.
    #[default]
    Bridge,
    /// They do not hear each other.
    Private,
    /// They hear each other if a switch outside sends packets back.
    Vepa,
    /// One container has the interface for itself.
    Passthru,
}

/// By which addresses packets for several containers on one hardware address are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// Their IP addresses, on one link.
    #[default]
    L2,
    /// Their IP addresses, by routing.
    L3,
    /// The same, through the host's packet filter.
    L3s,
}

/// The addresses of one family that a network should use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pool<Net, Address> {
    /// All of them; `None` lets the planner choose.
    pub subnet: Option<Net>,
    /// The host's, or that of a router; `None` is the first.
    pub gateway: Option<Address>,
    /// Those that are given out; `None` is all.
    pub ip_range: Option<Net>,
    /// Those that are somebody else's, by name, and are not given out.
    pub aux_addresses: BTreeMap<String, Address>,
}

/// The IPv4 addresses of a network.
pub type Ipv4Pool = Pool<Ipv4Net, Ipv4Addr>;
/// The IPv6 addresses of a network.
pub type Ipv6Pool = Pool<Ipv6Net, Ipv6Addr>;

impl<Net, Address> Default for Pool<Net, Address> {
    fn default() -> Self {
        Self { subnet: None, gateway: None, ip_range: None, aux_addresses: BTreeMap::new() }
    }
}

/// How a service is on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// More names for it there.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// More addresses, which are not the network's.
    pub link_local_ips: Vec<IpAddr>,
    /// A fixed hardware address.
    pub mac_address: Option<MacAddress>,
    /// The network with the highest comes first.
    pub priority: i32,
    /// The network with the highest gives the default route.
    pub gw_priority: i32,
    /// The name of the interface in the container.
    pub interface_name: Option<LinkName>,
    /// Settings of the kernel for the interface, by names in which `IFNAME` stands for it.
    pub sysctls: BTreeMap<String, String>,
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Returns the address that stands for `ip`: locally administered, and the same for the same `ip`, so that a
    /// neighbour's cache stays right when an address is given out again.
    pub fn of_ipv4(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Returns the address that stands for `ip` where there is no IPv4: with the last four bytes of `ip`.
    pub fn of_ipv6(ip: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = ip.octets();
        Self([0x02, 0x46, a, b, c, d])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: write six bytes in hexadecimal, such as `02:42:ac:11:00:02`")]
pub struct MacAddressError(String);

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let fail = || MacAddressError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(fail)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| fail())?;
        }
        if parts.next().is_some() { Err(fail()) } else { Ok(Self(bytes)) }
    }
}

written_as_text!(
    MacAddress,
    "An Ethernet address: six pairs of hexadecimal digits with colons between them."
);

/// A network that the back end is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkSpec {
    /// Its name.
    pub name: NetworkName,
    /// The project that it belongs to, and its key there.
    pub owner: Option<(ProjectName, Key)>,
    /// What it is on the host.
    pub medium: Medium,
    /// Its IPv4 addresses.
    pub ipv4: Option<Ipv4PoolSpec>,
    /// Its IPv6 addresses.
    pub ipv6: Option<Ipv6PoolSpec>,
    /// It has no way out.
    pub internal: bool,
    /// Containers of others may join it.
    pub attachable: bool,
    /// The largest packet.
    pub mtu: u32,
    /// Containers may talk to each other.
    pub icc: bool,
    /// What leaves for other machines bears the host's address.
    pub masquerade: bool,
    /// The host's address of ports that name none.
    pub host_binding: Option<IpAddr>,
    /// How the names of interfaces in containers begin.
    pub interface_prefix: Option<LinkName>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a network is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// A bridge, which comes and goes with the network.
    Bridge(LinkName),
    /// An interface of the host's, on which containers have hardware addresses of their own.
    Macvlan {
        /// The host's interface.
        parent: LinkName,
        /// Who hears whom.
        mode: MacvlanMode,
    },
    /// An interface of the host's, which containers share.
    Ipvlan {
        /// The host's interface.
        parent: LinkName,
        /// By which addresses packets are told apart.
        mode: IpvlanMode,
    },
}

impl Medium {
    /// Returns the bridge, if it is one.
    pub fn bridge(&self) -> Option<&LinkName> {
        match self {
            Self::Bridge(link) => Some(link),
            Self::Macvlan { .. } | Self::Ipvlan { .. } => None,
        }
    }

    /// Returns the host's interface that it is on, if it is on one.
    pub fn parent(&self) -> Option<&LinkName> {
        match self {
            Self::Bridge(_) => None,
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } => Some(parent),
        }
    }

    /// Returns the word by which Compose calls it.
    pub fn driver(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
        }
    }
}

/// The addresses of one family of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSpec<Net, Address> {
    /// All of them.
    pub subnet: Net,
    /// The bridge's, or that of a router.
    pub gateway: Address,
    /// Those that are given out.
    pub ip_range: Net,
    /// Those that are somebody else's, by name, and are not given out.
    pub aux_addresses: BTreeMap<String, Address>,
}

/// The IPv4 addresses of a network.
pub type Ipv4PoolSpec = PoolSpec<Ipv4Net, Ipv4Addr>;
/// The IPv6 addresses of a network.
pub type Ipv6PoolSpec = PoolSpec<Ipv6Net, Ipv6Addr>;

impl Ipv4PoolSpec {
    /// Returns the gateway with the network's mask.
    pub fn gateway_net(&self) -> Ipv4Net {
        Ipv4Net::new_assert(self.gateway, self.subnet.prefix_len())
    }
}

impl Ipv6PoolSpec {
    /// Returns the gateway with the network's mask.
    pub fn gateway_net(&self) -> Ipv6Net {
        Ipv6Net::new_assert(self.gateway, self.subnet.prefix_len())
    }
}

impl NetworkSpec {
    /// Returns all its addresses.
    pub fn subnets(&self) -> impl Iterator<Item = IpNet> + use<> {
        let ipv4 = self.ipv4.as_ref().map(|pool| IpNet::V4(pool.subnet));
        let ipv6 = self.ipv6.as_ref().map(|pool| IpNet::V6(pool.subnet));
        ipv4.into_iter().chain(ipv6)
    }
}

/// A network that is recorded, and whether its bridge is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedNetwork {
    /// As it was asked for.
    pub spec: NetworkSpec,
    /// The kernel has the bridge, with its address, and it is up.
    pub present: bool,
}

/// The name of an instance: a place for one container of a service, which keeps its network namespace and addresses
/// while containers in it come and go. It is called like its container.
pub type InstanceName = ContainerName;

/// An instance's network namespace that the back end is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceSpec {
    /// Its name.
    pub name: InstanceName,
    /// The project that it belongs to.
    pub project: ProjectName,
    /// Its interfaces, beside `lo`, in the order of their making.
    pub endpoints: Vec<EndpointSpec>,
    /// Network settings of the kernel in its namespace, such as `net.ipv4.ip_unprivileged_port_start`.
    pub sysctls: BTreeMap<String, String>,
    /// Names are answered at 127.0.0.11.
    pub dns: bool,
}

/// One interface of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSpec {
    /// The network.
    pub network: NetworkName,
    /// What it hangs on.
    pub plug: Plug,
    /// The container's end.
    pub interface: LinkName,
    /// Its hardware address; `None` where it has none of its own.
    pub mac: Option<MacAddress>,
    /// Its address and the network's mask.
    pub address: Option<Ipv4Net>,
    /// Its IPv6 address and the network's mask.
    pub address6: Option<Ipv6Net>,
    /// More addresses, which are not the network's.
    pub more_addresses: Vec<IpNet>,
    /// The default route, if it goes this way.
    pub gateway: Option<Ipv4Addr>,
    /// The default route of IPv6, if it goes this way.
    pub gateway6: Option<Ipv6Addr>,
    /// What was said for the choice of the default route: the highest gives it.
    pub gw_priority: i32,
    /// The largest packet.
    pub mtu: u32,
    /// Settings of the kernel for the interface.
    pub sysctls: BTreeMap<String, String>,
    /// Somebody connected it by hand, beside what the files say, and gave it these names.
    pub by_hand: Option<Vec<String>>,
}

/// What an interface of an instance hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plug {
    /// A port of a bridge: the other end of a pair.
    Bridge {
        /// The bridge.
        bridge: LinkName,
        /// The host's end of the pair; another one for each making, since an old one may live on for a moment.
        host_link: LinkName,
        /// Other ports of the bridge that are isolated too are out of reach.
        isolated: bool,
        /// What comes in here must bear the addresses of the instance.
        guarded: bool,
    },
    /// An interface of the host's.
    Macvlan {
        /// The host's interface.
        parent: LinkName,
        /// Who hears whom.
        mode: MacvlanMode,
    },
    /// An interface of the host's.
    Ipvlan {
        /// The host's interface.
        parent: LinkName,
        /// By which addresses packets are told apart.
        mode: IpvlanMode,
    },
}

impl EndpointSpec {
    /// Returns its addresses on its network.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let ipv4 = self.address.map(|net| IpAddr::V4(net.addr()));
        let ipv6 = self.address6.map(|net| IpAddr::V6(net.addr()));
        ipv4.into_iter().chain(ipv6)
    }

    /// Returns all its addresses, each with its mask.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> + '_ {
        let ipv4 = self.address.map(IpNet::V4);
        let ipv6 = self.address6.map(IpNet::V6);
        ipv4.into_iter().chain(ipv6).chain(self.more_addresses.iter().copied())
    }

    /// Returns the host's end, if it has one.
    pub fn host_link(&self) -> Option<&LinkName> {
        match &self.plug {
            Plug::Bridge { host_link, .. } => Some(host_link),
            Plug::Macvlan { .. } | Plug::Ipvlan { .. } => None,
        }
    }
}

/// An instance that is recorded, and whether its namespace is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedInstance {
    /// As it was asked for.
    pub spec: InstanceSpec,
    /// Somebody holds its namespace, with its interfaces.
    pub present: bool,
}

/// The packet filter of one project, whole: it replaces what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallSpec {
    /// The table's name.
    pub table: String,
    /// The project's bridges.
    pub bridges: Vec<FirewallBridge>,
    /// The bridges' ports whose packets must bear their owners' addresses.
    pub guarded: Vec<GuardedPort>,
    /// The host's ports that lead to containers.
    pub published: Vec<FirewallPort>,
    /// The number of the table of routes by which answers to the engine's proxy come back to it.
    pub way_back: u32,
}

/// A bridge as the packet filter sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallBridge {
    /// The interface.
    pub link: LinkName,
    /// Its addresses.
    pub subnets: Vec<IpNet>,
    /// It has no way out.
    pub internal: bool,
    /// Containers may talk to each other.
    pub icc: bool,
    /// What leaves for other machines bears the host's address.
    pub masquerade: bool,
}

/// A port of a bridge, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardedPort {
    /// The host's end of the pair.
    pub link: LinkName,
    /// The container's hardware address.
    pub mac: MacAddress,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A port of the host and the containers it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallPort {
    /// The host's address; an unspecified one is all of its family.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The running containers; connections are spread over them, and refused where there is none.
    pub backends: Vec<SocketAddr>,
    /// How connections get there.
    pub way: Way,
}

/// How connections to a port of the host get to a container.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The packet filter leads them there. What it cannot lead, such as `::1`, goes through the proxy.
    #[default]
    Direct,
    /// The engine takes them and passes on what it hears: to an address of the other family.
    Proxy,
    /// The same, so that the host's own packet filter has its say, with the caller's address.
    Transparent,
}

/// What this machine has that a new network must not collide with, and what else matters to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ObservedHost {
    /// The addresses of all interfaces but our bridges, with the interface's name.
    pub addresses: Vec<(String, IpNet)>,
    /// All routes but the default ones and our own, with the interface's name.
    pub routes: Vec<(String, IpNet)>,
    /// The resolvers that the host asks.
    pub resolvers: Vec<IpAddr>,
    /// Ports of the host that somebody listens on.
    pub busy_ports: Vec<(Protocol, u16)>,
    /// Packet filters of others that turn away what nobody asked for, by the names that people know them by.
    pub firewalls: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_read_as_it_is_written_and_follows_from_the_ip() {
        let mac = MacAddress::of_ipv4(Ipv4Addr::new(172, 18, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:12:00:02");
        assert_eq!("02:42:ac:12:00:02".parse(), Ok(mac));
        for bad in ["", "02:42", "02:42:ac:12:00:02:03", "2:42:ac:12:00:02", "zz:42:ac:12:00:02"] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}
