//! Whether, and when, an exited container starts again.
//!
//! ```text
//!            exit                   delay over
//! Running ──────────► StartAt(t) ─────────────► Running
//!    └── asked to stop, or the policy says no ──► Stay
//! ```
//!
//! Sources: Compose Specification, `05-services.md`, "restart"; moby `restartmanager`, whose delays and
//! limits users know: 100 ms, doubled at each quick exit up to a minute.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::container::{ContainerState, ExitStatus, ObservedContainer};
use trice_model::restart::RestartPolicy;
use trice_model::time::Timestamp;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran this long did its work for a while: the next delay begins from the shortest again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Why a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Somebody asked for it.
    Asked,
    /// By itself, so.
    Itself(ExitStatus),
}

/// What is remembered of a container's exits since somebody started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// How often it was started again by itself.
    pub restarts: u32,
    /// How many of the last runs in a row were short.
    pub short_runs: u32,
}

impl Tally {
    /// Counts an exit after a run of `ran`.
    pub fn exited(self, ran: Duration) -> Self {
        let short_runs = if ran >= LONG_RUN { 1 } else { self.short_runs.saturating_add(1) };
        Self { short_runs, ..self }
    }

    /// Counts a start that nobody asked for.
    pub fn restarted(self) -> Self {
        Self { restarts: self.restarts.saturating_add(1), ..self }
    }
}

/// What follows an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// Nothing: it has ended.
    Stay,
    /// It is started at this moment.
    StartAt(Timestamp),
}

/// Returns what follows `exit`, which `tally` has counted; `now` is the caller's clock.
pub fn after_exit(policy: RestartPolicy, exit: Exit, tally: Tally, now: Timestamp) -> Next {
    use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
    match (policy, exit) {
        (_, Exit::Asked) | (No, Exit::Itself(_)) | (OnFailure { .. }, Exit::Itself(ExitStatus::Code(0))) => {
            Next::Stay
        }
        (OnFailure { max_retries: Some(max) }, Exit::Itself(_)) if tally.restarts >= max => Next::Stay,
        (OnFailure { .. } | Always | UnlessStopped, Exit::Itself(_)) => {
            Next::StartAt(now.plus(delay(tally.short_runs)))
        }
    }
}

/// Tells whether `container`, which does not run, is started when the machine or the keeper has come up
/// again.
///
/// A container that was never started is not: an `up` that was cut off goes on with it by its own intent.
pub fn after_boot(container: &ObservedContainer) -> bool {
    let exit = match container.state {
        ContainerState::Created | ContainerState::Running { .. } => return false,
        ContainerState::Restarting { exit, .. } | ContainerState::Exited { exit } => exit,
    };
    match container.spec.restart {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !container.asked_to_stop,
        RestartPolicy::OnFailure { .. } => !container.asked_to_stop && exit != ExitStatus::Code(0),
    }
}

fn delay(short_runs: u32) -> Duration {
    let doublings = short_runs.saturating_sub(1).min(31);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn next(policy: &str, exit: Exit, tally: Tally) -> Option<Duration> {
        match after_exit(policy.parse().unwrap(), exit, tally, NOW) {
            Next::Stay => None,
            Next::StartAt(at) => Some(at.since(NOW)),
        }
    }

    fn failed() -> Exit {
        Exit::Itself(ExitStatus::Code(1))
    }

    #[test]
    fn each_policy_answers_each_exit() {
        let (once, first) = (Tally::default().exited(Duration::ZERO), Some(FIRST_DELAY));
        let done = Exit::Itself(ExitStatus::Code(0));
        let cases = [
            ("no", None, None),
            ("always", first, first),
            ("unless-stopped", first, first),
            ("on-failure", first, None),
        ];
        for (policy, after_failure, after_success) in cases {
            assert_eq!(next(policy, failed(), once), after_failure, "{policy}");
            assert_eq!(next(policy, done, once), after_success, "{policy}");
            assert_eq!(next(policy, Exit::Asked, once), None, "{policy}");
        }
        assert_eq!(next("on-failure", Exit::Itself(ExitStatus::Signal(9)), once), first);
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_a_long_run_resets_it() {
        let mut tally = Tally::default();
        let delays: Vec<u128> = (0..12)
            .map(|_| {
                tally = tally.exited(Duration::from_secs(1));
                next("always", failed(), tally).map_or(0, |delay| delay.as_millis())
            })
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        tally = tally.exited(Duration::from_secs(10));
        assert_eq!(next("always", failed(), tally), Some(FIRST_DELAY));
        let forever = Tally { restarts: u32::MAX, short_runs: u32::MAX }.exited(Duration::ZERO);
        assert_eq!(next("always", failed(), forever), Some(LONGEST_DELAY));
    }

    #[test]
    fn retries_are_counted_since_somebody_started_it_however_long_the_runs_are() {
        let twice = Tally::default().restarted().restarted().exited(Duration::from_secs(60));
        assert!(next("on-failure:3", failed(), twice).is_some());
        assert_eq!(next("on-failure:3", failed(), twice.restarted()), None);
    }

    #[test]
    fn after_a_reboot_a_stopped_container_comes_back_only_with_always() {
        let cases = [
            ("no", [false, false]),
            ("always", [true, true]),
            ("unless-stopped", [true, false]),
            ("on-failure", [true, false]),
        ];
        for (policy, expected) in cases {
            let restarts = [false, true].map(|asked_to_stop| {
                let mut container = testing::container("web", 1);
                container.spec.restart = policy.parse().unwrap();
                container.asked_to_stop = asked_to_stop;
                container.state = ContainerState::Exited { exit: ExitStatus::Unknown };
                after_boot(&container)
            });
            assert_eq!(restarts, expected, "{policy}");
        }
    }
}
