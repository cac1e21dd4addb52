//! From changes to steps: what must come before what.
//!
//! ```text
//! down   stop ─► remove ─► disconnect ─► remove network, volume
//! up     create network, volume ─► connect ─► create ─► publish ports ─► await ─► start ─► await
//! ```
//!
//! Deciding what changes is other files' work; here alone stands the order, and each rule of it once. A
//! container is created as soon as its place is free and does not wait for those it depends on; only its
//! start does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use trice_model::container::{ContainerSpec, NetworkNamespace, ObservedContainer};
use trice_model::id::ContainerId;
use trice_model::mount::MountSpecSource;
use trice_model::name::{ContainerName, NetworkName, ServiceName, VolumeName};
use trice_model::network::{InstanceName, InstanceSpec, NetworkSpec};
use trice_model::port::{Protocol, PublishedPort};
use trice_model::service::{Condition, Dependency};
use trice_model::volume::VolumeSpec;

use crate::action::{Action, Target, Until};
use crate::changes::{Changes, Creation, Crew, Start};
use crate::found;
use crate::order;
use crate::plan::{Plan, StepId};
use crate::subnet::overlap;

/// Orders `changes` into a complete plan.
pub(crate) fn weave(mut changes: Changes<'_>) -> Plan {
    let mut weaver = Weaver { timeout: changes.timeout, ..Weaver::default() };
    weaver.stop(changes.stops);
    weaver.remove(changes.removals);
    weaver.disconnect(changes.disconnects);
    weaver.remove_networks(changes.network_removals);
    weaver.remove_volumes(changes.volume_removals);
    weaver.create_networks(changes.networks);
    weaver.create_volumes(changes.volumes);
    weaver.connect(changes.instances);
    weaver.create(changes.creations);
    weaver.publish(&changes.starts); // before any start: a port that somebody else holds ends it all early
    weaver.start(std::mem::take(&mut changes.starts), &changes.crew);
    weaver.wait(&changes.waits, &changes.crew);
    Plan { notes: changes.notes, complete: true, ..weaver.plan }
}

/// The plan so far, and in which steps what happens to whom.
#[derive(Debug, Default)]
struct Weaver {
    plan: Plan,
    timeout: Option<Duration>,
    stops: BTreeMap<ContainerId, StepId>,
    /// By the name of the container that goes.
    removals: BTreeMap<ContainerName, StepId>,
    /// By the containers that were in an instance, the last that happens to each.
    emptied: BTreeMap<InstanceName, BTreeMap<ContainerId, StepId>>,
    /// The ports of the host that the containers in an instance had.
    ports: BTreeMap<InstanceName, BTreeSet<(Protocol, u16)>>,
    /// By port of the host and the instance that had it, the last step that gives it back.
    ports_freed: BTreeMap<(Protocol, u16), BTreeMap<InstanceName, StepId>>,
    /// Removals of containers that had a volume.
    volumes_freed: BTreeMap<VolumeName, Vec<StepId>>,
    disconnects: BTreeMap<InstanceName, StepId>,
    /// Disconnects that take an interface from a network.
    networks_freed: BTreeMap<NetworkName, Vec<StepId>>,
    addresses_freed: BTreeMap<(NetworkName, IpAddr), StepId>,
    network_removals: Vec<(NetworkSpec, StepId)>,
    networks: BTreeMap<NetworkName, StepId>,
    volumes: BTreeMap<VolumeName, StepId>,
    instances: BTreeMap<InstanceName, StepId>,
    creations: BTreeMap<ContainerId, StepId>,
    publications: BTreeMap<InstanceName, StepId>,
    starts: BTreeMap<ServiceName, Vec<StepId>>,
    gates: BTreeMap<(ServiceName, Until, bool), Gate>,
}

/// A step in which dependents wait, and who they are.
#[derive(Debug)]
struct Gate {
    step: StepId,
    dependents: BTreeSet<ServiceName>,
}

fn at<K: Ord, V: Clone>(map: &BTreeMap<K, Vec<V>>, key: &K) -> Vec<V> {
    map.get(key).cloned().unwrap_or_default()
}

impl Weaver {
    /// Stops containers, each after those that depend on it.
    fn stop(&mut self, mut stops: Vec<(&ObservedContainer, String)>) {
        let order =
            ranks(stops.iter().map(|(container, _)| (&container.spec.service, &container.spec.depends_on)));
        stops.sort_by_key(|(container, _)| std::cmp::Reverse(order.get(&container.spec.service).copied()));
        let mut dependents: BTreeMap<ServiceName, Vec<StepId>> = BTreeMap::new();
        for (container, cause) in stops {
            let action = Action::stop(container, self.timeout);
            let step = self.plan.add(action, cause, at(&dependents, &container.spec.service));
            for needed in container.spec.depends_on.keys().filter(|needed| **needed != container.spec.service)
            {
                dependents.entry(needed.clone()).or_default().push(step);
            }
            self.stops.insert(container.spec.id.clone(), step);
            self.note_emptied(container, step);
        }
    }

    fn remove(&mut self, removals: Vec<(&ObservedContainer, String)>) {
        for (container, cause) in removals {
            let stop = self.stops.get(&container.spec.id).copied();
            let action = Action::RemoveContainer(Target::of(&container.spec));
            let step = self.plan.add(action, cause, stop);
            self.removals.insert(container.spec.name.clone(), step);
            for name in volumes_of(&container.spec) {
                self.volumes_freed.entry(name.clone()).or_default().push(step);
            }
            self.note_emptied(container, step);
        }
    }

    fn note_emptied(&mut self, container: &ObservedContainer, step: StepId) {
        if let Some(instance) = found::instance_name(container) {
            for port in ports_of(&container.spec.published) {
                self.ports.entry(instance.clone()).or_default().insert(port);
                self.ports_freed.entry(port).or_default().insert(instance.clone(), step);
            }
            self.emptied.entry(instance.clone()).or_default().insert(container.spec.id.clone(), step);
        }
    }

    fn disconnect(&mut self, disconnects: Vec<(&InstanceSpec, String)>) {
        for (instance, cause) in disconnects {
            let after = self.emptied.get(&instance.name).into_iter().flat_map(BTreeMap::values).copied();
            let after: Vec<StepId> = after.collect();
            let step = self.plan.add(Action::DisconnectInstance(instance.name.clone()), cause, after);
            for endpoint in &instance.endpoints {
                self.networks_freed.entry(endpoint.network.clone()).or_default().push(step);
                for address in endpoint.addresses() {
                    self.addresses_freed.insert((endpoint.network.clone(), address), step);
                }
            }
            for port in self.ports.get(&instance.name).into_iter().flatten() {
                self.ports_freed.entry(*port).or_default().insert(instance.name.clone(), step);
            }
            self.disconnects.insert(instance.name.clone(), step);
        }
    }

    fn remove_networks(&mut self, removals: Vec<(&NetworkSpec, String)>) {
        for (network, cause) in removals {
            let after = at(&self.networks_freed, &network.name);
            let step = self.plan.add(Action::RemoveNetwork(network.name.clone()), cause, after);
            self.network_removals.push((network.clone(), step));
        }
    }

    fn remove_volumes(&mut self, removals: Vec<(VolumeName, String)>) {
        for (name, cause) in removals {
            let after = at(&self.volumes_freed, &name);
            self.plan.add(Action::RemoveVolume(name), cause, after);
        }
    }

    fn create_networks(&mut self, networks: Vec<(NetworkSpec, String)>) {
        for (network, cause) in networks {
            let in_the_way = self.network_removals.iter().filter(|(old, _)| {
                let meets = |a| network.subnets().any(|b| overlap(a, b));
                old.name == network.name
                    || old.subnets().any(meets)
                    || old.medium.bridge().is_some_and(|link| network.medium.bridge() == Some(link))
            });
            let after: Vec<StepId> = in_the_way.map(|(_, step)| *step).collect();
            let name = network.name.clone();
            let step = self.plan.add(Action::CreateNetwork(Box::new(network)), cause, after);
            self.networks.insert(name, step);
        }
    }

    fn create_volumes(&mut self, volumes: Vec<(VolumeSpec, String)>) {
        for (volume, cause) in volumes {
            let name = volume.name.clone();
            let step = self.plan.add(Action::CreateVolume(volume), cause, None);
            self.volumes.insert(name, step);
        }
    }

    fn connect(&mut self, instances: Vec<(InstanceSpec, String)>) {
        for (instance, cause) in instances {
            let mut after: Vec<StepId> = self.disconnects.get(&instance.name).copied().into_iter().collect();
            for endpoint in &instance.endpoints {
                after.extend(self.networks.get(&endpoint.network));
                let freed = |address| self.addresses_freed.get(&(endpoint.network.clone(), address));
                after.extend(endpoint.addresses().filter_map(freed));
            }
            let name = instance.name.clone();
            let step = self.plan.add(Action::ConnectInstance(instance), cause, after);
            self.instances.insert(name, step);
        }
    }

    fn create(&mut self, creations: Vec<Creation<'_>>) {
        for Creation { spec, replaces, cause } in creations {
            // Two names for one step: the container it replaces, and whoever had its name.
            let removal = replaces.and_then(|old| self.removals.get(&old.spec.name)).copied();
            let mut after: Vec<StepId> =
                removal.iter().chain(self.removals.get(&spec.name)).copied().collect();
            if let NetworkNamespace::Instance(name) = &spec.network {
                after.extend(self.instances.get(name));
            }
            after.extend(volumes_of(&spec).filter_map(|name| self.volumes.get(name)));
            let id = spec.id.clone();
            let cause = removal.map_or(cause, |removal| format!("replaces {removal}"));
            let step = self.plan.add(Action::CreateContainer(Box::new(spec)), cause, after);
            // The cause stands at the first of the steps; if that is a stop, the removal says what it is for.
            if let (Some(removal), Some(old)) = (removal, replaces)
                && self.stops.contains_key(&old.spec.id)
            {
                self.plan.explain(removal, format!("replaced by {step}"));
            }
            self.creations.insert(id, step);
        }
    }

    fn publish(&mut self, starts: &[Start]) {
        for start in starts.iter().filter(|start| !start.published.is_empty()) {
            let Some(instance) = &start.instance else { continue };
            // Not before what is there has given ports back: its stop would take ours along.
            let emptied = self.emptied.get(instance).into_iter().flat_map(BTreeMap::values);
            let mut after: Vec<StepId> = emptied.copied().collect();
            after.extend(self.disconnects.get(instance));
            for port in ports_of(&start.published) {
                after.extend(self.ports_freed.get(&port).into_iter().flat_map(BTreeMap::values));
            }
            let action = Action::PublishPorts { instance: instance.clone(), ports: start.published.clone() };
            let step = self.plan.add(action, "reserved before the start", after);
            self.publications.insert(instance.clone(), step);
        }
    }

    /// Starts containers, each after those it depends on.
    fn start(&mut self, mut starts: Vec<Start>, crew: &Crew<'_>) {
        let order = ranks(starts.iter().map(|start| (&start.service, &start.depends_on)));
        starts.sort_by_key(|start| order.get(&start.service).copied());
        for start in starts {
            let mut after: Vec<StepId> = self.stops.get(&start.target.id).copied().into_iter().collect();
            after.extend(start.instance.as_ref().and_then(|instance| self.publications.get(instance)));
            match self.creations.get(&start.target.id) {
                Some(creation) => after.push(*creation), // which came after the instance
                None => {
                    after.extend(start.instance.as_ref().and_then(|instance| self.instances.get(instance)))
                }
            }
            for (needed, dependency) in
                start.depends_on.iter().filter(|(needed, _)| crew.contains_key(*needed))
            {
                after.extend(self.gate(needed, *dependency, &start.service, crew));
            }
            let step = self.plan.add(Action::StartContainer(start.target), start.cause, after);
            self.starts.entry(start.service).or_default().push(step);
        }
    }

    /// Returns the steps after which `dependent` may start as far as `needed` is concerned.
    fn gate(
        &mut self,
        needed: &ServiceName,
        dependency: Dependency,
        dependent: &ServiceName,
        crew: &Crew<'_>,
    ) -> Vec<StepId> {
        let until = match dependency.condition {
            Condition::ServiceStarted => return at(&self.starts, needed),
            Condition::ServiceHealthy => Until::Healthy,
            Condition::ServiceCompletedSuccessfully => Until::Completed,
        };
        let key = (needed.clone(), until, dependency.required);
        if let Some(gate) = self.gates.get_mut(&key) {
            gate.dependents.insert(dependent.clone());
            let (step, cause) = (gate.step, needed_by(&gate.dependents));
            self.plan.explain(step, cause);
            return vec![step];
        }
        let dependents = BTreeSet::from([dependent.clone()]);
        match self.wait_for(needed, until, dependency.required, needed_by(&dependents), crew) {
            Some(step) => {
                self.gates.insert(key, Gate { step, dependents });
                vec![step]
            }
            None => at(&self.starts, needed),
        }
    }

    /// Adds the waiting for `service`, if there is something to wait for.
    fn wait_for(
        &mut self,
        service: &ServiceName,
        until: Until,
        required: bool,
        cause: String,
        crew: &Crew<'_>,
    ) -> Option<StepId> {
        let open = crew.get(service).into_iter().flatten().filter(|member| member.is_open(until));
        let containers: Vec<Target> = open.map(|member| member.target.clone()).collect();
        if containers.is_empty() {
            return None;
        }
        let after = at(&self.starts, service);
        Some(self.plan.add(Action::Await { containers, until, required }, cause, after))
    }

    fn wait(&mut self, waits: &BTreeMap<ServiceName, Until>, crew: &Crew<'_>) {
        for (service, until) in waits {
            self.wait_for(service, *until, true, "asked to wait".to_owned(), crew);
        }
    }
}

fn ports_of(published: &[PublishedPort]) -> impl Iterator<Item = (Protocol, u16)> {
    published.iter().map(|port| (port.target.protocol, port.host_port))
}

fn needed_by(dependents: &BTreeSet<ServiceName>) -> String {
    let names: Vec<&str> = dependents.iter().map(ServiceName::as_str).collect();
    format!("needed by {}", names.join(" "))
}

fn volumes_of(spec: &ContainerSpec) -> impl Iterator<Item = &VolumeName> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSpecSource::Volume { name, .. } => Some(name),
        MountSpecSource::Bind(_) | MountSpecSource::Tmpfs(_) | MountSpecSource::Image { .. } => None,
    })
}

/// Returns the place of each service in an order in which those that are depended on come first.
fn ranks<'a>(
    services: impl Iterator<Item = (&'a ServiceName, &'a BTreeMap<ServiceName, Dependency>)>,
) -> BTreeMap<ServiceName, usize> {
    let mut edges = order::Edges::new();
    for (service, depends_on) in services {
        edges.entry(service.clone()).or_default().extend(depends_on.keys().cloned());
    }
    order::sorted_anyhow(&edges).into_iter().enumerate().map(|(rank, service)| (service, rank)).collect()
}
