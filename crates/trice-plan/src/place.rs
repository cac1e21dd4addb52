//! Which containers a project wants, by name, and which of those that are there must leave.
//!
//! Each wanted container has a place: a service and a number, or a one-off's suffix. Growing fills the lowest
//! free numbers, where Docker Compose counts on from the highest: so the numbers stay 1 to n, and whoever
//! speaks of replica 2 (`exec --index 2`, `web-2`, `WEB_2_PORT`) finds it. Shrinking takes the highest away.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::container::{ContainerSpec, ObservedContainer, Role};
use trice_model::id::ContainerId;
use trice_model::name::{ContainerName, ProjectName, ServiceName};
use trice_model::network::InstanceName;
use trice_model::project::Project;
use trice_model::service::{NetworkMode, Service};
use trice_model::time::Timestamp;

use crate::follow;
use crate::found::{self, Found};
use crate::mistake::PlanError;
use trice_model::intent::{Recreate, UpOptions};

/// Why a service's containers cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// One name cannot be had by several.
    #[error("`container_name: {name}` cannot name {count} containers")]
    NamedTwice {
        /// The name.
        name: ContainerName,
        /// How many are wanted.
        count: u32,
    },
    /// The network of another one's container is wanted, and there is none.
    #[error("there is no container of service `{service}` whose network could be used")]
    NoHost {
        /// The service.
        service: ServiceName,
    },
    /// The network of a container is wanted that is not there.
    #[error("there is no container `{container}` whose network could be used")]
    NoContainer {
        /// The container.
        container: ContainerName,
    },
    /// Somebody has the name.
    #[error("the name `{name}` belongs to a container of {owner}")]
    NameTaken {
        /// The name.
        name: ContainerName,
        /// The project and service that have it.
        owner: String,
    },
}

impl PlaceError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NamedTwice { .. } => Some("take `container_name` out, or run one container".into()),
            Self::NoHost { service } => Some(format!("bring `{service}` up too")),
            Self::NoContainer { .. } => Some("`trice ps -a` shows the containers that are there".into()),
            Self::NameTaken { .. } => Some("choose another name, or remove that container".into()),
        }
    }
}

/// A container that is wanted, and the one that is there in its place.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    /// Its service's name.
    pub(crate) service_name: &'a ServiceName,
    /// Its service.
    pub(crate) service: &'a Service,
    /// What it is to the service.
    pub(crate) role: Role,
    /// Its name, and that of its instance, if it has one of its own.
    pub(crate) name: ContainerName,
    /// Where it lives.
    pub(crate) home: Home,
    /// The container that is there.
    pub(crate) old: Option<&'a ObservedContainer>,
    /// It answers to the service's names.
    pub(crate) answers: bool,
    /// The service's ports of the host lead to it.
    pub(crate) publishes: bool,
    /// The container that is there stays as it is, whatever the service says now.
    pub(crate) keeps: bool,
}

impl<'a> Place<'a> {
    /// Returns the container that is there and stays as it is, if that was asked for.
    pub(crate) fn kept(&self) -> Option<&'a ObservedContainer> {
        self.old.filter(|_| self.keeps)
    }

    /// Returns the instance that the container lives in, if not the host's namespace.
    pub(crate) fn instance_name(&self) -> Option<&InstanceName> {
        match (self.kept(), &self.home) {
            (Some(kept), _) => found::instance_name(kept),
            (None, Home::Host) => None,
            (None, Home::Own) => Some(&self.name),
            (None, Home::Guest(host)) => Some(host),
        }
    }

    /// Returns the instance that is its own, if it has one.
    pub(crate) fn own_instance(&self) -> Option<&InstanceName> {
        let is_guest = match self.kept() {
            Some(kept) => kept.spec.is_guest(),
            None => matches!(self.home, Home::Guest(_)),
        };
        self.instance_name().filter(|_| !is_guest)
    }
}

/// Whose network namespace a container lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// That of an instance of its own.
    Own,
    /// The host's.
    Host,
    /// That of another container's instance.
    Guest(InstanceName),
}

/// A container that must leave.
#[derive(Debug, Clone)]
pub(crate) struct Leaving<'a> {
    /// The container.
    pub(crate) container: &'a ObservedContainer,
    /// Why.
    pub(crate) cause: String,
}

/// Who stays, comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Places<'a> {
    /// The project.
    pub(crate) project: Option<ProjectName>,
    /// The wanted containers, those of a service together, services in the order of their start.
    pub(crate) places: Vec<Place<'a>>,
    /// The containers that must leave.
    pub(crate) leaving: Vec<Leaving<'a>>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// Works out the places of `services`, which are active ones in the order of their start.
///
/// # Errors
/// All services whose containers cannot have their names.
pub(crate) fn replicas<'a>(
    project: &'a Project,
    services: &[ServiceName],
    options: &UpOptions,
    found: &'a Found,
) -> Result<Places<'a>, Vec<PlanError>> {
    let mut all = Places { project: Some(project.name.clone()), ..Places::default() };
    let mut errors = Vec::new();
    let there = by_number(&project.name, found);
    for (name, service) in services.iter().filter_map(|name| project.services.get_key_value(name)) {
        let count = options.scale.get(name).copied().unwrap_or(service.replicas);
        let keeps = options.recreate == Recreate::Never;
        if let Err(error) = all.add_service(&project.name, name, service, count, keeps, there.get(name)) {
            errors.push(PlanError::new(format!("services.{name}.container_name"), error));
        }
    }
    errors.extend(all.settle(found));
    all.add_orphans(project, found, options.remove_orphans);
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

/// Replicas that are there, by service and number, the newest first: a crash may have left two in one place.
type ByNumber<'a> = BTreeMap<&'a ServiceName, BTreeMap<u32, Vec<&'a ObservedContainer>>>;

fn by_number<'a>(project: &'a ProjectName, found: &'a Found) -> ByNumber<'a> {
    let mut all = ByNumber::new();
    for container in found.containers_of(project) {
        if let Role::Replica(number) = container.spec.role {
            all.entry(&container.spec.service).or_default().entry(number).or_default().push(container);
        }
    }
    for containers in all.values_mut().flat_map(BTreeMap::values_mut) {
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
    }
    all
}

/// Returns the numbers of `count` replicas: those that are there, then the lowest free ones.
fn numbers(there: impl Iterator<Item = u32>, count: u32) -> BTreeSet<u32> {
    let mut kept: BTreeSet<u32> = there.collect();
    while kept.len() > count as usize {
        kept.pop_last();
    }
    for number in 1.. {
        if kept.len() >= count as usize {
            break;
        }
        kept.insert(number);
    }
    kept
}

impl<'a> Places<'a> {
    fn add_service(
        &mut self,
        project: &ProjectName,
        service_name: &'a ServiceName,
        service: &'a Service,
        count: u32,
        keeps: bool,
        there: Option<&BTreeMap<u32, Vec<&'a ObservedContainer>>>,
    ) -> Result<(), PlaceError> {
        if let Some(name) = service.container_name.clone().filter(|_| count > 1) {
            return Err(PlaceError::NamedTwice { name, count });
        }
        let numbers = numbers(there.into_iter().flat_map(|there| there.keys().copied()), count);
        for (number, containers) in there.into_iter().flatten() {
            let kept = usize::from(numbers.contains(number));
            let cause =
                if kept == 1 { "another one has its place".into() } else { format!("scaled to {count}") };
            let surplus = containers.iter().skip(kept);
            self.leaving.extend(surplus.map(|container| Leaving { container, cause: cause.clone() }));
        }
        for number in numbers {
            let newest = there.and_then(|there| there.get(&number)).and_then(|containers| containers.first());
            let kept = newest.filter(|_| keeps).map(|old| old.spec.name.clone());
            self.places.push(Place {
                service_name,
                service,
                role: Role::Replica(number),
                name: kept.unwrap_or_else(|| replica_name(project, service_name, service, number)),
                home: Home::Own,
                old: newest.copied(),
                answers: true,
                publishes: true,
                keeps,
            });
        }
        Ok(())
    }

    /// Finds out where containers live: those of other containers' networks come after them in the order of starts.
    ///
    /// Returns the mistakes of those that have nowhere to live.
    pub(crate) fn settle(&mut self, found: &Found) -> Vec<PlanError> {
        let mut errors = Vec::new();
        for index in 0..self.places.len() {
            let place = &self.places[index];
            match self.home_of(place, found) {
                Ok(home) => self.places[index].home = home,
                Err(error) => {
                    let path = format!("services.{}.network_mode", place.service_name);
                    errors.push(PlanError::new(path, error));
                }
            }
        }
        errors
    }

    fn home_of(&self, place: &Place<'_>, found: &Found) -> Result<Home, PlaceError> {
        let guest_of = |container: &ObservedContainer| {
            found::instance_name(container).map_or(Home::Host, |name| Home::Guest(name.clone()))
        };
        match &place.service.network_mode {
            NetworkMode::Own | NetworkMode::None => Ok(Home::Own),
            NetworkMode::Host => Ok(Home::Host),
            NetworkMode::Service(service) => {
                let number = |role: &Role| match role {
                    Role::Replica(number) => Some(*number),
                    Role::OneOff(_) => None,
                };
                let hosts = self.places.iter().filter(|host| host.service_name == service);
                let first =
                    hosts.filter_map(|host| Some((number(&host.role)?, host))).min_by_key(|(n, _)| *n);
                if let Some((_, host)) = first {
                    return Ok(match host.instance_name() {
                        Some(name) => Home::Guest(name.clone()),
                        None => Home::Host,
                    });
                }
                let of = |one: &&ObservedContainer| {
                    one.spec.service == *service && Some(&one.spec.project) == self.project.as_ref()
                };
                let there = found.containers.values().filter(of);
                let first =
                    there.filter_map(|one| Some((number(&one.spec.role)?, one))).min_by_key(|(n, _)| *n);
                first
                    .map(|(_, container)| guest_of(container))
                    .ok_or_else(|| PlaceError::NoHost { service: service.clone() })
            }
            NetworkMode::Container(name) => {
                let is_it = |one: &&ObservedContainer| {
                    one.spec.name == *name || one.spec.id.as_str().starts_with(name.as_str())
                };
                let there = found.containers.values().find(is_it);
                there.map(guest_of).ok_or_else(|| PlaceError::NoContainer { container: name.clone() })
            }
        }
    }

    /// Adds the containers of services that no file knows, and one-offs that have ended.
    fn add_orphans(&mut self, project: &Project, found: &'a Found, remove: bool) {
        let (mut strangers, mut ended) = (Vec::new(), Vec::new());
        for container in found.containers.values().filter(|container| container.spec.project == project.name)
        {
            let service = &container.spec.service;
            let known = project.services.contains_key(service) || project.inactive.contains(service);
            if !known {
                strangers.push(container);
            } else if !container.spec.role.is_replica() && found::is_at_rest(container) {
                ended.push(container);
            }
        }
        if remove {
            let leave = |cause: &'static str| move |container| Leaving { container, cause: cause.to_owned() };
            self.leaving.extend(strangers.into_iter().map(leave("its service is not in the files")));
            self.leaving.extend(ended.into_iter().map(leave("a one-off that has ended")));
        } else {
            self.notes.extend(orphan_note("containers of services that are not in the files", &strangers));
            self.notes.extend(orphan_note("one-offs that have ended", &ended));
        }
    }

    /// Adds the containers of other services that an engine stopped for this intent and did not come to start
    /// again.
    pub(crate) fn add_cut_off(&mut self, project: &'a Project, found: &'a Found, asked_at: Timestamp) {
        let olds = self.places.iter().filter_map(|place| place.old);
        let known: BTreeSet<&ContainerId> = olds
            .chain(self.leaving.iter().map(|leaving| leaving.container))
            .map(|container| &container.spec.id)
            .collect();
        for container in follow::cut_off(&project.name, found, asked_at) {
            let service = project.services.get_key_value(&container.spec.service);
            if let Some((service_name, service)) = service.filter(|_| !known.contains(&container.spec.id)) {
                self.places.push(Place {
                    service_name,
                    service,
                    role: container.spec.role.clone(),
                    name: container.spec.name.clone(),
                    home: Home::Own, // which nobody asks: it is kept
                    old: Some(container),
                    answers: true,
                    publishes: true,
                    keeps: true,
                });
            }
        }
    }

    /// Returns the containers that leave or may have to make way for another one.
    pub(crate) fn going(&self) -> impl Iterator<Item = &'a ObservedContainer> {
        let olds = self.places.iter().filter(|place| !place.keeps).filter_map(|place| place.old);
        olds.chain(self.leaving.iter().map(|leaving| leaving.container))
    }

    /// Returns the mistakes of places whose names somebody else has.
    pub(crate) fn name_conflicts(&self, found: &Found) -> Vec<PlanError> {
        let moving: BTreeSet<&ContainerId> = self.going().map(|container| &container.spec.id).collect();
        let staying = found.containers.values().filter(|container| !moving.contains(&container.spec.id));
        let owner = |spec: &ContainerSpec| format!("project `{}`, service `{}`", spec.project, spec.service);
        let mut holders: BTreeMap<&ContainerName, String> =
            staying.map(|container| (&container.spec.name, owner(&container.spec))).collect();
        let mut errors = Vec::new();
        for place in self.places.iter().filter(|place| place.kept().is_none()) {
            let ours = format!("service `{}`", place.service_name);
            if let Some(owner) = holders.insert(&place.name, ours) {
                let error = PlaceError::NameTaken { name: place.name.clone(), owner };
                errors.push(PlanError::new(format!("services.{}.container_name", place.service_name), error));
            }
        }
        errors
    }
}

fn replica_name(
    project: &ProjectName,
    service_name: &ServiceName,
    service: &Service,
    number: u32,
) -> ContainerName {
    let own = service.container_name.clone();
    own.unwrap_or_else(|| joined(project, service_name, &number.to_string()))
}

/// Returns `project-service-rest`, where `rest` consists of letters that a name may have.
pub(crate) fn joined(project: &ProjectName, service: &ServiceName, rest: &str) -> ContainerName {
    let name = format!("{project}-{service}-{rest}");
    name.parse().expect("a project's first letter begins a name, and what follows are letters of names")
}

/// Tells of containers that nobody asked for, if there are any.
pub(crate) fn orphan_note(what: &str, containers: &[&ObservedContainer]) -> Option<String> {
    let names: Vec<String> =
        containers.iter().map(|container| format!("`{}`", container.spec.name)).collect();
    (!names.is_empty()).then(|| format!("{what}: {} (`--remove-orphans` removes them)", names.join(", ")))
}
