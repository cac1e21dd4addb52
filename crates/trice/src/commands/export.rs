//! `export`: the files of a container, as an archive.
//!
//! Source: docker/compose `cmd/compose/export.go`.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use clap::Args;
use trice_api::call::ListContainers;
use trice_api::inside::ExportFiles;
use trice_model::name::ServiceName;

use crate::commands::inside::choose;
use crate::exchange::exchange;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The service
    service: ServiceName,
    /// Into this file, and not to the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which of its containers
    #[arg(long)]
    index: Option<u32>,
}

/// Carries out `export`.
pub(crate) async fn run(args: &ExportArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("export")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let call = ExportFiles { container: choose(&containers, &args.service, args.index)?.name.clone() };
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
    let path = invocation.environment.current_dir.join(path);
    let failed = || Failure::surroundings(format!("write `{}`", path.display()));
    let file = File::create(&path).map_err(failed())?;
    let exported = exchange(&engine, &call, vec![OwnedFd::from(file)]).await;
    if exported.is_err() {
        // Half an archive is none.
        let _ = fs::remove_file(&path);
    }
    exported.map(|_| 0)
}
