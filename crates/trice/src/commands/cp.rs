//! `cp`: files into a service's containers and out of them.
//!
//! Source: docker/compose `pkg/compose/cp.go`; docker-container-cp(1).

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};

use clap::Args;
use trice_api::call::ListContainers;
use trice_api::inside::CopyFiles;
use trice_api::view::ContainerView;
use trice_model::name::ServiceName;

use crate::commands::inside::{all, choose};
use crate::engine::Engine;
use crate::exchange::exchange;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `cp`.
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// What is copied: SERVICE:PATH, a path here, or `-` for an archive from the standard input
    source: String,
    /// Where to: SERVICE:PATH, a path here, or `-` for an archive to the standard output
    destination: String,
    /// Owners stay as they are
    #[arg(short, long)]
    archive: bool,
    /// A link at the end of the source is followed
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Which of the service's containers; without it, files go into all and come out of the first
    #[arg(long)]
    index: Option<u32>,
    /// One-off containers too
    #[arg(long)]
    all: bool,
}

/// One end of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// A path in a service's containers.
    Service(ServiceName, String),
    /// A path here.
    Here(String),
    /// The standard input or output.
    Stream,
}

/// Carries out `cp`.
pub(crate) async fn run(args: &CpArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("cp")?;
    let ends = (end(&args.source)?, end(&args.destination)?);
    let (service, path, local, into) = match ends {
        (End::Service(..), End::Service(..)) => {
            return Err(Failure::usage(
                "files are copied between here and a service, not between two services",
            ));
        }
        (End::Service(service, path), local) => (service, path, local, false),
        (local, End::Service(service, path)) => (service, path, local, true),
        _ => return Err(Failure::usage("neither end is in a service: write SERVICE:PATH for one of them")),
    };
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&service));
    let containers = engine.call(&ListContainers { of }).await?;
    let chosen: Vec<&ContainerView> = match (into, args.index) {
        (true, None) => all(&containers, &service, args.all)?,
        _ => vec![choose(&containers, &service, args.index)?],
    };
    for container in chosen {
        copy(args, &engine, container, &path, &local, into, invocation).await?;
    }
    Ok(0)
}

async fn copy(
    args: &CpArgs,
    engine: &Engine,
    container: &ContainerView,
    path: &str,
    local: &End,
    into: bool,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let (local, descriptor) = match local {
        End::Here(here) => {
            let root = File::open("/").map_err(Failure::surroundings("open the root directory"))?;
            (Some(absolute(here, invocation)), OwnedFd::from(root))
        }
        End::Stream | End::Service(..) => (None, stream(into)?),
    };
    let call = CopyFiles {
        container: container.name.clone(),
        path: path.to_owned(),
        into,
        local,
        archive: args.archive,
        follow: args.follow_link,
    };
    exchange(engine, &call, vec![descriptor]).await.map(drop)
}

/// Makes a path absolute, and keeps how it ends: that has a meaning.
fn absolute(path: &str, invocation: &Invocation) -> String {
    match path {
        path if path.starts_with('/') => path.to_owned(),
        // The folder itself, by its name.
        "." => format!("{}/.", invocation.environment.current_dir.display()),
        path => format!("{}/{path}", invocation.environment.current_dir.display()),
    }
}

fn stream(reads: bool) -> Result<OwnedFd, Failure> {
    let (is_terminal, copied) = match reads {
        true => (io::stdin().is_terminal(), io::stdin().as_fd().try_clone_to_owned()),
        false => (io::stdout().is_terminal(), io::stdout().as_fd().try_clone_to_owned()),
    };
    if is_terminal {
        return Err(Failure::usage("an archive is nothing for a terminal: lead it elsewhere"));
    }
    copied.map_err(Failure::surroundings("copy a standard stream"))
}

/// Reads an end. What has a slash or a dot before its first colon is a path here.
fn end(text: &str) -> Result<End, Failure> {
    if text == "-" {
        return Ok(End::Stream);
    }
    match text.split_once(':') {
        Some((service, path)) if !text.starts_with(['/', '.']) => {
            let service = service
                .parse()
                .map_err(|error: trice_model::name::NameError| Failure::usage(error.to_string()))?;
            Ok(End::Service(service, path.to_owned()))
        }
        _ if text.is_empty() => Err(Failure::usage("an end of the copy is empty")),
        _ => Ok(End::Here(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_services_paths_and_streams() {
        let read = |text: &str| end(text).map_err(|failure| failure.to_string());
        assert_eq!(read("web:/etc"), Ok(End::Service("web".parse().unwrap(), "/etc".to_owned())));
        assert_eq!(read("./web:/etc"), Ok(End::Here("./web:/etc".to_owned())));
        assert_eq!(read("/a:b"), Ok(End::Here("/a:b".to_owned())));
        assert_eq!(read("file"), Ok(End::Here("file".to_owned())));
        assert_eq!(read("-"), Ok(End::Stream));
        assert!(read("").is_err());
    }
}
