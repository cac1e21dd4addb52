//! Probes that tell whether a running container does its work.
//!
//! Source: Compose Specification, `05-services.md`, "healthcheck".

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The command of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// Runs these arguments.
    Command(Vec<String>),
    /// Runs this text in the container's shell.
    Shell(String),
}

/// What a Compose file or an image says about a probe; what is absent comes from the image or the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Healthcheck {
    /// No probe, whatever the image says.
    pub disable: bool,
    /// The command.
    pub test: Option<HealthTest>,
    /// The time from the end of one probe to the beginning of the next.
    pub interval: Option<Duration>,
    /// The time after which a probe has failed.
    pub timeout: Option<Duration>,
    /// How many failures in a row make the container unhealthy.
    pub retries: Option<u32>,
    /// The time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// The interval within the start period.
    pub start_interval: Option<Duration>,
}

/// A probe with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthSpec {
    /// The command.
    pub test: HealthTest,
    /// The time from the end of one probe to the beginning of the next.
    pub interval: Duration,
    /// The time after which a probe has failed.
    pub timeout: Duration,
    /// How many failures in a row make the container unhealthy.
    pub retries: u32,
    /// The time after the start in which failures do not count.
    pub start_period: Duration,
    /// The interval within the start period.
    pub start_interval: Duration,
}

/// What the probes of a running container have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Not yet known.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// As many probes in a row failed as the specification allows.
    Unhealthy,
}
