//! A container of its own beside a service's replicas: `run`.
//!
//! It is made after its service, with what was typed over that, and what its service depends on comes up
//! before. It has no restart policy, no published ports and no names but its own unless asked. Its suffix was
//! chosen when the request came, so that planning again finds the container and does not make another one.
//!
//! Source: docker/compose `pkg/compose/run.go`.

use std::collections::BTreeSet;

use trice_model::container::{ContainerSpec, ContainerState, NetworkNamespace, Role};
use trice_model::id::Ids;
use trice_model::name::ServiceName;
use trice_model::project::Project;
use trice_model::service::Service;
use trice_model::time::Timestamp;

use crate::action::{Action, Target, Until};
use crate::found::Found;
use crate::lower::mounts;
use crate::mistake::PlanError;
use crate::order;
use crate::place::{self, Home, Place};
use crate::plan::{Plan, StepId};
use crate::realm::Realm;
use crate::up::{self, Wish};
use trice_model::intent::{RunOptions, UpOptions};

/// Plans a `run`.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn plan(
    project: &Project,
    options: &RunOptions,
    found: &Found,
    realm: &Realm,
    asked_at: Timestamp,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    let services = order::selection(project, &BTreeSet::from([options.service.clone()]), options.no_deps)?;
    // A selection holds nothing but services of the project.
    let Some((service_name, service)) = project.services.get_key_value(&options.service) else {
        return Ok(Plan { complete: true, ..Plan::default() });
    };
    let service = overridden(service, options);
    let needed: Vec<ServiceName> = services.iter().filter(|name| *name != service_name).cloned().collect();
    let up_options = UpOptions::default();
    let mut places = place::replicas(project, &needed, &up_options, found)?;
    // A one-off says nothing about orphans: nobody asked for the project.
    places.notes.clear();
    places.places.push(one_off(project, service_name, &service, options, found));
    let homeless = places.settle(found);
    if !homeless.is_empty() {
        return Err(homeless);
    }
    let wish = Wish { project, options: &up_options, found, realm, asked_at };
    let mut plan = up::plan_places(&wish, &services, places, ids)?;
    if options.rm && plan.complete {
        add_removal(&mut plan, project, options, found);
    }
    Ok(plan)
}

fn overridden(service: &Service, options: &RunOptions) -> Service {
    let mut service = service.clone();
    if let Some(entrypoint) = &options.entrypoint {
        service.entrypoint = Some(entrypoint.clone());
        // The service's command was meant for another entrypoint.
        service.command = None;
    }
    if !options.command.is_empty() {
        service.command = Some(options.command.clone());
    }
    service.user = options.user.clone().or(service.user);
    service.working_dir = options.working_dir.clone().or(service.working_dir);
    service.environment.extend(options.environment.clone());
    service.labels.extend(options.labels.clone());
    service.tty = options.tty;
    service.stdin_open = options.stdin;
    service
}

fn one_off<'a>(
    project: &Project,
    service_name: &'a ServiceName,
    service: &'a Service,
    options: &RunOptions,
    found: &'a Found,
) -> Place<'a> {
    let role = Role::OneOff(options.slug.to_string());
    let is_it = |spec: &ContainerSpec| {
        spec.project == project.name && spec.service == *service_name && spec.role == role
    };
    let old = found.containers.values().find(|container| is_it(&container.spec));
    let given = || place::joined(&project.name, service_name, &format!("run-{}", options.slug));
    Place {
        service_name,
        service,
        name: options.name.clone().unwrap_or_else(given),
        home: Home::Own,
        old,
        answers: options.use_aliases,
        publishes: options.service_ports,
        keeps: true, // the one that is there is the one that was asked for
        role,
    }
}

/// Adds the end of a one-off that leaves nothing behind.
fn add_removal(plan: &mut Plan, project: &Project, options: &RunOptions, found: &Found) {
    let role = Role::OneOff(options.slug.to_string());
    let there = found.containers_of(&project.name).find(|container| container.spec.role == role);
    let made = plan.steps.iter().find_map(|step| match &step.action {
        Action::CreateContainer(spec) if spec.role == role => Some((**spec).clone()),
        _other => None,
    });
    let Some(spec) = made.or_else(|| there.map(|container| container.spec.clone())) else { return };
    let has_ended = there.is_some_and(|container| match container.state {
        ContainerState::Exited { .. } => true,
        ContainerState::Created | ContainerState::Running { .. } | ContainerState::Restarting { .. } => false,
    });
    let target = Target::of(&spec);
    let mut last = start_of(plan, &target);
    if !has_ended {
        let action = Action::Await { containers: vec![target.clone()], until: Until::Ended, required: true };
        last = Some(plan.add(action, "removed when it has ended", last));
    }
    let removal = plan.add(Action::RemoveContainer(target), "asked to remove", last);
    if let NetworkNamespace::Instance(name) = spec.network.clone()
        && !spec.is_guest()
    {
        plan.add(Action::DisconnectInstance(name), "its container goes", [removal]);
    }
    for name in mounts::anonymous_in(&spec) {
        plan.add(Action::RemoveVolume(name.clone()), "its container goes", [removal]);
    }
}

fn start_of(plan: &Plan, target: &Target) -> Option<StepId> {
    let starts = |action: &Action| *action == Action::StartContainer(target.clone());
    plan.steps.iter().position(|step| starts(&step.action)).map(|index| StepId(index + 1))
}
