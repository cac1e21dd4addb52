//! One line a change, for logs of a CI and for eyes that follow.

use trice_api::event::StepEvent;

use super::{kind, word};

/// Writes a step as a line.
pub(super) fn step(step: &StepEvent) -> String {
    let detail = step.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
    format!(" {} {}  {}{detail}\n", kind(step.object), step.name, word(step))
}
