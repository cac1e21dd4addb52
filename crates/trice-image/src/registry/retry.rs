//! Whether, and when, a request that failed is made again.
//!
//! ```text
//! transient (5xx, 429, a broken body)  ──► wait, longer each time, as long as the registry says ──► again
//! elsewhere (nobody there, not found)  ──► the next server, if there is one
//! ```

use std::time::Duration;

/// How long one tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a request is made before it has failed for good.
    pub attempts: u32,
    /// How long the first wait is. Each one is twice as long as the one before it.
    pub first_wait: Duration,
    /// What no wait is longer than. A registry that asks for more is told no.
    pub longest_wait: Duration,
    /// How long a connection may take, and how long a registry may say nothing.
    pub silence: Duration,
}

impl Default for Patience {
    /// Six times, half a second and twice that, a minute at most; half a minute of silence.
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            silence: Duration::from_secs(30),
        }
    }
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It may go better soon; the registry may have said when.
    Transient(Option<Duration>),
    /// It will not go better here.
    Final,
}

impl Patience {
    /// Returns how long to wait after the failure number `failures`, the first of which is 1. `None` if it is
    /// the last. `chance` is between 0 and 1: who failed together does not come back together.
    pub(crate) fn wait_after(&self, failures: u32, nature: Nature, chance: f64) -> Option<Duration> {
        let Nature::Transient(asked) = nature else { return None };
        if failures >= self.attempts || asked.is_some_and(|asked| asked > self.longest_wait) {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let own = doubled.min(self.longest_wait).mul_f64(0.5 + chance / 2.0);
        Some(asked.map_or(own, |asked| asked.max(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_HINT: Nature = Nature::Transient(None);

    #[test]
    fn waits_double_up_to_the_longest_and_end_after_the_last_attempt() {
        let patience = Patience::default();
        let waits: Vec<_> = (1..8)
            .map(|failures| patience.wait_after(failures, NO_HINT, 1.0).map(|wait| wait.as_millis()))
            .collect();
        assert_eq!(waits, [Some(500), Some(1000), Some(2000), Some(4000), Some(8000), None, None]);
        let eager = Patience { attempts: 90, ..patience };
        assert_eq!(eager.wait_after(80, NO_HINT, 1.0), Some(patience.longest_wait));
        assert_eq!(patience.wait_after(1, NO_HINT, 0.0), Some(patience.first_wait / 2));
    }

    #[test]
    fn a_registry_says_how_long_to_wait_within_reason() {
        let patience = Patience::default();
        let asked = |seconds| Nature::Transient(Some(Duration::from_secs(seconds)));
        assert_eq!(patience.wait_after(1, asked(7), 0.3), Some(Duration::from_secs(7)));
        assert_eq!(patience.wait_after(1, asked(0), 1.0), Some(patience.first_wait));
        assert_eq!(patience.wait_after(1, asked(3600), 0.3), None);
        assert_eq!(patience.wait_after(1, Nature::Final, 0.3), None);
    }
}
