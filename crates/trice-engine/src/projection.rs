//! What follows from the state and has no life of its own: the names that are answered and the packet filters.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use trice_model::dns::NameTable;
use trice_model::name::ProjectName;
use trice_model::network::{FirewallPort, FirewallSpec, NetworkSpec, Way};
use trice_model::port::Protocol;
use trice_network::divert;
use trice_network::firewall::{self, Guarding};
use trice_network::proxy::{self, Targets};

use crate::engine::Engine;
use crate::world::HostSide;

impl Engine {
    /// Brings names and packet filters of the projects that changed in line with what is known.
    pub(crate) fn project(&mut self) {
        if self.changed.is_empty() && !self.ground.changed && self.admitted.is_some() {
            return;
        }
        self.backends.names.replace(&self.all_names());
        // An engine before this one may have left it behind.
        let diverted = self.admitted.is_none() || self.diverts();
        if std::mem::take(&mut self.ground.changed) {
            self.set_firewall(trice_plan::building::firewall(&self.world.found, &self.backends.realm));
        }
        for project in std::mem::take(&mut self.changed) {
            self.project_firewall(&project);
        }
        self.admit();
        if diverted
            && !self.diverts()
            && let Err(error) = divert::end(self.backends.realm.way_back())
        {
            tracing::error!(error = &error as &dyn std::error::Error, "end the proxy's way back");
        }
    }

    /// Tells whether answers to the proxy are kept on this machine.
    fn diverts(&self) -> bool {
        let mut ports = self.firewalls.values().flat_map(|firewall| &firewall.published);
        ports.any(|port| port.way == Way::Transparent)
    }

    /// Returns the names of all projects: one server answers for them all, and an instance's view keeps them apart.
    fn all_names(&self) -> NameTable {
        let mut all = trice_plan::building::names(&self.world.found);
        for project in self.world.projects() {
            let names = trice_plan::names::names(&self.world.found, &project);
            all.networks.extend(names.networks);
            all.views.extend(names.views);
        }
        all
    }

    fn project_firewall(&mut self, project: &ProjectName) {
        let wanted = trice_plan::firewall::firewall(&self.world.found, &self.backends.realm, project);
        let published = wanted.published.clone();
        self.set_firewall(wanted);
        self.project_proxies(project, &published);
    }

    /// Brings a table in line with what is wanted of it.
    fn set_firewall(&mut self, wanted: FirewallSpec) {
        let table = wanted.table.clone();
        let known = self.firewalls.get(&table);
        let nothing = wanted.bridges.is_empty() && wanted.guarded.is_empty() && wanted.published.is_empty();
        let result = match (nothing, known) {
            (true, None) => return,
            (true, Some(known)) => firewall::remove_firewall(&mut self.tables, known),
            (false, Some(known)) if *known == wanted => return,
            (false, _) => {
                firewall::apply_firewall(&mut self.tables, &wanted).map(|guarding| match guarding {
                    Guarding::On => {}
                    Guarding::Off(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(table, error, "containers can pass for others on their networks");
                    }
                })
            }
        };
        match result {
            Err(error) => {
                tracing::error!(table, error = &error as &dyn std::error::Error, "set the packet filter");
            }
            Ok(()) if nothing => drop(self.firewalls.remove(&table)),
            Ok(()) => drop(self.firewalls.insert(table, wanted)),
        }
    }

    /// Passes on what the packet filter cannot lead, and no more than that.
    fn project_proxies(&mut self, project: &ProjectName, ports: &[FirewallPort]) {
        let wanted: BTreeMap<HostSide, Targets> = ports
            .iter()
            .filter(|port| !port.backends.is_empty() && is_passed_on(port))
            .map(|port| (HostSide::of_firewall(port), self.targets(port)))
            .collect();
        self.proxies.retain(|side, (owner, _)| owner != project || wanted.contains_key(side));
        for (side, targets) in wanted {
            if let Some((_, proxy)) = self.proxies.get(&side) {
                proxy.lead(targets);
                continue;
            }
            // Without the port reserved for us there is nothing to take anything by.
            let Some(reservation) = self.world.ports.get(&side) else { continue };
            let socket = match reservation.socket.try_clone() {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::error!(%project, %error, "pass on a published port");
                    continue;
                }
            };
            match proxy::serve(socket, side.protocol, targets) {
                Ok(proxy) => drop(self.proxies.insert(side, (project.clone(), proxy))),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(%project, error, "pass on a published port");
                }
            }
        }
    }

    fn targets(&self, port: &FirewallPort) -> Targets {
        let found = &self.world.found;
        let networks = found.networks.values().map(|network| &network.spec).chain(&found.building.network);
        Targets {
            backends: port.backends.clone(),
            transparent: port.way == Way::Transparent,
            near: networks.flat_map(NetworkSpec::subnets).collect(),
        }
    }
}

/// Tells whether anything comes to the port that the packet filter does not lead: of IPv6, what is for `::1` and for
/// addresses of links.
fn is_passed_on(port: &FirewallPort) -> bool {
    let unled = |ip: Ipv6Addr| ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local();
    let is_unled = match port.host_ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => unled(ip),
    };
    port.protocol != Protocol::Sctp && (port.way != Way::Direct || is_unled)
}
