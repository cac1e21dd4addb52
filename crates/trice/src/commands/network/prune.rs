//! `network prune`: networks that nobody is on are gone. It asks before.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use trice_api::view::NetworkView;
use trice_model::intent::Intent;
use trice_model::name::{NetworkName, ProjectName};

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::project::Places;
use crate::question;

/// What is typed after `network prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Without asking
    #[arg(short, long)]
    force: bool,
}

/// Carries out `network prune`.
pub(crate) async fn run(args: &PruneArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let going = unused(&super::networks(invocation).await?);
    if going.is_empty() {
        invocation.progress("network prune").note("no networks that nobody is on");
        return Ok(0);
    }
    let names: Vec<&str> = going.values().flatten().map(NetworkName::as_str).collect();
    let question = format!("Going to remove {}", names.join(", "));
    let asks = !args.force && !invocation.global.dry_run;
    if asks && !question::is_sure(&question).map_err(Failure::surroundings("ask"))? {
        return Ok(0);
    }
    let engine = invocation.engine()?;
    for (project, networks) in going {
        let intent = Intent::RemoveNetworks { project, networks };
        invocation.operate("network prune", &engine, intent, &Places::default()).await?;
    }
    Ok(0)
}

/// Returns the networks that nobody is on, by their projects.
pub(in crate::commands) fn unused(networks: &[NetworkView]) -> BTreeMap<ProjectName, BTreeSet<NetworkName>> {
    let mut unused = BTreeMap::<_, BTreeSet<_>>::new();
    for network in networks.iter().filter(|network| network.endpoints.is_empty()) {
        if let Some((project, _)) = &network.spec.owner {
            unused.entry(project.clone()).or_default().insert(network.spec.name.clone());
        }
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::super::tests::network;
    use super::*;

    #[test]
    fn networks_with_a_container_stay() {
        let mut lan = network("lan");
        lan.endpoints.clear();
        let going = unused(&[network("default"), lan]);
        assert_eq!(format!("{going:?}"), r#"{"shop": {"shop_lan"}}"#);
    }
}
