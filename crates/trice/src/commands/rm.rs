//! `rm`: containers that do not run are gone. It asks before.

use clap::Args;
use trice_api::call::ListContainers;
use trice_model::container::ContainerState;
use trice_model::intent::Intent;
use trice_model::name::ServiceName;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::question;

/// What is typed after `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// Without asking
    #[arg(short, long)]
    force: bool,
    /// Stop them first
    #[arg(short, long)]
    stop: bool,
    /// With their volumes that have no name
    #[arg(short, long)]
    volumes: bool,
    #[arg(short, long, hide = true)]
    all: bool,
}

/// Carries out `rm`.
pub(crate) async fn run(args: &RmArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let containers = engine.call(&ListContainers { of: scope.selection(&args.services) }).await?;
    let goes = |state: &ContainerState| match state {
        ContainerState::Created | ContainerState::Exited { .. } => true,
        ContainerState::Running { .. } | ContainerState::Restarting { .. } => args.stop,
    };
    let going: Vec<&str> = containers
        .iter()
        .filter(|container| goes(&container.state))
        .map(|container| container.name.as_str())
        .collect();
    if going.is_empty() {
        invocation.progress("rm").note("no stopped containers");
        return Ok(0);
    }
    let asks = !args.force && !invocation.global.dry_run;
    if asks
        && !question::is_sure(&format!("Going to remove {}", going.join(", ")))
            .map_err(Failure::surroundings("ask"))?
    {
        return Ok(0);
    }
    let intent = Intent::Remove {
        project: scope.name.clone(),
        services: args.services.iter().cloned().collect(),
        stop: args.stop,
        volumes: args.volumes,
    };
    invocation.operate("rm", &engine, intent, &scope.places).await
}
