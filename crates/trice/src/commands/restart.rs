//! `restart`: the same containers, stopped and started.

use std::time::Duration;

use clap::Args;
use trice_model::intent::Intent;
use trice_model::name::ServiceName;

use crate::arguments::seconds;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// The time from the stop signal to the kill, in seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Services that want to follow do not
    #[arg(long)]
    no_deps: bool,
}

/// Carries out `restart`.
pub(crate) async fn run(args: &RestartArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let intent = Intent::Restart {
        project: scope.name.clone(),
        services: args.services.iter().cloned().collect(),
        timeout: args.timeout,
        no_deps: args.no_deps,
    };
    invocation.operate("restart", &engine, intent, &scope.places).await
}
