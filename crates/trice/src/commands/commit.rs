//! `commit`: an image of a container.
//!
//! Source: docker/compose `cmd/compose/commit.go`.

use clap::{ArgAction, Args};
use trice_api::call::ListContainers;
use trice_api::inside::Commit;
use trice_model::image::RegistryRef;
use trice_model::name::ServiceName;

use crate::commands::inside::choose;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `commit`.
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// The service
    service: ServiceName,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<RegistryRef>,
    /// Who makes it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,
    /// What its history says about it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Which of the service's containers
    #[arg(long)]
    index: Option<u32>,
    // A container is read as it is at the moment.
    #[arg(short, long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = false, default_missing_value = "true")]
    pause: bool,
}

/// Carries out `commit`. The image's id is its result.
pub(crate) async fn run(args: &CommitArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("commit")?;
    if args.pause {
        return Err(Failure::usage(
            "`--pause` is not honoured yet: stop the service before, or commit it as it runs",
        ));
    }
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let call = Commit {
        container: choose(&containers, &args.service, args.index)?.name.clone(),
        name: args.name.clone(),
        author: args.author.clone(),
        message: args.message.clone(),
    };
    let id = engine.call(&call).await?;
    output::print(&id)?;
    Ok(0)
}
