//! Which networks a project wants, and what must become of those that are there.
//!
//! ```text
//! not there                     create
//! there, its bridge is gone     create again; what is on it is connected again
//! there, as the file says       keep
//! there, and not so             off with its instances, remove, create, on with them
//! external, or another's        use as it is
//! ```
//!
//! Source: Compose Specification, `06-networks.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trice_model::name::{Key, NetworkName, ProjectName};
use trice_model::network::{InstanceName, Network, NetworkSpec, ObservedInstance, ObservedNetwork};
use trice_model::project::Project;

use crate::found::Found;
use crate::label;
use crate::mistake::PlanError;
use crate::realm::Realm;
use crate::subnet::Subnets;

/// The largest packet where nobody says: Ethernet's.
const MTU: u32 = 1500;

/// Why a network that is recorded is made once more.
pub(crate) const BRIDGE_GONE: &str = "its bridge is gone";

/// Why a network cannot be as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// An external network must be there.
    #[error("external network `{network}` is not there")]
    ExternalMissing {
        /// Its name.
        network: NetworkName,
    },
    /// No network has this key.
    #[error("network `{key}` is not defined")]
    Undefined {
        /// The key.
        key: Key,
    },
    /// The host's address must be one of the network's.
    #[error("gateway {gateway} is not in subnet {subnet}")]
    GatewayOutside {
        /// The gateway.
        gateway: Ipv4Addr,
        /// The network's addresses.
        subnet: Ipv4Net,
    },
    /// The range must be a part of the network.
    #[error("range {range} is not in subnet {subnet}")]
    RangeOutside {
        /// The range.
        range: Ipv4Net,
        /// The network's addresses.
        subnet: Ipv4Net,
    },
    /// It would have to be made again under the feet of another project.
    #[error("network `{network}` must be made again ({cause}), and `{holder}` of another project is on it")]
    InUse {
        /// The network.
        network: NetworkName,
        /// What changed.
        cause: String,
        /// Who is on it.
        holder: InstanceName,
    },
}

impl NetworkError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::ExternalMissing { .. } => {
                Some("`up` the project that owns it, or drop `external: true`".into())
            }
            Self::Undefined { .. } => Some("add it to the top-level `networks`".into()),
            Self::GatewayOutside { .. } | Self::RangeOutside { .. } => None,
            Self::InUse { holder, .. } => Some(format!("take the project of `{holder}` down first")),
        }
    }
}

/// The networks that services of a project are on.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    /// How each one is, or will be.
    pub(crate) specs: BTreeMap<Key, NetworkSpec>,
    /// What is done about those that are not there, or not so.
    pub(crate) moves: BTreeMap<NetworkName, Move>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// What is done about a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// Why.
    pub(crate) cause: String,
    /// What is there is removed first.
    pub(crate) remove: bool,
}

impl Networks {
    /// Returns the networks by their names on this machine.
    pub(crate) fn by_name(&self) -> BTreeMap<NetworkName, &NetworkSpec> {
        self.specs.values().map(|spec| (spec.name.clone(), spec)).collect()
    }

    /// Returns those whose bridge becomes another one: what is on them must be connected again.
    pub(crate) fn moved(&self, found: &Found) -> BTreeMap<NetworkName, &NetworkSpec> {
        let was_there = |name: &NetworkName| found.networks.contains_key(name);
        let mut moved = self.by_name();
        moved.retain(|name, _| self.moves.contains_key(name) && was_there(name));
        moved
    }
}

/// Works out the networks of `keys`.
///
/// # Errors
/// All networks that cannot be.
pub(crate) fn wanted(
    project: &Project,
    keys: &BTreeSet<Key>,
    found: &Found,
    realm: &Realm,
) -> Result<Networks, Vec<PlanError>> {
    let mut work = Work {
        project: &project.name,
        found,
        realm,
        subnets: Subnets::new(&found.host),
        networks: Networks::default(),
        errors: Vec::new(),
    };
    let defined = |key: &Key| project.networks.get(key).map(|network| (key.clone(), network));
    let wanted: Vec<(Key, &Network)> = keys.iter().filter_map(defined).collect();
    work.hold_what_stays(&wanted);
    // Addresses that files ask for go before those that are chosen.
    let (asked, open): (Vec<_>, Vec<_>) = wanted.iter().partition(|(_, network)| network.subnet.is_some());
    for (key, network) in asked.into_iter().chain(open) {
        work.add(key, network);
    }
    if work.errors.is_empty() { Ok(work.networks) } else { Err(work.errors) }
}

struct Work<'a> {
    project: &'a ProjectName,
    found: &'a Found,
    realm: &'a Realm,
    subnets: Subnets<'a>,
    networks: Networks,
    errors: Vec<PlanError>,
}

impl<'a> Work<'a> {
    /// Keeps the subnets of all networks that are there, but of those that the file moves elsewhere.
    fn hold_what_stays(&mut self, wanted: &[(Key, &Network)]) {
        let moved: BTreeSet<&NetworkName> = wanted
            .iter()
            .filter(|(key, network)| {
                let spec = self.ours(key, network).map(|there| there.spec.subnet);
                network.subnet.is_some() && spec.is_some() && spec != asked_subnet(network)
            })
            .map(|(_, network)| &network.name)
            .collect();
        for there in self.found.networks.values().filter(|there| !moved.contains(&there.spec.name)) {
            self.subnets.hold(&there.spec.name, there.spec.subnet);
        }
    }

    /// Returns the network that is there, if this project may change it.
    fn ours(&self, key: &Key, network: &Network) -> Option<&'a ObservedNetwork> {
        let there = self.found.networks.get(&network.name)?;
        let owned =
            there.spec.owner.as_ref().is_some_and(|(project, own)| project == self.project && own == key);
        (owned && !network.external).then_some(there)
    }

    fn add(&mut self, key: &Key, network: &Network) {
        let there = self.found.networks.get(&network.name);
        let path = format!("networks.{key}");
        match (there, self.ours(key, network)) {
            (None, _) if network.external => {
                let error = NetworkError::ExternalMissing { network: network.name.clone() };
                self.errors.push(PlanError::new(path, error));
            }
            (None, _) => self.create(key, network),
            (Some(_), Some(ours)) => self.converge(key, network, ours),
            (Some(theirs), None) => {
                if !network.external {
                    let note =
                        format!("network `{}` belongs to another project and is used as it is", network.name);
                    self.networks.notes.push(note);
                }
                self.keep(key, theirs);
            }
        }
    }

    fn keep(&mut self, key: &Key, there: &ObservedNetwork) {
        self.networks.specs.insert(key.clone(), there.spec.clone());
        if !there.present {
            self.plan(&there.spec.name, BRIDGE_GONE.to_owned(), false);
        }
    }

    fn create(&mut self, key: &Key, network: &Network) {
        let subnet = match asked_subnet(network) {
            Some(subnet) => self.subnets.claim(&network.name, subnet).map(|()| subnet),
            None => self.subnets.choose(self.project, &network.name),
        };
        match subnet {
            Ok(subnet) => {
                self.insert(key, network, subnet);
                self.plan(&network.name, "not there yet".to_owned(), false);
            }
            Err(error) => self.errors.push(PlanError::new(subnet_path(key), error)),
        }
    }

    fn converge(&mut self, key: &Key, network: &Network, there: &ObservedNetwork) {
        let subnet = asked_subnet(network).unwrap_or(there.spec.subnet);
        if subnet != there.spec.subnet
            && let Err(error) = self.subnets.claim(&network.name, subnet)
        {
            self.errors.push(PlanError::new(subnet_path(key), error));
            return;
        }
        let wanted = self.spec(key, network, subnet);
        let Some(cause) = difference(&there.spec, &wanted) else { return self.keep(key, there) };
        if let Some(holder) = self.stranger_on(&network.name) {
            let error = NetworkError::InUse { network: network.name.clone(), cause, holder };
            self.errors.push(PlanError::new(format!("networks.{key}"), error));
            return;
        }
        self.insert(key, network, subnet);
        self.plan(&network.name, cause, true);
    }

    fn insert(&mut self, key: &Key, network: &Network, subnet: Ipv4Net) {
        let spec = self.spec(key, network, subnet);
        let config = |part: &str| format!("networks.{key}.ipam.config[0].{part}");
        if !subnet.contains(&spec.gateway) {
            let error = NetworkError::GatewayOutside { gateway: spec.gateway, subnet };
            self.errors.push(PlanError::new(config("gateway"), error));
        }
        if !subnet.contains(&spec.ip_range) {
            let error = NetworkError::RangeOutside { range: spec.ip_range, subnet };
            self.errors.push(PlanError::new(config("ip_range"), error));
        }
        self.networks.specs.insert(key.clone(), spec);
    }

    fn plan(&mut self, name: &NetworkName, cause: String, remove: bool) {
        self.networks.moves.insert(name.clone(), Move { cause, remove });
    }

    fn spec(&self, key: &Key, network: &Network, subnet: Ipv4Net) -> NetworkSpec {
        NetworkSpec {
            name: network.name.clone(),
            owner: Some((self.project.clone(), key.clone())),
            bridge: self.realm.bridge(&network.name),
            subnet,
            gateway: network.gateway.unwrap_or_else(|| first_host(subnet)),
            ip_range: network.ip_range.unwrap_or(subnet),
            subnet6: None,
            internal: network.internal,
            mtu: network.mtu.unwrap_or(MTU),
            icc: network.icc,
            labels: label::of_network(&network.labels, self.project, key, self.realm),
        }
    }

    fn stranger_on(&self, network: &NetworkName) -> Option<InstanceName> {
        let on_it = |instance: &&ObservedInstance| {
            instance.spec.endpoints.iter().any(|endpoint| endpoint.network == *network)
        };
        let stranger =
            self.found.instances.values().filter(|instance| instance.spec.project != *self.project);
        stranger.filter(on_it).map(|instance| instance.spec.name.clone()).next()
    }
}

fn subnet_path(key: &Key) -> String {
    format!("networks.{key}.ipam.config[0].subnet")
}

/// Returns the subnet that the file asks for, without the part of a host that may have been written.
fn asked_subnet(network: &Network) -> Option<Ipv4Net> {
    network.subnet.map(|subnet| subnet.trunc())
}

fn first_host(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or_else(|| subnet.addr())
}

/// Returns what makes it another network, in Compose's words.
fn difference(there: &NetworkSpec, wanted: &NetworkSpec) -> Option<String> {
    let mut changes = Vec::new();
    let mut compare = |changed: bool, text: String| {
        if changed {
            changes.push(text);
        }
    };
    // Gateway and range move with the subnet.
    let same_subnet = there.subnet == wanted.subnet;
    compare(!same_subnet, format!("subnet changed from {}", there.subnet));
    compare(
        same_subnet && there.gateway != wanted.gateway,
        format!("gateway changed from {}", there.gateway),
    );
    compare(
        same_subnet && there.ip_range != wanted.ip_range,
        format!("ip_range changed from {}", there.ip_range),
    );
    compare(there.internal != wanted.internal, format!("internal changed from {}", there.internal));
    compare(there.mtu != wanted.mtu, format!("mtu changed from {}", there.mtu));
    compare(there.icc != wanted.icc, format!("icc changed from {}", there.icc));
    compare(label::given(&there.labels) != label::given(&wanted.labels), "labels changed".to_owned());
    (!changes.is_empty()).then(|| changes.join(", "))
}
