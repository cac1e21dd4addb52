//! `image save`: images to an archive.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trice_api::image::SaveImages;

use crate::exchange::exchange;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `image save`.
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// The images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Into this file, and not to the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the archive is
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    format: Kind,
    /// Those for this platform
    #[arg(long)]
    platform: Option<String>,
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Kind {
    /// What Docker loads, with an OCI layout beside it.
    #[default]
    Docker,
    /// An OCI layout, compressed as it is sent to registries.
    Oci,
}

/// Carries out `image save`.
pub(crate) async fn run(args: &SaveArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let oci = args.format == Kind::Oci;
    let call = SaveImages { images: args.images.clone(), oci, platform: args.platform.clone() };
    let engine = invocation.engine()?;
    let Some(path) = &args.output else {
        let out = io::stdout();
        if out.is_terminal() {
            return Err(Failure::usage(
                "an archive is nothing for a terminal: write `-o FILE`, or lead it elsewhere",
            ));
        }
        let out =
            out.as_fd().try_clone_to_owned().map_err(Failure::surroundings("copy the standard output"))?;
        return exchange(&engine, &call, vec![out]).await.map(|_| 0);
    };
    // Beside its place first: half an archive is none.
    let path = invocation.environment.current_dir.join(path);
    let half = path.with_added_extension(format!("{}.part", std::process::id()));
    let failed = |what: &str| Failure::surroundings(format!("{what} `{}`", path.display()));
    let file = File::create(&half).map_err(failed("write"))?;
    let saved = exchange(&engine, &call, vec![OwnedFd::from(file)]).await;
    let placed = saved.and_then(|_| fs::rename(&half, &path).map_err(failed("write")));
    if placed.is_err() {
        let _ = fs::remove_file(&half);
    }
    placed.map(|()| 0)
}
