//! Walking a plan: which steps may begin, what a failure stops, when it is over.
//!
//! ```text
//! Waiting ──ready──► Working ──finish──► Done
//!    │                  └──────────────► Failed
//!    └── a step before it failed, or nobody wants it any more ──► Skipped
//! ```
//!
//! It has nothing to choose: the plan says what comes after what.

use trice_plan::action::Action;
use trice_plan::plan::{Plan, StepId};

/// What a failed step means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// No further step begins: what is wanted cannot be reached.
    Stop,
    /// The others go on, those after it too: what is to go should go as far as it can.
    GoOn,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Working,
    Done,
    Failed,
    Skipped,
}

/// A plan that is being carried out.
#[derive(Debug)]
pub(crate) struct Execution {
    plan: Plan,
    states: Vec<State>,
    on_failure: OnFailure,
}

impl Execution {
    /// Begins with nothing done.
    pub(crate) fn new(plan: Plan, on_failure: OnFailure) -> Self {
        let states = vec![State::Waiting; plan.steps.len()];
        Self { plan, states, on_failure }
    }

    /// Returns the steps that may begin now; from now on they count as begun.
    pub(crate) fn begin_ready(&mut self) -> Vec<StepId> {
        let ready: Vec<StepId> = self.ids().filter(|id| self.is_ready(*id)).collect();
        for id in &ready {
            self.states[id.0 - 1] = State::Working;
        }
        ready
    }

    /// Marks a step that has begun as over.
    pub(crate) fn finish(&mut self, id: StepId, succeeded: bool) {
        let Some(state) = self.states.get_mut(id.0.wrapping_sub(1)) else { return };
        *state = if succeeded { State::Done } else { State::Failed };
        if !succeeded && self.on_failure == OnFailure::Stop {
            self.stop();
        }
    }

    /// Lets no further step begin; those that have begun come to their end.
    pub(crate) fn stop(&mut self) {
        for state in &mut self.states {
            if *state == State::Waiting {
                *state = State::Skipped;
            }
        }
    }

    /// Takes back a step that only waits for others.
    pub(crate) fn abandon(&mut self, id: StepId) {
        if let Some(state) = self.states.get_mut(id.0.wrapping_sub(1)) {
            *state = State::Skipped;
        }
    }

    /// Returns what a step does.
    pub(crate) fn action(&self, id: StepId) -> Option<&Action> {
        self.plan.step(id).map(|step| &step.action)
    }

    /// Returns the steps that have begun and are not over.
    pub(crate) fn working(&self) -> Vec<StepId> {
        self.ids().filter(|id| self.states[id.0 - 1] == State::Working).collect()
    }

    /// Returns what has not begun or is not over.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = &Action> {
        let open = |state: &State| matches!(state, State::Waiting | State::Working);
        self.plan
            .steps
            .iter()
            .zip(&self.states)
            .filter(move |(_, state)| open(state))
            .map(|(step, _)| &step.action)
    }

    /// Whether no step is working and none can begin any more.
    pub(crate) fn is_over(&self) -> bool {
        self.remaining().next().is_none()
    }

    /// Whether every step has succeeded.
    pub(crate) fn succeeded(&self) -> bool {
        self.states.iter().all(|state| *state == State::Done)
    }

    /// The plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    fn ids(&self) -> impl Iterator<Item = StepId> + use<> {
        (1..=self.states.len()).map(StepId)
    }

    fn is_ready(&self, id: StepId) -> bool {
        let Some(step) = self.plan.step(id) else { return false };
        let passed = |state: State| match state {
            State::Done => true,
            State::Failed | State::Skipped => self.on_failure == OnFailure::GoOn,
            State::Waiting | State::Working => false,
        };
        self.states[id.0 - 1] == State::Waiting
            && step.after.iter().all(|before| passed(self.states[before.0 - 1]))
    }
}

#[cfg(test)]
mod tests {
    use trice_plan::plan::Step;

    use super::*;

    /// A plan of steps that remove networks `a`, `b` …, each after those given.
    fn plan(after: &[&[usize]]) -> Plan {
        let step = |(index, after): (usize, &&[usize])| Step {
            action: Action::RemoveNetwork(format!("n{index}").parse().unwrap()),
            cause: String::new(),
            after: after.iter().map(|id| StepId(*id)).collect(),
        };
        Plan { steps: after.iter().enumerate().map(step).collect(), notes: Vec::new(), complete: true }
    }

    fn begun(execution: &mut Execution) -> Vec<usize> {
        execution.begin_ready().into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn steps_begin_when_all_before_them_are_done_and_once() {
        let mut execution = Execution::new(plan(&[&[], &[], &[1, 2]]), OnFailure::Stop);
        assert_eq!(begun(&mut execution), [1, 2]);
        assert!(begun(&mut execution).is_empty());
        execution.finish(StepId(1), true);
        assert!(begun(&mut execution).is_empty());
        execution.finish(StepId(2), true);
        assert_eq!(begun(&mut execution), [3]);
        execution.finish(StepId(3), true);
        assert!(execution.is_over() && execution.succeeded());
    }

    #[test]
    fn a_failure_on_the_way_up_lets_what_has_begun_end_and_nothing_begin() {
        let mut execution = Execution::new(plan(&[&[], &[], &[2]]), OnFailure::Stop);
        begun(&mut execution);
        execution.finish(StepId(1), false);
        assert!(!execution.is_over());
        execution.finish(StepId(2), true);
        assert!(begun(&mut execution).is_empty());
        assert!(execution.is_over() && !execution.succeeded());
    }

    #[test]
    fn a_failure_on_the_way_down_stops_nothing() {
        let mut execution = Execution::new(plan(&[&[], &[1]]), OnFailure::GoOn);
        begun(&mut execution);
        execution.finish(StepId(1), false);
        assert_eq!(begun(&mut execution), [2]);
    }
}
