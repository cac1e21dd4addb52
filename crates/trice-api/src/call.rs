//! The requests: one type each, which says its path and what comes back.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trice_model::container::ProcessSpec;
use trice_model::intent::Intent;
use trice_model::name::{ContainerName, ProjectName, ServiceName};
use trice_model::registry::RegistryAccess;
use trice_model::signal::Signal;
use trice_model::time::Timestamp;

use crate::event::{ContainerEvent, OperationEvent};
use crate::stream::StreamNotice;
use crate::view::{ContainerView, EngineView, FindingView, NetworkView, PauseView, PlanView, ProjectView};

/// A request.
pub trait Call: Serialize + DeserializeOwned + JsonSchema {
    /// The last part of its path.
    const PATH: &'static str;
    /// What comes back: the whole answer, or one line of it.
    type Answer: Serialize + DeserializeOwned + JsonSchema;
}

/// Do what is asked for. Answer: lines until it is done.
///
/// The same request again, with the same moment, is the same: a client whose connection broke hears of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operate {
    /// What.
    pub intent: Intent,
    /// When it was asked for, by the client's clock.
    pub asked_at: Timestamp,
    /// How registries are reached. It is not kept: whoever asks again, after an engine's death, says it again.
    #[serde(default)]
    pub access: RegistryAccess,
}

impl Call for Operate {
    const PATH: &'static str = "operate";
    type Answer = OperationEvent;
}

/// Stop what was asked for at that moment: what has begun comes to its end, nothing more begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancel {
    /// Of this project.
    pub project: ProjectName,
    /// As the request said it.
    pub asked_at: Timestamp,
}

impl Call for Cancel {
    const PATH: &'static str = "cancel";
    type Answer = ();
}

/// Say what would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// What is asked for.
    pub intent: Intent,
}

impl Call for Plan {
    const PATH: &'static str = "plan";
    type Answer = PlanView;
}

/// Which containers are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Selection {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of these services; none is all.
    pub services: BTreeSet<ServiceName>,
    /// With these names; none is all.
    pub names: BTreeSet<ContainerName>,
}

/// List containers, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListContainers {
    /// Which.
    pub of: Selection,
}

impl Call for ListContainers {
    const PATH: &'static str = "containers";
    type Answer = Vec<ContainerView>;
}

/// List projects, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListProjects {}

impl Call for ListProjects {
    const PATH: &'static str = "projects";
    type Answer = Vec<ProjectView>;
}

/// List networks, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListNetworks {}

impl Call for ListNetworks {
    const PATH: &'static str = "networks";
    type Answer = Vec<NetworkView>;
}

/// Tell what is wrong with the machine, as far as networks are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Examine {}

impl Call for Examine {
    const PATH: &'static str = "examine";
    type Answer = Vec<FindingView>;
}

/// Tell about the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Describe {}

impl Call for Describe {
    const PATH: &'static str = "engine";
    type Answer = EngineView;
}

/// Send a signal to the running ones. Answer: the names of those that got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kill {
    /// Which.
    pub of: Selection,
    /// The signal.
    pub signal: Signal,
}

impl Call for Kill {
    const PATH: &'static str = "kill";
    type Answer = Vec<ContainerName>;
}

/// Hold the processes of the running ones still, or let them go on. Answer: which ones did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// Which.
    pub of: Selection,
    /// They are held still.
    pub paused: bool,
}

impl Call for Pause {
    const PATH: &'static str = "pause";
    type Answer = PauseView;
}

/// Tell what happens to containers from now on. Answer: lines, without end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// Which.
    pub of: Selection,
}

impl Call for Watch {
    const PATH: &'static str = "watch";
    type Answer = ContainerEvent;
}

/// Give out what containers wrote. Answer: frames; see [`crate::frame`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Logs {
    /// Which containers.
    pub of: Selection,
    /// Go on until they have ended; new ones are taken up.
    pub follow: bool,
    /// Go on even when they have ended.
    pub forever: bool,
    /// At most so many lines of each from before now.
    pub tail: Option<usize>,
    /// Only what was written from then on.
    pub since: Option<Timestamp>,
    /// Only what was written before.
    pub until: Option<Timestamp>,
    /// Only what a container wrote since its last start.
    pub since_start: bool,
    /// Without the first so many lines of each log: a client whose connection broke goes on behind those it has.
    pub after: BTreeMap<ContainerName, u64>,
}

impl Call for Logs {
    const PATH: &'static str = "logs";
    type Answer = ();
}

/// Run a process in a running container. The connection leaves HTTP; see [`crate::stream`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exec {
    /// The container.
    pub container: ContainerName,
    /// The process. Its capabilities and filter are the container's, unless it is privileged.
    pub process: ExecProcess,
}

impl Call for Exec {
    const PATH: &'static str = "exec";
    type Answer = StreamNotice;
}

/// What a process that is run in a container differs in from the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExecProcess {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables over the container's.
    pub env: BTreeMap<String, String>,
    /// In place of the container's working directory.
    pub cwd: Option<String>,
    /// In place of the container's user.
    pub user: Option<String>,
    /// It has a terminal.
    pub tty: bool,
    /// Its standard input is the caller's.
    pub stdin: bool,
    /// It may do all that the engine may.
    pub privileged: bool,
}

impl ExecProcess {
    /// Returns the whole process: these differences over the container's `own`.
    pub fn over(self, own: &ProcessSpec) -> ProcessSpec {
        let mut env = own.env.clone();
        if self.tty {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        env.extend(self.env);
        let mut process = ProcessSpec {
            args: self.args,
            env,
            cwd: self.cwd.unwrap_or_else(|| own.cwd.clone()),
            user: self.user.unwrap_or_else(|| own.user.clone()),
            tty: self.tty,
            stdin_open: self.stdin,
            oom_score_adj: None,
            ..own.clone()
        };
        if self.privileged {
            process.capabilities = trice_model::capability::Capability::all();
            process.seccomp = trice_model::container::SeccompSpec::Unconfined;
        }
        process
    }
}

/// Take part in a running container's terminal or standard input. The connection leaves HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attach {
    /// The container.
    pub container: ContainerName,
}

impl Call for Attach {
    const PATH: &'static str = "attach";
    type Answer = StreamNotice;
}

/// Run a one-off container and take part in it. The connection leaves HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// An [`Intent::Run`].
    pub intent: Intent,
    /// When it was asked for, by the client's clock.
    pub asked_at: Timestamp,
    /// How registries are reached.
    #[serde(default)]
    pub access: RegistryAccess,
}

impl Call for Run {
    const PATH: &'static str = "run";
    type Answer = StreamNotice;
}
