//! Answers to what clients ask that is no operation.

use std::collections::{BTreeMap, BTreeSet};

use trice_api::call;
use trice_api::fault::{Code, Fault};
use trice_api::view::{ContainerView, EndpointView, NetworkView, PlanView, ProjectView, state_word};
use trice_model::container::{NetworkNamespace, ObservedContainer};
use trice_model::mount::MountSpecSource;
use trice_model::name::{ContainerName, NetworkName};
use trice_model::network::ObservedNetwork;

use crate::engine::{Engine, now};
use crate::event::{Entrance, Question};
use crate::failure;
use crate::record::IntentRecord;
use crate::select::selects;

impl Engine {
    /// Answers. Who asked may have gone meanwhile; then nobody hears it.
    pub(crate) fn answer(&mut self, question: Question) {
        match question {
            Question::Operate(call, listener) => {
                let record = IntentRecord { asked_at: call.asked_at, intent: call.intent };
                self.undertake(record, call.access, Some(listener));
            }
            Question::Cancel(call, reply) => {
                self.cancel(&call);
                let _ = reply.send(());
            }
            Question::Plan(call, reply) => {
                let view = self.plan_view(*call);
                let _ = reply.send(view);
            }
            Question::Containers(call, reply) => {
                let _ = reply.send(self.containers(&call.of));
            }
            Question::Projects(reply) => {
                let _ = reply.send(self.projects());
            }
            Question::Networks(reply) => {
                let _ = reply.send(self.networks());
            }
            Question::Examine(reply) => {
                let _ = reply.send(self.examine());
            }
            Question::Kill(call, reply) => {
                let _ = reply.send(self.kill(&call));
            }
            Question::Pause(call, reply) => self.pause(&call, reply),
            Question::GoOn(container) => self.go_on(&container),
            Question::Watch(call, watcher) => self.watchers.push((call.of, watcher)),
            Question::Enter(name, reply) => {
                let _ = reply.send(self.enter(&name));
            }
            Question::BeginRemoval(reply) => {
                let _ = reply.send(self.begin_removal());
            }
            Question::Attend(name) => drop(self.attended.insert(name)),
            Question::Leave(name) => self.leave(&name),
            Question::Inside(name, writes, reply) => {
                let _ = reply.send(self.inside(&name, writes));
            }
            Question::Volumes(reply) => {
                let _ = reply.send(self.mounted_volumes());
            }
            Question::TakeUnusedVolumes(reply) => {
                let _ = reply.send(self.take_unused_volumes());
            }
            Question::Stdin(name, stdin) => drop(self.inputs.insert(name, stdin)),
            Question::Place(step, guarded, reply) => self.place_step(step, guarded, reply),
            Question::Follow(key, follower) => drop(self.followers.insert(key, follower)),
        }
    }

    /// Goes on with what waited until nobody stayed with a container.
    fn leave(&mut self, name: &ContainerName) {
        self.attended.remove(name);
        let containers = self.world.found.containers.values();
        let of_that_name = containers.filter(|container| container.spec.name == *name);
        self.changed.extend(of_that_name.map(|container| container.spec.project.clone()));
    }

    fn plan_view(&mut self, call: call::Plan) -> Result<PlanView, Fault> {
        let record = IntentRecord { asked_at: now(), intent: call.intent };
        let plan = self.plan(&record, &BTreeSet::new()).map_err(join)?;
        let json = serde_json::to_value(&plan).map_err(|error| failure::of("write the plan", &error))?;
        Ok(PlanView { text: plan.to_string(), json, empty: plan.steps.is_empty() })
    }

    pub(crate) fn selected(&self, of: &call::Selection) -> impl Iterator<Item = &ObservedContainer> {
        self.world.found.containers.values().filter(move |container| {
            let spec = &container.spec;
            selects(of, &spec.project, &spec.service, &spec.name)
        })
    }

    fn containers(&self, of: &call::Selection) -> Vec<ContainerView> {
        let mut views: Vec<_> = self.selected(of).map(|container| self.view(container)).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    fn view(&self, container: &ObservedContainer) -> ContainerView {
        let spec = &container.spec;
        let instance = match &spec.network {
            NetworkNamespace::Instance(name) => self.world.found.instances.get(name),
            NetworkNamespace::Host => None,
        };
        let endpoints = instance.into_iter().flat_map(|instance| &instance.spec.endpoints);
        let networks = endpoints.map(|endpoint| (endpoint.network.clone(), endpoint.addresses().collect()));
        let is_volume = |source: &&MountSpecSource| matches!(source, MountSpecSource::Volume { .. });
        ContainerView {
            id: spec.id.clone(),
            name: spec.name.clone(),
            project: spec.project.clone(),
            service: spec.service.clone(),
            role: spec.role.clone(),
            image: spec.image.to_string(),
            image_id: spec.image_id.clone(),
            command: spec.process.args.clone(),
            state: container.state,
            created_at: container.created_at,
            started_at: container.started_at,
            finished_at: container.finished_at,
            restarts: container.restarts,
            exposed: spec.exposed.iter().copied().collect(),
            published: spec.published.clone(),
            networks: networks.collect(),
            mounts: spec.mounts.iter().filter_map(|mount| mount_source(&mount.source)).collect(),
            local_volumes: spec.mounts.iter().map(|mount| &mount.source).filter(is_volume).count(),
            labels: spec.labels.clone(),
            tty: spec.process.tty,
            attach: spec.attach,
        }
    }

    fn networks(&self) -> Vec<NetworkView> {
        let view = |network: &ObservedNetwork| NetworkView {
            spec: network.spec.clone(),
            present: network.present,
            endpoints: self.endpoints_on(&network.spec.name),
        };
        self.world.found.networks.values().map(view).collect()
    }

    fn endpoints_on(&self, network: &NetworkName) -> Vec<EndpointView> {
        let mut views = Vec::new();
        for container in self.world.found.containers.values().filter(|one| !one.spec.is_guest()) {
            let Some(instance) = self.world.found.instance_of(container) else { continue };
            let endpoints = instance.spec.endpoints.iter().filter(|endpoint| endpoint.network == *network);
            views.extend(endpoints.map(|endpoint| EndpointView {
                container: container.spec.name.clone(),
                id: container.spec.id.clone(),
                mac: endpoint.mac,
                addresses: endpoint.nets().collect(),
                leads_out: endpoint.gateway.is_some() || endpoint.gateway6.is_some(),
            }));
        }
        views.sort_by(|a, b| a.container.cmp(&b.container));
        views
    }

    fn projects(&self) -> Vec<ProjectView> {
        let view = |name: &trice_model::name::ProjectName| {
            let mut states = BTreeMap::new();
            let mut files = Vec::new();
            for container in self.world.found.containers_of(name) {
                *states.entry(state_word(&container.state).to_owned()).or_insert(0) += 1;
                if let Some(label) = container.spec.labels.get("com.docker.compose.project.config_files") {
                    files = label.split(',').filter(|file| !file.is_empty()).map(Into::into).collect();
                }
            }
            ProjectView { name: name.clone(), files, states }
        };
        let all = self.world.projects();
        all.iter().map(view).filter(|project| !project.states.is_empty()).collect()
    }

    fn kill(&mut self, call: &call::Kill) -> Vec<ContainerName> {
        let running: Vec<_> = self
            .selected(&call.of)
            .filter(|container| self.world.processes.contains_key(&container.spec.id))
            .map(|container| (container.spec.id.clone(), container.spec.name.clone()))
            .collect();
        let mut reached: Vec<_> = running
            .into_iter()
            .filter(|(id, _)| self.signal_by_user(id, call.signal))
            .map(|(_, name)| name)
            .collect();
        reached.sort();
        reached
    }

    /// Sends a signal for somebody who means it: a container that he kills is not started again.
    fn signal_by_user(
        &mut self,
        id: &trice_model::id::ContainerId,
        signal: trice_model::signal::Signal,
    ) -> bool {
        if signal == trice_model::signal::Signal::KILL
            && let Some(container) = self.world.found.containers.get_mut(id)
        {
            container.asked_to_stop = true;
            self.remember(id);
        }
        self.signal(id, signal)
    }

    fn enter(&self, name: &ContainerName) -> Result<Entrance, Fault> {
        let not_running = || Fault::new(Code::NotFound, format!("container {name} is not running"));
        let container = self.world.container_named(name).ok_or_else(not_running)?;
        let process = self.world.processes.get(&container.spec.id).ok_or_else(not_running)?;
        let copy = |fd: &std::os::fd::OwnedFd| {
            fd.try_clone().map_err(|error| failure::of_io("copy a descriptor", &error))
        };
        Ok(Entrance {
            spec: container.spec.clone(),
            paused: container.is_paused(),
            init: copy(&process.pidfd)?,
            terminal: process.terminal.as_ref().map(copy).transpose()?,
        })
    }
}

fn mount_source(source: &MountSpecSource) -> Option<String> {
    match source {
        MountSpecSource::Bind(bind) => Some(bind.path.display().to_string()),
        MountSpecSource::Volume { name, .. } => Some(name.to_string()),
        MountSpecSource::Image { image, .. } => Some(image.to_string()),
        MountSpecSource::Tmpfs(_) => None,
    }
}

/// Joins the mistakes of a plan for an answer that has room for one.
fn join(faults: Vec<Fault>) -> Fault {
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else { return Fault::new(Code::Internal, "there is no plan") };
    faults.fold(first, |mut all, fault| {
        let place = fault.path.map(|path| format!("{path}: ")).unwrap_or_default();
        all.message = format!("{}; {place}{}", all.message, fault.message);
        all
    })
}
