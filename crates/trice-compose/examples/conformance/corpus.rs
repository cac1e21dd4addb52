//! Files whose answers are written down.
//!
//! A folder with `inputs/` and `expected.json`: for each file below `inputs/`, whether it was accepted, and the model as
//! JSON with `@ROOT@` for the path of `inputs/`. Our own JSON Schema, which editors use, must say of each file what our
//! loader says of its attributes; what attributes say of each other is beyond a schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::load::model;
use trice_compose::request::{Request, Skip};

use crate::case::{Answer, Disk, ours};
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
    let validator = jsonschema::validator_for(&config::schema()).expect("our schema is one");
    let (mut same, mut agreed) = (0, 0);
    for (name, expected) in &cases {
        match differences(&inputs, name, expected) {
            None => same += 1,
            Some(what) => println!("{name}\n{what}"),
        }
        match disagreement(&inputs.join(name), &validator) {
            None => agreed += 1,
            Some(what) => println!("{name}\n  {what}"),
        }
    }
    println!("{same} of {} are the same, on {agreed} the schema agrees with the loader", cases.len());
    if same == cases.len() && agreed == cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns what the schema and the loader say of a file, if it is not the same. The loader is asked for what the file
/// itself says: without what others bring, and without checks of one attribute by another.
fn disagreement(path: &Path, validator: &jsonschema::Validator) -> Option<String> {
    let text = fs::read_to_string(path).expect("the file is there");
    let document = serde_yaml::from_str(&text).and_then(|mut document: serde_yaml::Value| {
        document.apply_merge()?;
        serde_json::to_value(untagged(document)).map_err(serde::de::Error::custom)
    });
    let valid = document.map_err(|error| error.to_string()).and_then(|document| {
        validator.validate(&document).map_err(|error| format!("{}: {error}", error.instance_path()))
    });
    let skip = Skip { consistency: true, env_files: true, interpolation: true, ..Skip::default() };
    let (current_dir, files) = (path.parent()?.to_owned(), vec![path.display().to_string()]);
    let loaded = model(&Request { current_dir, files, skip, ..Request::default() }, &Disk);
    let own = loaded
        .err()
        .into_iter()
        .flat_map(|mistakes| mistakes.0)
        .find(|mistake| !mistake.path.starts_with("include") && !mistake.path.ends_with(".extends"));
    match (valid, own) {
        (Ok(()), None) | (Err(_), Some(_)) => None,
        (valid, own) => Some(format!("schema: {valid:?}, loader: {own:?}")),
    }
}

/// Returns a document without what `!reset` takes away, and with what `!override` puts there, as an editor that knows
/// these tags sees it.
fn untagged(value: serde_yaml::Value) -> serde_yaml::Value {
    use serde_yaml::Value;
    let is_reset = |value: &Value| matches!(value, Value::Tagged(tagged) if tagged.tag == "reset");
    match value {
        Value::Tagged(tagged) => untagged(tagged.value),
        Value::Mapping(entries) => {
            let stays = entries.into_iter().filter(|(_, value)| !is_reset(value));
            Value::Mapping(stays.map(|(key, value)| (key, untagged(value))).collect())
        }
        Value::Sequence(items) => items.into_iter().map(untagged).collect(),
        other => other,
    }
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
