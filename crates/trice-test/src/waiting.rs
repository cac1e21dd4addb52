//! Waiting for a condition with a deadline, and never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with something else.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Waits until `condition` brings something, and returns it.
///
/// # Panics
/// If it brings nothing until the deadline; `what` says what was waited for.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(LOOK_AGAIN);
    }
}
