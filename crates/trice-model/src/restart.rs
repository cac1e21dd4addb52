//! What happens to a container that has ended.
//!
//! Source: Compose Specification, `05-services.md`, "restart".

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an exited container is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After every exit that nobody asked for, and when the machine has come up again.
    Always,
    /// As `Always`, but a container that was stopped stays so.
    UnlessStopped,
    /// After exits with another code than 0.
    OnFailure {
        /// How often in a row at most; `None` is without end.
        max_retries: Option<u32>,
    },
}

/// A text that is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a restart policy: write `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:3`"
)]
pub struct RestartError(String);

impl FromStr for RestartPolicy {
    type Err = RestartError;

    fn from_str(text: &str) -> Result<Self, RestartError> {
        match text.split_once(':') {
            None => match text {
                "no" | "" => Ok(Self::No),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                "on-failure" => Ok(Self::OnFailure { max_retries: None }),
                _ => Err(RestartError(text.to_owned())),
            },
            Some(("on-failure", count)) => {
                let max = count.parse().map_err(|_| RestartError(text.to_owned()))?;
                Ok(Self::OnFailure { max_retries: (max > 0).then_some(max) })
            }
            Some(_) => Err(RestartError(text.to_owned())),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure { max_retries: None } => f.write_str("on-failure"),
            Self::OnFailure { max_retries: Some(max) } => write!(f, "on-failure:{max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(text.parse::<RestartPolicy>().map(|policy| policy.to_string()).as_deref(), Ok(text));
        }
        for bad in ["sometimes", "on-failure:x", "always:3"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }
}
