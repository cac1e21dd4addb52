//! The command line: arguments in, requests out, answers rendered.
//!
//! ```text
//! arguments unhonoured ── commands/* ── invocation project disk environment directories console registries
//!                             │
//! operation transfer exchange ┼──── conversation terminal relay ──► engine       requests
//!                             │
//!      build progress/* logs/* table template listing words failure ──► output         answers
//! ```
//!
//! The same binary is the keeper and the engine: which one, its first argument says.
//!
//! Invariants:
//!
//! - What a command means and how its answer looks are functions from values to values.
//! - Results go to the standard output, talk to the standard error.
//! - A flag is honoured or refused, never ignored.
#![forbid(unsafe_code)]

mod arguments;
mod attached;
mod attachment;
mod build;
mod clock;
mod commands;
mod console;
mod conversation;
mod directories;
mod disk;
mod engine;
mod environment;
mod exchange;
mod failure;
mod interrupts;
mod invocation;
mod listing;
mod logs;
mod moment;
mod operation;
mod output;
mod progress;
mod project;
mod question;
mod registries;
mod relay;
mod table;
mod template;
mod terminal;
mod transfer;
mod unhonoured;
mod words;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use trice_runtime::keeper::start::{self, Role};

use crate::arguments::GlobalArgs;
use crate::console::{Console, ProgressMode};
use crate::environment::Environment;
use crate::failure::{FAILED, Failure};
use crate::invocation::Invocation;

fn main() -> ExitCode {
    // First of all, while there is one thread: a keeper forks, and an engine starts threads of its own.
    match Role::from_arguments(std::env::args_os().skip(1)) {
        Some(Ok(Role::Engine(directories, shared))) => {
            exit_code(trice_engine::start::run(directories, shared))
        }
        Some(Ok(keeper)) => exit_code(start::keep(keeper)),
        Some(Err(error)) => {
            report(&Failure::surroundings("take over what was handed on")(error), None);
            ExitCode::from(FAILED)
        }
        None => ExitCode::from(command_line()),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(FAILED))
}

/// Does what was typed, and returns the code to end with.
fn command_line() -> u8 {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return mistyped(&error),
    };
    let mut invocation = match Invocation::new(arguments.global.clone()) {
        Ok(invocation) => invocation,
        Err(failure) => {
            report(&failure, None);
            return failure.exit_code();
        }
    };
    match commands::carry_out(arguments, &mut invocation) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure, Some(&invocation.console));
            failure.exit_code()
        }
    }
}

/// Says what was mistyped, or the help that was asked for.
fn mistyped(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is there to hear that nobody is there.
        let _ = error.print();
        return 0;
    }
    let variable = std::env::var("COMPOSE_PROGRESS").ok();
    if arguments::asks_for_json(std::env::args_os(), variable.as_deref()) {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let reports = Failure::usage(message).reports();
        let lines = reports.iter().map(failure::Report::json);
        let _ = writeln!(std::io::stderr(), "{}", lines.collect::<Vec<_>>().join("\n"));
    } else {
        let _ = error.print();
    }
    FAILED
}

/// Says why a command failed.
fn report(failure: &Failure, console: Option<&Console>) {
    let usual = || Console::of(&GlobalArgs::default(), &Environment::default()).ok();
    let console = console.copied().or_else(usual);
    let is_json = console.is_some_and(|console| console.progress == ProgressMode::Json);
    let colours = console.is_some_and(|console| console.error_colours);
    for report in failure.reports() {
        let text = if is_json { report.json() } else { report.text(colours) };
        // Nobody is there to hear that nobody is there.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
