//! Which service comes before which.
//!
//! ```text
//! web ──depends on──► api ──► db        started  db, api, web
//!  └─────links──────► cache             stopped  web, api, cache, db
//! ```
//!
//! A link is a dependency too: the linked service is started before, and the linking one follows its
//! recreation.
//!
//! Source: Compose Specification, `05-services.md`, "depends_on" and "links".

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use trice_model::name::ServiceName;
use trice_model::project::Project;
use trice_model::service::{Condition, Dependency, Service};

use crate::mistake::PlanError;

/// The services that each service depends on.
pub(crate) type Edges = BTreeMap<ServiceName, BTreeSet<ServiceName>>;

/// Why services have no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A service would have to be there before itself.
    #[error("dependency cycle: {}", joined(.cycle))]
    Cycle {
        /// The services, each depending on the next one and the last one on the first.
        cycle: Vec<ServiceName>,
    },
    /// A service is needed that no file knows.
    #[error("service `{service}` is not defined")]
    Undefined {
        /// The service that is not there.
        service: ServiceName,
    },
    /// A service is needed whose profile was not asked for.
    #[error("service `{service}` belongs to a profile that is not active")]
    Inactive {
        /// The service that is not active.
        service: ServiceName,
    },
    /// Nobody can tell whether it is healthy.
    #[error("service `{service}` has no health check to wait for")]
    NoProbe {
        /// The service.
        service: ServiceName,
    },
}

impl OrderError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Cycle { .. } => Some(
                "take one of these out of `depends_on` or `links`: a service can look for another later"
                    .into(),
            ),
            Self::Undefined { .. } => None,
            Self::NoProbe { service } => {
                Some(format!("give `{service}` a `healthcheck`, or wait until it has started"))
            }
            Self::Inactive { .. } => Some("activate its profile, or write `required: false`".into()),
        }
    }
}

fn joined(cycle: &[ServiceName]) -> String {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(ServiceName::as_str).collect();
    names.join(" -> ")
}

/// Returns what `service` depends on, linked services included.
pub(crate) fn dependencies(service: &Service) -> BTreeMap<ServiceName, Dependency> {
    let mut all = service.depends_on.clone();
    for link in &service.links {
        // What the file says about a linked service comes first.
        all.entry(link.service.clone()).or_insert(Dependency {
            condition: Condition::ServiceStarted,
            restart: true,
            required: true,
        });
    }
    all
}

/// Returns `roots`, or all active services if there are none, with what they depend on: in the order of their
/// start.
///
/// With `alone` the dependencies stay out.
///
/// # Errors
/// All services that are missing; or else the cycle.
pub(crate) fn selection(
    project: &Project,
    roots: &BTreeSet<ServiceName>,
    alone: bool,
) -> Result<Vec<ServiceName>, Vec<PlanError>> {
    let roots = if roots.is_empty() { project.services.keys().cloned().collect() } else { roots.clone() };
    let edges = edges_of(project);
    let mut errors: Vec<PlanError> = roots
        .iter()
        .filter_map(|root| {
            missing(project, root).map(|error| PlanError::new(format!("services.{root}"), error))
        })
        .collect();
    let chosen = if alone { roots } else { closure(&edges, roots) };
    if !alone {
        errors.extend(chosen.iter().flat_map(|service| missing_dependencies(project, service)));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let sorted = sorted(&edges).map_err(|error| vec![PlanError::new("services", error)])?;
    Ok(sorted.into_iter().filter(|service| chosen.contains(service)).collect())
}

/// Returns the active services in `project` with those among them that each depends on.
fn edges_of(project: &Project) -> Edges {
    let known = |name: &ServiceName| project.services.contains_key(name);
    project
        .services
        .iter()
        .map(|(name, service)| (name.clone(), dependencies(service).into_keys().filter(known).collect()))
        .collect()
}

fn missing(project: &Project, service: &ServiceName) -> Option<OrderError> {
    if project.services.contains_key(service) {
        None
    } else if project.inactive.contains(service) {
        Some(OrderError::Inactive { service: service.clone() })
    } else {
        Some(OrderError::Undefined { service: service.clone() })
    }
}

fn missing_dependencies(project: &Project, service: &ServiceName) -> Vec<PlanError> {
    let needs = project.services.get(service).map(dependencies).unwrap_or_default();
    needs
        .iter()
        .filter(|(_, dependency)| dependency.required)
        .filter_map(|(needed, _)| {
            let path = format!("services.{service}.depends_on.{needed}");
            missing(project, needed).map(|error| PlanError::new(path, error))
        })
        .collect()
}

/// Returns `roots` and all that can be reached from them.
pub(crate) fn closure(edges: &Edges, roots: BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut reached = roots.clone();
    let mut ahead: Vec<ServiceName> = roots.into_iter().collect();
    while let Some(service) = ahead.pop() {
        for next in edges.get(&service).into_iter().flatten() {
            if reached.insert(next.clone()) {
                ahead.push(next.clone());
            }
        }
    }
    reached
}

/// Returns the edges turned round: the services that depend on each.
pub(crate) fn reversed(edges: &Edges) -> Edges {
    let mut turned: Edges = edges.keys().map(|service| (service.clone(), BTreeSet::new())).collect();
    for (service, needs) in edges {
        for needed in needs {
            turned.entry(needed.clone()).or_default().insert(service.clone());
        }
    }
    turned
}

/// Returns the services so that each comes after those it depends on.
///
/// # Errors
/// [`OrderError::Cycle`] if there is no such order.
pub(crate) fn sorted(edges: &Edges) -> Result<Vec<ServiceName>, OrderError> {
    let groups = groups(edges);
    let needs = |service: &ServiceName, needed: &ServiceName| {
        edges.get(service).is_some_and(|needs| needs.contains(needed))
    };
    match groups.iter().find(|group| group.len() > 1 || group.iter().any(|service| needs(service, service))) {
        Some(group) => Err(OrderError::Cycle { cycle: cycle_in(group, edges) }),
        None => Ok(groups.into_iter().flatten().collect()),
    }
}

/// Returns the services so that each comes after those it depends on, as far as that is possible.
///
/// Records of different times may contradict each other, and must not keep a project from going down.
pub(crate) fn sorted_anyhow(edges: &Edges) -> Vec<ServiceName> {
    groups(edges).into_iter().flatten().collect()
}

/// Returns groups of services that reach each other, each group after those it depends on.
fn groups(edges: &Edges) -> Vec<Vec<ServiceName>> {
    let mut graph = DiGraph::<&ServiceName, ()>::new();
    let nodes: BTreeMap<&ServiceName, _> =
        edges.keys().map(|service| (service, graph.add_node(service))).collect();
    for (service, needs) in edges {
        for needed in needs.iter().filter_map(|needed| nodes.get(needed)) {
            graph.add_edge(nodes[service], *needed, ());
        }
    }
    // Tarjan's algorithm gives a group out when all that it reaches has been given out.
    tarjan_scc(&graph)
        .into_iter()
        .map(|group| group.into_iter().map(|node| graph[node].clone()).collect())
        .collect()
}

/// Walks through `group`, in which everybody reaches everybody, until a service comes a second time.
fn cycle_in(group: &[ServiceName], edges: &Edges) -> Vec<ServiceName> {
    let mut walk: Vec<ServiceName> = Vec::new();
    let mut here = group.iter().min();
    while let Some(service) = here {
        if let Some(first) = walk.iter().position(|visited| visited == service) {
            return walk.split_off(first);
        }
        walk.push(service.clone());
        here = edges.get(service).and_then(|needs| needs.iter().find(|needed| group.contains(needed)));
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `web: api cache; api: db` as edges.
    fn edges(text: &str) -> Edges {
        let mut edges = Edges::new();
        for line in text.split("; ") {
            let (service, needs) = line.split_once(':').unwrap();
            let needs: BTreeSet<ServiceName> =
                needs.split_whitespace().map(|name| name.parse().unwrap()).collect();
            needs.iter().for_each(|needed| _ = edges.entry(needed.clone()).or_default());
            edges.entry(service.parse().unwrap()).or_default().extend(needs);
        }
        edges
    }

    fn order(text: &str) -> Result<String, String> {
        let names = |services: Vec<ServiceName>| -> String {
            services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
        };
        sorted(&edges(text)).map(names).map_err(|error| error.to_string())
    }

    #[test]
    fn dependencies_come_first_and_strangers_by_name() {
        assert_eq!(order("web: api cache; api: db").as_deref(), Ok("db api cache web"));
        assert_eq!(order("b:; a:; c: a").as_deref(), Ok("a b c"));
    }

    #[test]
    fn a_cycle_is_named_and_nothing_but_the_cycle() {
        let error = order("web: api; api: db; db: cache; cache: api").unwrap_err();
        assert_eq!(error, "dependency cycle: api -> db -> cache -> api");
        assert_eq!(order("web: web").unwrap_err(), "dependency cycle: web -> web");
    }

    #[test]
    fn records_that_contradict_each_other_still_have_an_order() {
        let names = sorted_anyhow(&edges("a: b; b: a; c: a"));
        assert_eq!(names.len(), 3);
        assert_eq!(names.last().map(ServiceName::as_str), Some("c"));
    }

    #[test]
    fn the_way_back_finds_those_that_depend() {
        let dependents =
            closure(&reversed(&edges("web: api; api: db; job: cache")), ["db".parse().unwrap()].into());
        assert_eq!(dependents, ["api", "db", "web"].map(|name| name.parse().unwrap()).into());
    }
}
