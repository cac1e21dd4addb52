//! `system prune`: what nobody uses goes. It asks before.
//!
//! Source: docker/cli `cli/command/system/prune.go`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use trice_api::call::ListContainers;
use trice_api::image::PruneImages;
use trice_api::system::{DiskUsage, PruneBuilds, PruneVolumes};
use trice_model::container::ContainerState;
use trice_model::intent::Intent;
use trice_model::name::ProjectName;

use crate::commands::{image, network};
use crate::directories;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::project::Places;
use crate::question;
use crate::words;

/// What is typed after `system prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// All images that no container uses, and not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Volumes too that nobody gave a name and no container mounts
    #[arg(long)]
    volumes: bool,
    /// Without asking
    #[arg(short, long)]
    force: bool,
}

/// Carries out `system prune`.
pub(crate) async fn run(args: &PruneArgs, invocation: &Invocation) -> Result<u8, Failure> {
    if !directories::are_used(&invocation.directories()?) {
        return output::print("Total reclaimed space: 0B").map(|()| 0);
    }
    if !args.force && !question::is_sure(&args.question()).map_err(Failure::surroundings("ask"))? {
        return Ok(0);
    }
    let engine = invocation.engine()?;
    let mut lines = Vec::new();
    let before = engine.call(&DiskUsage {}).await?;
    let containers = engine.call(&ListContainers::default()).await?;
    let mut at_rest: BTreeMap<ProjectName, Vec<String>> = BTreeMap::new();
    for container in containers {
        if matches!(container.state, ContainerState::Created | ContainerState::Exited { .. }) {
            at_rest.entry(container.project).or_default().push(container.id.to_string());
        }
    }
    let mut bytes: u64 = 0;
    for (project, ids) in at_rest {
        let (services, stop, volumes) = (BTreeSet::new(), false, args.volumes);
        let intent = Intent::Remove { project, services, stop, volumes };
        invocation.operate("system prune", &engine, intent, &Places::default()).await?;
        let gone = before.containers.iter().filter(|(container, _)| ids.contains(&container.id.to_string()));
        bytes += gone.map(|(_, bytes)| bytes).sum::<u64>();
        section(&mut lines, "Deleted Containers:", ids);
    }
    let mut networks = Vec::new();
    for (project, unused) in network::prune::unused(&network::networks(invocation).await?) {
        networks.extend(unused.iter().map(ToString::to_string));
        let intent = Intent::RemoveNetworks { project, networks: unused };
        invocation.operate("system prune", &engine, intent, &Places::default()).await?;
    }
    section(&mut lines, "Deleted Networks:", networks);
    if args.volumes {
        let volumes = engine.call(&PruneVolumes {}).await?;
        bytes += volumes.iter().map(|volume| volume.bytes).sum::<u64>();
        section(
            &mut lines,
            "Deleted Volumes:",
            volumes.iter().map(|volume| volume.name.to_string()).collect(),
        );
    }
    let removed = engine.call(&PruneImages { named: args.all, ..PruneImages::default() }).await?;
    section(&mut lines, "Deleted Images:", image::prune::names(&removed));
    // Last: what an image had that is gone now is nobody's.
    let builds = engine.call(&PruneBuilds::default()).await?;
    bytes += removed.bytes + builds.bytes;
    lines.push(format!("Total reclaimed space: {}", words::size_with(bytes, 4)));
    output::print_lines(lines)?;
    Ok(0)
}

/// Adds what has gone, if anything has.
fn section(lines: &mut Vec<String>, title: &str, gone: Vec<String>) {
    if !gone.is_empty() {
        lines.push(title.to_owned());
        lines.extend(gone);
        lines.push(String::new());
    }
}

impl PruneArgs {
    fn question(&self) -> String {
        let images = if self.all { "all images that no container uses" } else { "images without a name" };
        let volumes = if self.volumes { ", volumes without a name that no container mounts" } else { "" };
        format!(
            "Going to remove containers that do not run, networks that nobody is on{volumes}, {images}, what builds may use again"
        )
    }
}
