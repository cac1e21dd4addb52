//! Which addresses a network gets.
//!
//! Slices of 256 addresses from 172.16.0.0/12 and then 10.128.0.0/9, 37,000 in all. The search begins at a
//! place that follows from the names of project and network, so that a project gets the same addresses again
//! after its going down. A slice is left out if anything of the host lies in it: an address, a resolver,
//! another network, a route. Only if nothing is left, wide routes are ignored: a VPN that routes all of
//! 10.0.0.0/8 rarely means every slice.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use trice_model::name::{NetworkName, ProjectName};
use trice_model::network::ObservedHost;

use crate::digest;

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
        subnet: Ipv4Net,
        /// The interface.
        interface: String,
        /// Its address.
        address: Ipv4Net,
    },
    /// The host sends packets elsewhere.
    #[error("subnet {subnet} overlaps the route to {route} through `{interface}`")]
    OverlapsRoute {
        /// The wanted subnet.
        subnet: Ipv4Net,
        /// The interface.
        interface: String,
        /// The route.
        route: Ipv4Net,
    },
    /// The host asks for names there.
    #[error("subnet {subnet} holds the resolver {resolver}")]
    HoldsResolver {
        /// The wanted subnet.
        subnet: Ipv4Net,
        /// The resolver.
        resolver: Ipv4Addr,
    },
    /// Another network has it.
    #[error("subnet {subnet} overlaps {taken} of network `{network}`")]
    OverlapsNetwork {
        /// The wanted subnet.
        subnet: Ipv4Net,
        /// The other network.
        network: NetworkName,
        /// Its subnet.
        taken: Ipv4Net,
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
    taken: Vec<(NetworkName, Ipv4Net)>,
}

impl<'a> Subnets<'a> {
    /// Begins with nothing but the host.
    pub(crate) fn new(host: &'a ObservedHost) -> Self {
        Self { host, taken: Vec::new() }
    }

    /// Notes that `network` has `subnet`.
    pub(crate) fn hold(&mut self, network: &NetworkName, subnet: Ipv4Net) {
        self.taken.push((network.clone(), subnet));
    }

    /// Gives `network` the subnet that its file asks for.
    pub(crate) fn claim(&mut self, network: &NetworkName, subnet: Ipv4Net) -> Result<(), SubnetError> {
        self.check_host(subnet)?;
        self.check_routes(subnet, WIDE_ROUTE)?;
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
        let free =
            |subnet: &Ipv4Net| self.check_host(*subnet).is_ok() && self.check_networks(*subnet).is_ok();
        let narrow = |subnet: &Ipv4Net, widest| self.check_routes(*subnet, widest).is_ok();
        let chosen = slices(begin)
            .find(|subnet| free(subnet) && narrow(subnet, 0))
            .or_else(|| slices(begin).find(|subnet| free(subnet) && narrow(subnet, WIDE_ROUTE)))
            .ok_or(SubnetError::Exhausted)?;
        self.hold(network, chosen);
        Ok(chosen)
    }

    fn check_host(&self, subnet: Ipv4Net) -> Result<(), SubnetError> {
        for (interface, address) in &self.host.addresses {
            if overlap(subnet, *address) {
                let interface = interface.clone();
                return Err(SubnetError::OverlapsInterface { subnet, interface, address: *address });
            }
        }
        for resolver in &self.host.resolvers {
            if let IpAddr::V4(resolver) = *resolver
                && subnet.contains(&resolver)
            {
                return Err(SubnetError::HoldsResolver { subnet, resolver });
            }
        }
        Ok(())
    }

    /// Looks at the routes that are narrower than `widest`.
    fn check_routes(&self, subnet: Ipv4Net, widest: u8) -> Result<(), SubnetError> {
        let hit =
            self.host.routes.iter().find(|(_, route)| route.prefix_len() > widest && overlap(subnet, *route));
        hit.map_or(Ok(()), |(interface, route)| {
            Err(SubnetError::OverlapsRoute { subnet, interface: interface.clone(), route: *route })
        })
    }

    fn check_networks(&self, subnet: Ipv4Net) -> Result<(), SubnetError> {
        let hit = self.taken.iter().find(|(_, taken)| overlap(subnet, *taken));
        hit.map_or(Ok(()), |(network, taken)| {
            Err(SubnetError::OverlapsNetwork { subnet, network: network.clone(), taken: *taken })
        })
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
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
