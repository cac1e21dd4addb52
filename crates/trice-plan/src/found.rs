//! What is there: the planner's second argument.
//!
//! It holds the whole machine and not one project alone: networks of others must not be run into, an external
//! network is somebody else's, and a name or a port of the host exists once. What belongs to whom stands in
//! each spec.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trice_model::container::{ContainerSpec, ContainerState, NetworkNamespace, ObservedContainer};
use trice_model::id::ContainerId;
use trice_model::image::{ObservedImage, PlatformImage};
use trice_model::name::{NetworkName, ProjectName, VolumeName};
use trice_model::network::{InstanceName, ObservedHost, ObservedInstance, ObservedNetwork};
use trice_model::time::Timestamp;
use trice_model::volume::ObservedVolume;

use crate::building::Building;

/// All that this engine has made and remembers, and what it must not collide with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Found {
    /// Networks, of all projects.
    pub networks: BTreeMap<NetworkName, ObservedNetwork>,
    /// Instances, of all projects.
    pub instances: BTreeMap<InstanceName, ObservedInstance>,
    /// Volumes, of all projects.
    pub volumes: BTreeMap<VolumeName, ObservedVolume>,
    /// Containers, of all projects.
    pub containers: BTreeMap<ContainerId, ObservedContainer>,
    /// The images that are here, of those that the intent's project names.
    pub images: BTreeMap<PlatformImage, ObservedImage>,
    /// When they were last compared with their registries, or came here if they never were.
    pub compared: BTreeMap<PlatformImage, Timestamp>,
    /// The images that were fetched for this intent: a `pull_policy: always` is content with them.
    pub fetched: BTreeSet<PlatformImage>,
    /// The network of builds and the steps on it: no project is concerned.
    pub building: Building,
    /// The rest of the machine.
    pub host: ObservedHost,
}

impl Found {
    /// Returns the containers of `project`.
    pub fn containers_of<'a>(
        &'a self,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a ObservedContainer> {
        self.containers.values().filter(move |container| container.spec.project == *project)
    }

    /// Returns the instances of `project`.
    pub fn instances_of<'a>(
        &'a self,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a ObservedInstance> {
        self.instances.values().filter(move |instance| instance.spec.project == *project)
    }

    /// Returns the instance that `container` lives in, if it has one of its own.
    pub fn instance_of(&self, container: &ObservedContainer) -> Option<&ObservedInstance> {
        instance_name(container).and_then(|name| self.instances.get(name))
    }
}

/// Returns the name of the instance that `container` lives in, if it has one of its own.
pub(crate) fn instance_name(container: &ObservedContainer) -> Option<&InstanceName> {
    instance_of(&container.spec)
}

/// Returns the name of the instance that the container of `spec` lives in: its own, or another container's.
pub(crate) fn instance_of(spec: &ContainerSpec) -> Option<&InstanceName> {
    match &spec.network {
        NetworkNamespace::Instance(name) => Some(name),
        NetworkNamespace::Host => None,
    }
}

/// Tells whether the container's process runs.
pub(crate) fn is_running(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Running { .. } => true,
        ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Exited { .. } => false,
    }
}

/// Tells whether the container must be stopped before it can be removed: it runs, or is about to run again.
pub(crate) fn is_live(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Running { .. } | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}

/// Tells whether the container is at an end until somebody starts it: it holds no port and no process.
pub(crate) fn is_at_rest(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Exited { .. } => true,
        ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Running { .. } => false,
    }
}
