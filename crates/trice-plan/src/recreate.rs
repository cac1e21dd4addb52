//! What becomes of the container that is in a place.
//!
//! ```text
//! nothing there                                     create, start
//! there, not as wanted                              stop, remove, create, start
//! as wanted, its instance must be made again        stop, …, start
//! as wanted, running                                keep
//! as wanted, not running                            start, unless it has run for this intent already
//! ```
//!
//! Like Docker Compose, an `up` starts what has ended, a one-shot that has done its work too.

use trice_model::container::{ContainerSpec, ContainerState, ObservedContainer};
use trice_model::time::Timestamp;

use crate::diff;
use crate::found;

/// What becomes of a container, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Keep,
    /// It is started.
    Start(String),
    /// It is stopped, and started.
    Restart(String),
    /// It makes way for another one.
    Recreate(String),
    /// It is made: there is none.
    Create(String),
}

/// Decides what becomes of `old`, where `wanted` should be.
///
/// `moved` tells why the instance is made again, if it is; with `forced` the container is made again in any
/// case.
pub(crate) fn fate(
    old: Option<&ObservedContainer>,
    wanted: &ContainerSpec,
    moved: Option<&str>,
    forced: bool,
    asked_at: Timestamp,
) -> Fate {
    let Some(old) = old else { return Fate::Create("not there yet".to_owned()) };
    // One that was made since the intent came is the forced one.
    let force = (forced && old.created_at < asked_at).then(|| "recreation is forced".to_owned());
    let cause = diff::difference(&old.spec, wanted).or(force);
    match (cause, moved) {
        (Some(cause), _) => Fate::Recreate(cause),
        (None, Some(moved)) if found::is_live(old) => Fate::Restart(moved.to_owned()),
        (None, _) if wants_start(old, asked_at) => Fate::Start("wanted running".to_owned()),
        (None, _) => Fate::Keep,
    }
}

/// Tells whether an intent that came at `asked_at` starts the container: it does not run, and did not run for
/// it.
pub(crate) fn wants_start(container: &ObservedContainer, asked_at: Timestamp) -> bool {
    match container.state {
        ContainerState::Running { .. } => false,
        ContainerState::Created => true,
        ContainerState::Restarting { .. } | ContainerState::Exited { .. } => {
            !has_started_since(container, asked_at)
        }
    }
}

/// Tells whether the container was started since `asked_at`.
pub(crate) fn has_started_since(container: &ObservedContainer, asked_at: Timestamp) -> bool {
    container.started_at.is_some_and(|started| started >= asked_at)
}
