//! `image tag`: another name for an image.

use clap::Args;
use trice_api::image::TagImage;
use trice_model::image::RegistryRef;

use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `image tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The image, by name or id
    image: String,
    /// The name that it gets too
    name: RegistryRef,
}

/// Carries out `image tag`.
pub(crate) async fn run(args: &TagArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call = TagImage { image: args.image.clone(), name: args.name.clone() };
    invocation.engine()?.call(&call).await?;
    Ok(0)
}
