//! Files that are made up, and asked about on both sides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process, thread};

use crate::case::{Case, Outcome};
use crate::deliberate;
use crate::generate::{Generator, schema};
use crate::probe;
use crate::shrink::{mend, shrink};

/// How many cases of one cause are made small and shown.
const SHOWN: usize = 2;

#[derive(Default)]
struct Found {
    causes: BTreeMap<String, (usize, Vec<String>)>,
    different: usize,
    accepted: usize,
    /// How many differ as they should, by the reason for it.
    meant: BTreeMap<&'static str, usize>,
}

/// Compares `count` cases, and prints the smallest of each cause.
pub(crate) fn run(oracle: &str, kind: &str, count: usize, seed: u64) -> ExitCode {
    let schema = schema();
    all(oracle, count, SHOWN, &|number| {
        mended(Generator::new(&schema, seed * 1_000_000 + number as u64).case(kind), number)
    })
}

/// Compares each attribute with each kind of value.
pub(crate) fn probe(oracle: &str) -> ExitCode {
    let cases = probe::cases(&schema());
    all(oracle, cases.len(), 0, &|number| cases[number].clone())
}

fn all(oracle: &str, count: usize, shrunk: usize, make: &(dyn Fn(usize) -> Case + Sync)) -> ExitCode {
    let top = env::temp_dir().join(format!("conformance-{}", process::id()));
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Found::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for worker in 0..workers {
            let (top, next, found) = (&top, &next, &found);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    look(&make(number), &top.join(format!("{worker}-{number}")), oracle, found, shrunk);
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&top);
    let found = found.into_inner().expect("nobody panicked");
    let mut causes: Vec<_> = found.causes.into_iter().collect();
    causes.sort_by_key(|(_, (count, _))| usize::MAX - count);
    for (cause, (count, shown)) in causes.into_iter().filter(|(_, (_, shown))| !shown.is_empty()) {
        println!("=== {count} x {cause}\n{}", shown.join("\n"));
    }
    let same = count - found.different;
    let meant: usize = found.meant.values().sum();
    let same = same - meant;
    for (reason, times) in &found.meant {
        println!("meant: {times} x {reason}");
    }
    println!(
        "{same} of {count} are the same ({} accepted), {meant} differ as is meant, {} otherwise",
        found.accepted, found.different
    );
    if found.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn look(case: &Case, folder: &PathBuf, oracle: &str, found: &Mutex<Found>, shrunk: usize) {
    let outcome = case.outcome(folder, oracle);
    if matches!(outcome, Outcome::Accepted) {
        found.lock().expect("nobody panicked").accepted += 1;
    }
    if let Outcome::Different { key: cause, mut what } = outcome {
        if let Some(reason) = deliberate::reason(&what, &case.flags) {
            *found.lock().expect("nobody panicked").meant.entry(reason).or_default() += 1;
            return;
        }
        let shown = {
            let mut found = found.lock().expect("nobody panicked");
            found.different += 1;
            let (count, _) = found.causes.entry(cause.clone()).or_default();
            *count += 1;
            *count
        };
        let mut small = case.clone();
        if shown <= shrunk {
            let alike = |case: &Case| matches!(case.outcome(folder, oracle), Outcome::Different { key, .. } if key == cause);
            small = shrink(case, &mut |case| alike(case));
            if let Outcome::Different { what: of_small, .. } = small.outcome(folder, oracle) {
                what = of_small;
            }
        }
        if shown <= shrunk || shrunk == 0 {
            let mut text = format!("--- {}\n{what}\n", small.flags.join(" "));
            for (name, file) in &small.files {
                let file = file.text();
                if !file.trim().is_empty() && !name.ends_with(".env") {
                    text += &format!(
                        "  # {name}\n{}",
                        file.lines().map(|line| format!("  | {line}\n")).collect::<String>()
                    );
                }
            }
            if shrunk == 0 {
                println!("=== {cause}\n{text}");
                return;
            }
            let mut found = found.lock().expect("nobody panicked");
            found.causes.entry(cause).or_default().1.push(text);
        }
    }
    let _ = fs::remove_dir_all(folder);
}

/// Takes what we refuse out of most cases: refusals say little.
fn mended(case: Case, number: usize) -> Case {
    if number.is_multiple_of(5) { case } else { mend(case) }
}
