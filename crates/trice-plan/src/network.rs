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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trice_model::name::{Key, LinkName, NetworkName, ProjectName};
use trice_model::network::{
    Driver, InstanceName, Ipv4Pool, Ipv4PoolSpec, Ipv6Pool, Ipv6PoolSpec, Medium, Network, NetworkSpec,
    ObservedInstance, ObservedNetwork, PoolSpec,
};
use trice_model::project::Project;

use crate::building;
use crate::found::Found;
use crate::label;
use crate::mistake::{Mistake, PlanError};
use crate::realm::Realm;
use crate::subnet::Subnets;

/// The largest packet where nobody says: Ethernet's.
pub(crate) const MTU: u32 = 1500;

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
    /// It is the engine's own.
    #[error("network `{}` is that of builds", building::network_name())]
    OfBuilds,
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
        gateway: IpAddr,
        /// The network's addresses.
        subnet: IpNet,
    },
    /// An address that is kept must be one of the network's.
    #[error("address {address} of `{name}` is not in subnet {subnet}")]
    AuxOutside {
        /// Whose it is.
        name: String,
        /// The address.
        address: IpAddr,
        /// The network's addresses.
        subnet: IpNet,
    },
    /// It would have no addresses.
    #[error("the network has neither IPv4 nor IPv6")]
    NoAddresses,
    /// A network on an interface of the host's has that one's addresses.
    #[error("a network on interface `{parent}` needs the subnet that is there")]
    NoSubnet {
        /// The interface.
        parent: LinkName,
    },
    /// Two networks would be one.
    #[error("bridge `{link}` is that of network `{network}`")]
    BridgeTaken {
        /// The bridge.
        link: LinkName,
        /// Whose it is.
        network: NetworkName,
    },
    /// The range must be a part of the network.
    #[error("range {range} is not in subnet {subnet}")]
    RangeOutside {
        /// The range.
        range: IpNet,
        /// The network's addresses.
        subnet: IpNet,
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
            Self::OfBuilds => Some("choose another name".into()),
            Self::Undefined { .. } => Some("add it to the top-level `networks`".into()),
            Self::GatewayOutside { .. } | Self::RangeOutside { .. } | Self::AuxOutside { .. } => None,
            Self::NoAddresses => Some("take `enable_ipv4: false` out, or write `enable_ipv6: true`".into()),
            Self::NoSubnet { .. } => Some("write it under `ipam.config`".into()),
            Self::BridgeTaken { .. } => Some("choose another name, or none: one is found then".into()),
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
    let (asked, open): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(_, network)| !asked_subnets(network).is_empty());
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
        let mut moved: BTreeSet<(&NetworkName, IpNet)> = BTreeSet::new();
        for (key, network) in wanted {
            let Some(there) = self.ours(key, network) else { continue };
            for subnet in there.spec.subnets() {
                let asked = asked_subnets(network);
                let of_version = |net: &&IpNet| net.addr().is_ipv4() == subnet.addr().is_ipv4();
                if asked.iter().find(of_version).is_some_and(|asked| *asked != subnet) {
                    moved.insert((&network.name, subnet));
                }
            }
        }
        for there in self.found.networks.values() {
            let name = &there.spec.name;
            for subnet in there.spec.subnets().filter(|subnet| !moved.contains(&(name, *subnet))) {
                self.subnets.hold(name, subnet);
            }
        }
        if let Some(builds) = &self.found.building.network {
            builds.subnets().for_each(|subnet| self.subnets.hold(&builds.name, subnet));
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
            (None, _) if network.name == building::network_name() => {
                self.errors.push(PlanError::new(path, NetworkError::OfBuilds));
            }
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
        let subnets = |work: &mut Self| {
            let ipv4 = network.ipv4.as_ref().map(|pool| work.ipv4(network, pool, None)).transpose()?;
            let ipv6 = network.ipv6.as_ref().map(|pool| work.ipv6(network, pool, None)).transpose()?;
            Ok((ipv4, ipv6))
        };
        match subnets(self) {
            Ok((ipv4, ipv6)) => {
                self.insert(key, network, ipv4, ipv6);
                self.plan(&network.name, "not there yet".to_owned(), false);
            }
            Err(mistake) => self.refuse(key, mistake),
        }
    }

    fn converge(&mut self, key: &Key, network: &Network, there: &ObservedNetwork) {
        let (old4, old6) = (there.spec.ipv4.as_ref(), there.spec.ipv6.as_ref());
        let subnets = |work: &mut Self| {
            let ipv4 = network.ipv4.as_ref().map(|pool| work.ipv4(network, pool, old4)).transpose()?;
            let ipv6 = network.ipv6.as_ref().map(|pool| work.ipv6(network, pool, old6)).transpose()?;
            Ok((ipv4, ipv6))
        };
        let (ipv4, ipv6) = match subnets(self) {
            Ok(subnets) => subnets,
            Err(mistake) => return self.refuse(key, mistake),
        };
        let wanted = self.spec(key, network, ipv4, ipv6);
        let Some(cause) = difference(&there.spec, &wanted) else { return self.keep(key, there) };
        if let Some(holder) = self.stranger_on(&network.name) {
            let error = NetworkError::InUse { network: network.name.clone(), cause, holder };
            self.errors.push(PlanError::new(format!("networks.{key}"), error));
            return;
        }
        self.insert(key, network, ipv4, ipv6);
        self.plan(&network.name, cause, true);
    }

    fn refuse(&mut self, key: &Key, mistake: Mistake) {
        self.errors.push(PlanError::new(format!("{}.subnet", config_path(key)), mistake));
    }

    /// Returns the addresses that the network gets: those that the file asks for, those that it has, or others.
    fn ipv4(
        &mut self,
        network: &Network,
        pool: &Ipv4Pool,
        there: Option<&Ipv4PoolSpec>,
    ) -> Result<Ipv4Net, Mistake> {
        let old = there.map(|there| there.subnet);
        match pool.subnet.map(|subnet| subnet.trunc()) {
            Some(asked) if Some(asked) == old => Ok(asked),
            Some(asked) => self.claim(network, IpNet::V4(asked)).map(|()| asked),
            None => match (old, parent(network)) {
                (Some(old), _) => Ok(old),
                (None, Some(parent)) => Err(NetworkError::NoSubnet { parent: parent.clone() }.into()),
                (None, None) => Ok(self.subnets.choose(self.project, &network.name)?),
            },
        }
    }

    /// The same for IPv6.
    fn ipv6(
        &mut self,
        network: &Network,
        pool: &Ipv6Pool,
        there: Option<&Ipv6PoolSpec>,
    ) -> Result<Ipv6Net, Mistake> {
        let old = there.map(|there| there.subnet);
        match pool.subnet.map(|subnet| subnet.trunc()) {
            Some(asked) if Some(asked) == old => Ok(asked),
            Some(asked) => self.claim(network, IpNet::V6(asked)).map(|()| asked),
            None => match old {
                Some(old) => Ok(old),
                None => Ok(self.subnets.choose_ipv6(self.realm.machine(), self.project, &network.name)?),
            },
        }
    }

    fn claim(&mut self, network: &Network, subnet: IpNet) -> Result<(), Mistake> {
        match parent(network) {
            Some(_) => self.subnets.share(&network.name, subnet)?,
            None => self.subnets.claim(&network.name, subnet)?,
        }
        Ok(())
    }

    fn insert(&mut self, key: &Key, network: &Network, ipv4: Option<Ipv4Net>, ipv6: Option<Ipv6Net>) {
        let spec = self.spec(key, network, ipv4, ipv6);
        let mut mistake = |part: &str, error: NetworkError| {
            self.errors.push(PlanError::new(format!("{}{part}", config_path(key)), error));
        };
        for pool in pools(&spec) {
            let subnet = pool.subnet;
            if !subnet.contains(&pool.gateway) {
                mistake(".gateway", NetworkError::GatewayOutside { gateway: pool.gateway, subnet });
            }
            if !subnet.contains(&pool.ip_range) {
                mistake(".ip_range", NetworkError::RangeOutside { range: pool.ip_range, subnet });
            }
            for (name, address) in pool.aux_addresses.iter().filter(|(_, address)| !subnet.contains(*address))
            {
                let (name, address) = (name.clone(), *address);
                mistake(".aux_addresses", NetworkError::AuxOutside { name, address, subnet });
            }
        }
        if spec.subnets().next().is_none() {
            self.errors.push(PlanError::new(format!("networks.{key}"), NetworkError::NoAddresses));
        }
        if let (Some(link), Driver::Bridge { link: Some(_) }) = (spec.medium.bridge(), &network.driver)
            && let Some(owner) = self.owner_of(link, &network.name)
        {
            let error = NetworkError::BridgeTaken { link: link.clone(), network: owner };
            self.errors.push(PlanError::new(format!("networks.{key}.driver_opts"), error));
        }
        self.networks.specs.insert(key.clone(), spec);
    }

    /// Returns the network, other than the one of this name, whose bridge `link` is.
    fn owner_of(&self, link: &LinkName, name: &NetworkName) -> Option<NetworkName> {
        let there = self.found.networks.values().map(|network| &network.spec);
        let mut all = there.chain(self.networks.specs.values());
        all.find(|other| other.name != *name && other.medium.bridge() == Some(link))
            .map(|other| other.name.clone())
    }

    fn plan(&mut self, name: &NetworkName, cause: String, remove: bool) {
        self.networks.moves.insert(name.clone(), Move { cause, remove });
    }

    fn spec(
        &self,
        key: &Key,
        network: &Network,
        ipv4: Option<Ipv4Net>,
        ipv6: Option<Ipv6Net>,
    ) -> NetworkSpec {
        NetworkSpec {
            name: network.name.clone(),
            owner: Some((self.project.clone(), key.clone())),
            medium: match &network.driver {
                Driver::Bridge { link } => {
                    Medium::Bridge(link.clone().unwrap_or_else(|| self.realm.bridge(&network.name)))
                }
                Driver::Macvlan { parent, mode } => Medium::Macvlan { parent: parent.clone(), mode: *mode },
                Driver::Ipvlan { parent, mode } => Medium::Ipvlan { parent: parent.clone(), mode: *mode },
            },
            ipv4: network.ipv4.as_ref().zip(ipv4).map(|(pool, subnet)| PoolSpec {
                subnet,
                gateway: pool.gateway.unwrap_or_else(|| first_host(subnet)),
                ip_range: pool.ip_range.unwrap_or(subnet).trunc(),
                aux_addresses: pool.aux_addresses.clone(),
            }),
            ipv6: network.ipv6.as_ref().zip(ipv6).map(|(pool, subnet)| PoolSpec {
                subnet,
                gateway: pool.gateway.unwrap_or_else(|| first_host6(subnet)),
                ip_range: pool.ip_range.unwrap_or(subnet).trunc(),
                aux_addresses: pool.aux_addresses.clone(),
            }),
            internal: network.internal,
            attachable: network.attachable,
            mtu: network.mtu.unwrap_or(MTU),
            icc: network.icc,
            masquerade: network.masquerade,
            host_binding: network.host_binding,
            interface_prefix: network.interface_prefix.clone(),
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

fn config_path(key: &Key) -> String {
    format!("networks.{key}.ipam.config[0]")
}

/// Returns the interface of the host's that the network is on, if it is on one.
fn parent(network: &Network) -> Option<&LinkName> {
    match &network.driver {
        Driver::Bridge { .. } => None,
        Driver::Macvlan { parent, .. } | Driver::Ipvlan { parent, .. } => Some(parent),
    }
}

/// Returns the subnets that the file asks for, without the part of a host that may have been written.
fn asked_subnets(network: &Network) -> Vec<IpNet> {
    let ipv4 = network.ipv4.as_ref().and_then(|pool| pool.subnet).map(|subnet| IpNet::V4(subnet.trunc()));
    let ipv6 = network.ipv6.as_ref().and_then(|pool| pool.subnet).map(|subnet| IpNet::V6(subnet.trunc()));
    ipv4.into_iter().chain(ipv6).collect()
}

pub(crate) fn first_host(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or_else(|| subnet.addr())
}

fn first_host6(subnet: Ipv6Net) -> Ipv6Addr {
    let first = u128::from(subnet.network());
    if subnet.prefix_len() < 127 { Ipv6Addr::from(first + 1) } else { Ipv6Addr::from(first) }
}

/// Returns the pools of a network, whatever their version.
fn pools(spec: &NetworkSpec) -> Vec<PoolSpec<IpNet, IpAddr>> {
    let aux = |name: &String, ip: IpAddr| (name.clone(), ip);
    let ipv4 = spec.ipv4.as_ref().map(|pool| PoolSpec {
        subnet: IpNet::V4(pool.subnet),
        gateway: IpAddr::V4(pool.gateway),
        ip_range: IpNet::V4(pool.ip_range),
        aux_addresses: pool.aux_addresses.iter().map(|(name, ip)| aux(name, IpAddr::V4(*ip))).collect(),
    });
    let ipv6 = spec.ipv6.as_ref().map(|pool| PoolSpec {
        subnet: IpNet::V6(pool.subnet),
        gateway: IpAddr::V6(pool.gateway),
        ip_range: IpNet::V6(pool.ip_range),
        aux_addresses: pool.aux_addresses.iter().map(|(name, ip)| aux(name, IpAddr::V6(*ip))).collect(),
    });
    ipv4.into_iter().chain(ipv6).collect()
}

/// Returns what makes it another network, in Compose's words.
fn difference(there: &NetworkSpec, wanted: &NetworkSpec) -> Option<String> {
    let mut changes = Vec::new();
    if there.medium != wanted.medium {
        let (old, new) = (there.medium.driver(), wanted.medium.driver());
        let what =
            if old == new { "driver_opts changed".to_owned() } else { format!("driver changed from {old}") };
        changes.push(what);
    }
    let (old, new) = (pools(there), pools(wanted));
    let of = |pools: &[PoolSpec<IpNet, IpAddr>], ipv4: bool| {
        pools.iter().find(|pool| pool.subnet.addr().is_ipv4() == ipv4).cloned()
    };
    for ipv4 in [true, false] {
        changes.extend(pool_difference(of(&old, ipv4), of(&new, ipv4), if ipv4 { "IPv4" } else { "IPv6" }));
    }
    let mut compare = |changed: bool, text: String| {
        if changed {
            changes.push(text);
        }
    };
    compare(there.internal != wanted.internal, format!("internal changed from {}", there.internal));
    compare(there.mtu != wanted.mtu, format!("mtu changed from {}", there.mtu));
    compare(there.icc != wanted.icc, format!("icc changed from {}", there.icc));
    let options = |spec: &NetworkSpec| (spec.masquerade, spec.host_binding, spec.interface_prefix.clone());
    compare(options(there) != options(wanted), "driver_opts changed".to_owned());
    compare(label::given(&there.labels) != label::given(&wanted.labels), "labels changed".to_owned());
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn pool_difference(
    there: Option<PoolSpec<IpNet, IpAddr>>,
    wanted: Option<PoolSpec<IpNet, IpAddr>>,
    version: &str,
) -> Option<String> {
    match (there, wanted) {
        (None, None) => None,
        (None, Some(_)) => Some(format!("{version} is new")),
        (Some(_), None) => Some(format!("{version} goes")),
        // Gateway and range move with the subnet.
        (Some(there), Some(wanted)) if there.subnet != wanted.subnet => {
            Some(format!("subnet changed from {}", there.subnet))
        }
        (Some(there), Some(wanted)) if there.gateway != wanted.gateway => {
            Some(format!("gateway changed from {}", there.gateway))
        }
        (Some(there), Some(wanted)) if there.ip_range != wanted.ip_range => {
            Some(format!("ip_range changed from {}", there.ip_range))
        }
        (Some(there), Some(wanted)) => {
            (there.aux_addresses != wanted.aux_addresses).then(|| "aux_addresses changed".to_owned())
        }
    }
}
