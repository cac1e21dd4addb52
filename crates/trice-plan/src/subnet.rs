//! Which addresses a network gets.
//!
//! Slices of 256 addresses from 172.16.0.0/12 and then 10.128.0.0/9, 37,000 in all. The search begins at a
//! place that follows from the names of project and network, so that a project gets the same addresses again
//! after its going down. A slice is left out if anything of the host lies in it: an address, a resolver,
//! another network, a route. Only if nothing is left, wide routes are ignored: a VPN that routes all of
//! 10.0.0.0/8 rarely means every slice.
//!
//! Of IPv6 each network gets 64 bits of the addresses that are nobody's in the world, by a number that follows from
//! the names of machine, project and network: there are enough for none to be met twice.
//!
//! Source: RFC 4193, section 3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trice_model::name::{NetworkName, ProjectName};
use trice_model::network::ObservedHost;

use crate::digest;
use crate::found::Found;

const POOLS: [Ipv4Net; 2] = [
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9),
];
const SLICE: u8 = 24;
/// A route to so many addresses means the rest of the world and no network next door.
const WIDE_ROUTE: u8 = 12;

/// Why a network has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// An interface of the host is in it.
    #[error("subnet {subnet} overlaps {address} of interface `{interface}`")]
    OverlapsInterface {
        /// The wanted subnet.
        subnet: IpNet,
        /// The interface.
        interface: String,
        /// Its address.
        address: IpNet,
    },
    /// The host sends packets elsewhere.
    #[error("subnet {subnet} overlaps the route to {route} through `{interface}`")]
    OverlapsRoute {
        /// The wanted subnet.
        subnet: IpNet,
        /// The interface.
        interface: String,
        /// The route.
        route: IpNet,
    },
    /// The host asks for names there.
    #[error("subnet {subnet} holds the resolver {resolver}")]
    HoldsResolver {
        /// The wanted subnet.
        subnet: IpNet,
        /// The resolver.
        resolver: IpAddr,
    },
    /// Another network has it.
    #[error("subnet {subnet} overlaps {taken} of network `{network}`")]
    OverlapsNetwork {
        /// The wanted subnet.
        subnet: IpNet,
        /// The other network.
        network: NetworkName,
        /// Its subnet.
        taken: IpNet,
    },
    /// Everything is taken.
    #[error("no subnet is free in 172.16.0.0/12 and 10.128.0.0/9")]
    Exhausted,
}

impl SubnetError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::OverlapsInterface { .. } | Self::OverlapsRoute { .. } | Self::HoldsResolver { .. } => {
                Some("choose another subnet, or none: a free one is found then".into())
            }
            Self::OverlapsNetwork { network, .. } => {
                Some(format!("choose another subnet, or take network `{network}` down"))
            }
            Self::Exhausted => Some("give the network a `subnet` of its own".into()),
        }
    }
}

/// The subnets that are given out and those that must not be.
#[derive(Debug)]
pub(crate) struct Subnets<'a> {
    host: &'a ObservedHost,
    taken: Vec<(NetworkName, IpNet)>,
}

impl<'a> Subnets<'a> {
    /// Begins with nothing but the host.
    pub(crate) fn new(host: &'a ObservedHost) -> Self {
        Self { host, taken: Vec::new() }
    }

    /// Notes that `network` has `subnet`.
    pub(crate) fn hold(&mut self, network: &NetworkName, subnet: IpNet) {
        self.taken.push((network.clone(), subnet));
    }

    /// Gives `network` the subnet that its file asks for.
    pub(crate) fn claim(&mut self, network: &NetworkName, subnet: IpNet) -> Result<(), SubnetError> {
        self.check_host(subnet)?;
        self.check_routes(subnet, WIDE_ROUTE)?;
        self.check_networks(subnet)?;
        self.hold(network, subnet);
        Ok(())
    }

    /// Gives `network` the subnet that its file asks for, which is that of an interface of the host's: only other
    /// networks of ours are in the way.
    pub(crate) fn share(&mut self, network: &NetworkName, subnet: IpNet) -> Result<(), SubnetError> {
        self.check_networks(subnet)?;
        self.hold(network, subnet);
        Ok(())
    }

    /// Finds a subnet for `network`.
    pub(crate) fn choose(
        &mut self,
        project: &ProjectName,
        network: &NetworkName,
    ) -> Result<Ipv4Net, SubnetError> {
        let begin = digest::number(&[project.as_str(), network.as_str()]);
        let is_free = |subnet: &Ipv4Net| {
            let subnet = IpNet::V4(*subnet);
            self.check_host(subnet).is_ok() && self.check_networks(subnet).is_ok()
        };
        let narrow = |subnet: &Ipv4Net, widest| self.check_routes(IpNet::V4(*subnet), widest).is_ok();
        let chosen = slices(begin)
            .find(|subnet| is_free(subnet) && narrow(subnet, 0))
            .or_else(|| slices(begin).find(|subnet| is_free(subnet) && narrow(subnet, WIDE_ROUTE)))
            .ok_or(SubnetError::Exhausted)?;
        self.hold(network, IpNet::V4(chosen));
        Ok(chosen)
    }

    /// Finds a subnet of IPv6 for `network` on `machine`.
    pub(crate) fn choose_ipv6(
        &mut self,
        machine: &str,
        project: &ProjectName,
        network: &NetworkName,
    ) -> Result<Ipv6Net, SubnetError> {
        let begin = digest::long_number(&[machine, project.as_str(), network.as_str()]);
        let is_free = |subnet: &Ipv6Net| {
            let subnet = IpNet::V6(*subnet);
            self.check_host(subnet).is_ok()
                && self.check_networks(subnet).is_ok()
                && self.check_routes(subnet, WIDE_ROUTE).is_ok()
        };
        let chosen = locals(begin).find(is_free).ok_or(SubnetError::Exhausted)?;
        self.hold(network, IpNet::V6(chosen));
        Ok(chosen)
    }

    fn check_host(&self, subnet: IpNet) -> Result<(), SubnetError> {
        for (interface, address) in &self.host.addresses {
            if overlap(subnet, *address) {
                let interface = interface.clone();
                return Err(SubnetError::OverlapsInterface { subnet, interface, address: *address });
            }
        }
        match self.host.resolvers.iter().find(|resolver| subnet.contains(*resolver)) {
            Some(resolver) => Err(SubnetError::HoldsResolver { subnet, resolver: *resolver }),
            None => Ok(()),
        }
    }

    /// Looks at the routes that are narrower than `widest`.
    fn check_routes(&self, subnet: IpNet, widest: u8) -> Result<(), SubnetError> {
        let hit =
            self.host.routes.iter().find(|(_, route)| route.prefix_len() > widest && overlap(subnet, *route));
        hit.map_or(Ok(()), |(interface, route)| {
            Err(SubnetError::OverlapsRoute { subnet, interface: interface.clone(), route: *route })
        })
    }

    fn check_networks(&self, subnet: IpNet) -> Result<(), SubnetError> {
        let hit = self.taken.iter().find(|(_, taken)| overlap(subnet, *taken));
        hit.map_or(Ok(()), |(network, taken)| {
            Err(SubnetError::OverlapsNetwork { subnet, network: network.clone(), taken: *taken })
        })
    }
}

/// Tells whether two networks have an address in common; those of two versions never have.
pub(crate) fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Returns a warning for each route of the host's that has come over a network of ours since it was made: what it
/// leads to, containers cannot reach, or the host cannot reach them.
pub fn overlapped_routes(found: &Found) -> Vec<String> {
    let mut warnings = Vec::new();
    for network in found.networks.values().filter(|network| network.present) {
        for subnet in network.spec.subnets().filter(|_| network.spec.medium.bridge().is_some()) {
            let routes = found.host.routes.iter().filter(|(_, route)| route.prefix_len() > WIDE_ROUTE);
            warnings.extend(routes.filter(|(_, route)| overlap(subnet, *route)).map(|(interface, route)| {
                let name = &network.spec.name;
                format!(
                    "the route to {route} through `{interface}` overlaps {subnet} of network `{name}`: give the \
                     network another `subnet`, or take it down and up again"
                )
            }));
        }
    }
    warnings
}

/// Returns the slices of all pools, in each from the place that `begin` points to and round.
fn slices(begin: u32) -> impl Iterator<Item = Ipv4Net> {
    POOLS.into_iter().flat_map(move |pool| {
        let (first, count) = (u32::from(pool.network()), 1_u32 << (SLICE - pool.prefix_len()));
        (0..count).map(move |step| {
            let slice = begin.wrapping_add(step) % count;
            Ipv4Net::new_assert(Ipv4Addr::from(first + (slice << (32 - SLICE))), SLICE)
        })
    })
}

/// Returns networks of 64 bits among those that are nobody's, from the place that `begin` points to.
fn locals(begin: u64) -> impl Iterator<Item = Ipv6Net> {
    const PREFIX: u128 = 0xfd << 120;
    const BITS: u64 = (1 << 56) - 1;
    const TRIES: u64 = 1 << 16;
    (0..TRIES).map(move |step| {
        let number = begin.wrapping_add(step) & BITS;
        Ipv6Net::new_assert(Ipv6Addr::from(PREFIX | u128::from(number) << 64), 64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str], routes: &[&str]) -> ObservedHost {
        let named = |nets: &[&str]| {
            nets.iter().map(|net| ("eth0".to_owned(), net.parse().unwrap())).collect::<Vec<_>>()
        };
        ObservedHost { addresses: named(addresses), routes: named(routes), ..ObservedHost::default() }
    }

    fn choose(subnets: &mut Subnets<'_>, network: &str) -> Result<Ipv4Net, SubnetError> {
        subnets.choose(&"shop".parse().unwrap(), &network.parse().unwrap())
    }

    #[test]
    fn a_network_gets_the_same_subnet_again_and_two_networks_never_the_same() {
        let host = host(&[], &[]);
        let (mut first, mut second) = (Subnets::new(&host), Subnets::new(&host));
        let subnet = choose(&mut first, "shop_front").unwrap();
        assert_eq!(choose(&mut second, "shop_front"), Ok(subnet));
        // The same names begin at the same place: the second one must move on.
        assert_ne!(choose(&mut second, "shop_front"), Ok(subnet));
        assert!(POOLS[0].contains(&subnet) && subnet.prefix_len() == 24, "{subnet}");
    }

    #[test]
    fn what_the_host_uses_is_left_out_and_the_second_pool_follows_the_first() {
        let host = host(&["172.16.0.1/12"], &[]);
        let subnet = choose(&mut Subnets::new(&host), "shop_front").unwrap();
        assert!(POOLS[1].contains(&subnet), "{subnet}");
    }

    #[test]
    fn wide_routes_are_ignored_only_when_nothing_else_is_left() {
        let vpn = host(&[], &["172.16.0.0/12"]);
        assert!(POOLS[1].contains(&choose(&mut Subnets::new(&vpn), "shop_front").unwrap()));
        let everything = host(&[], &["0.0.0.0/1", "128.0.0.0/1"]);
        assert!(POOLS[0].contains(&choose(&mut Subnets::new(&everything), "shop_front").unwrap()));
        let narrow = host(&["172.16.0.1/12", "10.128.0.1/9"], &[]);
        assert_eq!(choose(&mut Subnets::new(&narrow), "shop_front"), Err(SubnetError::Exhausted));
    }

    #[test]
    fn a_network_of_ipv6_is_nobodys_in_the_world_and_the_same_again_on_the_same_machine() {
        let host = host(&[], &[]);
        let choose = |machine: &str, network: &str| {
            let (project, network) = ("shop".parse().unwrap(), network.parse().unwrap());
            Subnets::new(&host).choose_ipv6(machine, &project, &network).unwrap()
        };
        let subnet = choose("m1", "shop_front");
        assert_eq!(choose("m1", "shop_front"), subnet);
        assert_ne!(choose("m2", "shop_front"), subnet);
        assert_ne!(choose("m1", "shop_back"), subnet);
        let nobodys: Ipv6Net = "fd00::/8".parse().unwrap();
        assert!(nobodys.contains(&subnet) && subnet.prefix_len() == 64, "{subnet}");
    }

    #[test]
    fn a_network_of_ipv6_that_the_host_has_is_left_out() {
        let empty = host(&[], &[]);
        let names = || ("shop".parse().unwrap(), "shop_front".parse().unwrap());
        let choose = |host: &ObservedHost| {
            let (project, network) = names();
            Subnets::new(host).choose_ipv6("m", &project, &network).unwrap()
        };
        let first = choose(&empty);
        let taken = host(&[&first.to_string()], &[]);
        assert_ne!(choose(&taken), first);
    }

    #[test]
    fn a_thousand_networks_all_have_addresses_of_their_own() {
        let host = host(&["172.17.0.1/16"], &["10.0.0.0/8"]);
        let mut subnets = Subnets::new(&host);
        for number in 0..1_000 {
            choose(&mut subnets, &format!("net{number}")).unwrap();
            let (project, network) = ("shop".parse().unwrap(), format!("net{number}").parse().unwrap());
            subnets.choose_ipv6("m", &project, &network).unwrap();
        }
        let all: std::collections::BTreeSet<IpNet> = subnets.taken.iter().map(|(_, net)| *net).collect();
        assert_eq!(all.len(), 2_000);
    }

    #[test]
    fn a_subnet_from_the_file_that_the_host_uses_is_refused_by_name() {
        let mut host = host(&["10.1.2.3/24"], &["10.9.0.0/16", "10.0.0.0/8"]);
        host.resolvers.push("192.168.7.1".parse().unwrap());
        let mut subnets = Subnets::new(&host);
        subnets.hold(&"other_net".parse().unwrap(), "10.200.0.0/16".parse().unwrap());
        let mut claim = |subnet: &str| {
            let name = "shop_front".parse().unwrap();
            subnets.claim(&name, subnet.parse().unwrap()).map_err(|error| error.to_string())
        };
        let cases = [
            ("10.1.0.0/16", "subnet 10.1.0.0/16 overlaps 10.1.2.3/24 of interface `eth0`"),
            ("10.9.1.0/24", "subnet 10.9.1.0/24 overlaps the route to 10.9.0.0/16 through `eth0`"),
            ("192.168.7.0/24", "subnet 192.168.7.0/24 holds the resolver 192.168.7.1"),
            ("10.200.3.0/24", "subnet 10.200.3.0/24 overlaps 10.200.0.0/16 of network `other_net`"),
        ];
        for (subnet, message) in cases {
            assert_eq!(claim(subnet), Err(message.to_owned()));
        }
        assert_eq!(claim("10.77.0.0/24"), Ok(()));
    }
}
