//! Which address an instance gets on a network.
//!
//! Those that a file fixes come first, then those that instances had before, then for the rest the one after
//! the highest that is in use, round to the lowest. Taking the next and not the lowest leaves an address that
//! was given back alone for as long as possible: somebody may still remember whose it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
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
        address: Ipv4Addr,
        /// The network's addresses.
        subnet: Ipv4Net,
        /// The network.
        network: NetworkName,
    },
    /// It means the network itself, everybody on it, or the host.
    #[error("address {address} is no container's on network `{network}`: it is its {of}")]
    Reserved {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: NetworkName,
        /// What it means there.
        of: &'static str,
    },
    /// Somebody has it.
    #[error("address {address} on network `{network}` belongs to `{holder}`")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: NetworkName,
        /// Who has it.
        holder: InstanceName,
    },
    /// There is none left.
    #[error("no address is free in {range} of network `{network}`")]
    Exhausted {
        /// Where addresses are taken from.
        range: Ipv4Net,
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
    /// The address that the file fixes.
    pub(crate) fixed: Option<Ipv4Addr>,
    /// The address that the instance has had.
    pub(crate) remembered: Option<Ipv4Addr>,
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
    pub(crate) address: Ipv4Addr,
    /// They give it back in the same plan: a file may fix it for another one, nobody else gets it yet.
    pub(crate) leaving: bool,
}

/// The address of each seat.
pub(crate) type Addresses = BTreeMap<(InstanceName, NetworkName), Ipv4Addr>;

/// Gives an address to each seat on `networks`.
///
/// # Errors
/// All seats that cannot have one.
pub(crate) fn allocate(
    networks: &BTreeMap<NetworkName, &NetworkSpec>,
    held: &[Held],
    seats: &[Seat],
) -> Result<Addresses, Vec<PlanError>> {
    let mut pools: BTreeMap<&NetworkName, Pool<'_>> =
        networks.iter().map(|(name, spec)| (name, Pool::new(spec, held))).collect();
    let mut addresses = Addresses::new();
    let mut errors = Vec::new();
    for pass in [Pool::take_fixed, Pool::take_remembered, Pool::take_next] {
        for seat in seats {
            let key = (seat.instance.clone(), seat.network.clone());
            let Some(pool) = pools.get_mut(&seat.network).filter(|_| !addresses.contains_key(&key)) else {
                continue;
            };
            match pass(pool, seat) {
                Ok(Some(address)) => _ = addresses.insert(key, address),
                Ok(None) => {}
                Err(error) => errors.push(PlanError::new(seat.path.clone(), error)),
            }
        }
    }
    if errors.is_empty() { Ok(addresses) } else { Err(errors) }
}

/// The addresses of one network.
struct Pool<'a> {
    network: &'a NetworkSpec,
    holders: BTreeMap<Ipv4Addr, InstanceName>,
    leaving: BTreeSet<Ipv4Addr>,
}

impl<'a> Pool<'a> {
    fn new(network: &'a NetworkSpec, held: &[Held]) -> Self {
        let mut pool = Self { network, holders: BTreeMap::new(), leaving: BTreeSet::new() };
        for held in held.iter().filter(|held| held.network == network.name) {
            if held.leaving {
                pool.leaving.insert(held.address);
            } else {
                pool.holders.insert(held.address, held.instance.clone());
            }
        }
        pool
    }

    fn take_fixed(&mut self, seat: &Seat) -> Result<Option<Ipv4Addr>, AddressError> {
        let Some(address) = seat.fixed else { return Ok(None) };
        self.check(address)?;
        match self.holders.get(&address) {
            Some(holder) if *holder != seat.instance => Err(AddressError::Taken {
                address,
                network: self.network.name.clone(),
                holder: holder.clone(),
            }),
            Some(_) | None => Ok(Some(self.give(address, seat))),
        }
    }

    fn take_remembered(&mut self, seat: &Seat) -> Result<Option<Ipv4Addr>, AddressError> {
        let free = |address: &Ipv4Addr| self.check(*address).is_ok() && !self.holders.contains_key(address);
        // A seat whose fixed address was refused has its mistake already and gets no other one.
        let wanted = seat.remembered.filter(|_| seat.fixed.is_none()).filter(free);
        Ok(wanted.map(|address| self.give(address, seat)))
    }

    fn take_next(&mut self, seat: &Seat) -> Result<Option<Ipv4Addr>, AddressError> {
        if seat.fixed.is_some() {
            return Ok(None);
        }
        let free = |address: &Ipv4Addr| {
            !self.holders.contains_key(address)
                && !self.leaving.contains(address)
                && self.check(*address).is_ok()
        };
        let address = self.candidates().find(free).ok_or_else(|| AddressError::Exhausted {
            range: self.network.ip_range,
            network: self.network.name.clone(),
        })?;
        Ok(Some(self.give(address, seat)))
    }

    fn give(&mut self, address: Ipv4Addr, seat: &Seat) -> Ipv4Addr {
        self.holders.insert(address, seat.instance.clone());
        address
    }

    /// Returns all addresses of the range, from the one after the highest in use and round.
    fn candidates(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let range = self.network.ip_range;
        let (first, last) = (u32::from(range.network()), u32::from(range.broadcast()));
        let highest =
            self.holders.keys().chain(&self.leaving).filter(|address| range.contains(*address)).max();
        let begin = highest.map_or(first, |address| u32::from(*address).saturating_add(1));
        (begin..=last).chain(first..begin.min(last)).map(Ipv4Addr::from)
    }

    fn check(&self, address: Ipv4Addr) -> Result<(), AddressError> {
        let network = self.network.name.clone();
        let subnet = self.network.subnet;
        if !subnet.contains(&address) {
            return Err(AddressError::Outside { address, subnet, network });
        }
        // A subnet of two addresses has neither a name of its own nor one for all. Source: RFC 3021.
        let has_ends = subnet.prefix_len() < 31;
        let of = if address == self.network.gateway {
            "gateway"
        } else if has_ends && address == subnet.network() {
            "name"
        } else if has_ends && address == subnet.broadcast() {
            "broadcast address"
        } else {
            return Ok(());
        };
        Err(AddressError::Reserved { address, network, of })
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
        spec.ip_range = range.parse().unwrap();
        let networks = [(spec.name.clone(), &spec)].into();
        let seats: Vec<Seat> = seats.iter().map(|text| seat(text)).collect();
        match allocate(&networks, held, &seats) {
            Ok(addresses) => Ok(seats
                .iter()
                .map(|seat| addresses[&(seat.instance.clone(), seat.network.clone())].to_string())
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
            ("a=10.0.0.7", "services.a: address 10.0.0.7 on network `net` belongs to `other-db-1`"),
        ];
        for (seat, message) in cases {
            assert_eq!(give("10.0.0.0/24", "10.0.0.0/24", &others, &[seat]).unwrap_err(), [message]);
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let seats = ["a=10.9.0.1", "b=10.0.0.5", "c=10.0.0.5", "d"];
        assert_eq!(give("10.0.0.0/24", "10.0.0.0/24", &[], &seats).unwrap_err().len(), 2);
    }
}
