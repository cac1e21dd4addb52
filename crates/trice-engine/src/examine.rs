//! What is wrong with the machine, as far as networks are concerned, and what mends it.

use trice_api::fault::Fault;
use trice_api::view::{FindingState, FindingView};
use trice_model::network::ObservedHost;
use trice_network::abilities::{self, Ability};
use trice_network::neighbours::{self, Neighbours};
use trice_plan::found::Found;
use trice_plan::subnet;

use crate::engine::Engine;
use crate::failure;
use crate::observe;

impl Engine {
    /// Looks at the machine.
    pub(crate) fn examine(&mut self) -> Result<Vec<FindingView>, Fault> {
        observe::look_at_host(&mut self.world, &self.backends, &mut self.tables)?;
        let realm = &self.backends.realm;
        let probe = format!("{}-probe", realm.mark());
        let abilities = abilities::abilities(&probe)
            .map_err(|error| failure::of("ask the kernel what it can do", &error))?;
        let neighbours = neighbours::look(&mut self.tables, &realm.mark())
            .map_err(|error| failure::of("look at the host's packet filters", &error))?;
        let mut findings: Vec<FindingView> = abilities.iter().map(of_ability).collect();
        findings.extend(of_neighbours(
            &neighbours,
            self.admitted.as_ref().is_some_and(|links| !links.is_empty()),
            &realm.link_prefix(),
        ));
        findings.extend(self.of_forwarding());
        findings.extend(of_resolvers(&self.world.found.host));
        findings.extend(of_conflicts(&self.world.found));
        Ok(findings)
    }

    fn of_forwarding(&self) -> Vec<FindingView> {
        let leads_out = |ipv4: bool| {
            self.world.found.networks.values().any(|network| {
                let subnets = network.spec.subnets();
                network.present
                    && !network.spec.internal
                    && subnets.into_iter().any(|subnet| subnet.addr().is_ipv4() == ipv4)
            })
        };
        let settings =
            [(true, "IPv4", "net.ipv4.ip_forward"), (false, "IPv6", "net.ipv6.conf.all.forwarding")];
        let mut findings = Vec::new();
        for (_, version, setting) in settings.into_iter().filter(|(ipv4, ..)| leads_out(*ipv4)) {
            let path = format!("/proc/sys/{}", setting.replace('.', "/"));
            let on = std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "1");
            findings.push(if on {
                fine(format!("{version} is passed on between networks"))
            } else {
                broken(
                    format!("{version} is not passed on: somebody has switched {setting} off"),
                    format!("sysctl -w {setting}=1"),
                )
            });
        }
        findings
    }
}

fn fine(what: String) -> FindingView {
    FindingView { state: FindingState::Fine, what, remedy: None }
}

fn limited(what: String, remedy: String) -> FindingView {
    FindingView { state: FindingState::Limited, what, remedy: Some(remedy) }
}

fn broken(what: String, remedy: String) -> FindingView {
    FindingView { state: FindingState::Broken, what, remedy: Some(remedy) }
}

fn of_ability(ability: &Ability) -> FindingView {
    let Ability { what, option, needed, there } = ability;
    match (there, needed) {
        (true, _) => fine(format!("this kernel can do {what}")),
        (false, true) => {
            broken(format!("this kernel cannot do {what}"), format!("use a kernel with {option}"))
        }
        (false, false) => {
            limited(format!("this kernel cannot do {what}"), format!("use a kernel with {option}"))
        }
    }
}

/// Tells of packet filters of others: those that turn away what passes, and those that ports pass by.
fn of_neighbours(neighbours: &Neighbours, are_there: bool, prefix: &str) -> Vec<FindingView> {
    let mut findings = Vec::new();
    for chain in neighbours.forward() {
        findings.push(if chain.lets_us_through() {
            fine(format!("chain `{chain}` drops what it does not know, and lets our networks through"))
        } else if are_there {
            let command = chain.command(prefix);
            broken(format!("chain `{chain}` drops what goes to and from our networks"), command)
        } else {
            fine(format!(
                "chain `{chain}` drops what it does not know; our networks are let through once there are any"
            ))
        });
    }
    for firewall in &neighbours.firewalls {
        findings.push(limited(
            format!("{firewall} guards this machine, and ports published on all addresses pass it by"),
            "publish on 127.0.0.1, or write `x-trice: {publish: respect-firewall}`".to_owned(),
        ));
    }
    if neighbours.legacy {
        findings.push(limited(
            "there are packet filters of the older kind (iptables-legacy), which trice does not see".to_owned(),
            format!("iptables-legacy -I FORWARD -i {prefix}+ -j ACCEPT; iptables-legacy -I FORWARD -o {prefix}+ -j ACCEPT"),
        ));
    }
    findings
}

fn of_resolvers(host: &ObservedHost) -> Vec<FindingView> {
    if host.resolvers.is_empty() {
        return vec![broken(
            "the host names no resolver: containers find no names outside".to_owned(),
            "add `nameserver ADDRESS` to /etc/resolv.conf, or write `dns:` in the services".to_owned(),
        )];
    }
    let names: Vec<String> = host.resolvers.iter().map(ToString::to_string).collect();
    vec![fine(format!("names outside are asked of {}", names.join(", ")))]
}

fn of_conflicts(found: &Found) -> Vec<FindingView> {
    let warnings = subnet::overlapped_routes(found);
    if warnings.is_empty() {
        return vec![fine("no route of the host overlaps a network".to_owned())];
    }
    let remedy = "trice down, then trice up".to_owned();
    warnings.into_iter().map(|warning| broken(warning, remedy.clone())).collect()
}
