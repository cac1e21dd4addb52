//! Compares `config` with what Docker Compose said of the same files.
//!
//! Takes a folder with `inputs/` and `expected.json`: for each file below `inputs/`, whether it was accepted, and the
//! model as JSON with `@ROOT@` for the path of `inputs/`. `overrides` names files beside it that are merged over it,
//! `flags` those of `config` that were given, `services` and `profiles` what was asked for.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program for developers, which reads files"
)]
#![allow(clippy::print_stdout, reason = "a program for developers, which prints what differs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use serde::Deserialize;
use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::model;
use trice_compose::request::{Request, Skip};

#[derive(Deserialize)]
struct Expected {
    accepted: bool,
    model: Option<Json>,
    reason: Option<String>,
    #[serde(default)]
    overrides: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    profiles: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, at_most as u64), &mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let folder = fs::metadata(path).ok()?.is_dir();
        Some(if folder { FileKind::Folder } else { FileKind::File })
    }
}

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1).map(PathBuf::from) else {
        println!("usage: conformance FOLDER");
        return ExitCode::FAILURE;
    };
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
    let usual = [("PATH", "/usr/bin:/bin"), ("HOME", "/root")];
    let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flag = |name: &str| expected.flags.iter().any(|flag| flag == name);
    let request = Request {
        files: [vec![path.file_name()?.to_string_lossy().into_owned()], expected.overrides.clone()].concat(),
        project_name: Some("ref".to_owned()),
        current_dir: path.parent()?.to_owned(),
        environment: expected.environment.clone().into_iter().chain(usual).collect(),
        services: expected.services.clone(),
        profiles: expected.profiles.clone(),
        skip: Skip {
            interpolation: flag("--no-interpolate"),
            normalisation: flag("--no-normalize"),
            paths: flag("--no-path-resolution"),
            consistency: flag("--no-consistency"),
            env_files: flag("--no-env-resolution"),
        },
        home: Some(PathBuf::from("/root")),
        ..Request::default()
    };
    match model(&request, &Disk) {
        Err(mistakes) if expected.accepted => Some(format!("  refused: {mistakes}")),
        Err(_) => None,
        Ok(_) if !expected.accepted => {
            Some(format!("  accepted, not refused: {}", expected.reason.as_deref().unwrap_or_default()))
        }
        Ok((model, _)) => {
            let root = inputs.display().to_string();
            let ours = config::json(&model).replace(&root, "@ROOT@");
            let ours: Json = serde_json::from_str(&ours).expect("our own JSON is JSON");
            let mut told = Vec::new();
            compare("", &ours, expected.model.as_ref()?, &mut told);
            (!told.is_empty()).then(|| told.join("\n"))
        }
    }
}

fn compare(path: &str, ours: &Json, theirs: &Json, told: &mut Vec<String>) {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let nothing = Json::String("(nothing)".to_owned());
                let at =
                    |map: &serde_json::Map<String, Json>| map.get(key).cloned().unwrap_or(nothing.clone());
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
