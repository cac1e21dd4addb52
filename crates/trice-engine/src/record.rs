//! What the engine must remember: written before the effect that it describes, removed after it is undone.
//!
//! ```text
//! IntentRecord      what was asked for and is not done yet      a new engine goes on with it
//! NetworkRecord     a network that was made, or is being made   its bridge may be there or not
//! InstanceRecord    a place for a container                     its namespace may be there or not
//! ContainerRecord   a container, and how it does                its process may run or not
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::container::ObservedContainer;
use trice_model::intent::Intent;
use trice_model::name::ProjectName;
use trice_model::network::{InstanceSpec, NetworkSpec};
use trice_model::time::Timestamp;
use trice_plan::restart::Tally;
use trice_state::record::Record;

/// Something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct IntentRecord {
    /// When, which also names it.
    pub(crate) asked_at: Timestamp,
    /// What.
    pub(crate) intent: Intent,
}

impl Record for IntentRecord {
    const TABLE: &'static str = "intents";
    const VERSION: u32 = 2;

    fn key(&self) -> String {
        intent_key(self.intent.project(), self.asked_at)
    }
}

/// Names an intent; the order of the keys is that of the asking.
pub(crate) fn intent_key(project: &ProjectName, asked_at: Timestamp) -> String {
    format!("{:020}/{project}", asked_at.0)
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NetworkRecord {
    /// As it was asked for.
    pub(crate) spec: NetworkSpec,
    /// It is on its way out: its bridge takes a while to go.
    pub(crate) leaving: bool,
}

impl Record for NetworkRecord {
    const TABLE: &'static str = "networks";
    const VERSION: u32 = 2;

    fn key(&self) -> String {
        self.spec.name.to_string()
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InstanceRecord {
    /// As it was asked for.
    pub(crate) spec: InstanceSpec,
}

impl Record for InstanceRecord {
    const TABLE: &'static str = "instances";
    const VERSION: u32 = 2;

    fn key(&self) -> String {
        self.spec.name.to_string()
    }
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ContainerRecord {
    /// As it was asked for, and how it does.
    pub(crate) container: ObservedContainer,
    /// What is remembered of its exits.
    pub(crate) tally: Tally,
    /// Its process, while it runs.
    pub(crate) process: Option<ProcessIdentity>,
}

impl Record for ContainerRecord {
    const TABLE: &'static str = "containers";
    const VERSION: u32 = 2;

    fn key(&self) -> String {
        self.container.spec.id.to_string()
    }
}

/// A process, told from all others that had or will have its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProcessIdentity {
    /// The kernel's id of this boot.
    pub(crate) boot: String,
    /// Its number in the host's pid namespace.
    pub(crate) pid: i32,
    /// When it began, in the kernel's clock ticks since boot.
    pub(crate) began: u64,
}
