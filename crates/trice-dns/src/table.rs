//! What each instance may know, compiled for quick look-ups. No clock, no socket, no randomness.
//!
//! ```text
//! a.b.c ─► `a.b.c` in each network of the asker ─► `a.b` in its network `c` ─► `a` in its network `b.c`
//!          (at each step the asker's links first)                            ─► outside
//! ```
//!
//! The first network that knows the name gives the answer. A name that is known, but not with an address of
//! the family asked for, is an empty answer and never "no such name": musl gives up the whole look-up on
//! that.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use trice_model::dns::{NameTable, NameView, NamedEndpoint};
use trice_model::name::NetworkName;
use trice_model::network::InstanceName;

pub use crate::question::{Kind, Question};

/// A name table, compiled.
#[derive(Debug, Default)]
pub struct Table {
    views: HashMap<InstanceName, View>,
}

/// What one instance may ask.
#[derive(Debug)]
pub struct View {
    zones: Vec<Arc<Zone>>,
    links: HashMap<String, Vec<String>>,
    external: bool,
    servers: Vec<IpAddr>,
}

/// What a look-up gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, in an order that the seed decides; never none.
    Addresses(Vec<IpAddr>),
    /// These names, without a dot at their ends; never none.
    Names(Vec<String>),
    /// The name is known, but has nothing of the kind.
    Empty,
    /// There is no such name.
    Unknown,
    /// A resolver outside knows.
    Forward,
}

/// The names of one network.
#[derive(Debug)]
struct Zone {
    /// The network's name in lower case.
    name: String,
    names: HashMap<String, Addresses>,
    /// For each address the first name of who has it.
    reverse: HashMap<IpAddr, Vec<String>>,
}

/// The addresses of one name on one network.
#[derive(Debug, Default)]
struct Addresses {
    ipv4: Vec<Ipv4Addr>,
    ipv6: Vec<Ipv6Addr>,
}

impl Table {
    /// Compiles `table`.
    pub fn compile(table: &NameTable) -> Self {
        let zones: HashMap<&NetworkName, Arc<Zone>> = table
            .networks
            .iter()
            .map(|(network, endpoints)| (network, Arc::new(Zone::compile(network, endpoints))))
            .collect();
        let view = |(instance, view): (&InstanceName, &NameView)| {
            let zones = view.networks.iter().filter_map(|network| zones.get(network).cloned()).collect();
            (instance.clone(), View::compile(view, zones))
        };
        Self { views: table.views.iter().map(view).collect() }
    }

    /// Returns what `instance` may ask; `None` if the table does not know it.
    pub fn view(&self, instance: &InstanceName) -> Option<&View> {
        self.views.get(instance)
    }
}

impl View {
    fn compile(view: &NameView, zones: Vec<Arc<Zone>>) -> Self {
        let lower = |names: &Vec<String>| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            zones,
            links: view
                .links
                .iter()
                .map(|(alias, names)| (alias.to_ascii_lowercase(), lower(names)))
                .collect(),
            external: view.external,
            servers: view.servers.clone(),
        }
    }

    /// Returns the resolvers to ask from inside the instance's namespace, instead of the host's; often none.
    pub fn servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Returns what the instance gets to know. The same `seed` gives the same order of addresses.
    pub fn lookup(&self, question: &Question, seed: u64) -> Answer {
        if let Kind::Reverse(address) = question.kind {
            let names = self.zones.iter().find_map(|zone| zone.reverse(address));
            return names.map_or_else(|| self.outside(question), Answer::Names);
        }
        let Some(known) = self.find(&question.name) else { return self.outside(question) };
        if known.is_empty() {
            return Answer::Unknown;
        }
        // Two targets of a link may be two names of one container.
        let addresses: BTreeSet<IpAddr> =
            known.iter().flat_map(|found| found.of_kind(question.kind)).collect();
        if addresses.is_empty() {
            return Answer::Empty;
        }
        Answer::Addresses(shuffled(addresses.into_iter().collect(), seed))
    }

    /// Finds `name` among links and networks. A link whose targets are all away is known, and empty: it must
    /// neither lead to a namesake nor be asked for outside.
    fn find(&self, name: &str) -> Option<Vec<&Addresses>> {
        let mut dangling = None;
        for (host, network) in splits(name) {
            let mut zones =
                self.zones.iter().filter(|zone| network.is_none_or(|network| network == zone.name));
            if let Some(targets) = self.links.get(host) {
                let target = |target: &String| zones.clone().find_map(|zone| zone.names.get(target));
                let found: Vec<&Addresses> = targets.iter().filter_map(target).collect();
                if !found.is_empty() {
                    return Some(found);
                }
                dangling = Some(found);
            } else if let Some(found) = zones.find_map(|zone| zone.names.get(host)) {
                return Some(vec![found]);
            }
        }
        dangling
    }

    /// Answers a question about a name that is none of ours.
    ///
    /// A name of one label is somebody's service that does not run: a resolver outside could only put a
    /// stranger in its place. Resolvers of the instance's own are asked even without a way out, since they
    /// are asked from inside.
    fn outside(&self, question: &Question) -> Answer {
        let one_label = !question.name.is_empty() && !question.name.contains('.');
        let leaks = one_label && question.kind != Kind::Zone;
        let asks = self.external || !self.servers.is_empty();
        if asks && !leaks { Answer::Forward } else { Answer::Unknown }
    }
}

impl Zone {
    fn compile(network: &NetworkName, endpoints: &[NamedEndpoint]) -> Self {
        let name = network.as_str().to_ascii_lowercase();
        let mut zone = Self { name, names: HashMap::new(), reverse: HashMap::new() };
        for endpoint in endpoints {
            zone.add(network, endpoint);
        }
        zone
    }

    fn add(&mut self, network: &NetworkName, endpoint: &NamedEndpoint) {
        for name in &endpoint.names {
            let addresses = self.names.entry(name.to_ascii_lowercase()).or_default();
            addresses.ipv4.extend(endpoint.ipv4);
            addresses.ipv6.extend(endpoint.ipv6);
        }
        let Some(first) = endpoint.names.first() else { return };
        let addresses = endpoint.ipv4.map(IpAddr::from).into_iter().chain(endpoint.ipv6.map(IpAddr::from));
        for address in addresses {
            self.reverse.entry(address).or_default().push(format!("{first}.{network}"));
        }
    }

    fn reverse(&self, address: IpAddr) -> Option<Vec<String>> {
        self.reverse.get(&address).cloned()
    }
}

impl Addresses {
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = IpAddr> + '_ {
        let ipv4 = if kind == Kind::A { self.ipv4.as_slice() } else { &[] };
        let ipv6 = if kind == Kind::Aaaa { self.ipv6.as_slice() } else { &[] };
        ipv4.iter().copied().map(IpAddr::from).chain(ipv6.iter().copied().map(IpAddr::from))
    }
}

/// Returns the ways to read `name` as a name on a network, the longest name first: names and networks may
/// have dots.
fn splits(name: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let dots = name.rmatch_indices('.').map(|(at, _)| (&name[..at], Some(&name[at + 1..])));
    std::iter::once((name, None)).chain(dots)
}

/// Shuffles by Fisher and Yates' method.
fn shuffled(mut addresses: Vec<IpAddr>, seed: u64) -> Vec<IpAddr> {
    let mut state = seed;
    for last in (1..addresses.len()).rev() {
        let other = next_random(&mut state) % (last as u64 + 1);
        addresses.swap(last, other as usize);
    }
    addresses
}

/// The next number of the SplitMix64 generator: even spread is wanted here, not secrecy.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
