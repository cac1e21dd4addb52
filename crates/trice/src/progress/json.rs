//! One JSON object a change. The keys that Docker Compose has too mean the same.
//!
//! Source: docker/compose `pkg/progress/json.go`.

use serde_json::json;
use trice_api::event::{StepEvent, StepState};

use super::{kind, word};

/// Writes a step as a line.
pub(super) fn step(step: &StepEvent) -> String {
    let status = match step.state {
        StepState::Working => "Working",
        StepState::Done => "Done",
        StepState::Failed => "Error",
    };
    #[derive(serde::Serialize)]
    struct Line<'a> {
        id: String,
        object: trice_api::event::ObjectKind,
        name: &'a str,
        status: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        current: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<u64>,
    }
    let amount = step.amount;
    let line = Line {
        id: format!("{} {}", kind(step.object), step.name),
        object: step.object,
        name: &step.name,
        status,
        text: word(step),
        detail: step.detail.as_deref(),
        current: amount.map(|amount| amount.bytes),
        total: amount.map(|amount| amount.of),
        percent: amount.map(|amount| (amount.bytes * 100).checked_div(amount.of).unwrap_or(100)),
    };
    // Texts always have a JSON form.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// Writes a note as a line.
pub(super) fn note(text: &str) -> String {
    format!("{}\n", json!({ "level": "note", "text": text }))
}
