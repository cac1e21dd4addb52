//! Which names mean what on a project's networks, from what is found: the DNS server answers from this table
//! alone.
//!
//! A container answers to its own name, its service's and its aliases', its short id and its host name; a
//! one-off to its own name only, unless `run --use-aliases` gave it the service's. Only running containers
//! answer. A link is a name that only the linking instance knows; it means all replicas, and `service-2` and
//! `project-service-2` mean one of them.

use std::collections::BTreeMap;

use trice_model::container::{ContainerSpec, ObservedContainer, Role};
use trice_model::dns::{NameTable, NameView, NamedEndpoint};
use trice_model::name::{NetworkName, ProjectName, ServiceName};
use trice_model::network::{EndpointSpec, InstanceName, InstanceSpec};

use crate::found::{self, Found};

/// Returns the names of `project`'s networks, and what each of its instances may ask.
pub fn names(found: &Found, project: &ProjectName) -> NameTable {
    let mut table = NameTable::default();
    let replicas = replicas(found, project);
    for (container, instance) in
        inhabitants(found).filter(|(container, _)| container.spec.project == *project)
    {
        for endpoint in &instance.endpoints {
            table.networks.entry(endpoint.network.clone()).or_default();
        }
        // Of two containers in one instance, the one that runs says what it may ask.
        if found::is_running(container) || !table.views.contains_key(&instance.name) {
            table.views.insert(instance.name.clone(), view(found, &container.spec, instance, &replicas));
        }
    }
    // An external network has containers of other projects too.
    for (container, instance) in inhabitants(found).filter(|(container, _)| found::is_running(container)) {
        for endpoint in &instance.endpoints {
            if let Some(endpoints) = table.networks.get_mut(&endpoint.network) {
                endpoints.push(NamedEndpoint {
                    names: names_on(&container.spec, endpoint),
                    ipv4: endpoint.address.map(|address| address.addr()),
                    ipv6: endpoint.address6.map(|address| address.addr()),
                });
            }
        }
    }
    table
}

/// Returns the containers that live in instances of their own, with these. A guest in another's answers to no name and
/// asks as its host does.
fn inhabitants(found: &Found) -> impl Iterator<Item = (&ObservedContainer, &InstanceSpec)> {
    let containers = found.containers.values().filter(|container| !container.spec.is_guest());
    containers.filter_map(|container| Some((container, &found.instance_of(container)?.spec)))
}

/// The names of replicas by service and number.
type Replicas<'a> = BTreeMap<&'a ServiceName, BTreeMap<u32, &'a InstanceName>>;

fn replicas<'a>(found: &'a Found, project: &ProjectName) -> Replicas<'a> {
    let mut replicas = Replicas::new();
    for container in found.containers.values().filter(|container| container.spec.project == *project) {
        if let Role::Replica(number) = container.spec.role {
            replicas.entry(&container.spec.service).or_default().insert(number, &container.spec.name);
        }
    }
    replicas
}

fn view(
    found: &Found,
    container: &ContainerSpec,
    instance: &InstanceSpec,
    replicas: &Replicas<'_>,
) -> NameView {
    let networks: Vec<NetworkName> =
        instance.endpoints.iter().map(|endpoint| endpoint.network.clone()).collect();
    let leads_out =
        |name: &NetworkName| found.networks.get(name).is_some_and(|network| !network.spec.internal);
    NameView {
        external: networks.iter().any(leads_out),
        networks,
        links: links(container, replicas),
        servers: container.resolver.servers.clone(),
    }
}

fn links(container: &ContainerSpec, replicas: &Replicas<'_>) -> BTreeMap<String, Vec<String>> {
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for link in &container.links {
        // A service without containers is still a known name: it is not looked for outside.
        let all = links.entry(link.alias.to_lowercase()).or_default();
        let targets = replicas.get(&link.service).into_iter().flatten();
        let targets: Vec<(u32, String)> =
            targets.map(|(number, name)| (*number, name.as_str().to_lowercase())).collect();
        all.extend(targets.iter().map(|(_, name)| name.clone()));
        for (number, name) in targets {
            for alias in [
                format!("{}-{number}", link.service),
                format!("{}-{}-{number}", container.project, link.service),
            ] {
                links.insert(alias.to_lowercase(), vec![name.clone()]);
            }
        }
    }
    for link in &container.external_links {
        links.insert(link.alias.to_lowercase(), vec![link.container.as_str().to_lowercase()]);
    }
    links
}

/// Returns the names that a container answers to on the network of `endpoint`, each once.
fn names_on(container: &ContainerSpec, endpoint: &EndpointSpec) -> Vec<String> {
    let mut names = vec![container.name.to_string()];
    if let Some(aliases) = container.aliases.get(&endpoint.network) {
        names.extend(aliases.iter().cloned());
        names.extend([container.id.short().to_owned(), container.hostname.to_string()]);
    }
    if let Some(aliases) = &endpoint.by_hand {
        names.extend(aliases.iter().cloned());
        names.push(container.id.short().to_owned());
    }
    let mut lower: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.to_lowercase()) {
        if !lower.contains(&name) {
            lower.push(name);
        }
    }
    lower
}
