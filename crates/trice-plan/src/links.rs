//! What a container is told in variables about the services that it links.
//!
//! ```text
//! links: [db]   DB_PORT  DB_PORT_5432_TCP  DB_PORT_5432_TCP_ADDR  …   the lowest replica
//!               DB_1_PORT  DB_1_PORT_5432_TCP  …  DB_2_PORT  …         each replica
//! ```
//!
//! The address is the one on the first network, in the order of the linking container's interfaces, that both
//! are on. Variables follow addresses: they are worked out for each new process and are no reason for another
//! container.
//!
//! Sources: moby `daemon/links/links.go` for names and values; Compose 1 for the variables of each replica.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use trice_model::container::{ContainerSpec, ObservedContainer, Role};
use trice_model::name::{ProjectName, ServiceName};
use trice_model::network::InstanceSpec;
use trice_model::port::ContainerPort;
use trice_model::service::LinksEnv;

use crate::found::Found;
use crate::instance;
use crate::lower::process::HOSTNAME;

/// Variables by name.
type Variables = BTreeMap<String, String>;

/// Returns the variables for a new process of `container`, from what is found.
pub fn variables(found: &Found, container: &ObservedContainer) -> BTreeMap<String, String> {
    let mut peers = Peers::default();
    peers.add_found(&container.spec.project, found);
    peers.variables(&container.spec, found.instance_of(container).map(|own| &own.spec))
}

/// The replicas of each service, with their instances, by number.
#[derive(Debug, Default)]
pub(crate) struct Peers<'a> {
    services: BTreeMap<&'a ServiceName, Replicas<'a>>,
}

type Replicas<'a> = BTreeMap<u32, (&'a ContainerSpec, Option<&'a InstanceSpec>)>;

impl<'a> Peers<'a> {
    /// Begins with containers that will be.
    pub(crate) fn of(
        containers: impl Iterator<Item = (&'a ContainerSpec, Option<&'a InstanceSpec>)>,
    ) -> Self {
        let mut peers = Self::default();
        containers.for_each(|(container, own)| peers.add(container, own));
        peers
    }

    /// Adds those that are there, of services of which nothing is known yet.
    pub(crate) fn add_found(&mut self, project: &ProjectName, found: &'a Found) {
        let mut there = Self::default();
        for container in found.containers.values().filter(|container| container.spec.project == *project) {
            there.add(&container.spec, found.instance_of(container).map(|own| &own.spec));
        }
        for (service, replicas) in there.services {
            self.services.entry(service).or_insert(replicas);
        }
    }

    fn add(&mut self, container: &'a ContainerSpec, own: Option<&'a InstanceSpec>) {
        if let Role::Replica(number) = container.role {
            self.services.entry(&container.service).or_default().insert(number, (container, own));
        }
    }

    /// Returns the variables for a process of `container`, which lives in `own`.
    pub(crate) fn variables(&self, container: &ContainerSpec, own: Option<&InstanceSpec>) -> Variables {
        let mut variables = Variables::new();
        let with_env = match container.links_env {
            LinksEnv::Off => return variables,
            LinksEnv::Ports => false,
            LinksEnv::Full => true,
        };
        for link in &container.links {
            let replicas = self.services.get(&link.service).into_iter().flatten();
            let mut is_lowest = true;
            for (number, (target, theirs)) in replicas {
                let Some(address) = common_address(own, *theirs) else { continue };
                let target = Target { linking: container, target, address, with_env };
                if is_lowest {
                    target.tell(&link.alias, &mut variables);
                }
                target.tell(&format!("{}_{number}", link.alias), &mut variables);
                is_lowest = false;
            }
        }
        variables
    }
}

/// Returns the address of `theirs` on the first network of `own` that both are on.
fn common_address(own: Option<&InstanceSpec>, theirs: Option<&InstanceSpec>) -> Option<IpAddr> {
    let theirs = theirs?;
    own?.endpoints.iter().find_map(|endpoint| instance::address_on(theirs, &endpoint.network))
}

/// A linked container, as the linking one sees it.
struct Target<'a> {
    linking: &'a ContainerSpec,
    target: &'a ContainerSpec,
    address: IpAddr,
    with_env: bool,
}

impl Target<'_> {
    /// Adds the variables that begin with `alias`.
    fn tell(&self, alias: &str, variables: &mut Variables) {
        let prefix = alias.to_uppercase().replace('-', "_");
        let ports: Vec<ContainerPort> = self.target.exposed.iter().copied().collect();
        if let Some(first) = ports.first() {
            variables.insert(format!("{prefix}_PORT"), self.url(*first));
        }
        for port in &ports {
            let name = port_prefix(&prefix, *port);
            variables.insert(format!("{name}_ADDR"), self.address.to_string());
            variables.insert(format!("{name}_PORT"), port.number.to_string());
            variables.insert(format!("{name}_PROTO"), port.protocol.to_string());
            variables.insert(name, self.url(*port));
        }
        for (first, last) in runs(&ports).into_iter().filter(|(first, last)| first != last) {
            let name = port_prefix(&prefix, first);
            variables.insert(format!("{name}_START"), self.url(first));
            variables.insert(format!("{name}_PORT_START"), first.number.to_string());
            variables.insert(format!("{name}_END"), self.url(last));
            variables.insert(format!("{name}_PORT_END"), last.number.to_string());
        }
        variables.insert(format!("{prefix}_NAME"), format!("/{}/{alias}", self.linking.name));
        if self.with_env {
            variables.extend(self.env().map(|(name, value)| (format!("{prefix}_ENV_{name}"), value.clone())));
        }
    }

    /// Returns the variables that somebody chose: not those that each container has.
    fn env(&self) -> impl Iterator<Item = (&String, &String)> {
        let usual = |name: &str| name == "HOME" || name == "PATH" || name == HOSTNAME;
        self.target.process.env.iter().filter(move |(name, _)| !usual(name))
    }

    fn url(&self, port: ContainerPort) -> String {
        format!("{}://{}", port.protocol, SocketAddr::new(self.address, port.number))
    }
}

fn port_prefix(prefix: &str, port: ContainerPort) -> String {
    format!("{prefix}_PORT_{}_{}", port.number, port.protocol.to_string().to_uppercase())
}

/// Returns the first and last of each run of consecutive ports of one protocol.
fn runs(ports: &[ContainerPort]) -> Vec<(ContainerPort, ContainerPort)> {
    let mut runs: Vec<(ContainerPort, ContainerPort)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((_, last))
                if last.protocol == port.protocol && last.number.checked_add(1) == Some(port.number) =>
            {
                *last = *port;
            }
            Some(_) | None => runs.push((*port, *port)),
        }
    }
    runs
}
