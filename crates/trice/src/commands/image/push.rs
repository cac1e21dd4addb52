//! `image push`: images to their registries.

use clap::Args;
use trice_api::image::PushImages;
use trice_model::image::RegistryRef;

use super::{images, tell};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Progress;
use crate::registries::{self, Use};
use crate::transfer::transfer;

/// What is typed after `image push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The images, by name
    #[arg(required = true, value_name = "NAME[:TAG]")]
    images: Vec<RegistryRef>,
    /// All tags of the repositories that are here
    #[arg(short, long)]
    all_tags: bool,
    /// That for this platform
    #[arg(long)]
    platform: Option<String>,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
}

/// Carries out `image push`. The digests that the registries have then are its result.
pub(crate) async fn run(args: &PushArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let mut wanted = args.images.clone();
    if args.all_tags {
        let here = images(invocation).await?;
        let names =
            here.iter().flat_map(|image| &image.tags).filter_map(|name| name.parse::<RegistryRef>().ok());
        let is_asked_for = |name: &RegistryRef| {
            args.images.iter().any(|own| own.whole_repository() == name.whole_repository())
        };
        wanted = names.filter(is_asked_for).collect();
        if wanted.is_empty() {
            return Err(Failure::usage("there is no image here with such a name"));
        }
    }
    let access = registries::access(invocation, &wanted, Use::Write)?;
    let call = PushImages { images: wanted, platform: args.platform.clone(), access };
    let mut progress = if args.quiet { Progress::quiet() } else { invocation.progress("push") };
    let transferred = transfer(&invocation.engine()?, call, &mut progress).await?;
    let line = |step: &trice_api::event::StepEvent| match (&step.detail, args.quiet) {
        (Some(digest), false) => format!("{}: digest: {digest}", step.name),
        (Some(_), true) | (None, _) => step.name.clone(),
    };
    output::print_lines(transferred.done.iter().map(line))?;
    tell(transferred.faults)
}
