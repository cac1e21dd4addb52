//! Which address an instance gets on a network.
//!
//! Those that a file fixes come first, then those that instances had before, then for the rest the one after
//! the highest that is in use, round to the lowest. Taking the next and not the lowest leaves an address that
//! was given back alone for as long as possible: somebody may still remember whose it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use trice_model::name::NetworkName;
use trice_model::network::{InstanceName, NetworkSpec};

use crate::mistake::PlanError;

/// Why an instance has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The network does not have it.
    #[error("address {address} is not in subnet {subnet} of network `{network}`")]
    Outside {
        /// The address.
        address: IpAddr,
        /// The network's addresses.
        subnet: IpNet,
        /// The network.
        network: NetworkName,
    },
    /// It means the network itself, everybody on it, or the host.
    #[error("address {address} is no container's on network `{network}`: it is its {of}")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// What it means there.
        of: &'static str,
    },
    /// Somebody has it.
    #[error("address {address} on network `{network}` belongs to `{holder}`")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// Who has it.
        holder: InstanceName,
    },
    /// There is none left.
    #[error("no address is free in {range} of network `{network}`")]
    Exhausted {
        /// Where addresses are taken from.
        range: IpNet,
        /// The network.
        network: NetworkName,
    },
}

impl AddressError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Outside { .. } | Self::Reserved { .. } => None,
            Self::Taken { .. } => Some("replicas cannot share a fixed address, nor can two services".into()),
            Self::Exhausted { .. } => Some("give the network a larger `subnet`".into()),
        }
    }
}

/// An interface that wants an address.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Whose.
    pub(crate) instance: InstanceName,
    /// Where.
    pub(crate) network: NetworkName,
    /// In which version of IP.
    pub(crate) version: Version,
    /// The address that the file fixes.
    pub(crate) fixed: Option<IpAddr>,
    /// The address that the instance has had.
    pub(crate) remembered: Option<IpAddr>,
    /// The key's path, for a mistake.
    pub(crate) path: String,
}

/// An address that somebody has.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Who.
    pub(crate) instance: InstanceName,
    /// Where.
    pub(crate) network: NetworkName,
    /// What.
    pub(crate) address: IpAddr,
    /// They give it back in the same plan: a file may fix it for another one, nobody else gets it yet.
    pub(crate) leaving: bool,
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
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The address of each seat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses(BTreeMap<(InstanceName, NetworkName, Version), IpAddr>);

impl Addresses {
    /// Returns the IPv4 address of `instance` on `network`.
    pub(crate) fn ipv4(&self, instance: &InstanceName, network: &NetworkName) -> Option<Ipv4Addr> {
        match self.0.get(&(instance.clone(), network.clone(), Version::V4))? {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        }
    }

    /// Returns the IPv6 address of `instance` on `network`.
    pub(crate) fn ipv6(&self, instance: &InstanceName, network: &NetworkName) -> Option<Ipv6Addr> {
        match self.0.get(&(instance.clone(), network.clone(), Version::V6))? {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(*ip),
        }
    }
}

/// Gives an address to each seat on `networks`.
///
/// # Errors
/// All seats that cannot have one.
pub(crate) fn allocate(
    networks: &BTreeMap<NetworkName, &NetworkSpec>,
    held: &[Held],
    seats: &[Seat],
) -> Result<Addresses, Vec<PlanError>> {
    let mut pools: BTreeMap<(&NetworkName, Version), Pool<'_>> = BTreeMap::new();
    for (name, spec) in networks {
        pools.extend(Pool::ipv4(spec, held).map(|pool| ((name, Version::V4), pool)));
        pools.extend(Pool::ipv6(spec, held).map(|pool| ((name, Version::V6), pool)));
    }
    let mut addresses = Addresses::default();
    let mut errors = Vec::new();
    for pass in [Pool::take_fixed, Pool::take_remembered, Pool::take_next] {
        for seat in seats {
            let key = (seat.instance.clone(), seat.network.clone(), seat.version);
            let pool = pools.get_mut(&(&seat.network, seat.version));
            let Some(pool) = pool.filter(|_| !addresses.0.contains_key(&key)) else { continue };
            match pass(pool, seat) {
                Ok(Some(address)) => _ = addresses.0.insert(key, address),
                Ok(None) => {}
                Err(error) => errors.push(PlanError::new(seat.path.clone(), error)),
            }
        }
    }
    if errors.is_empty() { Ok(addresses) } else { Err(errors) }
}

/// The addresses of one network in one version of IP.
struct Pool<'a> {
    network: &'a NetworkName,
    subnet: IpNet,
    range: IpNet,
    gateway: IpAddr,
    aux: BTreeSet<IpAddr>,
    holders: BTreeMap<IpAddr, InstanceName>,
    leaving: BTreeSet<IpAddr>,
}

impl<'a> Pool<'a> {
    fn ipv4(spec: &'a NetworkSpec, held: &[Held]) -> Option<Self> {
        let pool = spec.ipv4.as_ref()?;
        let aux = pool.aux_addresses.values().copied().map(IpAddr::V4).collect();
        let (subnet, range) = (IpNet::V4(pool.subnet), IpNet::V4(pool.ip_range));
        Some(Self::new(&spec.name, (subnet, range), IpAddr::V4(pool.gateway), aux).beside(held))
    }

    fn ipv6(spec: &'a NetworkSpec, held: &[Held]) -> Option<Self> {
        let pool = spec.ipv6.as_ref()?;
        let aux = pool.aux_addresses.values().copied().map(IpAddr::V6).collect();
        let (subnet, range) = (IpNet::V6(pool.subnet), IpNet::V6(pool.ip_range));
        Some(Self::new(&spec.name, (subnet, range), IpAddr::V6(pool.gateway), aux).beside(held))
    }

    fn new(
        network: &'a NetworkName,
        (subnet, range): (IpNet, IpNet),
        gateway: IpAddr,
        aux: BTreeSet<IpAddr>,
    ) -> Self {
        let (holders, leaving) = (BTreeMap::new(), BTreeSet::new());
        Self { network, subnet, range, gateway, aux, holders, leaving }
    }

    fn beside(mut self, held: &[Held]) -> Self {
        let version = Version::of(self.gateway);
        let ours = |held: &&Held| held.network == *self.network && Version::of(held.address) == version;
        for held in held.iter().filter(ours) {
            if held.leaving {
                self.leaving.insert(held.address);
            } else {
                self.holders.insert(held.address, held.instance.clone());
            }
        }
        self
    }

    fn take_fixed(&mut self, seat: &Seat) -> Result<Option<IpAddr>, AddressError> {
        let Some(address) = seat.fixed else { return Ok(None) };
        self.check(address)?;
        match self.holders.get(&address) {
            Some(holder) if *holder != seat.instance => {
                Err(AddressError::Taken { address, network: self.network.clone(), holder: holder.clone() })
            }
            Some(_) | None => Ok(Some(self.give(address, seat))),
        }
    }

    fn take_remembered(&mut self, seat: &Seat) -> Result<Option<IpAddr>, AddressError> {
        let free = |address: &IpAddr| self.check(*address).is_ok() && !self.holders.contains_key(address);
        // A seat whose fixed address was refused has its mistake already and gets no other one.
        let wanted = seat.remembered.filter(|_| seat.fixed.is_none()).filter(free);
        Ok(wanted.map(|address| self.give(address, seat)))
    }

    fn take_next(&mut self, seat: &Seat) -> Result<Option<IpAddr>, AddressError> {
        if seat.fixed.is_some() {
            return Ok(None);
        }
        let free = |address: &IpAddr| {
            !self.holders.contains_key(address)
                && !self.leaving.contains(address)
                && self.check(*address).is_ok()
        };
        let address = self
            .candidates()
            .find(free)
            .ok_or_else(|| AddressError::Exhausted { range: self.range, network: self.network.clone() })?;
        Ok(Some(self.give(address, seat)))
    }

    fn give(&mut self, address: IpAddr, seat: &Seat) -> IpAddr {
        self.holders.insert(address, seat.instance.clone());
        address
    }

    /// Returns all addresses of the range, from the one after the highest in use and round.
    fn candidates(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let range = self.range;
        let (first, last) = (number(range.network()), number(range.broadcast()));
        let highest =
            self.holders.keys().chain(&self.leaving).filter(|address| range.contains(*address)).max();
        let begin = highest.map_or(first, |address| number(*address).saturating_add(1));
        let version = Version::of(range.addr());
        (begin..=last).chain(first..begin.min(last)).map(move |number| numbered(version, number))
    }

    fn check(&self, address: IpAddr) -> Result<(), AddressError> {
        let network = self.network.clone();
        let subnet = self.subnet;
        if !subnet.contains(&address) {
            return Err(AddressError::Outside { address, subnet, network });
        }
        // A subnet of two addresses has neither a name of its own nor one for all, and IPv6 has none for all.
        // Source: RFC 3021; RFC 6164.
        let has_ends = subnet.prefix_len() + 1 < subnet.max_prefix_len();
        let of = if address == self.gateway {
            "gateway"
        } else if self.aux.contains(&address) {
            "auxiliary address"
        } else if has_ends && address == subnet.network() {
            "name"
        } else if has_ends && address.is_ipv4() && address == subnet.broadcast() {
            "broadcast address"
        } else {
            return Ok(());
        };
        Err(AddressError::Reserved { address, network, of })
    }
}

/// Returns an address as a number.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// Returns the address that a number stands for.
fn numbered(version: Version, number: u128) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        Version::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Seats as `instance`, `instance=fixed` or `instance~remembered`.
    fn seat(text: &str) -> Seat {
        let name = text.split(['=', '~']).next().unwrap_or(text);
        let after = |mark| text.split_once(mark).map(|(_, address): (&str, &str)| address.parse().unwrap());
        Seat {
            instance: name.parse().unwrap(),
            network: "net".parse().unwrap(),
            version: Version::V4,
            fixed: after('='),
            remembered: after('~'),
            path: format!("services.{name}"),
        }
    }

    fn held(name: &str, address: &str, leaving: bool) -> Held {
        let (instance, network) = (name.parse().unwrap(), "net".parse().unwrap());
        Held { instance, network, address: address.parse().unwrap(), leaving }
    }

    fn give(subnet: &str, range: &str, held: &[Held], seats: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let mut spec = testing::network("net", subnet);
        let pool = spec.ipv4.as_mut().unwrap();
        pool.ip_range = range.parse().unwrap();
        pool.aux_addresses = [("router".to_owned(), "10.0.0.254".parse().unwrap())].into();
        let networks = [(spec.name.clone(), &spec)].into();
        let seats: Vec<Seat> = seats.iter().map(|text| seat(text)).collect();
        match allocate(&networks, held, &seats) {
            Ok(addresses) => Ok(seats
                .iter()
                .map(|seat| addresses.ipv4(&seat.instance, &seat.network).unwrap().to_string())
                .collect()),
            Err(errors) => Err(errors.iter().map(PlanError::to_string).collect()),
        }
    }

    #[test]
    fn fixed_ones_come_first_then_remembered_ones_then_the_next() {
        let given = give("10.0.0.0/24", "10.0.0.0/24", &[], &["a", "b~10.0.0.9", "c=10.0.0.9", "d~10.0.0.4"]);
        assert_eq!(given.unwrap(), ["10.0.0.10", "10.0.0.11", "10.0.0.9", "10.0.0.4"]);
    }

    #[test]
    fn an_address_that_is_given_back_is_not_given_out_at_once_and_the_search_goes_round() {
        let leaving = [held("x", "10.0.0.5", true), held("y", "10.0.0.6", false)];
        assert_eq!(
            give("10.0.0.0/29", "10.0.0.0/29", &leaving, &["a", "b"]).unwrap(),
            ["10.0.0.2", "10.0.0.3"]
        );
        assert_eq!(give("10.0.0.0/29", "10.0.0.0/29", &leaving, &["a=10.0.0.5"]).unwrap(), ["10.0.0.5"]);
    }

    #[test]
    fn the_range_is_honoured_and_its_end_is_an_error() {
        assert_eq!(
            give("10.0.0.0/24", "10.0.0.128/30", &[], &["a", "b", "c", "d", "e"]).unwrap_err(),
            ["services.e: no address is free in 10.0.0.128/30 of network `net`"]
        );
        assert_eq!(give("10.0.0.0/30", "10.0.0.0/30", &[], &["a"]).unwrap(), ["10.0.0.2"]);
    }

    #[test]
    fn a_fixed_address_must_be_the_networks_and_nobodys() {
        let others = [held("other-db-1", "10.0.0.7", false)];
        let cases = [
            ("a=10.0.1.7", "services.a: address 10.0.1.7 is not in subnet 10.0.0.0/24 of network `net`"),
            (
                "a=10.0.0.1",
                "services.a: address 10.0.0.1 is no container's on network `net`: it is its gateway",
            ),
            (
                "a=10.0.0.255",
                "services.a: address 10.0.0.255 is no container's on network `net`: \
                 it is its broadcast address",
            ),
            (
                "a=10.0.0.254",
                "services.a: address 10.0.0.254 is no container's on network `net`: \
                 it is its auxiliary address",
            ),
            ("a=10.0.0.7", "services.a: address 10.0.0.7 on network `net` belongs to `other-db-1`"),
        ];
        for (seat, message) in cases {
            assert_eq!(give("10.0.0.0/24", "10.0.0.0/24", &others, &[seat]).unwrap_err(), [message]);
        }
    }

    #[test]
    fn addresses_of_ipv6_are_given_out_in_the_same_way() {
        let mut spec = testing::network("net", "10.0.0.0/24");
        let subnet = "fd00:1::/64".parse().unwrap();
        spec.ipv6 = Some(trice_model::network::Ipv6PoolSpec {
            subnet,
            gateway: "fd00:1::1".parse().unwrap(),
            ip_range: subnet,
            aux_addresses: [("router".to_owned(), "fd00:1::2".parse().unwrap())].into(),
        });
        let networks = [(spec.name.clone(), &spec)].into();
        let six = |text: &str| Seat { version: Version::V6, ..seat(text) };
        let seats = [seat("a"), six("a"), six("b=fd00:1::9"), six("c~fd00:1::5"), six("d")];
        let given = allocate(&networks, &[], &seats).unwrap();
        let of =
            |name: &str| given.ipv6(&name.parse().unwrap(), &"net".parse().unwrap()).unwrap().to_string();
        assert_eq!(["a", "b", "c", "d"].map(of), ["fd00:1::a", "fd00:1::9", "fd00:1::5", "fd00:1::b"]);
        let wrong = [six("a=fd00:2::1"), six("b=fd00:1::2"), six("c=fd00:1::")];
        let errors = allocate(&networks, &[], &wrong).unwrap_err();
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "services.a: address fd00:2::1 is not in subnet fd00:1::/64 of network `net`",
                "services.b: address fd00:1::2 is no container's on network `net`: it is its auxiliary address",
                "services.c: address fd00:1:: is no container's on network `net`: it is its name",
            ]
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let seats = ["a=10.9.0.1", "b=10.0.0.5", "c=10.0.0.5", "d"];
        assert_eq!(give("10.0.0.0/24", "10.0.0.0/24", &[], &seats).unwrap_err().len(), 2);
    }
}
