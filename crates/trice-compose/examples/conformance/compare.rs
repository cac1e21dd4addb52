//! Two models as JSON, and where they differ.

use serde_json::{Map, Value as Json};

/// Adds to `told` each place where `ours` and `theirs` differ.
pub(crate) fn compare(path: &str, ours: &Json, theirs: &Json, told: &mut Vec<String>) {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let nothing = Json::String("(nothing)".to_owned());
                let at = |map: &Map<String, Json>| map.get(key).cloned().unwrap_or(nothing.clone());
                compare(&format!("{path}.{key}"), &at(a), &at(b), told);
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter()
                .zip(b)
                .enumerate()
                .for_each(|(at, (a, b))| compare(&format!("{path}[{at}]"), a, b, told));
        }
        (Json::Number(a), Json::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => told.push(format!("  {path}: ours {a}, theirs {b}")),
    }
}
