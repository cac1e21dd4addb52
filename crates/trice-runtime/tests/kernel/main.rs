//! Containers, keepers and engines against the kernel's own answer.
//!
//! The program of these tests is started again as the keeper, as an engine and as what runs in a container; only then
//! does it hold what the real one holds. So it has a `main` of its own, and runs the tests by `libtest-mimic`, with the
//! arguments that `cargo test` knows.
//!
//! ```text
//! main ─► keeper?  engine?  payload?  else: tests
//! realm           one keeper, its folders, and the test in the engine's place
//! actor           an engine that does what a test tells it, and can be killed
//! payload         what the tests run in containers beside a shell
//! ```
//!
//! They take root. Each has folders, cgroups and namespaces of its own, and fails if it leaves anything of them.

mod actor;
mod attacks;
mod cgroups;
mod deaths;
mod execs;
mod failures;
mod init;
mod isolation;
mod logs;
mod mounts;
mod payload;
mod processes;
mod realm;
mod releases;
mod spec;
mod terminals;
mod vault;

use std::process::exit;

use libtest_mimic::{Arguments, Failed, Trial};
use trice_runtime::keeper::start::{Role, keep};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    match Role::from_arguments(arguments.by_ref()) {
        Some(Ok(Role::Engine(directories, shared))) => exit(actor::run(directories, shared)),
        Some(Ok(role)) => exit(keep(role)),
        Some(Err(_)) => exit(2),
        None => {}
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = words.as_slice()
        && first == payload::ARGUMENT
    {
        exit(payload::run(rest));
    }
    libtest_mimic::run(&Arguments::from_args(), all_trials()).exit();
}

fn all_trials() -> Vec<Trial> {
    let all = [
        attacks::trials(),
        cgroups::trials(),
        deaths::trials(),
        execs::trials(),
        failures::trials(),
        init::trials(),
        isolation::trials(),
        logs::trials(),
        mounts::trials(),
        processes::trials(),
        releases::trials(),
        terminals::trials(),
        vault::trials(),
    ];
    all.into_iter().flatten().collect()
}

/// Makes a trial of each function, named after it.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            vec![$(crate::trial(concat!(module_path!(), "::", stringify!($test)), $test)),*]
        }
    };
}
pub(crate) use tests;

/// Makes a trial of a test.
pub(crate) fn trial(name: &str, test: fn()) -> Trial {
    let name = name.trim_start_matches("kernel::");
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}
