//! `diff`: what a container has changed of its image's files.
//!
//! Source: docker-container-diff(1).

use clap::Args;
use trice_api::call::ListContainers;
use trice_api::inside::{ChangeKind, Changes};
use trice_model::name::ServiceName;

use crate::commands::inside::choose;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The service
    service: ServiceName,
    /// Which of its containers
    #[arg(long)]
    index: Option<u32>,
}

/// Carries out `diff`.
pub(crate) async fn run(args: &DiffArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let container = choose(&containers, &args.service, args.index)?.name.clone();
    let changes = engine.call(&Changes { container }).await?;
    output::print_lines(changes.iter().map(|change| {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        format!("{letter} {}", change.path)
    }))?;
    Ok(0)
}
