//! `stop`: containers do not run.

use std::time::Duration;

use clap::Args;
use trice_model::intent::Intent;
use trice_model::name::ServiceName;

use crate::arguments::seconds;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// The time from the stop signal to the kill, in seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

/// Carries out `stop`.
pub(crate) async fn run(args: &StopArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let services = args.services.iter().cloned().collect();
    let intent = Intent::Stop { project: scope.name.clone(), services, timeout: args.timeout };
    invocation.operate("stop", &engine, intent, &scope.places).await
}
