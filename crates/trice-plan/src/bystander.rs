//! Instances that are there and have no place in a plan: which leave, and which only stand on a network that
//! moves.

use std::collections::BTreeSet;

use trice_model::id::ContainerId;
use trice_model::name::{NetworkName, ProjectName};
use trice_model::network::{InstanceName, ObservedInstance};

use crate::found::{self, Found};
use crate::network::Networks;
use crate::place::Places;

/// The instances of a project that no place wants.
#[derive(Debug, Default)]
pub(crate) struct Bystanders<'a> {
    /// Those that go: nobody lives there, or only containers that go.
    pub(crate) leaving: Vec<&'a ObservedInstance>,
    /// Those that stay and must be connected again, because a network under them is made again.
    pub(crate) moving: Vec<&'a ObservedInstance>,
}

/// Looks for the instances of `project` that are not in `places`; `networks` says which of theirs are made
/// again.
pub(crate) fn look<'a>(
    project: &ProjectName,
    found: &'a Found,
    places: &Places<'_>,
    networks: &Networks,
) -> Bystanders<'a> {
    // What a reboot took and nobody asks for now is made when somebody does; but no record may keep a network
    // that goes.
    let moves = |instance: &ObservedInstance, name: &NetworkName| {
        let there = found.networks.contains_key(name);
        networks.moves.get(name).is_some_and(|moved| there && (moved.remove || instance.present))
    };
    let wanted: BTreeSet<&InstanceName> =
        places.places.iter().filter_map(|place| place.instance_name()).collect();
    let going: BTreeSet<&ContainerId> = places.going().map(|container| &container.spec.id).collect();
    let staying = found.containers.values().filter(|container| !going.contains(&container.spec.id));
    let inhabited: BTreeSet<&InstanceName> = staying.filter_map(found::instance_name).collect();
    let mut bystanders = Bystanders::default();
    for instance in found.instances.values().filter(|instance| instance.spec.project == *project) {
        let name = &instance.spec.name;
        if wanted.contains(name) {
            continue;
        }
        if !inhabited.contains(name) {
            bystanders.leaving.push(instance);
        } else if instance.spec.endpoints.iter().any(|endpoint| moves(instance, &endpoint.network)) {
            bystanders.moving.push(instance);
        }
    }
    bystanders
}
