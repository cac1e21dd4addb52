//! `image import`: an image of one layer, from an archive of files.

use std::path::PathBuf;

use clap::Args;
use trice_api::image::ImportImage;
use trice_model::image::RegistryRef;

use super::load::input;
use crate::exchange::exchange;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `image import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The archive; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<RegistryRef>,
    /// What its history says about it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// An instruction of a Dockerfile that changes what it says, such as `CMD ["sh"]`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// What it is made for
    #[arg(long)]
    platform: Option<String>,
}

/// Carries out `image import`. The image's id is its result.
pub(crate) async fn run(args: &ImportArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let path = Some(&args.file).filter(|path| path.as_os_str() != "-");
    let (source, descriptor) = input(path, invocation)?;
    let call = ImportImage {
        source,
        name: args.name.clone(),
        message: args.message.clone(),
        changes: args.change.clone(),
        platform: args.platform.clone(),
    };
    let ids = exchange(&invocation.engine()?, &call, vec![descriptor]).await?;
    output::print_lines(ids)?;
    Ok(0)
}
