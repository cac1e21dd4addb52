//! From places with all that belongs there to what must change.
//!
//! Three things set a container in motion: it is not as wanted; its instance must be made again, by itself or
//! with a network under it; or it follows one that it depends on.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::container::{ContainerSpec, ObservedContainer};
use trice_model::id::{ContainerId, Ids};
use trice_model::name::{NetworkName, ServiceName};
use trice_model::network::{InstanceName, InstanceSpec, NetworkSpec};
use trice_model::project::Project;
use trice_model::service::Condition;
use trice_model::volume::VolumeSpec;

use crate::action::Until;
use crate::address::Addresses;
use crate::bystander::Bystanders;
use crate::changes::{Changes, Creation, Crew, Member, Start};
use crate::follow::{self, Renewed};
use crate::found;
use crate::instance;
use crate::links;
use crate::lower::mounts;
use crate::network::{self, Networks};
use crate::place::{Leaving, Place};
use crate::recreate::{self, Fate};
use crate::up::Wish;
use trice_model::intent::Recreate;

/// Why containers are started.
pub(crate) const WANTED: &str = "wanted running";

/// A place with all that belongs there.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    /// The place.
    pub(crate) place: Place<'a>,
    /// Its instance, if not the host's namespace.
    pub(crate) instance: Option<InstanceSpec>,
    /// Its container: a new one under a new id, or the one that is kept.
    pub(crate) container: ContainerSpec,
    /// Volumes without a name that are new with the container.
    pub(crate) volumes: Vec<VolumeSpec>,
}

/// All that the changes follow from.
#[derive(Debug)]
pub(crate) struct Convergence<'a> {
    /// What is asked for, and what is there.
    pub(crate) wish: &'a Wish<'a>,
    /// The networks.
    pub(crate) networks: &'a Networks,
    /// The addresses.
    pub(crate) addresses: &'a Addresses,
    /// The places.
    pub(crate) taken: Vec<Taken<'a>>,
    /// The containers that must leave.
    pub(crate) leaving: Vec<Leaving<'a>>,
    /// The instances without a place.
    pub(crate) bystanders: Bystanders<'a>,
}

/// Why an instance is connected, and whether it is disconnected first.
#[derive(Debug)]
struct Moved {
    cause: String,
    disconnect: bool,
}

impl<'a> Convergence<'a> {
    /// Returns all that must change; `volumes` are the named ones that are missing.
    pub(crate) fn changes(self, volumes: Vec<VolumeSpec>, ids: &mut Ids) -> Changes<'a> {
        let moved = self.networks.moved(self.wish.found);
        let moves: Vec<Option<Moved>> =
            self.taken.iter().map(|taken| self.instance_move(taken, &moved)).collect();
        let hosts = self.moved_hosts(&moves, &moved);
        let mut fates: Vec<Fate> = self
            .taken
            .iter()
            .zip(&moves)
            .map(|(taken, moved)| {
                let host = found::instance_of(&taken.container).and_then(|name| hosts.get(name));
                self.fate(
                    taken,
                    moved.as_ref().map(|moved| moved.cause.as_str()).or(host.map(String::as_str)),
                )
            })
            .collect();
        let restarts = self.restarts(&moved, &mut fates);

        let mut changes = Changes { timeout: self.wish.options.timeout, ..Changes::default() };
        changes.volumes = volumes.into_iter().map(|volume| (volume, "not there yet".to_owned())).collect();
        self.move_networks(&mut changes);
        self.move_bystanders(&moved, ids, &mut changes);
        changes.crew = self.crew(&fates);
        for (container, cause) in restarts {
            let member = Member::new(&container.spec, None);
            changes.crew.entry(container.spec.service.clone()).or_default().push(member);
            self.restart(container, cause, &mut changes);
        }
        for leaver in &self.leaving {
            remove(leaver.container, &leaver.cause, &mut changes);
        }
        if self.wish.options.wait {
            changes.waits = self.waits();
        }
        let links = self.link_variables(&fates);
        for ((taken, moved), (fate, links)) in
            self.taken.into_iter().zip(moves).zip(fates.into_iter().zip(links))
        {
            meet(self.wish, taken, moved, fate, links, &mut changes);
        }
        changes
    }

    fn instance_move(&self, taken: &Taken<'_>, moved: &BTreeMap<NetworkName, &NetworkSpec>) -> Option<Moved> {
        let wanted = taken.instance.as_ref()?;
        let Some(there) = self.wish.found.instances.get(&wanted.name) else {
            return Some(Moved { cause: "not there yet".to_owned(), disconnect: false });
        };
        let cause = network_cause(&there.spec, moved).or_else(|| instance::difference(&there.spec, wanted));
        match cause {
            Some(cause) => Some(Moved { cause, disconnect: true }),
            None if there.present => None,
            None => Some(Moved { cause: "its namespace is gone".to_owned(), disconnect: false }),
        }
    }

    /// Returns the instances that are made again, of which others may be guests, each with the cause.
    fn moved_hosts(
        &self,
        moves: &[Option<Moved>],
        moved: &BTreeMap<NetworkName, &NetworkSpec>,
    ) -> BTreeMap<InstanceName, String> {
        let own = self.taken.iter().zip(moves).filter_map(|(taken, moved)| {
            Some((taken.instance.as_ref()?.name.clone(), moved.as_ref()?.cause.clone()))
        });
        let bystanders = self.bystanders.moving.iter().filter_map(|bystander| {
            Some((bystander.spec.name.clone(), network_cause(&bystander.spec, moved)?))
        });
        bystanders.chain(own).collect()
    }

    fn fate(&self, taken: &Taken<'_>, cause: Option<&str>) -> Fate {
        let forced = is_forced(self.wish, &taken.place);
        recreate::fate(taken.place.old, &taken.container, cause, forced, self.wish.asked_at)
    }

    /// Lets running containers follow: those with a place by their fates; the others are returned, and with
    /// them those that live on a network that moves and those that were cut off.
    fn restarts(
        &self,
        moved: &BTreeMap<NetworkName, &NetworkSpec>,
        fates: &mut [Fate],
    ) -> Vec<(&'a ObservedContainer, String)> {
        let mut restarts = self.moved_along(moved);
        restarts.extend(self.cut_off());
        if self.wish.options.no_deps || self.wish.options.no_start {
            return restarts;
        }
        let renewed = self.renewed(&restarts, fates);
        let leaving = self.leaving.iter().map(|leaving| &leaving.container.spec.id);
        let moving: BTreeSet<&ContainerId> =
            leaving.chain(restarts.iter().map(|(one, _)| &one.spec.id)).collect();
        for (follower, cause) in follow::followers(&self.wish.project.name, self.wish.found, renewed, &moving)
        {
            let is_it =
                |taken: &Taken<'_>| taken.place.old.is_some_and(|old| old.spec.id == follower.spec.id);
            match self.taken.iter().position(is_it) {
                None => restarts.push((follower, cause)),
                Some(place) if fates[place] == Fate::Keep => fates[place] = Fate::Restart(cause),
                // It is made or started again for a reason of its own.
                Some(_) => {}
            }
        }
        restarts
    }

    /// Returns the living containers of bystanders that move.
    fn moved_along(
        &self,
        moved: &BTreeMap<NetworkName, &NetworkSpec>,
    ) -> Vec<(&'a ObservedContainer, String)> {
        let moving: BTreeMap<&InstanceName, &InstanceSpec> =
            self.bystanders.moving.iter().map(|one| (&one.spec.name, &one.spec)).collect();
        let live = self.wish.found.containers.values().filter(|one| found::is_live(one));
        live.filter_map(|one| {
            let instance = moving.get(found::instance_name(one)?)?;
            Some((one, network_cause(instance, moved)?))
        })
        .collect()
    }

    /// Returns the containers without a place that were stopped for this intent and not started again.
    fn cut_off(&self) -> impl Iterator<Item = (&'a ObservedContainer, String)> {
        let olds = self.taken.iter().filter_map(|taken| taken.place.old);
        let known: BTreeSet<&ContainerId> = olds
            .chain(self.leaving.iter().map(|leaving| leaving.container))
            .map(|one| &one.spec.id)
            .collect();
        let wish = self.wish;
        follow::cut_off(&wish.project.name, wish.found, wish.asked_at)
            .filter(move |one| !known.contains(&one.spec.id) && wish.found.instance_of(one).is_some())
            .map(|one| (one, follow::CUT_OFF.to_owned()))
    }

    /// Returns the services whose containers are made or started again.
    fn renewed(&self, restarts: &[(&ObservedContainer, String)], fates: &[Fate]) -> Renewed {
        let mut renewed: Renewed =
            restarts.iter().map(|(one, _)| (one.spec.service.clone(), "restarted")).collect();
        for (taken, fate) in self.taken.iter().zip(fates) {
            let how = match fate {
                Fate::Recreate(_) => "recreated",
                Fate::Restart(_) => "restarted",
                Fate::Keep | Fate::Start(_) | Fate::Create(_) => continue,
            };
            renewed.insert(taken.place.service_name.clone(), how);
        }
        renewed
    }

    fn move_networks(&self, changes: &mut Changes<'a>) {
        for (name, moved) in &self.networks.moves {
            let there = self.wish.found.networks.get(name);
            if let Some(there) = there.filter(|_| moved.remove) {
                changes.network_removals.push((&there.spec, moved.cause.clone()));
            }
            let spec = self.networks.specs.values().find(|spec| spec.name == *name);
            changes.networks.extend(spec.map(|spec| (spec.clone(), moved.cause.clone())));
        }
    }

    fn move_bystanders(
        &self,
        moved: &BTreeMap<NetworkName, &NetworkSpec>,
        ids: &mut Ids,
        changes: &mut Changes<'a>,
    ) {
        for leaver in &self.bystanders.leaving {
            changes.disconnects.push((&leaver.spec, "not wanted any more".to_owned()));
        }
        for bystander in &self.bystanders.moving {
            let cause = network_cause(&bystander.spec, moved).unwrap_or_default();
            let seated = instance::reseated(&bystander.spec, moved, self.addresses, self.wish.realm, ids);
            changes.disconnects.push((&bystander.spec, cause.clone()));
            changes.instances.push((seated, cause));
        }
        // They may be on networks that no place is on, and that a reboot took.
        let endpoints = self.bystanders.moving.iter().flat_map(|one| &one.spec.endpoints);
        let names: BTreeSet<&NetworkName> = endpoints.map(|endpoint| &endpoint.network).collect();
        let others = names.into_iter().filter(|name| !self.networks.moves.contains_key(*name));
        let lost =
            others.filter_map(|name| self.wish.found.networks.get(name)).filter(|there| !there.present);
        changes.networks.extend(lost.map(|there| (there.spec.clone(), network::BRIDGE_GONE.to_owned())));
    }

    fn restart(&self, container: &'a ObservedContainer, cause: String, changes: &mut Changes<'a>) {
        let live = found::is_live(container);
        let start = if live { WANTED.to_owned() } else { cause.clone() };
        if live {
            changes.stops.push((container, cause));
        }
        if !self.wish.options.no_start {
            changes.starts.push(Start::of(&container.spec, start));
        }
    }

    /// Returns the containers that others wait for.
    fn crew(&self, fates: &[Fate]) -> Crew<'a> {
        let mut crew = Crew::new();
        for (taken, fate) in self.taken.iter().zip(fates).filter(|(taken, _)| taken.place.role.is_replica()) {
            let old = taken.place.old;
            let member = match (fate, old) {
                (Fate::Keep, Some(old)) => Member::new(&old.spec, Some(&old.state)),
                (Fate::Start(_) | Fate::Restart(_), Some(old)) => Member::new(&old.spec, None),
                (Fate::Recreate(_) | Fate::Create(_), _) | (_, None) => Member::new(&taken.container, None),
            };
            crew.entry(taken.place.service_name.clone()).or_default().push(member);
        }
        crew
    }

    /// Returns what `--wait` waits for: a service that another one needs completed runs to its end.
    fn waits(&self) -> BTreeMap<ServiceName, Until> {
        let one_shots = one_shots(self.wish.project);
        let services = self
            .taken
            .iter()
            .filter(|taken| taken.place.role.is_replica())
            .map(|taken| taken.place.service_name);
        let until = |service: &ServiceName| {
            if one_shots.contains(service) { Until::Completed } else { Until::RunningOrHealthy }
        };
        services.map(|service| (service.clone(), until(service))).collect()
    }

    /// Returns the variables that tell of linked services, for each place whose container is made.
    fn link_variables(&self, fates: &[Fate]) -> Vec<BTreeMap<String, String>> {
        let places = self.taken.iter().map(|taken| (&taken.container, taken.instance.as_ref()));
        let mut peers = links::Peers::of(places);
        peers.add_found(&self.wish.project.name, self.wish.found);
        self.taken
            .iter()
            .zip(fates)
            .map(|(taken, fate)| match fate {
                Fate::Create(_) | Fate::Recreate(_) => {
                    peers.variables(&taken.container, taken.instance.as_ref())
                }
                Fate::Keep | Fate::Start(_) | Fate::Restart(_) => BTreeMap::new(),
            })
            .collect()
    }
}

fn is_forced(wish: &Wish<'_>, place: &Place<'_>) -> bool {
    let named = &wish.options.services;
    let is_named = named.is_empty() || named.contains(place.service_name);
    wish.options.recreate == Recreate::Force && is_named && place.kept().is_none()
}

/// Returns the services that others need completed.
fn one_shots(project: &Project) -> BTreeSet<&ServiceName> {
    let needs = project.services.values().flat_map(|service| &service.depends_on);
    let completed = |condition| condition == Condition::ServiceCompletedSuccessfully;
    needs.filter(|(_, dependency)| completed(dependency.condition)).map(|(service, _)| service).collect()
}

fn network_cause(instance: &InstanceSpec, moved: &BTreeMap<NetworkName, &NetworkSpec>) -> Option<String> {
    let names = instance.endpoints.iter().map(|endpoint| &endpoint.network);
    let names: Vec<&str> = names.filter(|name| moved.contains_key(*name)).map(NetworkName::as_str).collect();
    (!names.is_empty()).then(|| format!("network {} is made again", names.join(" ")))
}

/// Removes `container`, which is stopped first if it lives.
pub(crate) fn remove<'a>(container: &'a ObservedContainer, cause: &str, changes: &mut Changes<'a>) {
    if found::is_live(container) {
        changes.stops.push((container, cause.to_owned()));
    }
    changes.removals.push((container, cause.to_owned()));
}

/// Carries out what was decided about one place.
fn meet<'a>(
    wish: &'a Wish<'a>,
    taken: Taken<'a>,
    moved: Option<Moved>,
    fate: Fate,
    links: BTreeMap<String, String>,
    changes: &mut Changes<'a>,
) {
    let Taken { place, instance, mut container, volumes } = taken;
    if let (Some(instance), Some(moved)) = (instance, moved) {
        let there = wish.found.instances.get(&instance.name).filter(|_| moved.disconnect);
        changes.disconnects.extend(there.map(|there| (&there.spec, moved.cause.clone())));
        changes.instances.push((instance, moved.cause));
    }
    let start = |spec: &ContainerSpec| (!wish.options.no_start).then(|| Start::of(spec, WANTED.to_owned()));
    match (fate, place.old) {
        (Fate::Keep, _) => {}
        (Fate::Start(_), old) => changes.starts.extend(old.and_then(|old| start(&old.spec))),
        (Fate::Restart(cause), old) => {
            changes.stops.extend(old.map(|old| (old, cause)));
            changes.starts.extend(old.and_then(|old| start(&old.spec)));
        }
        (Fate::Recreate(cause) | Fate::Create(cause), old) => {
            if let Some(old) = old {
                remove(old, &cause, changes);
                if wish.options.renew_anonymous_volumes {
                    let renewed =
                        mounts::anonymous_in(&old.spec).map(|name| (name.clone(), "renewed".to_owned()));
                    changes.volume_removals.extend(renewed);
                }
            }
            container.process.link_env = links;
            changes.volumes.extend(volumes.into_iter().map(|volume| (volume, "not there yet".to_owned())));
            changes.starts.extend(start(&container));
            changes.creations.push(Creation { spec: container, replaces: old, cause });
        }
    }
}
