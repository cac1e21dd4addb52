//! Containers that are there start, without the Compose files: `start`, `restart`, and the way back after a
//! reboot.
//!
//! What they need of the network may be gone with the machine's last run, and is made again as it is
//! recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trice_model::container::ObservedContainer;
use trice_model::id::{ContainerId, Ids};
use trice_model::name::{ContainerName, NetworkName, ProjectName, ServiceName};
use trice_model::network::InstanceName;
use trice_model::service::Condition;
use trice_model::time::Timestamp;

use crate::action::Until;
use crate::address::Addresses;
use crate::changes::{Changes, Crew, Member, Start};
use crate::converge::WANTED;
use crate::down;
use crate::follow::{self, Renewed};
use crate::found::{self, Found};
use crate::instance;
use crate::mistake::PlanError;
use crate::network;
use crate::order;
use crate::plan::Plan;
use crate::realm::Realm;
use crate::recreate;
use crate::restart;
use crate::weave;

/// Why nothing can be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The service has no containers.
    #[error("service `{service}` has no container to start")]
    NoContainer {
        /// The service.
        service: ServiceName,
    },
    /// The project has no containers.
    #[error("project `{project}` has no containers")]
    NoProject {
        /// The project.
        project: ProjectName,
    },
    /// What the container lives in is gone, record and all.
    #[error("the network of container `{container}` is gone")]
    NoInstance {
        /// The container.
        container: ContainerName,
    },
}

impl StartError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoContainer { service } => Some(format!("`trice up {service}` makes one")),
            Self::NoProject { .. } => Some("`trice up` makes them".into()),
            Self::NoInstance { .. } => Some("`trice up` makes it again".into()),
        }
    }
}

/// How a `restart` goes.
#[derive(Debug)]
pub(crate) struct RestartOptions<'a> {
    /// Of these services; none is all.
    pub(crate) services: &'a BTreeSet<ServiceName>,
    /// In place of each container's grace.
    pub(crate) timeout: Option<Duration>,
    /// Nobody follows.
    pub(crate) no_deps: bool,
}

/// Plans a `start`: the named services and all that they depend on.
///
/// # Errors
/// All named services that have no containers.
pub(crate) fn start(
    project: &ProjectName,
    services: &BTreeSet<ServiceName>,
    wait: bool,
    found: &Found,
    realm: &Realm,
    asked_at: Timestamp,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    check(project, services, found)?;
    let chosen = order::closure(&down::recorded_edges(project, found), services.clone());
    let all: Vec<&ObservedContainer> = down::replicas(project, &chosen, found).collect();
    let starting: Vec<&ObservedContainer> =
        all.iter().filter(|container| recreate::wants_start(container, asked_at)).copied().collect();
    check_instances(&starting, found)?;
    let mut changes = revive(&starting, found, realm, ids);
    changes.crew = crew(&all, &starting);
    if wait {
        changes.waits = waits(&all);
    }
    Ok(weave::weave(changes))
}

/// Plans a `restart`: the named services, and those that follow them.
///
/// # Errors
/// All named services that have no containers.
pub(crate) fn restart(
    project: &ProjectName,
    options: &RestartOptions<'_>,
    found: &Found,
    realm: &Realm,
    asked_at: Timestamp,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    check(project, options.services, found)?;
    let mut restarting: Vec<(&ObservedContainer, String)> = down::replicas(project, options.services, found)
        .filter(|container| !recreate::has_started_since(container, asked_at))
        .map(|container| (container, "asked to restart".to_owned()))
        .collect();
    if !options.no_deps {
        let renewed: Renewed =
            restarting.iter().map(|(container, _)| (container.spec.service.clone(), "restarted")).collect();
        let moving: BTreeSet<&ContainerId> =
            restarting.iter().map(|(container, _)| &container.spec.id).collect();
        let followers = follow::followers(project, found, renewed, &moving);
        restarting
            .extend(followers.into_iter().filter(|(one, _)| !recreate::has_started_since(one, asked_at)));
        let known: BTreeSet<&ContainerId> = restarting.iter().map(|(one, _)| &one.spec.id).collect();
        let cut_off: Vec<_> =
            follow::cut_off(project, found, asked_at).filter(|one| !known.contains(&one.spec.id)).collect();
        restarting.extend(cut_off.into_iter().map(|one| (one, follow::CUT_OFF.to_owned())));
    }
    let starting: Vec<&ObservedContainer> = restarting.iter().map(|(container, _)| *container).collect();
    check_instances(&starting, found)?;
    let mut changes = revive(&starting, found, realm, ids);
    changes.stops = restarting.into_iter().filter(|(container, _)| found::is_live(container)).collect();
    changes.timeout = options.timeout;
    changes.crew = crew(&present(project, &starting, found), &starting);
    Ok(weave::weave(changes))
}

/// Plans what runs again when the machine or the keeper has come up again.
///
/// A dependency that does not come back by its own policy is not waited for: nobody is there to start it.
pub(crate) fn resume(project: &ProjectName, found: &Found, realm: &Realm, ids: &mut Ids) -> Plan {
    let wanted = found.containers_of(project).filter(|container| restart::after_boot(container));
    let (starting, lost): (Vec<&ObservedContainer>, Vec<&ObservedContainer>) =
        wanted.partition(|container| has_instance(container, found));
    let mut changes = revive(&starting, found, realm, ids);
    changes.notes = lost.into_iter().map(|container| no_instance(container).to_string()).collect();
    changes.crew = crew(&present(project, &starting, found), &starting);
    weave::weave(changes)
}

fn check(
    project: &ProjectName,
    services: &BTreeSet<ServiceName>,
    found: &Found,
) -> Result<(), Vec<PlanError>> {
    let everybody = BTreeSet::new();
    let there: BTreeSet<&ServiceName> =
        down::replicas(project, &everybody, found).map(|container| &container.spec.service).collect();
    if there.is_empty() {
        return Err(vec![PlanError::new("name", StartError::NoProject { project: project.clone() })]);
    }
    let missing = services.iter().filter(|service| !there.contains(service));
    let errors: Vec<PlanError> = missing
        .map(|service| {
            let error = StartError::NoContainer { service: service.clone() };
            PlanError::new(format!("services.{service}"), error)
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn has_instance(container: &ObservedContainer, found: &Found) -> bool {
    found::instance_name(container).is_none_or(|name| found.instances.contains_key(name))
}

fn no_instance(container: &ObservedContainer) -> PlanError {
    let error = StartError::NoInstance { container: container.spec.name.clone() };
    PlanError::new(format!("services.{}", container.spec.service), error)
}

/// Checks that containers have something to live in: a crash in the middle of a move may have taken it.
fn check_instances(starting: &[&ObservedContainer], found: &Found) -> Result<(), Vec<PlanError>> {
    let lost = starting.iter().filter(|container| !has_instance(container, found));
    let errors: Vec<PlanError> = lost.map(|container| no_instance(container)).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Starts containers, and before them what they need and the machine has lost.
fn revive<'a>(
    starting: &[&'a ObservedContainer],
    found: &'a Found,
    realm: &Realm,
    ids: &mut Ids,
) -> Changes<'a> {
    let mut changes = Changes::default();
    let names: BTreeSet<&InstanceName> =
        starting.iter().filter_map(|container| found::instance_name(container)).collect();
    let instances: Vec<_> = names.into_iter().filter_map(|name| found.instances.get(name)).collect();
    let mut lost: BTreeSet<&NetworkName> = BTreeSet::new();
    for endpoint in instances.iter().flat_map(|instance| &instance.spec.endpoints) {
        let network = found.networks.get(&endpoint.network).filter(|network| !network.present);
        if let Some(network) = network.filter(|network| lost.insert(&network.spec.name)) {
            changes.networks.push((network.spec.clone(), network::BRIDGE_GONE.to_owned()));
        }
    }
    for there in instances {
        let is_lost = there.spec.endpoints.iter().any(|endpoint| lost.contains(&endpoint.network));
        if there.present && !is_lost {
            continue;
        }
        if there.present {
            changes.disconnects.push((&there.spec, "a bridge under it is gone".to_owned()));
        }
        let again = instance::reseated(&there.spec, &BTreeMap::new(), &Addresses::default(), realm, ids);
        changes.instances.push((again, "its namespace is gone".to_owned()));
    }
    changes.starts = starting.iter().map(|container| Start::of(&container.spec, WANTED.to_owned())).collect();
    changes
}

/// Returns the replicas that run or will: only for those it makes sense to wait.
fn present<'a>(
    project: &ProjectName,
    starting: &[&'a ObservedContainer],
    found: &'a Found,
) -> Vec<&'a ObservedContainer> {
    let running = found
        .containers
        .values()
        .filter(|container| container.spec.project == *project && found::is_running(container))
        .filter(|container| !starting.iter().any(|starting| starting.spec.id == container.spec.id));
    running.chain(starting.iter().copied()).filter(|container| container.spec.role.is_replica()).collect()
}

fn crew<'a>(all: &[&'a ObservedContainer], starting: &[&ObservedContainer]) -> Crew<'a> {
    let starting: BTreeSet<&ContainerId> = starting.iter().map(|container| &container.spec.id).collect();
    let mut crew = Crew::new();
    for container in all {
        let state = Some(&container.state).filter(|_| !starting.contains(&container.spec.id));
        crew.entry(container.spec.service.clone()).or_default().push(Member::new(&container.spec, state));
    }
    crew
}

fn waits(all: &[&ObservedContainer]) -> BTreeMap<ServiceName, Until> {
    let needs = all.iter().flat_map(|container| &container.spec.depends_on);
    let completed: BTreeSet<&ServiceName> = needs
        .filter(|(_, dependency)| dependency.condition == Condition::ServiceCompletedSuccessfully)
        .map(|(service, _)| service)
        .collect();
    let until = |service: &ServiceName| {
        if completed.contains(service) { Until::Completed } else { Until::RunningOrHealthy }
    };
    let services = all.iter().map(|container| &container.spec.service);
    services.map(|service| (service.clone(), until(service))).collect()
}
