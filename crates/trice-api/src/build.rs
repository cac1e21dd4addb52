//! Builds: what is asked for, and what is told on the way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::build::Build as Wanted;
use trice_model::image::RegistryRef;
use trice_model::registry::RegistryAccess;

use crate::call::Call;
use crate::event::Amount;
use crate::fault::Fault;

/// Build images. Answer: lines until it is done. It ends when the client goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Which, side by side as far as none needs another.
    pub orders: Vec<BuildOrder>,
    /// The caller's way to registries.
    #[serde(default)]
    pub access: RegistryAccess,
}

/// One image that is to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildOrder {
    /// What it is called while it is built: the service, as others call it who need its image.
    pub name: String,
    /// How.
    pub build: Wanted,
    /// The names that it gets, those in `build.tags` apart.
    pub images: Vec<RegistryRef>,
}

impl Call for Build {
    const PATH: &'static str = "build";
    type Answer = BuildEvent;
}

/// A line of the answer; the last one is `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuildEvent {
    /// Something happened in the build of that name.
    Of {
        /// The build.
        name: String,
        /// What happened.
        what: BuildChange,
    },
    /// All images are there.
    Done,
    /// Some are not.
    Failed(Vec<Fault>),
}

/// What happened in a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuildChange {
    /// It is known what is to be done: the names of all steps.
    Planned {
        /// They.
        steps: Vec<String>,
    },
    /// A step has begun.
    Began {
        /// Its number, counted from 0.
        step: usize,
    },
    /// A step's command has written a line.
    Output {
        /// The step.
        step: usize,
        /// It was told as an error.
        is_error: bool,
        /// The line.
        line: String,
    },
    /// A step is over.
    Ended {
        /// The step.
        step: usize,
        /// How.
        outcome: StepOutcome,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// An image that it is based on is being fetched.
    Fetching {
        /// The image.
        image: String,
        /// How far it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
    },
    /// Something that the reader should know.
    Warning {
        /// It.
        text: String,
    },
    /// The image is there.
    Built {
        /// Its id.
        image: String,
        /// Its names.
        names: Vec<RegistryRef>,
        /// The machines that it is for; `None` is this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It was done before.
    Cached,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}
