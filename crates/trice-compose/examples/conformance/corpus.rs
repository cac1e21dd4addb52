//! Files whose answers are written down.
//!
//! A folder with `inputs/` and `expected.json`: for each file below `inputs/`, whether it was accepted, and the model as
//! JSON with `@ROOT@` for the path of `inputs/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::case::{Answer, ours};
use crate::compare::compare;

#[derive(Deserialize)]
struct Expected {
    accepted: bool,
    model: Option<Json>,
    reason: Option<String>,
}

/// Compares all files of `folder`, and prints what differs.
pub(crate) fn run(folder: &Path) -> ExitCode {
    let text = fs::read_to_string(folder.join("expected.json")).expect("the folder has expected.json");
    let cases: BTreeMap<String, Expected> =
        serde_json::from_str(&text).expect("expected.json is as described");
    let inputs = fs::canonicalize(folder.join("inputs")).expect("the folder has inputs/");
    let mut same = 0;
    for (name, expected) in &cases {
        match differences(&inputs, name, expected) {
            None => same += 1,
            Some(what) => println!("{name}\n{what}"),
        }
    }
    println!("{same} of {} are the same", cases.len());
    if same == cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn differences(inputs: &Path, name: &str, expected: &Expected) -> Option<String> {
    let path = inputs.join(name);
    let file = path.file_name()?.to_string_lossy().into_owned();
    match ours(path.parent()?, &[file], &BTreeMap::new(), &[]) {
        Answer::Refused(mistakes) if expected.accepted => Some(format!("  refused: {mistakes}")),
        Answer::Refused(_) => None,
        Answer::Model(_) if !expected.accepted => {
            Some(format!("  accepted, not refused: {}", expected.reason.as_deref().unwrap_or_default()))
        }
        Answer::Model(model) => {
            let text = model.to_string().replace(&inputs.display().to_string(), "@ROOT@");
            let model: Json = serde_json::from_str(&text).expect("our own JSON is JSON");
            let mut told = Vec::new();
            compare("", &model, expected.model.as_ref()?, &mut told);
            (!told.is_empty()).then(|| told.join("\n"))
        }
    }
}
