//! Who follows: containers that want to be restarted when one that they depend on is.
//!
//! `depends_on` says so by `restart: true`, and a link always does. A follower that is restarted has
//! followers of its own. What a restart policy does by itself is followed by nobody.
//!
//! Source: Compose Specification, `05-services.md`, "depends_on", "links".

use std::collections::{BTreeMap, BTreeSet};

use trice_model::container::ObservedContainer;
use trice_model::id::ContainerId;
use trice_model::name::{ProjectName, ServiceName};
use trice_model::time::Timestamp;

use crate::found::{self, Found};

/// What happened to a service: "recreated" or "restarted".
pub(crate) type Renewed = BTreeMap<ServiceName, &'static str>;

/// Returns the running replicas of `project` that follow those in `renewed`, each with its cause; those in
/// `moving` are on their way already.
pub(crate) fn followers<'a>(
    project: &ProjectName,
    found: &'a Found,
    mut renewed: Renewed,
    moving: &BTreeSet<&ContainerId>,
) -> Vec<(&'a ObservedContainer, String)> {
    let mut open: Vec<&ObservedContainer> = found
        .containers
        .values()
        .filter(|one| one.spec.project == *project && one.spec.role.is_replica() && found::is_running(one))
        .filter(|one| !moving.contains(&one.spec.id))
        .collect();
    let mut followers = Vec::new();
    loop {
        let (follow, rest): (Vec<_>, Vec<_>) =
            open.into_iter().map(|one| (one, cause(one, &renewed))).partition(|(_, cause)| cause.is_some());
        if follow.is_empty() {
            return followers;
        }
        renewed.extend(follow.iter().map(|(one, _)| (one.spec.service.clone(), "restarted")));
        followers.extend(follow.into_iter().filter_map(|(one, cause)| Some((one, cause?))));
        open = rest.into_iter().map(|(one, _)| one).collect();
    }
}

/// Returns the replicas of `project` that were stopped since `asked_at` and not started again: an engine that
/// died in between meant to.
pub(crate) fn cut_off<'a>(
    project: &'a ProjectName,
    found: &'a Found,
    asked_at: Timestamp,
) -> impl Iterator<Item = &'a ObservedContainer> {
    let stopped_since = move |one: &ObservedContainer| {
        found::is_at_rest(one) && one.asked_to_stop && one.finished_at.is_some_and(|at| at >= asked_at)
    };
    found.containers_of(project).filter(move |one| one.spec.role.is_replica() && stopped_since(one))
}

/// Why a container that was cut off is started.
pub(crate) const CUT_OFF: &str = "its restart was cut off";

fn cause(container: &ObservedContainer, renewed: &Renewed) -> Option<String> {
    let follows = container.spec.depends_on.iter().filter(|(_, dependency)| dependency.restart);
    let mut causes =
        follows.filter_map(|(needed, _)| renewed.get(needed).map(|how| format!("{needed} is {how}")));
    causes.next()
}
