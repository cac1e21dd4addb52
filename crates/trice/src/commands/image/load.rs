//! `image load`: images from an archive.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use clap::Args;
use trice_api::image::LoadImages;

use crate::exchange::exchange;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `image load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// From this file, and not from the standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Say nothing of what has come
    #[arg(short, long)]
    quiet: bool,
    /// Of images for several platforms, those for this one
    #[arg(long)]
    platform: Option<String>,
}

/// Carries out `image load`.
pub(crate) async fn run(args: &LoadArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let (name, input) = input(args.input.as_ref(), invocation)?;
    let call = LoadImages { name, platform: args.platform.clone() };
    let loaded = exchange(&invocation.engine()?, &call, vec![input]).await?;
    if !args.quiet {
        output::print_lines(loaded)?;
    }
    Ok(0)
}

/// Opens what is read, and says what messages call it.
pub(super) fn input(path: Option<&PathBuf>, invocation: &Invocation) -> Result<(String, OwnedFd), Failure> {
    let Some(path) = path else {
        let input = io::stdin();
        if input.is_terminal() {
            return Err(Failure::usage(
                "nobody types an archive: write `-i FILE`, or lead one to the standard input",
            ));
        }
        let input =
            input.as_fd().try_clone_to_owned().map_err(Failure::surroundings("copy the standard input"))?;
        return Ok(("-".to_owned(), input));
    };
    let path = invocation.environment.current_dir.join(path);
    let file = File::open(&path).map_err(Failure::surroundings(format!("open `{}`", path.display())))?;
    Ok((path.display().to_string(), file.into()))
}
