//! `image pull`: images from their registries.

use clap::Args;
use trice_api::image::{ListTags, PullImages};
use trice_model::image::{ImageRef, RegistryRef};

use super::tell;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Progress;
use crate::registries::{self, Use};
use crate::transfer::transfer;

/// What is typed after `image pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// The images, by name
    #[arg(required = true, value_name = "NAME[:TAG|@DIGEST]")]
    images: Vec<RegistryRef>,
    /// All tags of the repositories
    #[arg(short, long)]
    all_tags: bool,
    /// For this platform
    #[arg(long)]
    platform: Option<String>,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
}

/// Carries out `image pull`. The whole names of what has come are its result.
pub(crate) async fn run(args: &PullArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let access = registries::access(invocation, &args.images, Use::Read)?;
    let mut images = args.images.clone();
    if args.all_tags {
        images.clear();
        for repository in &args.images {
            let call = ListTags { repository: repository.clone(), access: access.clone() };
            let tags = engine.call(&call).await?;
            images.extend(tags.into_iter().map(|tag| RegistryRef { tag: Some(tag), ..repository.clone() }));
        }
    }
    let wanted = images.iter().cloned().map(ImageRef::Registry).collect();
    let call = PullImages { images: wanted, platform: args.platform.clone(), access };
    let mut progress = if args.quiet { Progress::quiet() } else { invocation.progress("pull") };
    let transferred = transfer(&engine, call, &mut progress).await?;
    let came = |image: &&RegistryRef| transferred.done.iter().any(|step| step.name == image.to_string());
    output::print_lines(images.iter().filter(came).map(whole))?;
    tell(transferred.faults)
}

/// Writes a name whole.
fn whole(name: &RegistryRef) -> String {
    let tag = name.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = name.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{}{tag}{digest}", name.whole_repository())
}
