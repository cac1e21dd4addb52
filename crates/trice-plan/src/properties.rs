//! What holds for all projects: made up, brought up, changed, cut off in the middle, taken down.
//!
//! The machine that carries plans out takes steps in any order that the plan allows, and stumbles over each
//! one that comes too early: a container without its network, an address that two have, a port that is still
//! held.

mod made;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use trice_model::container::ObservedContainer;
use trice_model::time::Timestamp;

use crate::action::Action;
use crate::found;
use crate::plan::{Plan, StepId};
use crate::properties::made::{SERVICES, apply, edit, options, project, world};
use crate::testing::{World, down_with_volumes, name};
use trice_model::intent::{Intent, UpOptions};

/// Carries `plan` out in an order of its own: `choices` says which of the possible steps comes next; it ends
/// after `limit` steps.
fn carry_out(world: &mut World, plan: &Plan, choices: &[usize], limit: usize, now: Timestamp) {
    let mut open: Vec<usize> = (1..=plan.steps.len()).collect();
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    for turn in 0..limit.min(plan.steps.len()) {
        let ready: Vec<usize> = open
            .iter()
            .copied()
            .filter(|id| plan.steps[id - 1].after.iter().all(|before| done.contains(before)))
            .collect();
        assert!(!ready.is_empty(), "nothing can go on after {done:?}:\n{plan}");
        let id = ready[choices[turn % choices.len()] % ready.len()];
        check_before(world, plan, id);
        world.machine.carry_out_step(plan, StepId(id), now);
        open.retain(|other| *other != id);
        done.insert(StepId(id));
    }
}

fn check_before(world: &World, plan: &Plan, id: usize) {
    if let Action::StartContainer(target) = &plan.steps[id - 1].action
        && is_planned_with_dependencies(plan)
    {
        let unmet = world.machine.unmet(&target.id, &world.project, plan);
        assert!(unmet.is_empty(), "step {id} starts too early, {unmet:?}:\n{plan}");
    }
}

/// Plans that were made without dependencies are noted, so that nobody expects an order of them.
fn is_planned_with_dependencies(plan: &Plan) -> bool {
    !plan.notes.iter().any(|note| note == NO_ORDER)
}

const NO_ORDER: &str = "made without dependencies";

fn plan_up(world: &mut World, intent: &Intent, options: &UpOptions) -> Option<Plan> {
    // Some edits contradict each other; what matters here are plans.
    let mut plan = world.plan(intent).ok()?;
    if options.no_deps {
        plan.notes.push(NO_ORDER.to_owned());
    }
    Some(plan)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_converges_in_every_order_and_after_every_crash(
        all in project(),
        edits in vec((edit(), options(), 0..60_usize), 1..5),
        choices in vec(any::<usize>(), 8..40),
    ) {
        let mut world = world(&all);
        for (count, (edit, options, limit)) in edits.iter().enumerate() {
            apply(&mut world, edit, count);
            world.pass_time();
            let mut options = options.clone();
            options.services.retain(|service| world.project.services.contains_key(service));
            let intent = world.wants(options.clone());
            // The engine dies somewhere in the middle, and another one goes on.
            let Some(plan) = plan_up(&mut world, &intent, &options) else { continue };
            let now = world.now();
            carry_out(&mut world, &plan, &choices, *limit, now);
            world.machine.take_over();
            let plan = plan_up(&mut world, &intent, &options).unwrap();
            carry_out(&mut world, &plan, &choices, usize::MAX, now);
            let rest = world.plan(&intent).unwrap();
            assert!(rest.steps.is_empty() && rest.complete, "left to do:\n{rest}after:\n{plan}");
        }
    }

    #[test]
    fn everything_stops_before_what_it_depends_on_and_nothing_is_left(
        all in project(),
        choices in vec(any::<usize>(), 8..40),
        limit in 0..60_usize,
    ) {
        let mut world = world(&all);
        world.up();
        let intent = down_with_volumes(&world.project.name);
        let now = world.now();
        for limit in [limit, usize::MAX] {
            let plan = world.plan(&intent).unwrap();
            for step in &plan.steps {
                if let Action::StopContainer { container, .. } = &step.action {
                    let live = world.machine.found.containers.values().filter(|one| found::is_live(one));
                    let service = &world.machine.found.containers[&container.id].spec.service;
                    for dependent in live.filter(|one| one.spec.depends_on.contains_key(service)) {
                        let stop = plan.steps.iter().position(|step| stops(&step.action, dependent));
                        let stop = StepId(stop.expect("what lives is stopped") + 1);
                        assert!(step.after.contains(&stop), "{} stops too early:\n{plan}", container.name);
                    }
                }
            }
            carry_out(&mut world, &plan, &choices, limit, now);
        }
        let found = &world.machine.found;
        assert!(found.containers.is_empty() && found.instances.is_empty(), "{found:?}");
        assert!(found.networks.is_empty() && found.volumes.is_empty(), "{found:?}");
    }

    #[test]
    fn a_change_of_scale_touches_no_other_service(
        all in project(),
        service in 0..SERVICES.len(),
        count in 0..6_u32,
    ) {
        let mut world = world(&all);
        // In the same moment as the scaling: a later `up` would run one-shots once more.
        let intent = world.wants(UpOptions::default());
        let plan = world.plan(&intent).unwrap();
        world.carry_out(&plan);
        let scale = [(name(SERVICES[service]), count)].into();
        let intent = world.wants(UpOptions { scale, ..UpOptions::default() });
        let plan = world.plan(&intent).unwrap();
        for step in &plan.steps {
            let touched = match &step.action {
                Action::CreateContainer(spec) => spec.name.as_str(),
                Action::ConnectInstance(spec) | Action::ReshapeInstance(spec) => spec.name.as_str(),
                Action::DisconnectInstance(name) => name.as_str(),
                Action::PublishPorts { instance, .. } => instance.as_str(),
                Action::StartContainer(target) | Action::RemoveContainer(target) => target.name.as_str(),
                Action::StopContainer { container, .. } => container.name.as_str(),
                // The first replica may be the first that needs a volume of its own; waiting touches nothing.
                Action::CreateVolume(_) | Action::Await { .. } => continue,
                Action::FetchImage { .. }
                | Action::CreateNetwork(_)
                | Action::RemoveNetwork(_)
                | Action::RemoveVolume(_) => panic!("{} in:\n{plan}", step.action),
            };
            assert!(touched.starts_with(&format!("shop-{}-", SERVICES[service])), "{touched} in:\n{plan}");
        }
    }

    #[test]
    fn plans_and_intents_survive_the_way_through_json(all in project(), options in options()) {
        let mut world = world(&all);
        let intent = world.wants(options);
        let text = serde_json::to_string(&intent).unwrap();
        assert_eq!(serde_json::from_str::<Intent>(&text).unwrap(), intent);
        if let Ok(plan) = world.plan(&intent) {
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        }
    }
}

fn stops(action: &Action, dependent: &ObservedContainer) -> bool {
    match action {
        Action::StopContainer { container, .. } => container.id == dependent.spec.id,
        Action::FetchImage { .. }
        | Action::CreateNetwork(_)
        | Action::RemoveNetwork(_)
        | Action::CreateVolume(_)
        | Action::RemoveVolume(_)
        | Action::ConnectInstance(_)
        | Action::ReshapeInstance(_)
        | Action::DisconnectInstance(_)
        | Action::PublishPorts { .. }
        | Action::CreateContainer(_)
        | Action::StartContainer(_)
        | Action::RemoveContainer(_)
        | Action::Await { .. } => false,
    }
}
