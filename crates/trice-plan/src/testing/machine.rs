//! A machine in memory: it carries plans out, and stumbles over what would not work on a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use trice_model::container::{
    ContainerSpec, ContainerState, ExitStatus, NetworkNamespace, ObservedContainer, Role,
};
use trice_model::health::Health;
use trice_model::id::ContainerId;
use trice_model::image::{ImageConfig, ObservedImage};
use trice_model::mount::MountSpecSource;
use trice_model::name::ServiceName;
use trice_model::network::{InstanceName, InstanceSpec, ObservedInstance, ObservedNetwork};
use trice_model::port::Protocol;
use trice_model::project::Project;
use trice_model::service::Condition;
use trice_model::time::Timestamp;
use trice_model::volume::ObservedVolume;

use crate::action::{Action, Until};
use crate::found::{self, Found};
use crate::plan::{Plan, StepId};
use crate::subnet::overlap;

/// What is there, and what is not told by that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// What is there.
    pub(crate) found: Found,
    /// Services whose containers end with code 0 as soon as they are started.
    pub(crate) one_shots: BTreeSet<ServiceName>,
    /// Who has which port of the host.
    reserved: BTreeMap<(Protocol, u16), BTreeSet<InstanceName>>,
}

impl Machine {
    /// Carries all steps of `plan` out in the order of their numbers.
    pub(crate) fn carry_out(&mut self, plan: &Plan, now: Timestamp) {
        for index in 0..plan.steps.len() {
            self.carry_out_step(plan, StepId(index + 1), now);
        }
    }

    /// Carries one step out.
    pub(crate) fn carry_out_step(&mut self, plan: &Plan, id: StepId, now: Timestamp) {
        let step = plan.step(id).unwrap();
        assert!(step.after.iter().all(|before| *before < id), "step {id} comes after a later one:\n{plan}");
        self.perform(&step.action, now);
    }

    /// Does what a new engine does first: gives back ports that no container has.
    pub(crate) fn take_over(&mut self) {
        let inhabited: BTreeSet<&InstanceName> =
            self.found.containers.values().filter_map(found::instance_name).collect();
        self.reserved.values_mut().for_each(|holders| holders.retain(|one| inhabited.contains(one)));
    }

    /// Loses what lives in the kernel alone.
    pub(crate) fn reboot(&mut self) {
        self.found.networks.values_mut().for_each(|network| network.present = false);
        self.found.instances.values_mut().for_each(|instance| instance.present = false);
        for container in self.found.containers.values_mut().filter(|one| found::is_live(one)) {
            container.state = ContainerState::Exited { exit: ExitStatus::Unknown };
        }
        self.reserved.clear();
    }

    fn perform(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::FetchImage { image, .. } => {
                self.found.fetched.insert(image.clone());
                self.found.images.entry(image.clone()).or_insert_with(|| ObservedImage {
                    id: format!("sha256:{image}"),
                    layers: vec![PathBuf::from("/layers")],
                    config: ImageConfig { cmd: vec!["serve".to_owned()], ..ImageConfig::default() },
                });
            }
            Action::CreateNetwork(spec) => {
                let others = self.found.networks.values().filter(|other| other.spec.name != spec.name);
                let overlaps = |other: &&ObservedNetwork| {
                    other.spec.subnets().any(|theirs| spec.subnets().any(|ours| overlap(theirs, ours)))
                };
                assert!(others.filter(overlaps).count() == 0, "{} overlaps another network", spec.name);
                let observed = ObservedNetwork { spec: (**spec).clone(), present: true };
                self.found.networks.insert(spec.name.clone(), observed);
            }
            Action::RemoveNetwork(name) => {
                let on_it =
                    |one: &&ObservedInstance| one.spec.endpoints.iter().any(|end| end.network == *name);
                assert!(self.found.instances.values().find(on_it).is_none(), "somebody is on {name}");
                assert!(self.found.networks.remove(name).is_some(), "{name} is not there");
            }
            Action::CreateVolume(spec) => {
                let observed = ObservedVolume { spec: spec.clone(), path: PathBuf::from("/volumes") };
                self.found.volumes.insert(spec.name.clone(), observed);
            }
            Action::RemoveVolume(name) => {
                let mounts = self.found.containers.values().flat_map(|one| &one.spec.mounts);
                let has_it = |source: &MountSpecSource| match source {
                    MountSpecSource::Volume { name: mounted, .. } => mounted == name,
                    MountSpecSource::Bind(_) | MountSpecSource::Tmpfs(_) | MountSpecSource::Image { .. } => {
                        false
                    }
                };
                assert!(mounts.filter(|mount| has_it(&mount.source)).count() == 0, "somebody has {name}");
                self.found.volumes.remove(name);
            }
            Action::ConnectInstance(spec) => self.connect(spec),
            Action::ReshapeInstance(spec) => {
                assert!(self.found.instances.contains_key(&spec.name), "{} is not there", spec.name);
                self.connect(spec);
            }
            Action::DisconnectInstance(name) => {
                let lives =
                    |one: &&ObservedContainer| found::is_live(one) && found::instance_name(one) == Some(name);
                assert!(self.found.containers.values().find(lives).is_none(), "somebody lives in {name}");
                assert!(self.found.instances.remove(name).is_some(), "{name} is not there");
                self.give_ports_back(name);
            }
            Action::PublishPorts { instance, ports } => {
                for port in ports {
                    let holders = self.reserved.entry((port.target.protocol, port.host_port)).or_default();
                    holders.insert(instance.clone());
                    let services: BTreeSet<&str> = holders.iter().map(service_part).collect();
                    assert!(services.len() == 1, "port {port} is wanted by {services:?}");
                }
            }
            Action::CreateContainer(spec) => self.create(spec, now),
            Action::StartContainer(target) => self.start(&target.id, now),
            Action::StopContainer { container, .. } => {
                let observed = self.found.containers.get_mut(&container.id).unwrap();
                assert!(found::is_live(observed), "{} is stopped and not live", container.name);
                observed.state = ContainerState::Exited { exit: ExitStatus::Signal(15) };
                observed.asked_to_stop = true;
                observed.finished_at = Some(now);
                if let NetworkNamespace::Instance(name) = observed.spec.network.clone() {
                    self.give_ports_back(&name);
                }
            }
            Action::RemoveContainer(target) => {
                let observed = self.found.containers.remove(&target.id).unwrap();
                assert!(!found::is_live(&observed), "{} is removed while it lives", target.name);
                if let NetworkNamespace::Instance(name) = &observed.spec.network {
                    self.give_ports_back(name);
                }
            }
            Action::Await { containers, until, .. } => {
                for container in containers {
                    self.await_one(&container.id, *until);
                }
            }
        }
    }

    fn connect(&mut self, spec: &InstanceSpec) {
        for endpoint in &spec.endpoints {
            let network = &self.found.networks.get(&endpoint.network);
            let network =
                network.unwrap_or_else(|| panic!("{} is not there for {}", endpoint.network, spec.name));
            assert!(network.present, "the bridge of {} is not there for {}", endpoint.network, spec.name);
            for address in endpoint.addresses() {
                assert!(
                    network.spec.subnets().any(|subnet| subnet.contains(&address)),
                    "{address} is outside"
                );
            }
            for other in self.found.instances.values().filter(|other| other.spec.name != spec.name) {
                let taken = |theirs: &trice_model::network::EndpointSpec| {
                    theirs.network == endpoint.network
                        && theirs.addresses().any(|address| endpoint.addresses().any(|own| own == address))
                };
                assert!(
                    !other.spec.endpoints.iter().any(taken),
                    "{} has an address of {}",
                    other.spec.name,
                    spec.name
                );
            }
        }
        self.found
            .instances
            .insert(spec.name.clone(), ObservedInstance { spec: spec.clone(), present: true });
    }

    fn create(&mut self, spec: &ContainerSpec, now: Timestamp) {
        let twin = self.found.containers.values().find(|other| other.spec.name == spec.name);
        assert!(twin.is_none(), "{} is there already", spec.name);
        if let NetworkNamespace::Instance(name) = &spec.network {
            assert!(self.found.instances.contains_key(name), "{name} has no instance");
        }
        for mount in &spec.mounts {
            if let MountSpecSource::Volume { name, .. } = &mount.source {
                assert!(
                    self.found.volumes.contains_key(name),
                    "volume {name} is not there for {}",
                    spec.name
                );
            }
        }
        let observed = ObservedContainer {
            spec: spec.clone(),
            state: ContainerState::Created,
            created_at: now,
            started_at: None,
            finished_at: None,
            restarts: 0,
            asked_to_stop: false,
        };
        self.found.containers.insert(spec.id.clone(), observed);
    }

    fn start(&mut self, id: &ContainerId, now: Timestamp) {
        let spec = self.found.containers[id].spec.clone();
        if let NetworkNamespace::Instance(name) = &spec.network {
            assert!(self.found.instances[name].present, "{name} has no namespace");
            for port in &spec.published {
                let holders = self.reserved.get(&(port.target.protocol, port.host_port));
                assert!(
                    holders.is_some_and(|holders| holders.contains(name)),
                    "{name} starts without {port}"
                );
            }
        }
        let ends = self.one_shots.contains(&spec.service) || !spec.role.is_replica();
        let observed = self.found.containers.get_mut(id).unwrap();
        assert!(!found::is_running(observed), "{} is started while it runs", spec.name);
        let health = spec.health.as_ref().map(|_| Health::Healthy);
        observed.state = match ends {
            true => ContainerState::Exited { exit: ExitStatus::Code(0) },
            false => ContainerState::Running { health, paused: false },
        };
        observed.started_at = Some(now);
        observed.asked_to_stop = false;
        if let (true, NetworkNamespace::Instance(name)) = (ends, &spec.network) {
            self.give_ports_back(name);
        }
    }

    fn await_one(&self, id: &ContainerId, until: Until) {
        let container = &self.found.containers[id];
        let done = match (until, container.state) {
            (Until::Healthy, ContainerState::Running { health, .. }) => health == Some(Health::Healthy),
            (Until::RunningOrHealthy, ContainerState::Running { health, .. }) => {
                health.is_none() || health == Some(Health::Healthy)
            }
            (Until::Completed | Until::RunningOrHealthy, ContainerState::Exited { exit }) => {
                exit == ExitStatus::Code(0)
            }
            (Until::Ended, ContainerState::Exited { .. }) => true,
            (_, ContainerState::Created | ContainerState::Restarting { .. }) => false,
            (Until::Healthy, ContainerState::Exited { .. }) => false,
            (Until::Completed | Until::Ended, ContainerState::Running { .. }) => false,
        };
        assert!(done, "{} is awaited as {until} and is {:?}", container.spec.name, container.state);
    }

    fn give_ports_back(&mut self, instance: &InstanceName) {
        self.reserved.values_mut().for_each(|holders| _ = holders.remove(instance));
    }

    /// Returns the dependencies of a container that is about to start which are not as it wants them: of
    /// those that `project` knows, and that run or that `plan` starts.
    pub(crate) fn unmet(&self, id: &ContainerId, project: &Project, plan: &Plan) -> Vec<String> {
        let is_started = |id: &ContainerId| {
            plan.steps.iter().any(|step| match &step.action {
                Action::StartContainer(target) => target.id == *id,
                _other => false,
            })
        };
        let spec = &self.found.containers[id].spec;
        let mut unmet = Vec::new();
        for (needed, dependency) in
            spec.depends_on.iter().filter(|(needed, _)| project.services.contains_key(*needed))
        {
            let all = self.found.containers.values();
            let theirs = all.filter(|one| {
                one.spec.service == *needed && (found::is_live(one) || is_started(&one.spec.id))
            });
            for one in theirs.filter(|one| matches!(one.spec.role, Role::Replica(_))) {
                let met = match (dependency.condition, one.state) {
                    (Condition::ServiceStarted, _) => one.started_at.is_some(),
                    (Condition::ServiceHealthy, ContainerState::Running { health, .. }) => {
                        health == Some(Health::Healthy)
                    }
                    (Condition::ServiceCompletedSuccessfully, ContainerState::Exited { exit }) => {
                        exit == ExitStatus::Code(0)
                    }
                    (Condition::ServiceHealthy | Condition::ServiceCompletedSuccessfully, _) => false,
                };
                if !met {
                    unmet.push(format!("{} needs {}", spec.name, one.spec.name));
                }
            }
        }
        unmet
    }
}

/// Returns what replicas of one service have in common in their names.
fn service_part(instance: &InstanceName) -> &str {
    instance.as_str().rsplit_once('-').map_or(instance.as_str(), |(service, _)| service)
}
