//! What the engine knows: what is recorded and observed, and the descriptors by which it holds on to it.
//!
//! It is a view and not the truth. All of it can be had again from the store, the keeper and the kernel; see
//! [`crate::recover`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use trice_dns::server::Serving;
use trice_model::container::{ContainerState, ObservedContainer};
use trice_model::health::Health;
use trice_model::id::ContainerId;
use trice_model::name::{ContainerName, NetworkName, ProjectName};
use trice_model::network::{FirewallPort, InstanceName};
use trice_model::port::{Protocol, PublishedPort};
use trice_network::nftables::TableOwner;
use trice_plan::found::Found;
use trice_plan::health::Probes;
use trice_plan::restart::Tally;
use trice_runtime::container::Prepared;

use crate::record::{ContainerRecord, ProcessIdentity};

/// What the engine knows.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// What the planner sees.
    pub(crate) found: Found,
    /// What is remembered of each container's exits.
    pub(crate) tallies: BTreeMap<ContainerId, Tally>,
    /// The processes of running containers.
    pub(crate) processes: BTreeMap<ContainerId, Process>,
    /// Containers whose process waits for its start.
    pub(crate) prepared: BTreeMap<ContainerId, Prepared>,
    /// The namespaces of instances.
    pub(crate) homes: BTreeMap<InstanceName, Home>,
    /// The ports of the host that are reserved.
    pub(crate) ports: BTreeMap<HostSide, Reservation>,
    /// Which processes containers had when a former engine wrote it down; taken over one by one.
    pub(crate) recorded: BTreeMap<ContainerId, ProcessIdentity>,
    /// Networks whose bridges are on their way out.
    pub(crate) leaving: BTreeSet<NetworkName>,
}

/// The process of a running container.
#[derive(Debug)]
pub(crate) struct Process {
    /// Under which name the keeper tells its end; `None` if it is no child of our keeper.
    pub(crate) key: Option<String>,
    /// Its init.
    pub(crate) pidfd: Arc<OwnedFd>,
    /// Which of all processes it is.
    pub(crate) identity: ProcessIdentity,
    /// The outer end of its terminal, if it has one.
    pub(crate) terminal: Option<OwnedFd>,
    /// Tells this run from others of the same container, to timers that were set for one.
    pub(crate) run: u64,
    /// What its probes have shown.
    pub(crate) probes: Option<Probes>,
    /// Its end is being put away.
    pub(crate) ending: bool,
    /// It has been asked to end.
    pub(crate) stopping: bool,
}

/// An instance's namespace.
#[derive(Debug)]
pub(crate) struct Home {
    /// The namespace.
    pub(crate) namespace: OwnedFd,
    /// The sockets at which its names are asked.
    pub(crate) sockets: Vec<OwnedFd>,
    /// Its names are answered for as long as this is held.
    pub(crate) _serving: Option<Serving>,
    /// What keeps the instance from flushing the rules that lead to the sockets.
    pub(crate) rules: Option<TableOwner>,
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.rules.take().map(TableOwner::close_aside);
    }
}

/// The host's side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostSide {
    pub(crate) host_ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
}

impl HostSide {
    /// Returns the host's side of `port`.
    pub(crate) fn of(port: &PublishedPort) -> Self {
        Self { host_ip: port.host_ip, port: port.host_port, protocol: port.target.protocol }
    }

    /// Returns the host's side of a port of the packet filter.
    pub(crate) fn of_firewall(port: &FirewallPort) -> Self {
        Self { host_ip: port.host_ip, port: port.host_port, protocol: port.protocol }
    }

    /// Names it for the keeper.
    pub(crate) fn key(self) -> String {
        format!("port/{}/{}/{}", self.protocol, self.port, self.host_ip)
    }

    /// Returns the port that [`HostSide::key`] names so.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix("port/")?.splitn(3, '/');
        let (protocol, port) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { host_ip: parts.next()?.parse().ok()?, port, protocol })
    }
}

/// A reserved port.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// The socket that keeps others away.
    pub(crate) socket: OwnedFd,
    /// The project that it is reserved for.
    pub(crate) project: ProjectName,
    /// The instances that it is reserved for: replicas share it.
    pub(crate) holders: BTreeSet<InstanceName>,
}

impl World {
    /// Returns the container `name`.
    pub(crate) fn container_named(&self, name: &ContainerName) -> Option<&ObservedContainer> {
        self.found.containers.values().find(|container| container.spec.name == *name)
    }

    /// Returns the record of a container as it is known now.
    pub(crate) fn record(&self, id: &ContainerId) -> Option<ContainerRecord> {
        let container = self.found.containers.get(id)?.clone();
        let tally = self.tallies.get(id).copied().unwrap_or_default();
        let process = self.processes.get(id).map(|process| process.identity.clone());
        Some(ContainerRecord { container, tally, process })
    }

    /// Returns the names of all projects of which there is anything.
    pub(crate) fn projects(&self) -> BTreeSet<ProjectName> {
        let containers = self.found.containers.values().map(|container| &container.spec.project);
        let networks = self.found.networks.values().filter_map(|network| network.spec.owner.as_ref());
        let instances = self.found.instances.values().map(|instance| &instance.spec.project);
        containers.chain(networks.map(|(project, _)| project)).chain(instances).cloned().collect()
    }

    /// Sets what a running container's probes say.
    pub(crate) fn set_health(&mut self, id: &ContainerId, health: Option<Health>) {
        if let Some(container) = self.found.containers.get_mut(id)
            && let ContainerState::Running { health: known, .. } = &mut container.state
        {
            *known = health;
        }
    }

    /// Whether any process runs or waits.
    pub(crate) fn has_processes(&self) -> bool {
        !self.processes.is_empty() || !self.prepared.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_again_by_its_name_at_the_keeper() {
        for host_ip in ["127.0.0.1", "0.0.0.0", "::1", "fd00::7"] {
            let host_ip = host_ip.parse().unwrap();
            let side = HostSide { host_ip, port: 8080, protocol: Protocol::Udp };
            assert_eq!(HostSide::of_key(&side.key()), Some(side));
        }
        assert_eq!(HostSide::of_key("instance/shop-web-1"), None);
    }
}
