//! Containers and projects as a client sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::container::{ContainerState, Role};
use trice_model::id::ContainerId;
use trice_model::name::{ContainerName, NetworkName, ProjectName, ServiceName};
use trice_model::network::{MacAddress, NetworkSpec};
use trice_model::port::{ContainerPort, PublishedPort};
use trice_model::time::Timestamp;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerView {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its project.
    pub project: ProjectName,
    /// Its service.
    pub service: ServiceName,
    /// What it is to the service.
    pub role: Role,
    /// Its image, as the project calls it.
    pub image: String,
    /// The image's id.
    #[serde(default)]
    pub image_id: String,
    /// Its program and arguments.
    pub command: Vec<String>,
    /// How it does.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// The ports it listens on, as far as anybody said.
    pub exposed: Vec<ContainerPort>,
    /// The ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// Its networks, with its addresses on each.
    pub networks: BTreeMap<NetworkName, Vec<IpAddr>>,
    /// Where its mounts come from: a volume's name or a path.
    pub mounts: Vec<String>,
    /// How many of them are volumes.
    pub local_volumes: usize,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its standard streams are a terminal.
    pub tty: bool,
    /// Its output is shown by an attached `up`.
    pub attach: bool,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectView {
    /// Its name.
    pub name: ProjectName,
    /// The files that it was last read from.
    pub files: Vec<PathBuf>,
    /// How many of its containers are in each state, by the state's word.
    pub states: BTreeMap<String, usize>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkView {
    /// As it was made.
    pub spec: NetworkSpec,
    /// Its bridge, or the interface that it is on, is there.
    pub present: bool,
    /// What is on it.
    pub endpoints: Vec<EndpointView>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView {
    /// The container.
    pub container: ContainerName,
    /// Its id.
    pub id: ContainerId,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// Its addresses, with the network's mask.
    pub addresses: Vec<IpNet>,
    /// Its default route goes through here.
    pub leads_out: bool,
}

/// Something about the machine that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingView {
    /// How it does.
    pub state: FindingState,
    /// What it is.
    pub what: String,
    /// What mends it.
    pub remedy: Option<String>,
}

/// How something does that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// As it should be.
    Fine,
    /// Something does not work, or not as it could, and may not be wanted.
    Limited,
    /// Something that is wanted does not work.
    Broken,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineView {
    /// Its version.
    pub version: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// One line a step.
    pub text: String,
    /// The same for programs.
    pub json: serde_json::Value,
    /// There is nothing to do.
    pub empty: bool,
}

/// What became of containers that were to be held still, or to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseView {
    /// Those that are, or do.
    pub reached: Vec<ContainerName>,
    /// Those that were, or did, before.
    pub already: Vec<ContainerName>,
}

impl PauseView {
    /// Returns it in the order of the names.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.reached.sort();
        self.already.sort();
        self
    }
}

/// Returns the word for a state.
pub fn state_word(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running { paused: true, .. } => "paused",
        ContainerState::Running { .. } => "running",
        ContainerState::Restarting { .. } => "restarting",
        ContainerState::Exited { .. } => "exited",
    }
}
