//! `builder`: what builds may use again.

pub(crate) mod prune;

use clap::Subcommand;

use self::prune::PruneArgs;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `builder`.
#[derive(Debug, Subcommand)]
pub(crate) enum BuilderCommand {
    /// Remove what builds may use again
    Prune(PruneArgs),
}

/// Carries out `builder`.
pub(crate) async fn run(command: &BuilderCommand, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("builder")?;
    match command {
        BuilderCommand::Prune(args) => prune::run(args, invocation).await,
    }
}
