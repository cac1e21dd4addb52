//! What an operation tells while it runs, and what happens to containers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::id::ContainerId;
use trice_model::image::ImageRef;
use trice_model::name::{ContainerName, ServiceName};
use trice_model::time::Timestamp;

use crate::fault::Fault;

/// A line of an operation's answer; the last one is `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationEvent {
    /// A step of the plan has begun, gone on or ended.
    Step(StepEvent),
    /// Something that the user should know, and that stops nothing.
    Note(String),
    /// All that was asked for is there.
    Done,
    /// It failed. What had been reached stays as it is.
    Failed(Vec<Fault>),
}

/// How a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepEvent {
    /// What kind of object it is about.
    pub object: ObjectKind,
    /// The object's name.
    pub name: String,
    /// What happens to it, as one word in its running form: `Creating`.
    pub doing: String,
    /// The same when it is over: `Created`.
    pub done: String,
    /// Where it is.
    pub state: StepState,
    /// What else there is to say of it, such as the digest of what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How far it is, for what takes long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// The bytes so far.
    pub bytes: u64,
    /// All its bytes, as far as is known.
    pub of: u64,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// On its way.
    Working,
    /// Over.
    Done,
    /// Failed.
    Failed,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
}

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerEvent {
    /// When.
    pub time: Timestamp,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub container: ContainerName,
    /// Its service.
    pub service: ServiceName,
    /// Its image as the project calls it.
    pub image: ImageRef,
    /// It is a one-off.
    pub oneoff: bool,
    /// What.
    pub what: ContainerChange,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerChange {
    /// It has been made.
    Created,
    /// Its process runs.
    Started,
    /// Its process has ended, with this code.
    Exited {
        /// As a shell shows it.
        code: i32,
        /// It will be started again by itself.
        restarting: bool,
    },
    /// Its probe says that it does its work.
    Healthy,
    /// Its probe says that it does not.
    Unhealthy,
    /// Its processes are held still.
    Paused,
    /// They go on.
    Unpaused,
    /// It is gone.
    Removed,
}
