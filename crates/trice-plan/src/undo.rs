//! Taking back what a failed operation made and nobody uses.
//!
//! A mistake in a file, a port that is taken or a program that is missing should leave the machine as it was. What
//! runs, runs on: whoever started it wants to see it. So only those containers go that were made for this operation
//! and never ran, then the instances, networks and volumes that were made for it and have nobody any more. A container
//! that was made in the place of another one stays, since its predecessor cannot come back.

use std::collections::BTreeSet;

use trice_model::id::ContainerId;
use trice_model::mount::MountSpecSource;
use trice_model::name::{ContainerName, NetworkName, VolumeName};
use trice_model::network::InstanceName;

use crate::action::{Action, Target};
use crate::found::{Found, instance_name};
use crate::plan::{Plan, StepId};

const WHY: &str = "it was made in vain";

/// Plans the way back from an operation that failed after it had begun the steps `made`.
pub fn undo(made: &[Action], found: &Found) -> Plan {
    let mut plan = Plan { complete: true, ..Plan::default() };
    let replaced: BTreeSet<&ContainerName> = made.iter().filter_map(removed_name).collect();
    let vain: Vec<(ContainerId, StepId)> = made
        .iter()
        .filter_map(|action| match action {
            Action::CreateContainer(spec) if !replaced.contains(&spec.name) => found.containers.get(&spec.id),
            _ => None,
        })
        .filter(|container| container.started_at.is_none())
        .map(|container| {
            let remove = Action::RemoveContainer(Target::of(&container.spec));
            (container.spec.id.clone(), plan.add(remove, WHY, []))
        })
        .collect();
    let gone: BTreeSet<&ContainerId> = vain.iter().map(|(id, _)| id).collect();
    let after: Vec<StepId> = vain.iter().map(|(_, step)| *step).collect();
    let left = Left { found, gone };
    let mut cut_off = BTreeSet::new();
    let mut later = after.clone();
    for action in made {
        if let Action::ConnectInstance(spec) = action
            && found.instances.contains_key(&spec.name)
            && !left.lives_in(&spec.name)
        {
            later.push(plan.add(Action::DisconnectInstance(spec.name.clone()), WHY, after.clone()));
            cut_off.insert(&spec.name);
        }
    }
    for action in made {
        match action {
            Action::CreateNetwork(spec) if !left.is_on(&spec.name, &cut_off) => {
                plan.add(Action::RemoveNetwork(spec.name.clone()), WHY, later.clone());
            }
            Action::CreateVolume(spec) if !left.mounts(&spec.name) => {
                plan.add(Action::RemoveVolume(spec.name.clone()), WHY, after.clone());
            }
            _ => {}
        }
    }
    plan
}

fn removed_name(action: &Action) -> Option<&ContainerName> {
    match action {
        Action::RemoveContainer(target) => Some(&target.name),
        _ => None,
    }
}

/// What is found, without the containers that go.
struct Left<'a> {
    found: &'a Found,
    gone: BTreeSet<&'a ContainerId>,
}

impl Left<'_> {
    fn containers(&self) -> impl Iterator<Item = &trice_model::container::ObservedContainer> {
        self.found.containers.values().filter(|container| !self.gone.contains(&container.spec.id))
    }

    fn lives_in(&self, instance: &InstanceName) -> bool {
        self.containers().any(|container| instance_name(container) == Some(instance))
    }

    fn is_on(&self, network: &NetworkName, cut_off: &BTreeSet<&InstanceName>) -> bool {
        let instances =
            self.found.instances.values().filter(|instance| !cut_off.contains(&instance.spec.name));
        instances.flat_map(|instance| &instance.spec.endpoints).any(|endpoint| endpoint.network == *network)
    }

    fn mounts(&self, volume: &VolumeName) -> bool {
        let sources =
            self.containers().flat_map(|container| &container.spec.mounts).map(|mount| &mount.source);
        sources
            .into_iter()
            .any(|source| matches!(source, MountSpecSource::Volume { name, .. } if name == volume))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use trice_model::intent::UpOptions;
    use trice_model::mount::{Mount, MountSource};

    use super::*;
    use crate::testing::{World, name, text};

    /// A shop whose `db` has a volume, after a first `up` of which all steps were begun.
    fn shop() -> (World, Vec<Action>) {
        let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
        world.volume("data");
        let source = MountSource::Volume { key: Some(name("data")), subpath: None, nocopy: false };
        world.service("db").volumes.push(Mount { target: "/data".into(), read_only: false, source });
        let intent = world.wants(UpOptions::default());
        let plan = world.plan(&intent).unwrap();
        world.carry_out(&plan);
        (world, plan.steps.into_iter().map(|step| step.action).collect())
    }

    fn never_ran(world: &mut World, container: &str) {
        let found = world.machine.found.containers.values_mut();
        found.filter(|found| found.spec.name.as_str() == container).for_each(|found| found.started_at = None);
    }

    #[test]
    fn what_was_made_for_nothing_goes_and_what_runs_stays_with_all_it_uses() {
        let (mut world, made) = shop();
        never_ran(&mut world, "shop-db-1");
        assert_snapshot!(text(Ok(undo(&made, &world.machine.found))), @"
        1 remove container shop-db-1      it was made in vain
        2 disconnect instance shop-db-1   it was made in vain   after 1
        3 remove volume shop_data         it was made in vain   after 1
        ");
    }

    #[test]
    fn if_nothing_ran_nothing_is_left() {
        let (mut world, made) = shop();
        never_ran(&mut world, "shop-db-1");
        never_ran(&mut world, "shop-web-1");
        assert_snapshot!(text(Ok(undo(&made, &world.machine.found))), @"
        1 remove container shop-db-1       it was made in vain
        2 remove container shop-web-1      it was made in vain
        3 disconnect instance shop-db-1    it was made in vain   after 1 2
        4 disconnect instance shop-web-1   it was made in vain   after 1 2
        5 remove network shop_default      it was made in vain   after 1 2 3 4
        6 remove volume shop_data          it was made in vain   after 1 2
        ");
    }

    #[test]
    fn a_container_that_replaced_another_one_stays() {
        let (mut world, mut made) = shop();
        never_ran(&mut world, "shop-db-1");
        let old =
            world.machine.found.containers.values().find(|found| found.spec.name.as_str() == "shop-db-1");
        made.push(Action::RemoveContainer(Target::of(&old.unwrap().spec)));
        assert_snapshot!(text(Ok(undo(&made, &world.machine.found))), @"");
    }
}
