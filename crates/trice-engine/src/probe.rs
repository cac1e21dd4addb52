//! Health probes: a process in the container now and then, and what its end says.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::sync::oneshot;
use trice_api::event::ContainerChange;
use trice_model::container::{ContainerSpec, ExecSpec, ExitStatus, ProcessSpec};
use trice_model::health::{Health, HealthTest};
use trice_model::id::ContainerId;
use trice_model::time::Timestamp;
use trice_plan::health::{Probe, after_probe, at_start};
use trice_runtime::container::{CreateError, ExecStdio, Prepared};

use crate::backends::Backends;
use crate::engine::{Engine, now};
use crate::event::Event;

/// How long a probe that was ended may take to be gone.
const GONE: Duration = Duration::from_secs(5);

impl Engine {
    /// Begins the probes of a container that has been started, or taken over from a former engine.
    pub(crate) fn begin_probes(&mut self, id: &ContainerId) {
        let Some(container) = self.world.found.containers.get(id) else { return };
        let Some(health) = &container.spec.health else { return };
        let (probes, due) = at_start(health, container.started_at.unwrap_or_else(now));
        let Some(process) = self.world.processes.get_mut(id) else { return };
        process.probes = Some(probes);
        let event = Event::ProbeDue { container: id.clone(), run: process.run };
        self.later(due.since(now()), event);
    }

    /// Runs a probe.
    pub(crate) fn probe_due(&mut self, id: &ContainerId, run: u64) {
        let Some(container) = self.world.found.containers.get(id) else { return };
        let Some(health) = container.spec.health.clone() else { return };
        let same_run = |process: &&crate::world::Process| process.run == run && !process.ending;
        let Some(process) = self.world.processes.get(id).filter(same_run) else { return };
        if container.is_paused() {
            return self.later(health.interval, Event::ProbeDue { container: id.clone(), run });
        }
        let (spec, init) = (container.spec.clone(), process.pidfd.clone());
        let key = format!("probe/{}/{}", id.short(), self.next_serial());
        let (sender, ended) = oneshot::channel();
        self.followers.insert(key.clone(), sender);
        let (backends, events, container) = (self.backends.clone(), self.events.clone(), id.clone());
        tokio::spawn(async move {
            let succeeded = probe(backends, key, spec, init, &health.test, health.timeout, ended).await;
            let _ = events.send(Event::Probed { container, run, succeeded });
        });
    }

    /// Takes in a probe's end.
    pub(crate) fn probed(&mut self, id: &ContainerId, run: u64, succeeded: bool) {
        let Some(container) = self.world.found.containers.get(id) else { return };
        let Some(health) = &container.spec.health else { return };
        let same_run = |process: &&mut crate::world::Process| process.run == run && !process.ending;
        let Some(process) = self.world.processes.get_mut(id).filter(same_run) else { return };
        let Some(before) = process.probes else { return };
        // Held still together with the container, it says nothing.
        if container.is_paused() {
            return self.later(health.interval, Event::ProbeDue { container: id.clone(), run });
        }
        let now = now();
        // A probe began no earlier than its timeout ago.
        let began_at =
            Timestamp(now.0.saturating_sub(health.timeout.as_nanos() as u64)).max(before.started_at);
        let (after, due) = after_probe(health, before, Probe { began_at, succeeded }, now);
        process.probes = Some(after);
        self.later(due.since(now), Event::ProbeDue { container: id.clone(), run });
        if after.health != before.health {
            self.world.set_health(id, Some(after.health));
            self.remember(id);
            match after.health {
                Health::Healthy => self.announce(id, ContainerChange::Healthy),
                Health::Unhealthy => self.announce(id, ContainerChange::Unhealthy),
                Health::Starting => {}
            }
        }
    }
}

/// Runs a probe to its end, or to its timeout; returns whether it found the container at work.
async fn probe(
    backends: Arc<Backends>,
    key: String,
    spec: ContainerSpec,
    init: Arc<OwnedFd>,
    test: &HealthTest,
    timeout: Duration,
    ended: oneshot::Receiver<ExitStatus>,
) -> bool {
    let process =
        ProcessSpec { args: arguments(test), tty: false, stdin_open: false, ..spec.process.clone() };
    let begun = tokio::task::spawn_blocking(move || begin(&backends, &key, &spec, process, &init)).await;
    let Ok(Ok(prepared)) = begun else { return false };
    let mut ended = ended;
    match tokio::time::timeout(timeout, &mut ended).await {
        Ok(exit) => exit == Ok(ExitStatus::Code(0)),
        Err(_) => {
            // It may have ended in this moment, which is as good.
            let _ = trice_sys::pidfd::send_signal(prepared.pidfd.as_fd(), 9);
            let _ = tokio::time::timeout(GONE, ended).await;
            false
        }
    }
}

fn begin(
    backends: &Backends,
    key: &str,
    spec: &ContainerSpec,
    process: ProcessSpec,
    init: &OwnedFd,
) -> Result<Prepared, CreateError> {
    let null = || {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        null.map_err(|error| CreateError::Spawn(error.into()))
    };
    let stdio = ExecStdio::Streams { stdin: None, stdout: null()?, stderr: null()? };
    let exec = ExecSpec { container: spec.id.clone(), process };
    backends.containers.exec(key, &exec, spec, init.as_fd(), stdio)
}

fn arguments(test: &HealthTest) -> Vec<String> {
    match test {
        HealthTest::Command(arguments) => arguments.clone(),
        HealthTest::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
    }
}
