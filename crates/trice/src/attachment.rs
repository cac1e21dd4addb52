//! When an attached `up` ends, and with which code.
//!
//! ```text
//!            up is done, nobody runs ──────────────────────────► finished, 0
//! watching ──┤
//!            a container ends ── `--abort-on-container-exit` ──► stop all ──► its code, or that asked for
//!                            └── `--abort-on-container-failure`, not with 0
//! ```
//!
//! Source: docker/compose `pkg/compose/up.go` and `monitor.go`.

use std::collections::{BTreeMap, BTreeSet};

use trice_api::event::{ContainerChange, ContainerEvent};
use trice_api::view::ContainerView;
use trice_model::container::ContainerState;
use trice_model::name::{ContainerName, ServiceName};
use trice_model::time::Timestamp;

/// Which end of a container ends all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// None.
    Never,
    /// Any.
    OnExit,
    /// One with another code than 0.
    OnFailure,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    GoOn,
    /// All containers are to be stopped.
    Stop,
    /// Nobody runs any more.
    Finished,
}

/// The containers that an attached `up` watches.
#[derive(Debug)]
pub(crate) struct Attachment {
    abort: Abort,
    code_from: Option<ServiceName>,
    asked_at: Timestamp,
    up_is_done: bool,
    alive: BTreeSet<ContainerName>,
    /// The code of the container that ended all.
    aborted: Option<i32>,
    /// The first end of a container of each service.
    codes: BTreeMap<ServiceName, i32>,
}

impl Attachment {
    /// Begins to watch for what happens after `asked_at`. With `code_from`, that service's end gives the
    /// code.
    pub(crate) fn new(abort: Abort, code_from: Option<ServiceName>, asked_at: Timestamp) -> Self {
        let (alive, codes) = (BTreeSet::new(), BTreeMap::new());
        Self { abort, code_from, asked_at, up_is_done: false, alive, aborted: None, codes }
    }

    /// Takes in a change.
    pub(crate) fn change(&mut self, event: &ContainerEvent) -> Next {
        if event.oneoff {
            return Next::GoOn;
        }
        match event.what {
            ContainerChange::Started => {
                self.alive.insert(event.container.clone());
                Next::GoOn
            }
            ContainerChange::Exited { restarting: true, .. } => Next::GoOn,
            ContainerChange::Exited { code, restarting: false } => {
                self.ended(&event.container, &event.service, code)
            }
            ContainerChange::Removed => {
                self.alive.remove(&event.container);
                self.next()
            }
            ContainerChange::Created
            | ContainerChange::Healthy
            | ContainerChange::Unhealthy
            | ContainerChange::Paused
            | ContainerChange::Unpaused => Next::GoOn,
        }
    }

    /// Takes in how all watched containers do now: what happened before was not heard.
    pub(crate) fn look(&mut self, containers: &[ContainerView]) -> Next {
        let mut replicas: Vec<_> =
            containers.iter().filter(|container| container.role.is_replica()).collect();
        replicas.sort_by_key(|container| container.finished_at);
        self.alive.clear();
        for container in replicas {
            match container.state {
                ContainerState::Running { .. } | ContainerState::Restarting { .. } => {
                    self.alive.insert(container.name.clone());
                }
                ContainerState::Exited { exit } if container.finished_at >= Some(self.asked_at) => {
                    self.ended(&container.name, &container.service, exit.code());
                }
                ContainerState::Created | ContainerState::Exited { .. } => {}
            }
        }
        self.next()
    }

    /// Takes in that the `up` itself is done. What runs then has to be looked at once more.
    pub(crate) fn up_is_done(&mut self) {
        self.up_is_done = true;
    }

    /// Returns the code to end with, all containers having ended.
    pub(crate) fn code(&self) -> i32 {
        match &self.code_from {
            Some(service) => self.codes.get(service).copied().unwrap_or(0),
            None => self.aborted.unwrap_or(0),
        }
    }

    fn ended(&mut self, container: &ContainerName, service: &ServiceName, code: i32) -> Next {
        self.alive.remove(container);
        self.codes.entry(service.clone()).or_insert(code);
        let aborts = match self.abort {
            Abort::Never => false,
            Abort::OnExit => true,
            Abort::OnFailure => code != 0,
        };
        if aborts {
            self.aborted.get_or_insert(code);
        }
        self.next()
    }

    fn next(&self) -> Next {
        if self.aborted.is_some() {
            Next::Stop
        } else if self.up_is_done && self.alive.is_empty() {
            Next::Finished
        } else {
            Next::GoOn
        }
    }
}

#[cfg(test)]
mod tests {
    use trice_model::container::ExitStatus;

    use super::*;
    use crate::commands::ps::tests::container;

    fn event(service: &str, what: ContainerChange) -> ContainerEvent {
        ContainerEvent {
            time: Timestamp(2),
            id: "0".repeat(64).parse().unwrap(),
            image: "x".parse().unwrap(),
            container: format!("shop-{service}-1").parse().unwrap(),
            service: service.parse().unwrap(),
            oneoff: false,
            what,
        }
    }

    fn exited(code: i32) -> ContainerChange {
        ContainerChange::Exited { code, restarting: false }
    }

    fn attachment(abort: Abort, code_from: Option<&str>) -> Attachment {
        let mut attachment =
            Attachment::new(abort, code_from.map(|name| name.parse().unwrap()), Timestamp(1));
        attachment.change(&event("db", ContainerChange::Started));
        attachment.change(&event("web", ContainerChange::Started));
        attachment
    }

    #[test]
    fn it_ends_when_up_is_done_and_all_have_ended_for_good() {
        let mut attachment = attachment(Abort::Never, None);
        assert_eq!(attachment.change(&event("db", exited(3))), Next::GoOn);
        let again = ContainerChange::Exited { code: 1, restarting: true };
        attachment.up_is_done();
        assert_eq!(attachment.change(&event("web", again)), Next::GoOn);
        assert_eq!(attachment.change(&event("web", exited(0))), Next::Finished);
        assert_eq!(attachment.code(), 0);
    }

    #[test]
    fn the_first_exit_or_the_first_failure_aborts_where_that_is_asked_for() {
        let mut on_exit = attachment(Abort::OnExit, None);
        assert_eq!(on_exit.change(&event("db", exited(0))), Next::Stop);
        on_exit.change(&event("web", exited(143)));
        assert_eq!(on_exit.code(), 0);
        let mut on_failure = attachment(Abort::OnFailure, None);
        assert_eq!(on_failure.change(&event("db", exited(0))), Next::GoOn);
        assert_eq!(on_failure.change(&event("web", exited(7))), Next::Stop);
        assert_eq!(on_failure.code(), 7);
    }

    #[test]
    fn the_code_comes_from_the_service_that_was_named() {
        let mut attachment = attachment(Abort::OnExit, Some("web"));
        assert_eq!(attachment.change(&event("db", exited(3))), Next::Stop);
        attachment.change(&event("web", exited(143)));
        assert_eq!(attachment.code(), 143);
    }

    #[test]
    fn what_was_not_heard_is_seen_by_looking() {
        let mut attachment = attachment(Abort::OnFailure, None);
        attachment.up_is_done();
        let running = container("web", 1, ContainerState::Running { health: None, paused: false });
        let failed = ContainerState::Exited { exit: ExitStatus::Code(9) };
        let mut old = container("db", 1, failed);
        old.finished_at = Some(Timestamp(0));
        assert_eq!(attachment.look(&[old.clone(), running]), Next::GoOn, "it ended before it was asked for");
        old.finished_at = Some(Timestamp(5));
        assert_eq!(attachment.look(&[old]), Next::Stop);
        assert_eq!(attachment.code(), 9);
    }
}
