//! The answer: steps, each with its cause and the steps it comes after.
//!
//! ```text
//! 1 stop container shop-web-1     image changed from shop:1
//! 2 remove container shop-web-1   replaced by 3               after 1
//! 3 create container shop-web-1   replaces 2                  after 2
//! 4 start container shop-web-1    wanted running              after 3
//! ```
//!
//! A step comes after steps with lower numbers only: steps are numbered as they are added, and one can only
//! be added after steps that are there. So a plan has no cycle by its making, and its list is an order that
//! it can be read in.

use std::fmt;

use serde::{Deserialize, Serialize};
use trice_model::id::Ids;
use trice_model::time::Timestamp;

use crate::action::Action;
use crate::found::Found;
use crate::mistake::PlanError;
use crate::realm::Realm;
use crate::{connect, down, run, start, up};
use trice_model::intent::Intent;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// What is done, and why, and after what.
    pub steps: Vec<Step>,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
    /// The steps lead to what is wanted. If false, they lead to a fact that the rest depends on: look, and
    /// plan again.
    pub complete: bool,
}

/// One action in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub cause: String,
    /// The steps that must be done before, in ascending order.
    pub after: Vec<StepId>,
}

/// A step's number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// Decides how what is `found` becomes what the intent wants.
///
/// `asked_at` is the moment at which the intent came. It stays the same when the same intent is planned
/// again, and so what was already done for it (a restart, a forced recreation, a one-shot that has completed)
/// is not done twice.
///
/// # Errors
/// All mistakes of the intent at once; then nothing may be done.
pub fn plan(
    intent: &Intent,
    found: &Found,
    realm: &Realm,
    asked_at: Timestamp,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    match intent {
        Intent::Up { project, options } => up::plan(project, options, found, realm, asked_at, ids),
        Intent::Run { project, options } => run::plan(project, options, found, realm, asked_at, ids),
        Intent::Down { project, options } => Ok(down::plan(project, options, found)),
        Intent::Remove { project, services, stop, volumes } => {
            Ok(down::remove(project, services, *stop, *volumes, found))
        }
        Intent::Stop { project, services, timeout } => Ok(down::stop(project, services, *timeout, found)),
        Intent::Start { project, services, wait } => {
            start::start(project, services, *wait, found, realm, asked_at, ids)
        }
        Intent::Restart { project, services, timeout, no_deps } => {
            let options = start::RestartOptions { services, timeout: *timeout, no_deps: *no_deps };
            start::restart(project, &options, found, realm, asked_at, ids)
        }
        Intent::Connect { project, container, network, options } => {
            connect::connect((project, container, network), options, found, realm, ids)
        }
        Intent::Disconnect { project, container, network } => {
            connect::disconnect((project, container, network), found)
        }
        Intent::RemoveNetworks { project, networks } => {
            Ok(connect::remove_networks(project, networks, found))
        }
        Intent::Resume { project } => Ok(start::resume(project, found, realm, ids)),
    }
}

impl Plan {
    /// Adds a step after those in `after` and returns its number.
    pub(crate) fn add(
        &mut self,
        action: Action,
        cause: impl Into<String>,
        after: impl IntoIterator<Item = StepId>,
    ) -> StepId {
        let mut after: Vec<StepId> = after.into_iter().collect();
        after.sort_unstable();
        after.dedup();
        self.steps.push(Step { action, cause: cause.into(), after });
        StepId(self.steps.len())
    }

    /// Returns the step of that number.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        id.0.checked_sub(1).and_then(|index| self.steps.get(index))
    }

    /// Sets the cause of a step whose cause came later.
    pub(crate) fn explain(&mut self, id: StepId, cause: String) {
        if let Some(step) = id.0.checked_sub(1).and_then(|index| self.steps.get_mut(index)) {
            step.cause = cause;
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Plan {
    /// Writes a line a step, in columns: number, action, cause, and what it comes after; then a line a note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<String> = self.steps.iter().map(|step| step.action.to_string()).collect();
        let digits = self.steps.len().to_string().len();
        let action_width = actions.iter().map(|action| action.chars().count()).max().unwrap_or(0);
        let cause_width = self.steps.iter().map(|step| step.cause.chars().count()).max().unwrap_or(0);
        for (index, (step, action)) in self.steps.iter().zip(&actions).enumerate() {
            let after: String = step.after.iter().map(|id| format!(" {id}")).collect();
            let after = if after.is_empty() { after } else { format!("after{after}") };
            let number = index + 1;
            let line =
                format!("{number:>digits$} {action:<action_width$}   {:<cause_width$}   {after}", step.cause);
            writeln!(f, "{}", line.trim_end())?;
        }
        if !self.complete {
            writeln!(f, "the rest follows from what these steps bring")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}
