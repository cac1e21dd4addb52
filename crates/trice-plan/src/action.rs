//! One call of one back end, with all that the call needs: nothing is left to choose for whoever performs it.
//!
//! Every action ends in its state, whatever part of it was there before, so that it can be performed again.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trice_model::container::{ContainerSpec, ObservedContainer};
use trice_model::id::ContainerId;
use trice_model::image::PlatformImage;
use trice_model::name::{ContainerName, NetworkName, VolumeName};
use trice_model::network::{EndpointSpec, InstanceName, InstanceSpec, NetworkSpec};
use trice_model::port::PublishedPort;
use trice_model::service::PullPolicy;
use trice_model::signal::Signal;
use trice_model::volume::VolumeSpec;

/// A call of a back end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The image is here, by this policy.
    FetchImage {
        /// The image.
        image: PlatformImage,
        /// `Always` asks its source even when something is here.
        policy: PullPolicy,
    },
    /// The network's bridge is there.
    CreateNetwork(Box<NetworkSpec>),
    /// The network is gone.
    RemoveNetwork(NetworkName),
    /// The volume is there.
    CreateVolume(VolumeSpec),
    /// The volume is gone, with its content.
    RemoveVolume(VolumeName),
    /// The instance's network namespace is there, with its interfaces.
    ConnectInstance(InstanceSpec),
    /// The instance's namespace, which stays, has these interfaces and routes; programs in it run on.
    ReshapeInstance(InstanceSpec),
    /// The namespace and what the instance has of the host are gone.
    DisconnectInstance(InstanceName),
    /// These ports of the host are reserved for the instance and no others. They are given back when its
    /// container is stopped, has ended for good or is removed, and when the instance is disconnected.
    /// Replicas of a service share a port: the last one gives it back. An engine that takes over from a dead
    /// one gives back what no container has.
    PublishPorts {
        /// The instance.
        instance: InstanceName,
        /// Its ports, all of them.
        ports: Vec<PublishedPort>,
    },
    /// The container is recorded and has its writable layer, and its process waits for its start.
    CreateContainer(Box<ContainerSpec>),
    /// The container runs: its waiting process goes on, or a stopped container gets a new one.
    StartContainer(Target),
    /// The container does not run, and its pending restart is off.
    StopContainer {
        /// The container.
        container: Target,
        /// The signal that asks for the end.
        signal: Signal,
        /// The time between that and the kill.
        grace: Duration,
    },
    /// The container's record and writable layer are gone.
    RemoveContainer(Target),
    /// Nothing follows before these containers are so.
    Await {
        /// The containers, all of them.
        containers: Vec<Target>,
        /// The state.
        until: Until,
        /// If false, what follows goes on when they cannot be so any more, and this is told.
        required: bool,
    },
}

/// A container as an action means it: the id for the machine, the name for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The id.
    pub id: ContainerId,
    /// The name.
    pub name: ContainerName,
}

impl Target {
    /// Returns the container that `spec` asks for.
    pub fn of(spec: &ContainerSpec) -> Self {
        Self { id: spec.id.clone(), name: spec.name.clone() }
    }
}

/// A state that containers are waited for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The probe succeeds. A container that ends, or gets unhealthy, fails it.
    Healthy,
    /// It has ended with code 0. Another end fails it.
    Completed,
    /// It is healthy, or runs if it has no probe. One that is not to be restarted may also have ended with
    /// code 0; any other end fails it.
    RunningOrHealthy,
    /// It has ended, somehow.
    Ended,
}

impl Action {
    /// Stops `container` in its own way, or with `timeout` in place of its grace.
    pub(crate) fn stop(container: &ObservedContainer, timeout: Option<Duration>) -> Self {
        Self::StopContainer {
            container: Target::of(&container.spec),
            signal: container.spec.stop_signal,
            grace: timeout.unwrap_or(container.spec.stop_grace),
        }
    }
}

impl fmt::Display for Action {
    /// Writes verb, kind and name, as a plan's line begins.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchImage { image, .. } => write!(f, "fetch image {image}"),
            Self::CreateNetwork(spec) => {
                write!(f, "create network {}", spec.name)?;
                spec.subnets().try_for_each(|subnet| write!(f, " {subnet}"))
            }
            Self::RemoveNetwork(name) => write!(f, "remove network {name}"),
            Self::CreateVolume(spec) => write!(f, "create volume {}", short(&spec.name)),
            Self::RemoveVolume(name) => write!(f, "remove volume {}", short(name)),
            Self::ConnectInstance(spec) => {
                write!(f, "connect instance {}", spec.name)?;
                let mut addresses = spec.endpoints.iter().flat_map(EndpointSpec::addresses);
                addresses.try_for_each(|address| write!(f, " {address}"))
            }
            Self::ReshapeInstance(spec) => {
                write!(f, "reshape instance {}", spec.name)?;
                let mut addresses = spec.endpoints.iter().flat_map(EndpointSpec::addresses);
                addresses.try_for_each(|address| write!(f, " {address}"))
            }
            Self::DisconnectInstance(name) => write!(f, "disconnect instance {name}"),
            Self::PublishPorts { instance, ports } => {
                write!(f, "publish ports {instance}")?;
                ports.iter().try_for_each(|port| write!(f, " {port}"))
            }
            Self::CreateContainer(spec) => write!(f, "create container {}", spec.name),
            Self::StartContainer(container) => write!(f, "start container {}", container.name),
            Self::StopContainer { container, .. } => write!(f, "stop container {}", container.name),
            Self::RemoveContainer(container) => write!(f, "remove container {}", container.name),
            Self::Await { containers, until, required } => {
                f.write_str("await")?;
                containers.iter().try_for_each(|container| write!(f, " {}", container.name))?;
                write!(f, " {until}")?;
                if *required { Ok(()) } else { f.write_str(" (optional)") }
            }
        }
    }
}

/// Shortens a name that nobody gave, which looks like an id, to what people see of ids.
fn short(name: &VolumeName) -> String {
    name.as_str().parse::<ContainerId>().map_or_else(|_| name.to_string(), |id| id.short().to_owned())
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Completed => "completed",
            Self::RunningOrHealthy => "running or healthy",
            Self::Ended => "ended",
        })
    }
}
