//! The packet filter of a project, from what is found: its bridges, and which ports of the host lead where.
//!
//! Replicas that share a port are its backends together. A port whose containers do not run yet, or are about
//! to run again, has no backend: connections are refused. One whose container has ended is not there at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use trice_model::name::ProjectName;
use trice_model::network::{EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, InstanceSpec};
use trice_model::port::Protocol;

use crate::found::{self, Found};
use crate::realm::Realm;

/// Returns the packet filter of `project`.
pub fn firewall(found: &Found, realm: &Realm, project: &ProjectName) -> FirewallSpec {
    FirewallSpec {
        table: realm.table(project),
        bridges: bridges(found, project),
        published: published(found, project),
    }
}

fn bridges(found: &Found, project: &ProjectName) -> Vec<FirewallBridge> {
    let own = found.networks.values().map(|network| &network.spec);
    own.filter(|spec| spec.owner.as_ref().is_some_and(|(owner, _)| owner == project))
        .map(|spec| FirewallBridge {
            link: spec.bridge.clone(),
            subnet: spec.subnet,
            internal: spec.internal,
            icc: spec.icc,
        })
        .collect()
}

fn published(found: &Found, project: &ProjectName) -> Vec<FirewallPort> {
    let mut ports: BTreeMap<(Option<IpAddr>, u16, Protocol), Vec<SocketAddr>> = BTreeMap::new();
    for container in found.containers_of(project).filter(|container| !found::is_at_rest(container)) {
        let Some(instance) = found.instance_of(container) else { continue };
        for port in &container.spec.published {
            let key = (port.host_ip, port.host_port, port.target.protocol);
            let backends = ports.entry(key).or_default();
            if let Some(endpoint) = way_in(&instance.spec).filter(|_| found::is_running(container)) {
                backends.push(SocketAddr::new(endpoint.address.addr().into(), port.target.number));
            }
        }
    }
    ports
        .into_iter()
        .map(|((host_ip, host_port, protocol), mut backends)| {
            backends.sort_unstable();
            FirewallPort { host_ip, host_port, protocol, backends }
        })
        .collect()
}

/// Returns the interface that answers find their way out by.
fn way_in(instance: &InstanceSpec) -> Option<&EndpointSpec> {
    instance.endpoints.iter().find(|endpoint| endpoint.gateway.is_some())
}
