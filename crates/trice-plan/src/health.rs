//! What a probe's outcome makes of a container, and when the next probe is due.
//!
//! ```text
//!              success                 success
//!  Starting ────────────► Healthy ◄──────────── Unhealthy
//!      │   `retries` failures │  `retries` failures  ▲
//!      └──────────────────────┴──────────────────────┘
//! ```
//!
//! Failures of probes that began in the start period do not count while nothing has succeeded yet; one
//! success ends that grace at once. While it lasts, probes follow each other by `start_interval`.
//!
//! Sources: Compose Specification, `05-services.md`, "healthcheck"; moby `daemon/health.go`.

use serde::{Deserialize, Serialize};
use trice_model::health::{Health, HealthSpec};
use trice_model::time::Timestamp;

/// What the probes of one run have shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// What follows from them.
    pub health: Health,
    /// How many failures in a row count.
    pub failures: u32,
    /// When the container was started.
    pub started_at: Timestamp,
}

/// A probe that has ended, or was ended by its timeout, which is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub began_at: Timestamp,
    /// It found the container at work.
    pub succeeded: bool,
}

/// Returns the state of a container that was started at `started_at`, and when its first probe is due.
pub fn at_start(spec: &HealthSpec, started_at: Timestamp) -> (Probes, Timestamp) {
    let probes = Probes { health: Health::Starting, failures: 0, started_at };
    (probes, next_probe(spec, probes, started_at))
}

/// Returns the state after `probe`, which ended at `now`, and when the next one is due.
pub fn after_probe(spec: &HealthSpec, probes: Probes, probe: Probe, now: Timestamp) -> (Probes, Timestamp) {
    let after = if probe.succeeded {
        Probes { health: Health::Healthy, failures: 0, ..probes }
    } else {
        after_failure(spec, probes, probe.began_at)
    };
    (after, next_probe(spec, after, now))
}

fn after_failure(spec: &HealthSpec, probes: Probes, began_at: Timestamp) -> Probes {
    if probes.health == Health::Starting && began_at.since(probes.started_at) < spec.start_period {
        return probes;
    }
    let failures = probes.failures.saturating_add(1);
    let health = if failures >= spec.retries { Health::Unhealthy } else { probes.health };
    Probes { health, failures, ..probes }
}

fn next_probe(spec: &HealthSpec, probes: Probes, now: Timestamp) -> Timestamp {
    let grace_left = spec.start_period.saturating_sub(now.since(probes.started_at));
    if probes.health == Health::Starting && !grace_left.is_zero() {
        // Not beyond the end of the grace: from there on the state is wanted soon.
        now.plus(spec.start_interval.min(grace_left))
    } else {
        now.plus(spec.interval)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use trice_model::health::HealthTest;

    fn spec(start_period_s: u64) -> HealthSpec {
        HealthSpec {
            test: HealthTest::Shell("true".to_owned()),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::from_secs(start_period_s),
            start_interval: Duration::from_secs(5),
        }
    }

    fn second(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    /// Plays outcomes one after the other, each probe taking a second; returns `second health failures` a
    /// probe.
    fn play(spec: &HealthSpec, outcomes: &str) -> Vec<String> {
        let (mut probes, mut due) = at_start(spec, second(0));
        outcomes
            .chars()
            .map(|outcome| {
                let probe = Probe { began_at: due, succeeded: outcome == '+' };
                let began_s = due.0 / 1_000_000_000;
                (probes, due) = after_probe(spec, probes, probe, due.plus(Duration::from_secs(1)));
                format!("{began_s} {:?} {}", probes.health, probes.failures)
            })
            .collect()
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy_and_one_success_is_healthy_again() {
        assert_eq!(
            play(&spec(0), "--+---+"),
            [
                "30 Starting 1",
                "61 Starting 2",
                "92 Healthy 0",
                "123 Healthy 1",
                "154 Healthy 2",
                "185 Unhealthy 3",
                "216 Healthy 0"
            ]
        );
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_and_come_at_the_shorter_interval() {
        assert_eq!(
            play(&spec(12), "-----"),
            ["5 Starting 0", "11 Starting 0", "42 Starting 1", "73 Starting 2", "104 Unhealthy 3"]
        );
    }

    #[test]
    fn the_first_probe_waits_no_longer_than_the_start_period() {
        assert_eq!(at_start(&spec(2), second(0)).1, second(2));
        assert_eq!(at_start(&spec(0), second(0)).1, second(30));
    }

    #[test]
    fn a_success_ends_the_start_period() {
        assert_eq!(play(&spec(300), "+---").last().map(String::as_str), Some("98 Unhealthy 3"));
    }
}
