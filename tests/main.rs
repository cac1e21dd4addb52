//! Scenarios: whole projects, through the binary, on real programs.
//!
//! They need root, the programs that `tests/run` installs, and nothing else. Each has a machine of its own.
#![allow(missing_docs, reason = "tests say what they are for in their names")]
#![allow(clippy::print_stderr, reason = "what a failed test shows")]

mod arrows;
mod attestations;
mod build;
mod build_budget;
mod build_cache;
mod build_network;
mod commands;
mod config;
mod crowd;
mod deaths;
mod examples;
mod images;
mod inside;
mod mistakes;
mod networks;
mod platforms;
mod registry;
mod repositories;
mod scenario;
mod starts;
