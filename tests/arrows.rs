//! The floors of the workspace: a crate uses only crates on lower floors, and only those that it is meant to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::scenario::run;

/// Each crate, its floor, and the crates of ours that it uses. A new arrow is a decision: write it down here.
const FLOORS: [(&str, u32, &[&str]); 15] = [
    ("trice", 5, &["api", "compose", "engine", "image", "model", "runtime"]),
    (
        "trice-engine",
        4,
        &["api", "build", "dns", "image", "model", "network", "plan", "runtime", "state", "sys", "volume"],
    ),
    ("trice-build", 3, &["dockerfile", "image", "model", "runtime", "state", "sys"]),
    ("trice-compose", 2, &["model"]),
    ("trice-dockerfile", 2, &["model"]),
    ("trice-plan", 2, &["model"]),
    ("trice-runtime", 2, &["model", "state", "sys"]),
    ("trice-network", 2, &["model", "sys"]),
    ("trice-dns", 2, &["model"]),
    ("trice-image", 2, &["model", "state", "sys"]),
    ("trice-volume", 2, &["model", "state", "sys"]),
    ("trice-api", 2, &["model"]),
    ("trice-model", 1, &[]),
    ("trice-state", 1, &["sys"]),
    ("trice-sys", 0, &[]),
];

/// The crates that know no clock, file, environment or randomness.
const PURE: [&str; 4] = ["trice-compose", "trice-dockerfile", "trice-model", "trice-plan"];

/// The arrows between crates of ours that are there, but for those of tests.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let manifest = manifest.to_str().unwrap();
    let metadata = run(
        env!("CARGO"),
        &["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path", manifest],
    );
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo's metadata");
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let uses = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let outside_tests = all.filter(|dependency| dependency["kind"] != "dev");
        outside_tests.map(name).filter(|name| name.starts_with("trice")).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (name(package), uses(package))).filter(|(name, _)| name != "trice-test").collect()
}

#[test]
fn crates_use_those_that_they_are_meant_to_and_all_on_lower_floors() {
    let meant: BTreeMap<String, BTreeSet<String>> = FLOORS
        .into_iter()
        .map(|(name, _, uses)| (name.to_owned(), uses.iter().map(|name| format!("trice-{name}")).collect()))
        .collect();
    assert_eq!(arrows(), meant);
    let floors: BTreeMap<&str, u32> = FLOORS.into_iter().map(|(name, floor, _)| (name, floor)).collect();
    for (name, uses) in &meant {
        for used in uses {
            assert!(
                floors[used.as_str()] < floors[name.as_str()],
                "{name} uses {used}, which is not below it"
            );
        }
    }
}

#[test]
fn pure_crates_are_fenced_and_unsafe_code_has_one_home() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, ..) in FLOORS {
        let folder = crates.join(name);
        let fence = fs::read_link(folder.join("clippy.toml")).ok();
        let is_fenced = fence.is_some_and(|fence| fence == Path::new("../../pure.clippy.toml"));
        assert_eq!(is_fenced, PURE.contains(&name), "{name}");
        let source = ["lib.rs", "main.rs"].map(|file| fs::read_to_string(folder.join("src").join(file)));
        let source: String = source.into_iter().flatten().collect();
        assert_eq!(source.contains("#![forbid(unsafe_code)]"), name != "trice-sys", "{name}");
    }
}
