//! Containers join and leave networks by hand, while their programs run.
//!
//! What was connected by hand stays until it is disconnected by hand or its instance goes: an `up` finds it beside what
//! the files say and leaves it alone.
//!
//! Source: docker/cli `cli/command/network/connect.go` for what users are used to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trice_model::capability::Capability;
use trice_model::container::ObservedContainer;
use trice_model::id::Ids;
use trice_model::intent::ConnectOptions;
use trice_model::name::{ContainerName, NetworkName, ProjectName};
use trice_model::network::{EndpointSpec, InstanceSpec, NetworkSpec};

use crate::action::Action;
use crate::address::{self, Held, Seat, Version};
use crate::found::Found;
use crate::instance::{self, Given};
use crate::mistake::PlanError;
use crate::network::BRIDGE_GONE;
use crate::plan::Plan;
use crate::realm::Realm;

/// Why a container cannot join or leave a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It is not there.
    #[error("container `{container}` is not there")]
    NoContainer {
        /// The container.
        container: ContainerName,
    },
    /// The network is not there.
    #[error("network `{network}` is not there")]
    NoNetwork {
        /// The network.
        network: NetworkName,
    },
    /// It is in the host's network, in that of another container, or in none.
    #[error("container `{container}` has no network of its own")]
    NoInstance {
        /// The container.
        container: ContainerName,
    },
    /// There is no name left for an interface.
    #[error("container `{container}` has too many interfaces")]
    NoInterface {
        /// The container.
        container: ContainerName,
    },
    /// It has no addresses of that version.
    #[error("network `{network}` has no {version}")]
    NoVersion {
        /// The network.
        network: NetworkName,
        /// The version of IP.
        version: &'static str,
    },
}

impl ConnectError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoContainer { .. } => Some("`trice ps -a` shows those that are".into()),
            Self::NoNetwork { .. } => Some("`trice network ls` shows those that are".into()),
            Self::NoInstance { .. } => Some("its `network_mode` says so".into()),
            Self::NoInterface { .. } => None,
            Self::NoVersion { .. } => None,
        }
    }
}

/// A container and a network that are there.
struct Pair<'a> {
    container: &'a ObservedContainer,
    instance: &'a InstanceSpec,
    network: &'a NetworkSpec,
}

impl<'a> Pair<'a> {
    fn find(
        project: &'a ProjectName,
        container: &ContainerName,
        network: &NetworkName,
        found: &'a Found,
    ) -> Result<Self, Vec<PlanError>> {
        let fail = |error: ConnectError| vec![PlanError::new(format!("containers.{container}"), error)];
        let there = found.containers_of(project).find(|one| one.spec.name == *container);
        let there = there.ok_or_else(|| fail(ConnectError::NoContainer { container: container.clone() }))?;
        let no_instance = || fail(ConnectError::NoInstance { container: container.clone() });
        let instance = found.instance_of(there).filter(|_| !there.spec.is_guest()).ok_or_else(no_instance)?;
        // With `network_mode: none` there is nothing but `lo`, and that was meant.
        if instance.spec.endpoints.is_empty() && !instance.spec.dns {
            return Err(no_instance());
        }
        let no_network = || fail(ConnectError::NoNetwork { network: network.clone() });
        let network = found.networks.get(network).ok_or_else(no_network)?;
        Ok(Self { container: there, instance: &instance.spec, network: &network.spec })
    }
}

/// Plans that a container joins a network.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn connect(
    (project, container, network): (&ProjectName, &ContainerName, &NetworkName),
    options: &ConnectOptions,
    found: &Found,
    realm: &Realm,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    let pair = Pair::find(project, container, network, found)?;
    let mut plan = Plan { complete: true, ..Plan::default() };
    if instance::endpoint_on(pair.instance, network).is_some() {
        plan.notes.push(format!("`{container}` is on network `{network}` already"));
        return Ok(plan);
    }
    let endpoint = endpoint(&pair, options, found, realm, ids)?;
    let mut wanted = pair.instance.clone();
    wanted.endpoints.push(endpoint);
    wanted.dns = true;
    lead_out(&mut wanted, found);
    let lost = found.networks.get(network).filter(|there| !there.present);
    let lost =
        lost.map(|there| plan.add(Action::CreateNetwork(Box::new(there.spec.clone())), BRIDGE_GONE, []));
    plan.add(Action::ReshapeInstance(wanted), format!("joins network {network}"), lost);
    Ok(plan)
}

/// Plans that a container leaves a network.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn disconnect(
    (project, container, network): (&ProjectName, &ContainerName, &NetworkName),
    found: &Found,
) -> Result<Plan, Vec<PlanError>> {
    let pair = Pair::find(project, container, network, found)?;
    let mut plan = Plan { complete: true, ..Plan::default() };
    if instance::endpoint_on(pair.instance, network).is_none() {
        plan.notes.push(format!("`{container}` is not on network `{network}`"));
        return Ok(plan);
    }
    let mut wanted = pair.instance.clone();
    wanted.endpoints.retain(|endpoint| endpoint.network != *network);
    lead_out(&mut wanted, found);
    plan.add(Action::ReshapeInstance(wanted), format!("leaves network {network}"), []);
    Ok(plan)
}

/// Plans that networks go which nobody is on.
pub(crate) fn remove_networks(
    project: &ProjectName,
    networks: &BTreeSet<NetworkName>,
    found: &Found,
) -> Plan {
    let mut plan = Plan { complete: true, ..Plan::default() };
    for there in networks.iter().filter_map(|network| found.networks.get(network)) {
        let spec = &there.spec;
        let is_ours = spec.owner.as_ref().is_some_and(|(owner, _)| owner == project);
        let on_it = |instance: &&InstanceSpec| instance::endpoint_on(instance, &spec.name).is_some();
        match found.instances.values().map(|instance| &instance.spec).find(on_it) {
            Some(user) => {
                plan.notes.push(format!("network `{}` stays: `{}` is on it", spec.name, user.name));
            }
            None if is_ours => {
                plan.add(Action::RemoveNetwork(spec.name.clone()), "nobody is on it", []);
            }
            None => {}
        }
    }
    plan
}

fn lead_out(instance: &mut InstanceSpec, found: &Found) {
    let network = |name: &NetworkName| found.networks.get(name).map(|there| &there.spec);
    instance::lead_out(&mut instance.endpoints, &network);
}

fn endpoint(
    pair: &Pair<'_>,
    options: &ConnectOptions,
    found: &Found,
    realm: &Realm,
    ids: &mut Ids,
) -> Result<EndpointSpec, Vec<PlanError>> {
    let network = pair.network;
    let path = format!("networks.{}", network.name);
    let mut seats = Vec::new();
    let asked = [
        (Version::V4, "IPv4", network.ipv4.is_some(), options.ipv4.map(IpAddr::V4)),
        (Version::V6, "IPv6", network.ipv6.is_some(), options.ipv6.map(IpAddr::V6)),
    ];
    for (version, word, is_there, fixed) in asked {
        if fixed.is_some() && !is_there {
            let error = ConnectError::NoVersion { network: network.name.clone(), version: word };
            return Err(vec![PlanError::new(path, error)]);
        }
        let (instance, network) = (pair.instance.name.clone(), network.name.clone());
        let path = path.clone();
        seats.extend(is_there.then_some(Seat { instance, network, version, fixed, remembered: None, path }));
    }
    let addresses = address::allocate(&[(network.name.clone(), network)].into(), &held(found), &seats)?;
    let mut taken = pair.instance.endpoints.iter().map(|endpoint| endpoint.interface.clone()).collect();
    let interface = instance::free_name(network.interface_prefix.as_ref(), &mut taken);
    let no_interface = || ConnectError::NoInterface { container: pair.container.spec.name.clone() };
    let given = Given {
        ipv4: addresses.ipv4(&pair.instance.name, &network.name),
        ipv6: addresses.ipv6(&pair.instance.name, &network.name),
        interface: interface.ok_or_else(|| vec![PlanError::new(path.clone(), no_interface())])?,
        guarded: !pair.container.spec.process.capabilities.contains(&Capability::NET_ADMIN),
    };
    Ok(EndpointSpec {
        more_addresses: options.link_local_ips.iter().map(|ip| instance::more_address(*ip)).collect(),
        gw_priority: options.gw_priority,
        by_hand: Some(options.aliases.clone()),
        ..instance::endpoint(network, given, realm, ids)
    })
}

/// Returns all addresses that somebody has.
fn held(found: &Found) -> Vec<Held> {
    let endpoints = found
        .instances
        .values()
        .flat_map(|there| there.spec.endpoints.iter().map(move |endpoint| (&there.spec.name, endpoint)));
    endpoints
        .flat_map(|(instance, endpoint)| {
            endpoint.addresses().map(move |address| Held {
                instance: instance.clone(),
                network: endpoint.network.clone(),
                address,
                leaving: false,
            })
        })
        .collect()
}
