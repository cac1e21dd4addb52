//! Containers and projects as a client sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trice_model::container::{ContainerState, Role};
use trice_model::id::ContainerId;
use trice_model::name::{ContainerName, NetworkName, ProjectName, ServiceName};
use trice_model::port::{ContainerPort, PublishedPort};
use trice_model::time::Timestamp;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectView {
    /// Its name.
    pub name: ProjectName,
    /// The files that it was last read from.
    pub files: Vec<PathBuf>,
    /// How many of its containers are in each state, by the state's word.
    pub states: BTreeMap<String, usize>,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineView {
    /// Its version.
    pub version: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// One line a step.
    pub text: String,
    /// The same for programs.
    pub json: serde_json::Value,
    /// There is nothing to do.
    pub empty: bool,
}

/// Returns the word for a state.
pub fn state_word(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running { .. } => "running",
        ContainerState::Restarting { .. } => "restarting",
        ContainerState::Exited { .. } => "exited",
    }
}
