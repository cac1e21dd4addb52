//! `system`: all that there is.

pub(crate) mod df;
pub(crate) mod prune;

use clap::Subcommand;

use self::df::DfArgs;
use self::prune::PruneArgs;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `system`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    /// Print how much room everything takes
    Df(DfArgs),
    /// Remove what nobody uses
    Prune(PruneArgs),
}

/// Carries out `system`.
pub(crate) async fn run(command: &SystemCommand, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("system")?;
    match command {
        SystemCommand::Df(args) => df::run(args, invocation).await,
        SystemCommand::Prune(args) => prune::run(args, invocation).await,
    }
}
