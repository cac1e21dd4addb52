//! Containers stop and go, each after those that depend on it; with the whole project its networks and
//! volumes go too.
//!
//! All of it follows from the records: the Compose files may have changed since, or be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trice_model::container::ObservedContainer;
use trice_model::id::ContainerId;
use trice_model::mount::MountSpecSource;
use trice_model::name::{ContainerName, NetworkName, ProjectName, ServiceName, VolumeName};
use trice_model::volume::VolumeSpec;

use crate::changes::Changes;
use crate::converge;
use crate::found::{self, Found};
use crate::label;
use crate::lower::mounts;
use crate::order::{self, Edges};
use crate::place;
use crate::plan::Plan;
use crate::weave;
use trice_model::intent::DownOptions;

const DOWN: &str = "the project goes down";

/// Plans a `down`.
pub(crate) fn plan(project: &ProjectName, options: &DownOptions, found: &Found) -> Plan {
    let mut changes = Changes { timeout: options.timeout, ..Changes::default() };
    let chosen = chosen(project, &options.services, found);
    let is_known = |service: &ServiceName| {
        options.remove_orphans || options.known.as_ref().is_none_or(|known| known.contains(service))
    };
    let (going, staying): (Vec<_>, Vec<_>) = found.containers_of(project).partition(|container| {
        chosen.as_ref().is_none_or(|chosen| chosen.contains(&container.spec.service))
            && is_known(&container.spec.service)
    });
    for container in &going {
        converge::remove(container, DOWN, &mut changes);
    }
    let leavers = Leavers::new(project, found, &going);
    leavers.disconnect(DOWN, &mut changes);
    if chosen.is_none() {
        leavers.remove_networks(&mut changes);
    }
    if options.volumes {
        let whole = chosen.is_none() && staying.is_empty();
        leavers.remove_volumes(if whole { Volumes::All } else { Volumes::Anonymous }, &mut changes);
    }
    if chosen.is_none() {
        changes
            .notes
            .extend(place::orphan_note("containers of services that are not in the files", &staying));
    }
    weave::weave(changes)
}

/// Plans an `rm`: replicas that do not run go, with `stop` those that do too.
pub(crate) fn remove(
    project: &ProjectName,
    services: &BTreeSet<ServiceName>,
    stop: bool,
    volumes: bool,
    found: &Found,
) -> Plan {
    let mut changes = Changes::default();
    let going: Vec<&ObservedContainer> =
        replicas(project, services, found).filter(|container| stop || !found::is_live(container)).collect();
    for container in &going {
        converge::remove(container, "asked to remove", &mut changes);
    }
    let leavers = Leavers::new(project, found, &going);
    leavers.disconnect("its container goes", &mut changes);
    if volumes {
        leavers.remove_volumes(Volumes::Anonymous, &mut changes);
    }
    weave::weave(changes)
}

/// Plans a `stop`.
pub(crate) fn stop(
    project: &ProjectName,
    services: &BTreeSet<ServiceName>,
    timeout: Option<Duration>,
    found: &Found,
) -> Plan {
    let live = replicas(project, services, found).filter(|container| found::is_live(container));
    let stops = live.map(|container| (container, "asked to stop".to_owned())).collect();
    weave::weave(Changes { stops, timeout, ..Changes::default() })
}

/// Returns the replicas of `services`, or of all if there are none.
pub(crate) fn replicas<'a>(
    project: &'a ProjectName,
    services: &'a BTreeSet<ServiceName>,
    found: &'a Found,
) -> impl Iterator<Item = &'a ObservedContainer> {
    found.containers_of(project).filter(|container| {
        container.spec.role.is_replica()
            && (services.is_empty() || services.contains(&container.spec.service))
    })
}

/// Returns what each service depends on, as the containers that are there remember it.
pub(crate) fn recorded_edges(project: &ProjectName, found: &Found) -> Edges {
    let mut edges = Edges::new();
    for container in found.containers_of(project) {
        let needs = container.spec.depends_on.keys().cloned();
        edges.entry(container.spec.service.clone()).or_default().extend(needs);
    }
    edges
}

/// Returns the named services with those that depend on them; `None` is all.
fn chosen(
    project: &ProjectName,
    named: &BTreeSet<ServiceName>,
    found: &Found,
) -> Option<BTreeSet<ServiceName>> {
    let dependents = || order::reversed(&recorded_edges(project, found));
    (!named.is_empty()).then(|| order::closure(&dependents(), named.clone()))
}

/// Which volumes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Volumes {
    /// Those without a name of the containers that go.
    Anonymous,
    /// All that were made for the project.
    All,
}

/// Containers that go, and what nobody else needs then.
struct Leavers<'a> {
    project: &'a ProjectName,
    found: &'a Found,
    going: BTreeSet<&'a ContainerId>,
}

impl<'a> Leavers<'a> {
    fn new(project: &'a ProjectName, found: &'a Found, going: &[&'a ObservedContainer]) -> Self {
        Self { project, found, going: going.iter().map(|container| &container.spec.id).collect() }
    }

    fn staying(&self) -> impl Iterator<Item = &'a ObservedContainer> {
        self.found.containers.values().filter(|container| !self.going.contains(&container.spec.id))
    }

    /// Disconnects the instances of the project in which nobody stays.
    fn disconnect(&self, cause: &str, changes: &mut Changes<'a>) {
        let inhabited: BTreeSet<&ContainerName> = self.staying().filter_map(found::instance_name).collect();
        let empty = self.found.instances_of(self.project).filter(|one| !inhabited.contains(&one.spec.name));
        changes.disconnects.extend(empty.map(|instance| (&instance.spec, cause.to_owned())));
    }

    /// Removes the networks of the project that nobody is on any more.
    fn remove_networks(&self, changes: &mut Changes<'a>) {
        let disconnected: BTreeSet<&ContainerName> =
            changes.disconnects.iter().map(|(instance, _)| &instance.name).collect();
        let staying = self.found.instances.values().filter(|one| !disconnected.contains(&one.spec.name));
        let used: BTreeMap<&NetworkName, &ContainerName> = staying
            .flat_map(|one| one.spec.endpoints.iter().map(|endpoint| (&endpoint.network, &one.spec.name)))
            .collect();
        for network in self.found.networks.values().map(|network| &network.spec) {
            if network.owner.as_ref().is_none_or(|(owner, _)| owner != self.project) {
                continue;
            }
            match used.get(&network.name) {
                Some(user) => {
                    changes.notes.push(format!("network `{}` stays: `{user}` is on it", network.name))
                }
                None => changes.network_removals.push((network, DOWN.to_owned())),
            }
        }
    }

    fn remove_volumes(&self, which: Volumes, changes: &mut Changes<'a>) {
        let used: BTreeMap<&VolumeName, &ContainerName> =
            self.staying().flat_map(|one| named_volumes(one).map(|name| (name, &one.spec.name))).collect();
        let theirs: BTreeSet<&VolumeName> = self
            .going
            .iter()
            .filter_map(|id| self.found.containers.get(*id))
            .flat_map(|container| mounts::anonymous_in(&container.spec))
            .collect();
        for volume in self.found.volumes.values().map(|volume| &volume.spec) {
            let goes = theirs.contains(&volume.name) || (which == Volumes::All && self.owns(volume));
            match used.get(&volume.name).filter(|_| goes) {
                Some(user) => changes.notes.push(format!("volume `{}` stays: `{user}` has it", volume.name)),
                None if goes => {
                    changes.volume_removals.push((volume.name.clone(), "asked to remove".to_owned()))
                }
                None => {}
            }
        }
    }

    /// Tells whether the volume was made for the project; of those without a name only a label remembers it.
    fn owns(&self, volume: &VolumeSpec) -> bool {
        volume.owner.as_ref().is_some_and(|(owner, _)| owner == self.project)
            || (volume.anonymous && label::is_of_project(&volume.labels, self.project))
    }
}

fn named_volumes(container: &ObservedContainer) -> impl Iterator<Item = &VolumeName> {
    container.spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSpecSource::Volume { name, .. } => Some(name),
        MountSpecSource::Bind(_) | MountSpecSource::Tmpfs(_) | MountSpecSource::Image { .. } => None,
    })
}
