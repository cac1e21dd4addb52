//! Bridge networks, the instances on them, and what the outside may reach.
//!
//! Sources: Compose Specification, `06-networks.md`; `netdevice(7)`; Linux `Documentation/networking/`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{ContainerName, Key, LinkName, NetworkName, ProjectName};
use crate::port::Protocol;

/// A network that a project wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name on this machine.
    pub name: NetworkName,
    /// It is there already and stays.
    pub external: bool,
    /// It has no way out.
    pub internal: bool,
    /// The addresses it should use; `None` lets the planner choose.
    pub subnet: Option<Ipv4Net>,
    /// The host's address on it; `None` is the first of the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// The part of the subnet from which addresses are given out; `None` is all of it.
    pub ip_range: Option<Ipv4Net>,
    /// The largest packet; `None` is 1500.
    pub mtu: Option<u32>,
    /// Containers may talk to each other.
    pub icc: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// How a service is on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// More names for it there.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// A fixed hardware address.
    pub mac_address: Option<MacAddress>,
    /// The network with the highest comes first.
    pub priority: i32,
    /// The network with the highest gives the default route.
    pub gw_priority: i32,
    /// The name of the interface in the container.
    pub interface_name: Option<LinkName>,
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

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A network that the back end is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name.
    pub name: NetworkName,
    /// The project that it belongs to, and its key there.
    pub owner: Option<(ProjectName, Key)>,
    /// The bridge's interface.
    pub bridge: LinkName,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// The part of the subnet from which addresses are given out.
    pub ip_range: Ipv4Net,
    /// IPv6 addresses, where they are wanted.
    pub subnet6: Option<Ipv6Net>,
    /// It has no way out.
    pub internal: bool,
    /// The largest packet.
    pub mtu: u32,
    /// Containers may talk to each other.
    pub icc: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A network that is recorded, and whether its bridge is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// The network.
    pub network: NetworkName,
    /// The network's bridge.
    pub bridge: LinkName,
    /// The host's end of the pair; another one for each making, since an old one may live on for a moment.
    pub host_link: LinkName,
    /// The container's end.
    pub interface: LinkName,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its address and the network's mask.
    pub address: Ipv4Net,
    /// An IPv6 address and the network's mask.
    pub address6: Option<Ipv6Net>,
    /// The default route, if it goes this way.
    pub gateway: Option<Ipv4Addr>,
    /// The default route of IPv6, if it goes this way.
    pub gateway6: Option<Ipv6Addr>,
    /// The largest packet.
    pub mtu: u32,
    /// Other ports of the bridge that are isolated too are out of reach.
    pub isolated: bool,
}

/// An instance that is recorded, and whether its namespace is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedInstance {
    /// As it was asked for.
    pub spec: InstanceSpec,
    /// Somebody holds its namespace, with its interfaces.
    pub present: bool,
}

/// The packet filter of one project, whole: it replaces what was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSpec {
    /// The table's name.
    pub table: String,
    /// The project's bridges.
    pub bridges: Vec<FirewallBridge>,
    /// The host's ports that lead to containers.
    pub published: Vec<FirewallPort>,
}

/// A bridge as the packet filter sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallBridge {
    /// The interface.
    pub link: LinkName,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// It has no way out.
    pub internal: bool,
    /// Containers may talk to each other.
    pub icc: bool,
}

/// A port of the host and the containers it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallPort {
    /// The host's address; `None` is all of them.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The running containers; connections are spread over them, and refused where there is none.
    pub backends: Vec<SocketAddr>,
}

/// What this machine has that a new network must not collide with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObservedHost {
    /// The addresses of all interfaces but our bridges, with the interface's name.
    pub addresses: Vec<(String, Ipv4Net)>,
    /// All routes but the default ones and our own, with the interface's name.
    pub routes: Vec<(String, Ipv4Net)>,
    /// The resolvers that the host asks.
    pub resolvers: Vec<IpAddr>,
    /// Ports of the host that somebody listens on.
    pub busy_ports: Vec<(Protocol, u16)>,
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
