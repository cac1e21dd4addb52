//! Whether what a step waits for has come, may still come, or cannot come any more.

use trice_model::container::{ContainerState, ExitStatus, ObservedContainer};
use trice_model::health::Health;
use trice_model::restart::RestartPolicy;
use trice_plan::action::Until;

/// The answer of a look at one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It has come.
    Met,
    /// It may come.
    Pending,
    /// It cannot come any more, and why.
    Failed(String),
}

/// Looks at a container; `None` if it is gone.
pub(crate) fn look(container: Option<&ObservedContainer>, until: Until) -> Outlook {
    let Some(container) = container else {
        return if until == Until::Ended { Outlook::Met } else { Outlook::Failed("was removed".to_owned()) };
    };
    match until {
        Until::Healthy => healthy(container),
        Until::Completed => completed(container),
        Until::RunningOrHealthy if container.spec.health.is_some() => healthy(container),
        Until::RunningOrHealthy => running(container),
        Until::Ended => match container.state {
            ContainerState::Exited { .. } => Outlook::Met,
            ContainerState::Created | ContainerState::Running { .. } | ContainerState::Restarting { .. } => {
                Outlook::Pending
            }
        },
    }
}

fn healthy(container: &ObservedContainer) -> Outlook {
    match container.state {
        ContainerState::Running { health: Some(Health::Healthy), .. } => Outlook::Met,
        ContainerState::Running { health: Some(Health::Unhealthy), .. } => {
            Outlook::Failed("is unhealthy".to_owned())
        }
        ContainerState::Running { health: None, .. } => {
            Outlook::Failed("has no health check to wait for".to_owned())
        }
        ContainerState::Running { health: Some(Health::Starting), .. }
        | ContainerState::Created
        | ContainerState::Restarting { .. } => Outlook::Pending,
        ContainerState::Exited { exit } => ended(exit),
    }
}

fn completed(container: &ObservedContainer) -> Outlook {
    match container.state {
        ContainerState::Exited { exit: ExitStatus::Code(0) } => Outlook::Met,
        ContainerState::Exited { exit } => ended(exit),
        ContainerState::Created | ContainerState::Running { .. } | ContainerState::Restarting { .. } => {
            Outlook::Pending
        }
    }
}

fn running(container: &ObservedContainer) -> Outlook {
    let one_shot = container.spec.restart == RestartPolicy::No;
    match container.state {
        ContainerState::Running { .. } => Outlook::Met,
        ContainerState::Created | ContainerState::Restarting { .. } => Outlook::Pending,
        // What is not to be started again has done its work.
        ContainerState::Exited { exit: ExitStatus::Code(0) } if one_shot => Outlook::Met,
        ContainerState::Exited { exit } => ended(exit),
    }
}

fn ended(exit: ExitStatus) -> Outlook {
    Outlook::Failed(match exit {
        ExitStatus::Code(code) => format!("exited ({code})"),
        ExitStatus::Signal(number) => {
            format!("was ended by signal {number} (exit code {})", exit_code(number))
        }
        ExitStatus::Unknown => "ended, and nobody saw how".to_owned(),
    })
}

fn exit_code(signal: u8) -> i32 {
    ExitStatus::Signal(signal).code()
}
