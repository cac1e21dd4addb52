//! `start`: containers that are there run.

use std::time::Duration;

use clap::Args;
use trice_model::intent::Intent;
use trice_model::name::ServiceName;

use crate::arguments::seconds;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::operation;

/// What is typed after `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// Until they run, or are healthy if they have a probe
    #[arg(long)]
    wait: bool,
    /// The longest wait, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "wait")]
    wait_timeout: Option<Duration>,
}

/// Carries out `start`.
pub(crate) async fn run(args: &StartArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let services = args.services.iter().cloned().collect();
    let intent = Intent::Start { project: scope.name.clone(), services, wait: args.wait };
    if invocation.global.dry_run {
        return operation::dry_run(&engine, intent, &scope.places, invocation.console.progress)
            .await
            .map(|()| 0);
    }
    let mut progress = invocation.progress("start");
    operation::operate_within(&engine, intent, &mut progress, &scope.places, args.wait_timeout).await?;
    Ok(0)
}
