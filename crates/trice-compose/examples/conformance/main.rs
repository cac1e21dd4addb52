//! Compares `config` with what Docker Compose says of the same files.
//!
//! ```text
//! conformance corpus FOLDER                     files whose answers are written down
//! conformance random ORACLE [KIND COUNT SEED]   files that are made up; ORACLE is Docker Compose, or a program that
//!                                               takes its arguments
//! conformance probe ORACLE                      each attribute with one value of each kind
//! ```
//!
//! ```text
//! schema ─ generate ─► tree ─ yaml ─► files ─┬─ ours ──► model or refusal ─┬─ compare ─► same
//!             values                         └─ oracle ─► model or refusal ┘     └─ shrink ─► the smallest files that
//!                                                                                             still differ
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program for developers, which reads files, starts programs and looks at the clock"
)]
#![allow(clippy::print_stdout, reason = "a program for developers, which prints what differs")]

mod case;
mod compare;
mod corpus;
mod deliberate;
mod generate;
mod mutate;
mod numbers;
mod probe;
mod random;
mod shrink;
mod values;
mod yaml;

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["corpus", folder] => corpus::run(Path::new(folder)),
        ["probe", oracle] => random::probe(oracle),
        ["random", oracle] => random::run(oracle, "any", 1000, 1),
        ["random", oracle, kind, count, seed] => match (count.parse(), seed.parse()) {
            (Ok(count), Ok(seed)) => random::run(oracle, kind, count, seed),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    println!(
        "usage: conformance corpus FOLDER\n       conformance random ORACLE [KIND COUNT SEED]\n       conformance probe ORACLE"
    );
    println!("kinds: {}", generate::KINDS.join(", "));
    ExitCode::FAILURE
}
