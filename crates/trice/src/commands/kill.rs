//! `kill`: a signal to containers.

use clap::Args;
use trice_api::call;
use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_model::name::ServiceName;
use trice_model::signal::Signal;

use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// The signal
    #[arg(short, long, default_value = "SIGKILL")]
    signal: Signal,
}

/// Carries out `kill`.
pub(crate) async fn run(args: &KillArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("kill")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let reached =
        engine.call(&call::Kill { of: scope.selection(&args.services), signal: args.signal }).await?;
    let mut progress = invocation.progress("kill");
    for name in &reached {
        progress.step(&StepEvent {
            object: ObjectKind::Container,
            name: name.to_string(),
            doing: "Killing".to_owned(),
            done: "Killed".to_owned(),
            state: StepState::Done,
            detail: None,
            amount: None,
        });
    }
    if reached.is_empty() {
        progress.note(&format!("no container of project {} is running", scope.name));
    } else {
        progress.end(true);
    }
    Ok(0)
}
