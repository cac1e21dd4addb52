//! The network of builds: one bridge that belongs to no project, there while builds need it.
//!
//! ```text
//! step ──► port of the bridge, isolated ──► gateway ──► other machines        another step: out of reach
//! ```
//!
//! Its subnet, the addresses on it, the names that are answered and the packet filter are those of any network; only
//! its table has a name that no project's can have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use trice_model::dns::{NameTable, NameView};
use trice_model::id::Ids;
use trice_model::name::{NetworkName, ProjectName};
use trice_model::network::{FirewallSpec, InstanceName, InstanceSpec, Ipv4PoolSpec, Medium, NetworkSpec};

use crate::address::{self, Held, Seat, Version};
use crate::firewall;
use crate::found::Found;
use crate::instance::{self, Given};
use crate::mistake::PlanError;
use crate::network::{MTU, first_host};
use crate::realm::Realm;
use crate::subnet::{SubnetError, Subnets};

/// The network's name, and that of what its steps are called to belong to.
const NETWORK: &str = "trice.builds";
const OWNER: &str = "build";

/// What there is of the network of builds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Building {
    /// The network, while it is there.
    pub network: Option<NetworkSpec>,
    /// The steps that are on it.
    pub steps: BTreeMap<InstanceName, InstanceSpec>,
}

/// Returns the network's name, which is nobody else's.
pub fn network_name() -> NetworkName {
    NETWORK.parse().expect("it has letters and a dot only")
}

/// Returns what steps are called to belong to.
pub fn owner() -> ProjectName {
    OWNER.parse().expect("it has small letters only")
}

/// Returns the network for the first step that needs it.
///
/// # Errors
/// [`SubnetError::Exhausted`].
pub fn network(found: &Found, realm: &Realm) -> Result<NetworkSpec, SubnetError> {
    let name = network_name();
    let mut subnets = Subnets::new(&found.host);
    for there in found.networks.values().map(|there| &there.spec) {
        there.subnets().for_each(|subnet| subnets.hold(&there.name, subnet));
    }
    let subnet = subnets.choose(&owner(), &name)?;
    Ok(NetworkSpec {
        medium: Medium::Bridge(realm.bridge(&name)),
        name,
        owner: None,
        ipv4: Some(Ipv4PoolSpec {
            subnet,
            gateway: first_host(subnet),
            ip_range: subnet,
            aux_addresses: BTreeMap::new(),
        }),
        ipv6: None,
        internal: false,
        attachable: false,
        mtu: MTU,
        icc: false,
        masquerade: true,
        host_binding: None,
        interface_prefix: None,
        labels: BTreeMap::new(),
    })
}

/// Returns the place of a step on `network`. One that is not `guarded` may give itself other addresses.
///
/// # Errors
/// There is no address left.
pub fn step(
    found: &Found,
    network: &NetworkSpec,
    (name, guarded): (&InstanceName, bool),
    realm: &Realm,
    ids: &mut Ids,
) -> Result<InstanceSpec, Vec<PlanError>> {
    let seat = Seat {
        instance: name.clone(),
        network: network.name.clone(),
        version: Version::V4,
        fixed: None,
        remembered: None,
        path: format!("networks.{}", network.name),
    };
    let steps = found.building.steps.values();
    let held = steps.flat_map(|step| step.endpoints.iter().map(move |end| (&step.name, end.address)));
    let held: Vec<Held> = held
        .filter_map(|(instance, address)| {
            Some(Held {
                instance: instance.clone(),
                network: network.name.clone(),
                address: IpAddr::V4(address?.addr()),
                leaving: false,
            })
        })
        .collect();
    let addresses = address::allocate(&[(network.name.clone(), network)].into(), &held, &[seat])?;
    let given = Given {
        ipv4: addresses.ipv4(name, &network.name),
        ipv6: None,
        interface: "eth0".parse().expect("it has four letters"),
        guarded,
    };
    let mut endpoints = vec![instance::endpoint(network, given, realm, ids)];
    instance::lead_out(&mut endpoints, &|_| Some(network));
    Ok(InstanceSpec {
        name: name.clone(),
        project: owner(),
        endpoints,
        sysctls: instance::usual_sysctls().collect(),
        dns: true,
    })
}

/// Returns what steps may ask: names of the world, and none of each other.
pub fn names(found: &Found) -> NameTable {
    let view = NameView { external: true, ..NameView::default() };
    let views = found.building.steps.keys().map(|step| (step.clone(), view.clone()));
    NameTable { views: views.collect(), ..NameTable::default() }
}

/// Returns the packet filter of the network.
pub fn firewall(found: &Found, realm: &Realm) -> FirewallSpec {
    let endpoints = found.building.steps.values().flat_map(|step| &step.endpoints);
    FirewallSpec {
        table: realm.table_of_builds(),
        bridges: found.building.network.iter().filter_map(firewall::bridge_of).collect(),
        guarded: endpoints.filter_map(firewall::guarded_port).collect(),
        published: Vec::new(),
        way_back: realm.way_back(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use trice_model::network::ObservedNetwork;

    use super::*;
    use crate::testing;

    fn realm() -> Realm {
        Realm::new(Path::new("/run/a"), "1")
    }

    /// Returns what is there with the network and `steps` on it.
    fn with_steps(steps: &[&str]) -> Found {
        let (mut found, mut ids) = (Found::default(), Ids::new([1; 4]));
        let network = network(&found, &realm()).unwrap();
        found.building.network = Some(network.clone());
        for name in steps {
            let name = testing::name(name);
            let step = step(&found, &network, (&name, true), &realm(), &mut ids).unwrap();
            found.building.steps.insert(name, step);
        }
        found
    }

    #[test]
    fn steps_have_addresses_of_their_own_and_ports_that_do_not_hear_each_other() {
        let found = with_steps(&["one", "two"]);
        let ends: Vec<_> = found.building.steps.values().flat_map(|step| &step.endpoints).collect();
        let gateway = found.building.network.as_ref().unwrap().ipv4.as_ref().unwrap().gateway;
        assert_ne!(ends[0].address, ends[1].address);
        for end in ends {
            assert_eq!(end.gateway, Some(gateway));
            let plug = &end.plug;
            assert!(matches!(plug, trice_model::network::Plug::Bridge { isolated: true, guarded: true, .. }));
        }
        assert_eq!(names(&found).views.len(), 2);
        let firewall = firewall(&found, &realm());
        assert_eq!((firewall.bridges.len(), firewall.guarded.len()), (1, 2));
        assert!(!firewall.bridges[0].icc && firewall.bridges[0].masquerade);
    }

    #[test]
    fn the_subnet_of_builds_is_nobody_elses_and_the_table_no_projects() {
        let first = network(&Found::default(), &realm()).unwrap();
        let subnet = first.ipv4.as_ref().unwrap().subnet;
        let taken = testing::network("shop_default", &subnet.to_string());
        let mut found = Found::default();
        found.networks.insert(taken.name.clone(), ObservedNetwork { spec: taken, present: true });
        assert_ne!(network(&found, &realm()).unwrap().ipv4, first.ipv4);
        assert_eq!(realm().project_of_table(&realm().table_of_builds()), None);
    }
}
