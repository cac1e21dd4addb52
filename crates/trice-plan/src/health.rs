//! What a probe's outcome makes of a container, and when the next probe is due.
//!
//! ```text
//!              success                 success
//!  Starting ────────────► Healthy ◄──────────── Unhealthy
//!      │   `retries` failures │  `retries` failures  ▲
//!      └──────────────────────┴──────────────────────┘
//! ```
//!
//! Nobody should wait a whole interval to hear that a container has been at work since its first moment. So probes begin
//! at once and follow each other ever more slowly, until the first regular one is due; those early ones can only
//! succeed. Nor do failures count of probes that began in the start period, while nothing has succeeded yet; one
//! success ends that grace at once.
//!
//! ```text
//! start        interval, or start period if longer
//!   │ │  │    │        │                  │                  │
//!   └─early, at 50 ms, then doubled──► regular, by interval ────►
//!     failures do not count              failures count
//! ```
//!
//! Sources: Compose Specification, `05-services.md`, "healthcheck"; moby `daemon/health.go`, which waits for the first
//! interval.

use std::time::Duration;

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
    if probes.health == Health::Starting && began_at.since(probes.started_at) < grace(spec) {
        return probes;
    }
    let failures = probes.failures.saturating_add(1);
    let health = if failures >= spec.retries { Health::Unhealthy } else { probes.health };
    Probes { health, failures, ..probes }
}

/// The first early probe comes after this.
const EARLIEST: Duration = Duration::from_millis(50);

/// Returns how long after the start failures do not count.
fn grace(spec: &HealthSpec) -> Duration {
    spec.start_period.max(spec.interval)
}

fn next_probe(spec: &HealthSpec, probes: Probes, now: Timestamp) -> Timestamp {
    let since_start = now.since(probes.started_at);
    let grace_left = grace(spec).saturating_sub(since_start);
    if probes.health != Health::Starting || grace_left.is_zero() {
        return now.plus(spec.interval);
    }
    // As long again as it has been: doubling. Not slower than the start interval, and not beyond the end of the grace.
    let early = since_start.max(EARLIEST).min(spec.start_interval).min(grace_left);
    now.plus(early)
}

#[cfg(test)]
mod tests {
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

    /// Plays outcomes one after the other, each probe taking no time; returns `millisecond health failures` a probe.
    fn play(spec: &HealthSpec, outcomes: &str) -> Vec<String> {
        let (mut probes, mut due) = at_start(spec, second(0));
        outcomes
            .chars()
            .map(|outcome| {
                let began = due;
                (probes, due) =
                    after_probe(spec, probes, Probe { began_at: due, succeeded: outcome == '+' }, due);
                format!("{} {:?} {}", began.0 / 1_000_000, probes.health, probes.failures)
            })
            .collect()
    }

    #[test]
    fn early_probes_follow_ever_more_slowly_and_only_a_success_of_theirs_counts() {
        assert_eq!(
            play(&spec(0), "----+"),
            ["50 Starting 0", "100 Starting 0", "200 Starting 0", "400 Starting 0", "800 Healthy 0"]
        );
    }

    #[test]
    fn from_the_first_interval_on_three_failures_in_a_row_are_unhealthy_and_one_success_is_healthy_again() {
        let played = play(&spec(0), "---------------+");
        let late: Vec<&str> =
            played.iter().map(String::as_str).skip_while(|line| !line.starts_with("30000")).collect();
        assert_eq!(late, ["30000 Starting 1", "60000 Starting 2", "90000 Unhealthy 3", "120000 Healthy 0"]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_however_long_it_is() {
        let played = play(&spec(60), &"-".repeat(24));
        let last_free = played.iter().rposition(|line| line.ends_with(" 0"));
        assert!(last_free.is_some_and(|at| played[at + 1] == "60000 Starting 1"), "{played:?}");
    }

    #[test]
    fn a_success_ends_the_grace() {
        assert_eq!(
            play(&spec(300), "+---"),
            ["50 Healthy 0", "30050 Healthy 1", "60050 Healthy 2", "90050 Unhealthy 3"]
        );
    }
}
