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
    /// An instruction of a Dockerfile that changes what it says, such as `CMD ["sh"]`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// The container stands still meanwhile
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    pause: bool,
}

/// Carries out `commit`. The image's id is its result.
pub(crate) async fn run(args: &CommitArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("commit")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let call = Commit {
        container: choose(&containers, &args.service, args.index)?.name.clone(),
        name: args.name.clone(),
        author: args.author.clone(),
        message: args.message.clone(),
        changes: args.change.clone(),
        pause: args.pause,
    };
    let id = engine.call(&call).await?;
    output::print(&id)?;
    Ok(0)
}
