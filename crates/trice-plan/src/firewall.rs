//! The packet filter of a project, from what is found: its bridges, and which ports of the host lead where.
//!
//! Replicas that share a port are its backends together. A port whose containers do not run yet, or are about
//! to run again, has no backend: connections are refused. One whose container has ended is not there at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use trice_model::container::ContainerSpec;
use trice_model::name::ProjectName;
use trice_model::network::{
    EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, GuardedPort, InstanceSpec, NetworkSpec, Plug,
    Way,
};
use trice_model::port::{Protocol, PublishedPort};
use trice_model::service::PublishMode;

use crate::found::{self, Found};
use crate::realm::Realm;

/// Returns the packet filter of `project`.
pub fn firewall(found: &Found, realm: &Realm, project: &ProjectName) -> FirewallSpec {
    FirewallSpec {
        table: realm.table(project),
        bridges: bridges(found, project),
        guarded: guarded(found, project),
        published: published(found, project),
        way_back: realm.way_back(),
    }
}

fn bridges(found: &Found, project: &ProjectName) -> Vec<FirewallBridge> {
    let own = found.networks.values().map(|network| &network.spec);
    own.filter(|spec| spec.owner.as_ref().is_some_and(|(owner, _)| owner == project))
        .filter_map(bridge_of)
        .collect()
}

/// Returns the bridge of a network, if it has one.
pub(crate) fn bridge_of(network: &NetworkSpec) -> Option<FirewallBridge> {
    Some(FirewallBridge {
        link: network.medium.bridge()?.clone(),
        subnets: network.subnets().collect(),
        internal: network.internal,
        icc: network.icc,
        masquerade: network.masquerade,
    })
}

/// Returns the ports of bridges whose packets must bear the addresses of the project's instances.
fn guarded(found: &Found, project: &ProjectName) -> Vec<GuardedPort> {
    let endpoints = found.instances_of(project).flat_map(|instance| &instance.spec.endpoints);
    endpoints.filter_map(guarded_port).collect()
}

/// Returns the port of a bridge whose packets must bear the addresses of `endpoint`.
pub(crate) fn guarded_port(endpoint: &EndpointSpec) -> Option<GuardedPort> {
    match &endpoint.plug {
        Plug::Bridge { host_link, guarded: true, .. } => Some(GuardedPort {
            link: host_link.clone(),
            mac: endpoint.mac?,
            addresses: endpoint.nets().map(|net| net.addr()).collect(),
        }),
        Plug::Bridge { guarded: false, .. } | Plug::Macvlan { .. } | Plug::Ipvlan { .. } => None,
    }
}

fn published(found: &Found, project: &ProjectName) -> Vec<FirewallPort> {
    let mut ports: BTreeMap<(IpAddr, u16, Protocol), Lead> = BTreeMap::new();
    for container in found.containers_of(project).filter(|container| !found::is_at_rest(container)) {
        let Some(instance) = found.instance_of(container) else { continue };
        for port in &container.spec.published {
            let key = (port.host_ip, port.host_port, port.target.protocol);
            let lead = ports.entry(key).or_default();
            if let Some((backend, way)) = lead_to(&instance.spec, &container.spec, port)
                && found::is_running(container)
            {
                lead.backends.push(backend);
                lead.way = lead.way.max(way);
            }
        }
    }
    ports
        .into_iter()
        .map(|((host_ip, host_port, protocol), Lead { mut backends, way })| {
            backends.sort_unstable();
            FirewallPort { host_ip, host_port, protocol, backends, way }
        })
        .collect()
}

/// Where a port of the host leads.
#[derive(Default)]
struct Lead {
    backends: Vec<SocketAddr>,
    way: Way,
}

/// Returns where the container listens for what comes to `port`, and how that gets there: by the interface that
/// answers find their way out by, of the same version of IP if there is one.
fn lead_to(
    instance: &InstanceSpec,
    container: &ContainerSpec,
    port: &PublishedPort,
) -> Option<(SocketAddr, Way)> {
    let ends = || instance.endpoints.iter().filter(|end| matches!(end.plug, Plug::Bridge { .. }));
    let ipv4 = ends().find(|end| end.gateway.is_some()).and_then(|end| end.address);
    let ipv6 = ends().find(|end| end.gateway6.is_some()).and_then(|end| end.address6);
    let ipv4 = ipv4.map(|net| IpAddr::V4(net.addr()));
    let ipv6 = ipv6.map(|net| IpAddr::V6(net.addr()));
    let (same, other) = if port.host_ip.is_ipv4() { (ipv4, ipv6) } else { (ipv6, ipv4) };
    let proxied = port.target.protocol != Protocol::Sctp;
    let way = match (same, container.publish) {
        (_, PublishMode::RespectFirewall) if proxied => Way::Transparent,
        (Some(_), _) if port.host_ip != IpAddr::V6(std::net::Ipv6Addr::LOCALHOST) => Way::Direct,
        (Some(_) | None, _) => Way::Proxy,
    };
    // Between the versions of IP only the proxy can pass anything on.
    let ip = same.or(other.filter(|_| proxied))?;
    Some((SocketAddr::new(ip, port.target.number), way))
}
