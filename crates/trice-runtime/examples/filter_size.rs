//! Prints how long the default system call filter is, and how long it takes to compile it.
//!
//! ```text
//! cargo run --release -p trice-runtime --example filter_size
//! ```
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use trice_model::capability::Capability;
use trice_runtime::seccomp::compile;
use trice_runtime::seccomp::machine::Machine;
use trice_runtime::seccomp::profile::Profile;

fn main() -> Result<(), Box<dyn Error>> {
    let sets =
        [("none", BTreeSet::new()), ("default", Capability::default_set()), ("all", Capability::all())];
    for machine in ["x86_64", "aarch64"] {
        for (name, capabilities) in &sets {
            let started = Instant::now();
            let program =
                compile(&Profile::default_profile(), capabilities, &Machine::from_uname(machine, "6.1")?)?;
            let time = started.elapsed();
            println!(
                "{machine}, capabilities {name}: {} instructions, compiled in {time:.0?}",
                program.len()
            );
        }
    }
    Ok(())
}
