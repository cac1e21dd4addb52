//! Going on with operations: planning, beginning steps, ending those whose time has come.

use std::time::Duration;

use trice_api::event::{Amount, OperationEvent, StepEvent, StepState};
use trice_api::fault::{Code, Fault};
use trice_model::container::ContainerState;
use trice_model::intent::Intent;
use trice_model::name::ProjectName;
use trice_model::registry::RegistryAccess;
use trice_plan::action::{Action, Target, Until};
use trice_plan::plan::{Plan, StepId};

use crate::engine::{Destination, Engine};
use crate::event::Event;
use crate::failure;
use crate::observe;
use crate::operation::{Lane, Operation};
use crate::perform::Outcome;
use crate::record::{IntentRecord, intent_key};
use crate::waiting::{Outlook, look};
use crate::words::step_events;

/// How long what was thrown away lies before it is deleted: deleting slows down the making of other files, which may
/// be what comes next.
const TRASH_DELAY: Duration = Duration::from_secs(1);

impl Engine {
    /// Goes on with every operation; `true` if anything changed.
    pub(crate) fn advance(&mut self) -> bool {
        let mut moved = false;
        for (operation, step, result) in std::mem::take(&mut self.over) {
            self.step_over(operation, step, result);
            moved = true;
        }
        let projects: Vec<ProjectName> = self.lanes.keys().cloned().collect();
        for project in projects {
            moved |= self.advance_lane(&project);
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        moved
    }

    fn advance_lane(&mut self, project: &ProjectName) -> bool {
        // Taken out while it is worked on: the rest of the engine is needed for that.
        let Some(mut lane) = self.lanes.remove(project) else { return false };
        let mut moved = false;
        if lane.current.is_none()
            && let Some(next) = lane.queue.pop_front()
        {
            lane.current = Some(next);
            moved = true;
        }
        if let Some(mut operation) = lane.current.take() {
            moved |= self.advance_operation(&mut operation);
            if self.is_over(&operation) {
                moved = true;
                self.conclude(operation, &mut lane);
            } else if operation.is_tail() {
                moved = true;
                lane.tails.push(operation);
            } else {
                lane.current = Some(operation);
            }
        }
        let (mut over, mut tails) = (Vec::new(), Vec::new());
        for mut operation in std::mem::take(&mut lane.tails) {
            moved |= self.advance_operation(&mut operation);
            if self.is_over(&operation) { over.push(operation) } else { tails.push(operation) }
        }
        lane.tails = tails;
        for operation in over {
            moved = true;
            self.conclude(operation, &mut lane);
        }
        self.lanes.insert(project.clone(), lane);
        moved
    }

    /// Whether there is nothing more to do for it: its plan is carried out, or it failed.
    fn is_over(&self, operation: &Operation) -> bool {
        match &operation.execution {
            Some(execution) => execution.is_over(),
            None => !operation.faults.is_empty(),
        }
    }

    /// Plans if there is no plan yet, begins the steps that may begin, ends those that waited for others.
    fn advance_operation(&mut self, operation: &mut Operation) -> bool {
        let mut moved = false;
        if operation.execution.is_none() && operation.faults.is_empty() && !self.must_wait(operation) {
            self.plan_operation(operation);
            moved = true;
        }
        let Some(execution) = &mut operation.execution else { return moved };
        for step in execution.begin_ready() {
            moved = true;
            let Some(action) =
                operation.execution.as_ref().and_then(|execution| execution.action(step)).cloned()
            else {
                continue;
            };
            tell_step(operation, &action, StepState::Working);
            operation.begun.push(action.clone());
            self.begin_step(operation, step, &action);
        }
        moved | self.end_waits(operation)
    }

    /// Whether images that a plan could need are about to go, or a container of the project is being written to.
    fn must_wait(&self, operation: &Operation) -> bool {
        let is_held = self.held.contains_key(operation.record.intent.project());
        is_held
            || self.removals > 0 && matches!(operation.record.intent, Intent::Up { .. } | Intent::Run { .. })
    }

    fn plan_operation(&mut self, operation: &mut Operation) {
        let planned = self.plan(&operation.record, &operation.fetched);
        match planned {
            Ok(plan) => operation.begin(plan),
            Err(faults) => operation.faults.extend(faults),
        }
    }

    /// Plans an intent against what is found now.
    pub(crate) fn plan(
        &mut self,
        record: &IntentRecord,
        fetched: &std::collections::BTreeSet<trice_model::image::PlatformImage>,
    ) -> Result<Plan, Vec<Fault>> {
        observe::refresh(&mut self.world, &self.backends, &mut self.tables, &record.intent)
            .map_err(|fault| vec![fault])?;
        self.world.found.fetched = fetched.clone();
        let (found, realm) = (&self.world.found, &self.backends.realm);
        trice_plan::plan::plan(&record.intent, found, realm, record.asked_at, &mut self.ids)
            .map_err(|errors| errors.iter().map(failure::of_plan).collect())
    }

    /// Ends the steps that wait for containers, as far as what they wait for has come or cannot come any more.
    fn end_waits(&mut self, operation: &mut Operation) -> bool {
        let Some(execution) = &operation.execution else { return false };
        let mut ended = Vec::new();
        for step in execution.working() {
            let result = match execution.action(step) {
                Some(Action::Await { containers, until, required }) => {
                    self.look_at_all(containers, *until, *required)
                }
                Some(Action::StopContainer { container, .. }) if !self.is_alive(container) => Some(Ok(None)),
                _ => None,
            };
            ended.extend(result.map(|result| (step, result)));
        }
        let moved = !ended.is_empty();
        for (step, result) in ended {
            if let Ok(Some(note)) = &result {
                operation.tell(&OperationEvent::Note(note.clone()));
            }
            finish_step(operation, step, result.map(drop));
        }
        moved
    }

    /// Looks at all containers of a wait: `None` while it may still come; a note where it failed and need not come.
    fn look_at_all(
        &self,
        containers: &[Target],
        until: Until,
        required: bool,
    ) -> Option<Result<Option<String>, Fault>> {
        let mut pending = false;
        for target in containers {
            match look(self.world.found.containers.get(&target.id), until) {
                // Whoever stays with it has not read its log to the end.
                Outlook::Met if until == Until::Ended && self.attended.contains(&target.name) => {
                    pending = true;
                }
                Outlook::Met => {}
                Outlook::Pending => pending = true,
                Outlook::Failed(why) if required => {
                    return Some(Err(self.dependency_fault(target, &why)));
                }
                Outlook::Failed(why) => return Some(Ok(Some(format!("{} {why}", target.name)))),
            }
        }
        (!pending).then_some(Ok(None))
    }

    fn dependency_fault(&self, target: &Target, why: &str) -> Fault {
        let hint = self.world.found.containers.get(&target.id).map(|container| {
            let service = &container.spec.service;
            format!("`trice logs {service}` shows what it wrote")
        });
        let fault = Fault::new(Code::Dependency, format!("container {} {why}", target.name));
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    /// Whether a container has a process, or is on its way to one or from one.
    fn is_alive(&self, target: &Target) -> bool {
        let state = self.world.found.containers.get(&target.id).map(|container| container.state);
        self.world.processes.contains_key(&target.id)
            || self.world.prepared.contains_key(&target.id)
            || matches!(state, Some(ContainerState::Running { .. } | ContainerState::Restarting { .. }))
    }

    /// Takes in the end of a job.
    fn step_over(&mut self, serial: u64, step: StepId, result: Result<Outcome, Fault>) {
        let place = self.lanes.iter_mut().find_map(|(project, lane)| {
            lane.all_mut().any(|operation| operation.serial == serial).then(|| project.clone())
        });
        let Some(mut lane) = place.as_ref().and_then(|project| self.lanes.remove(project)) else { return };
        if let Some(operation) = lane.all_mut().find(|operation| operation.serial == serial)
            && let Some(action) =
                operation.execution.as_ref().and_then(|execution| execution.action(step)).cloned()
        {
            let result = self.take_in(operation, &action, result);
            finish_step(operation, step, result);
        }
        self.lanes.extend(place.map(|project| (project, lane)));
    }

    /// Tells how far a step is.
    pub(crate) fn step_gone(&mut self, serial: u64, step: StepId, amount: Amount) {
        let mut all = self.lanes.values_mut().flat_map(Lane::all_mut);
        let Some(operation) = all.find(|operation| operation.serial == serial) else { return };
        let Some(action) = operation.execution.as_ref().and_then(|execution| execution.action(step)) else {
            return;
        };
        for event in step_events(action, StepState::Working) {
            operation.tell(&OperationEvent::Step(StepEvent { amount: Some(amount), ..event }));
        }
    }

    /// Ends an operation: told to all who listen, forgotten by the store. One whose plan led to a fact is planned
    /// again, and one that failed first takes back what it made in vain.
    fn conclude(&mut self, mut operation: Operation, lane: &mut Lane) {
        let succeeded = operation.execution.as_ref().is_some_and(|execution| execution.succeeded());
        if succeeded && operation.execution.as_ref().is_some_and(|execution| !execution.plan().complete) {
            operation.execution = None;
            lane.current = Some(operation);
            return;
        }
        if !operation.faults.is_empty() && operation.is_undone() {
            let plan = trice_plan::undo::undo(&operation.begun, &self.world.found);
            operation.begin_undo(plan);
            lane.current = Some(operation);
            return;
        }
        let key = intent_key(operation.record.intent.project(), operation.record.asked_at);
        self.write(|batch| batch.remove::<IntentRecord>(&key));
        self.concluded = true;
        let event = if operation.faults.is_empty() {
            OperationEvent::Done
        } else {
            for fault in &operation.faults {
                tracing::info!(project = %operation.record.intent.project(), %fault, "operation failed");
            }
            OperationEvent::Failed(std::mem::take(&mut operation.faults))
        };
        self.changed.insert(operation.record.intent.project().clone());
        operation.tell(&event);
        if matches!(operation.record.intent, Intent::Down { .. } | Intent::Remove { .. } | Intent::Up { .. })
        {
            self.later(TRASH_DELAY, Event::TrashDue);
        }
    }

    /// Adds a job that is the step of an operation.
    pub(crate) fn step_job(&mut self, operation: &Operation, step: StepId, job: crate::perform::Job) {
        self.jobs.push((job, Destination::Step { operation: operation.serial, step }));
    }

    /// Whether the plan of `operation` starts the container.
    pub(crate) fn starts_later(operation: &Operation, container: &trice_model::id::ContainerId) -> bool {
        let starts =
            |action: &Action| matches!(action, Action::StartContainer(target) if target.id == *container);
        operation.execution.as_ref().is_some_and(|execution| execution.remaining().any(starts))
    }

    /// Takes in a new operation; the same one asked for again gets another listener.
    pub(crate) fn undertake(
        &mut self,
        record: IntentRecord,
        access: RegistryAccess,
        listener: Option<tokio::sync::mpsc::UnboundedSender<OperationEvent>>,
    ) {
        let serial = self.next_serial();
        let lane = self.lanes.entry(record.intent.project().clone()).or_default();
        if let Some(known) = lane.find(&record) {
            known.listeners.extend(listener);
            known.access = access;
            return;
        }
        let mut operation = Operation::new(serial, record.clone());
        operation.listeners.extend(listener);
        operation.access = access;
        lane.push(operation);
        self.write(|batch| batch.put(&record));
    }

    /// Stops what was asked for at that moment.
    pub(crate) fn cancel(&mut self, cancel: &trice_api::call::Cancel) {
        let Some(lane) = self.lanes.get_mut(&cancel.project) else { return };
        for operation in lane.all_mut().filter(|operation| operation.record.asked_at == cancel.asked_at) {
            operation.stop(Fault::new(Code::Cancelled, "cancelled"));
        }
    }

    /// Goes on with the one-offs and restarts that an intent of a former engine left.
    pub(crate) fn resume(&mut self, records: Vec<IntentRecord>, rebooted: bool) {
        for record in records {
            self.undertake(record, RegistryAccess::default(), None);
        }
        if rebooted {
            for project in self.world.projects() {
                let intent = Intent::Resume { project };
                let record = IntentRecord { asked_at: crate::engine::now(), intent };
                self.undertake(record, RegistryAccess::default(), None);
            }
        }
    }
}

/// Marks a step as over and tells it.
fn finish_step(operation: &mut Operation, step: StepId, result: Result<(), Fault>) {
    let Some(execution) = &mut operation.execution else { return };
    execution.finish(step, result.is_ok());
    let action = execution.action(step).cloned();
    let state = if result.is_ok() { StepState::Done } else { StepState::Failed };
    if let Some(action) = action {
        tell_step(operation, &action, state);
    }
    operation.faults.extend(result.err());
}

fn tell_step(operation: &mut Operation, action: &Action, state: StepState) {
    if operation.listeners.is_empty() {
        return;
    }
    for event in step_events(action, state) {
        operation.tell(&OperationEvent::Step(event));
    }
}
