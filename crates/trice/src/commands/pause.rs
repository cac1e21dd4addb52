//! `pause` and `unpause`: containers are held still, and go on.
//!
//! Source: docker/compose `cmd/compose/pause.go`, `pkg/compose/pause.go`.

use clap::Args;
use trice_api::call;
use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_api::fault::Code;
use trice_model::name::ServiceName;

use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `pause` and `unpause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Of these services
    services: Vec<ServiceName>,
}

/// Carries out `pause`, or `unpause` where `paused` is false.
pub(crate) async fn run(args: &PauseArgs, paused: bool, invocation: &mut Invocation) -> Result<u8, Failure> {
    let (command, doing, done) =
        if paused { ("pause", "Pausing", "Paused") } else { ("unpause", "Unpausing", "Unpaused") };
    invocation.refuse_dry_run(command)?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let view = engine.call(&call::Pause { of: scope.selection(&args.services), paused }).await?;
    let mut progress = invocation.progress(command);
    for name in &view.reached {
        progress.step(&StepEvent {
            object: ObjectKind::Container,
            name: name.to_string(),
            doing: doing.to_owned(),
            done: done.to_owned(),
            state: StepState::Done,
            detail: None,
            amount: None,
        });
    }
    if let Some(first) = view.already.first() {
        progress.end(false);
        let is = if paused { "is paused already" } else { "is not paused" };
        return Err(Failure::fault(Code::Start, format!("container {first} {is}")));
    }
    if view.reached.is_empty() {
        progress.note(&format!("no container of project {} is running", scope.name));
    } else {
        progress.end(true);
    }
    Ok(0)
}
