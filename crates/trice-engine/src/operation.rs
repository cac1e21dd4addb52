//! What was asked for, on its way: one operation at a time for each project, the others in the order of their asking.
//!
//! ```text
//! asked ──► queue ──► current ──────► done, told to all who listen
//!                        └──► tail        a one-off that only has to end: it is in nobody's way
//! ```
//!
//! What takes a project down does not wait for what brings it up: it takes over, and the other is told so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use trice_api::event::OperationEvent;
use trice_api::fault::{Code, Fault};
use trice_model::image::PlatformImage;
use trice_model::intent::Intent;
use trice_model::name::ProjectName;
use trice_model::registry::RegistryAccess;
use trice_plan::action::{Action, Until};
use trice_plan::plan::Plan;

use crate::execution::{Execution, OnFailure};
use crate::record::IntentRecord;

/// Something that was asked for.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Tells it from others.
    pub(crate) serial: u64,
    /// What, and when.
    pub(crate) record: IntentRecord,
    /// Who wants to hear of it.
    pub(crate) listeners: Vec<UnboundedSender<OperationEvent>>,
    /// The plan that is being carried out; `None` before the first.
    pub(crate) execution: Option<Execution>,
    /// The images that were fetched for it.
    pub(crate) fetched: BTreeSet<PlatformImage>,
    /// What went wrong.
    pub(crate) faults: Vec<Fault>,
    /// The steps that have begun, of all its plans so far: what is undone if it fails.
    pub(crate) begun: Vec<Action>,
    /// It has failed, and what it made in vain is being taken back.
    pub(crate) undoing: bool,
    /// How its images are fetched.
    pub(crate) access: RegistryAccess,
    /// Tells those that fetch for it that nobody wants it any more.
    stopped: watch::Sender<bool>,
    /// What was told already, so that a plan made again does not repeat it.
    noted: BTreeSet<String>,
}

impl Operation {
    /// Begins with nothing planned.
    pub(crate) fn new(serial: u64, record: IntentRecord) -> Self {
        Self {
            serial,
            record,
            listeners: Vec::new(),
            execution: None,
            fetched: BTreeSet::new(),
            faults: Vec::new(),
            begun: Vec::new(),
            undoing: false,
            access: RegistryAccess::default(),
            stopped: watch::Sender::new(false),
            noted: BTreeSet::new(),
        }
    }

    /// Takes a plan to carry out.
    pub(crate) fn begin(&mut self, plan: Plan) {
        for note in &plan.notes {
            if self.noted.insert(note.clone()) {
                self.tell(&OperationEvent::Note(note.clone()));
            }
        }
        self.execution = Some(Execution::new(plan, on_failure(&self.record.intent)));
    }

    /// Takes the plan of the way back.
    pub(crate) fn begin_undo(&mut self, plan: Plan) {
        self.undoing = true;
        self.execution = Some(Execution::new(plan, OnFailure::GoOn));
    }

    /// Whether what it made is taken back if it fails.
    pub(crate) fn is_undone(&self) -> bool {
        !self.undoing && on_failure(&self.record.intent) == OnFailure::Stop
    }

    /// Tells all who listen; who went away is forgotten.
    pub(crate) fn tell(&mut self, event: &OperationEvent) {
        self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    /// Returns what tells when it is stopped.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Stops it: what has begun comes to its end, which is at once for what comes from far away.
    pub(crate) fn stop(&mut self, fault: Fault) {
        self.faults.push(fault);
        self.stopped.send_replace(true);
        if let Some(execution) = &mut self.execution {
            execution.stop();
            // What only waits for others is no work that has to come to an end.
            for step in execution.working() {
                if matches!(execution.action(step), Some(Action::Await { .. })) {
                    execution.abandon(step);
                }
            }
        }
    }

    /// Whether all that remains is to wait for a one-off's end and to put it away.
    pub(crate) fn is_tail(&self) -> bool {
        let Some(execution) = &self.execution else { return false };
        let waits = |action: &Action| matches!(action, Action::Await { until: Until::Ended, .. });
        matches!(self.record.intent, Intent::Run { .. })
            && execution.plan().complete
            && execution.remaining().any(waits)
            && execution.remaining().all(|action| match action {
                Action::Await { until, .. } => *until == Until::Ended,
                Action::RemoveContainer(_) | Action::DisconnectInstance(_) | Action::RemoveVolume(_) => true,
                Action::FetchImage { .. }
                | Action::CreateNetwork(_)
                | Action::RemoveNetwork(_)
                | Action::CreateVolume(_)
                | Action::ConnectInstance(_)
                | Action::ReshapeInstance(_)
                | Action::PublishPorts { .. }
                | Action::CreateContainer(_)
                | Action::StartContainer(_)
                | Action::StopContainer { .. } => false,
            })
    }
}

/// What a failed step of `intent` means for the others.
fn on_failure(intent: &Intent) -> OnFailure {
    match intent {
        Intent::Down { .. }
        | Intent::Stop { .. }
        | Intent::Remove { .. }
        | Intent::Disconnect { .. }
        | Intent::RemoveNetworks { .. } => OnFailure::GoOn,
        Intent::Up { .. }
        | Intent::Run { .. }
        | Intent::Start { .. }
        | Intent::Restart { .. }
        | Intent::Connect { .. }
        | Intent::Resume { .. } => OnFailure::Stop,
    }
}

/// Whether `newer` takes over from `older` instead of waiting for it.
fn takes_over(newer: &Intent, older: &Intent) -> bool {
    on_failure(newer) == OnFailure::GoOn && on_failure(older) == OnFailure::Stop
}

/// The operations of one project.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The one that is being carried out.
    pub(crate) current: Option<Operation>,
    /// Those after it.
    pub(crate) queue: VecDeque<Operation>,
    /// One-offs that only have to end.
    pub(crate) tails: Vec<Operation>,
}

impl Lane {
    /// Takes in an operation. One that takes the project down takes over from those before it that bring it up.
    pub(crate) fn push(&mut self, operation: Operation) {
        let newer = &operation.record.intent;
        let superseded =
            || Fault::new(Code::Superseded, format!("another request took over: {}", word(newer)));
        if let Some(current) =
            self.current.as_mut().filter(|current| takes_over(newer, &current.record.intent))
        {
            current.stop(superseded());
        }
        for waiting in self.queue.iter_mut().filter(|waiting| takes_over(newer, &waiting.record.intent)) {
            waiting.stop(superseded());
        }
        self.queue.push_back(operation);
    }

    /// Returns the operation for `record`, if it was asked for already.
    pub(crate) fn find(&mut self, record: &IntentRecord) -> Option<&mut Operation> {
        self.all_mut().find(|operation| operation.record == *record)
    }

    /// Returns all operations.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Operation> {
        self.current.iter_mut().chain(&mut self.queue).chain(&mut self.tails)
    }

    /// Whether there is nothing on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none() && self.queue.is_empty() && self.tails.is_empty()
    }
}

/// The operations of all projects.
pub(crate) type Lanes = BTreeMap<ProjectName, Lane>;

/// Returns the command that people know an intent by.
fn word(intent: &Intent) -> &'static str {
    match intent {
        Intent::Up { .. } => "up",
        Intent::Down { .. } => "down",
        Intent::Run { .. } => "run",
        Intent::Start { .. } => "start",
        Intent::Stop { .. } => "stop",
        Intent::Restart { .. } => "restart",
        Intent::Remove { .. } => "rm",
        Intent::Connect { .. } => "network connect",
        Intent::Disconnect { .. } => "network disconnect",
        Intent::RemoveNetworks { .. } => "network prune",
        Intent::Resume { .. } => "resume",
    }
}
