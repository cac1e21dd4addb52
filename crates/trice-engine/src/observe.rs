//! Looking at the machine before a decision: what memory holds is a view, and others may have changed what it shows.

use trice_api::fault::Fault;
use trice_dns::resolv_conf;
use trice_image::images::ResolveError;
use trice_image::platform::Platform;
use trice_model::image::{ImageRef, PlatformImage};
use trice_model::intent::Intent;
use trice_model::name::LinkName;
use trice_model::project::Project;
use trice_model::service::PullPolicy;
use trice_network::neighbours;
use trice_network::nftables::TableOwner;

use crate::backends::Backends;
use crate::failure;
use crate::images::platform;
use crate::world::World;

/// Brings what is known in line with the kernel and the disk, as far as a plan for `intent` depends on it.
pub(crate) fn refresh(
    world: &mut World,
    backends: &Backends,
    tables: &mut TableOwner,
    intent: &Intent,
) -> Result<(), Fault> {
    let specs: Vec<_> = world.found.networks.values().map(|network| network.spec.clone()).collect();
    let networks = trice_network::bridge::observe_networks(&specs)
        .map_err(|error| failure::of("look at the networks", &error))?;
    world.found.networks = networks.into_iter().map(|network| (network.spec.name.clone(), network)).collect();
    if let Intent::Up { project, .. } | Intent::Run { project, .. } = intent {
        look_at_host(world, backends, tables)?;
        let text = std::fs::read_to_string(&backends.resolv_conf).unwrap_or_default();
        backends.names.set_upstreams(resolv_conf::parse(&text).servers);
        look_at_images(world, backends, project)?;
    }
    Ok(())
}

/// Looks at what the machine has beside us.
pub(crate) fn look_at_host(
    world: &mut World,
    backends: &Backends,
    tables: &mut TableOwner,
) -> Result<(), Fault> {
    let own: Vec<LinkName> = own_links(world);
    world.found.host = trice_network::host::observe_host(&backends.realm.link_prefix(), &own)
        .map_err(|error| failure::of("look at the host's network", &error))?;
    let neighbours = neighbours::look(tables, &backends.realm.mark())
        .map_err(|error| failure::of("look at the host's packet filters", &error))?;
    world.found.host.firewalls = neighbours.firewalls;
    Ok(())
}

/// Returns the bridges that files have given names.
pub(crate) fn own_links(world: &World) -> Vec<LinkName> {
    let networks = world.found.networks.values();
    networks.filter_map(|network| network.spec.medium.bridge().cloned()).collect()
}

/// Looks which of the project's images are here, as they are now.
fn look_at_images(world: &mut World, backends: &Backends, project: &Project) -> Result<(), Fault> {
    world.found.images.clear();
    world.found.compared.clear();
    for (name, service) in &project.services {
        let own = service.own_image();
        let platform = platform(own.platform.as_deref());
        let platform = platform.map_err(|fault| fault.at(format!("services.{name}.platform")))?;
        for wanted in service.mounted_images().cloned().map(PlatformImage::here).chain([own.clone()]) {
            if world.found.images.contains_key(&wanted) {
                continue;
            }
            let for_which = if wanted == own { &platform } else { &Platform::host() };
            let found = backends.images.resolve(&wanted.image, for_which);
            let found = found.map_err(|error| failure::of(&format!("image {wanted}"), &error))?;
            world.found.images.extend(found.map(|image| (wanted, image)));
        }
        let failed = |error: ResolveError| failure::of(&format!("image {own}"), &error);
        if let (PullPolicy::Refresh(_), ImageRef::Registry(name)) = (service.pull_policy, &service.image)
            && let Some(then) = backends.images.compared_at(name, &platform).map_err(failed)?
        {
            world.found.compared.insert(own, then);
        }
    }
    Ok(())
}
