//! `image rm`: names go, and images with the last of them.

use clap::Args;
use trice_api::image::{RemoveImages, RemovedView};

use super::tell;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `image rm`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Several names at once, and those of images that containers use
    #[arg(short, long)]
    force: bool,
    /// Those for this platform
    #[arg(long)]
    platform: Option<String>,
    // There are no images between others here.
    #[arg(long, hide = true)]
    no_prune: bool,
}

/// Carries out `image rm`.
pub(crate) async fn run(args: &RemoveArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call =
        RemoveImages { images: args.images.clone(), force: args.force, platform: args.platform.clone() };
    let removed = invocation.engine()?.call(&call).await?;
    output::print_lines(lines(&removed))?;
    tell(removed.faults)
}

/// Returns a line for each thing that has gone.
pub(super) fn lines(removed: &RemovedView) -> Vec<String> {
    let names = removed.untagged.iter().map(|name| format!("Untagged: {name}"));
    names.chain(removed.deleted.iter().map(|id| format!("Deleted: {id}"))).collect()
}
