//! What is to change, each thing with its cause: the middle between deciding and ordering.

use std::collections::BTreeMap;
use std::time::Duration;

use trice_model::container::{
    ContainerSpec, ContainerState, ExitStatus, NetworkNamespace, ObservedContainer,
};
use trice_model::health::Health;
use trice_model::name::{ServiceName, VolumeName};
use trice_model::network::{InstanceName, InstanceSpec, NetworkSpec};
use trice_model::port::PublishedPort;
use trice_model::restart::RestartPolicy;
use trice_model::service::Dependency;
use trice_model::volume::VolumeSpec;

use crate::action::{Target, Until};

/// All that is to change, each with its cause.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// Containers that are stopped.
    pub(crate) stops: Vec<(&'a ObservedContainer, String)>,
    /// In place of each container's grace.
    pub(crate) timeout: Option<Duration>,
    /// Containers that are removed.
    pub(crate) removals: Vec<(&'a ObservedContainer, String)>,
    /// Instances that are disconnected, for good or to be connected otherwise.
    pub(crate) disconnects: Vec<(&'a InstanceSpec, String)>,
    /// Networks that are removed, for good or to be made otherwise.
    pub(crate) network_removals: Vec<(&'a NetworkSpec, String)>,
    /// Volumes that are removed.
    pub(crate) volume_removals: Vec<(VolumeName, String)>,
    /// Networks that are made.
    pub(crate) networks: Vec<(NetworkSpec, String)>,
    /// Volumes that are made.
    pub(crate) volumes: Vec<(VolumeSpec, String)>,
    /// Instances that are connected.
    pub(crate) instances: Vec<(InstanceSpec, String)>,
    /// Containers that are made.
    pub(crate) creations: Vec<Creation<'a>>,
    /// Containers that are started.
    pub(crate) starts: Vec<Start>,
    /// The containers of each service that others wait for.
    pub(crate) crew: Crew<'a>,
    /// The services that are waited for at the end, and in which state.
    pub(crate) waits: BTreeMap<ServiceName, Until>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// A container that is made.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    /// The container.
    pub(crate) spec: ContainerSpec,
    /// The one that makes way for it, which is among the removals.
    pub(crate) replaces: Option<&'a ObservedContainer>,
    /// Why.
    pub(crate) cause: String,
}

/// A container that is started.
#[derive(Debug)]
pub(crate) struct Start {
    /// The container.
    pub(crate) target: Target,
    /// Its service.
    pub(crate) service: ServiceName,
    /// The instance it lives in, if not the host's namespace.
    pub(crate) instance: Option<InstanceName>,
    /// The ports of the host that lead to it.
    pub(crate) published: Vec<PublishedPort>,
    /// What it waits for.
    pub(crate) depends_on: BTreeMap<ServiceName, Dependency>,
    /// Why.
    pub(crate) cause: String,
}

impl Start {
    /// Starts the container of `spec`.
    pub(crate) fn of(spec: &ContainerSpec, cause: String) -> Self {
        Self {
            target: Target::of(spec),
            service: spec.service.clone(),
            instance: match &spec.network {
                NetworkNamespace::Instance(name) => Some(name.clone()),
                NetworkNamespace::Host => None,
            },
            published: spec.published.clone(),
            depends_on: spec.depends_on.clone(),
            cause,
        }
    }
}

/// The containers of each service, as they will be.
pub(crate) type Crew<'a> = BTreeMap<ServiceName, Vec<Member<'a>>>;

/// A container that others wait for.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// The container.
    pub(crate) target: Target,
    /// How it does, unless the plan starts it.
    state: Option<&'a ContainerState>,
    has_probe: bool,
    restart: RestartPolicy,
}

impl<'a> Member<'a> {
    /// Returns the container of `spec`, with its `state` if the plan leaves it alone.
    pub(crate) fn new(spec: &ContainerSpec, state: Option<&'a ContainerState>) -> Self {
        Self { target: Target::of(spec), state, has_probe: spec.health.is_some(), restart: spec.restart }
    }

    /// Tells whether there is something to wait for.
    pub(crate) fn is_open(&self, until: Until) -> bool {
        let Some(state) = self.state else { return until != Until::Healthy || self.has_probe };
        let is_healthy = match state {
            ContainerState::Running { health, .. } => *health == Some(Health::Healthy) || !self.has_probe,
            ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Exited { .. } => {
                false
            }
        };
        let has_ended = match state {
            ContainerState::Exited { exit } => Some(*exit),
            ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Running { .. } => {
                None
            }
        };
        let is_done = has_ended == Some(ExitStatus::Code(0));
        match until {
            Until::Healthy => !is_healthy,
            Until::Completed => !is_done,
            Until::RunningOrHealthy => !(is_healthy || (is_done && self.restart == RestartPolicy::No)),
            Until::Ended => has_ended.is_none(),
        }
    }
}
