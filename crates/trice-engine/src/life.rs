//! The ends of containers: by themselves or asked for; what follows; and the death of a keeper.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use trice_api::event::ContainerChange;
use trice_api::fault::Fault;
use trice_model::container::{ContainerState, ExitStatus, NetworkNamespace};
use trice_model::id::ContainerId;
use trice_model::signal::Signal;
use trice_plan::links;
use trice_plan::restart::{Exit, Next, after_exit};
use trice_runtime::container::Prepared;
use trice_runtime::keeper::link::Told;

use crate::engine::{Destination, Engine, now};
use crate::event::Event;
use crate::failure;
use crate::identity;
use crate::perform::{self, Outcome};
use crate::succession;
use crate::world::Process;

impl Engine {
    /// Takes in what the keeper tells.
    pub(crate) fn told(&mut self, told: Told) {
        match told {
            Told::Gone => self.keeper_gone(),
            Told::Exited { key, status } => {
                let exit = identity::from_wait_status(status);
                if let Some(follower) = self.followers.remove(&key) {
                    // Whoever followed may have gone meanwhile.
                    let _ = follower.send(exit);
                    return self.forgotten.push(key);
                }
                match identity::container_of(&key) {
                    Some(id) => self.process_ended(&id, key, exit),
                    None => self.forgotten.push(key),
                }
            }
        }
    }

    fn process_ended(&mut self, id: &ContainerId, key: String, exit: ExitStatus) {
        let state = self.world.found.containers.get(id).map(|container| container.state);
        if let Some(process) = self.world.processes.get(id) {
            // That of another one is of a process that was put away before this one began.
            return if process.key.as_ref() == Some(&key) {
                self.begin_end(id, exit);
            } else {
                self.forgotten.push(key);
            };
        }
        match state {
            // Its start succeeded, and is about to be told.
            Some(ContainerState::Running { .. }) => drop(self.early_ends.insert(key, exit)),
            // It waited for its start and died, or its start failed, which is being told.
            Some(
                ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Exited { .. },
            )
            | None => {
                self.world.prepared.retain(|_, prepared| prepared.key != key);
                self.forgotten.push(key);
            }
        }
    }

    /// Puts away what is left of a container's process, its last output first.
    pub(crate) fn begin_end(&mut self, id: &ContainerId, exit: ExitStatus) {
        let Some(process) = self.world.processes.get_mut(id).filter(|process| !process.ending) else {
            return;
        };
        process.ending = true;
        let container = id.clone();
        let job: perform::Job = Box::new(move |backends| {
            let finished = backends.containers.finish(&container);
            finished.map_err(|error| failure::of("end the container", &error))?;
            Ok(Outcome::Done)
        });
        self.jobs.push((job, Destination::End(id.clone(), exit)));
    }

    /// Takes in the end of a process that is no child of our keeper.
    pub(crate) fn foreign_ended(&mut self, id: &ContainerId, run: u64, exit: ExitStatus) {
        if self.world.processes.get(id).is_some_and(|process| process.run == run) {
            self.begin_end(id, exit);
        }
    }

    /// Takes in a container's end: it stays, or is started again.
    pub(crate) fn ended(&mut self, id: &ContainerId, exit: ExitStatus) {
        let Some(process) = self.world.processes.remove(id) else { return };
        let Some(container) = self.world.found.containers.get_mut(id) else { return };
        let now = now();
        container.finished_at = Some(now);
        let ran = container.started_at.map_or(Duration::ZERO, |started| now.since(started));
        let tally = self.world.tallies.entry(id.clone()).or_default().exited(ran);
        self.world.tallies.insert(id.clone(), tally);
        let reason = if container.asked_to_stop { Exit::Asked } else { Exit::Itself(exit) };
        let next = after_exit(container.spec.restart, reason, tally, now);
        container.state = match next {
            Next::Stay => ContainerState::Exited { exit },
            Next::StartAt(at) => ContainerState::Restarting { exit, at },
        };
        let (project, instance) = (container.spec.project.clone(), container.spec.network.clone());
        tracing::info!(container = %container.spec.name, code = exit.code(), "ended");
        if let (Next::Stay, NetworkNamespace::Instance(name)) = (next, &instance) {
            let free = self.give_back_ports(name, &[]);
            self.free_ports(free);
        }
        if let Next::StartAt(at) = next {
            self.later(at.since(now), Event::RestartDue { container: id.clone() });
        }
        self.changed.insert(project);
        self.remember(id);
        self.forgotten.extend(process.key);
        let restarting = next != Next::Stay;
        self.announce(id, ContainerChange::Exited { code: exit.code(), restarting });
    }

    /// Starts a container again whose delay is over.
    pub(crate) fn restart_due(&mut self, id: &ContainerId) {
        let state = self.world.found.containers.get(id).map(|container| container.state);
        if !matches!(state, Some(ContainerState::Restarting { at, .. }) if at <= now()) {
            return;
        }
        // Those it is linked to may have other addresses by now.
        let variables = self
            .world
            .found
            .containers
            .get(id)
            .map(|container| links::variables(&self.world.found, container));
        if let (Some(variables), Some(container)) = (variables, self.world.found.containers.get_mut(id)) {
            container.spec.process.link_env = variables;
        }
        let tally = self.world.tallies.get(id).copied().unwrap_or_default().restarted();
        if let Ok(job) = self.begin_start(id, tally) {
            self.jobs.push((job, Destination::Restart(id.clone())));
        }
    }

    /// Takes in that a container was started again, or could not be.
    pub(crate) fn restarted(&mut self, id: &ContainerId, result: Result<Outcome, Fault>) {
        match result {
            Ok(Outcome::Started(prepared, record)) => self.started(id, *prepared, *record),
            Ok(_) => {}
            Err(fault) => {
                tracing::error!(container = id.short(), %fault, "restart");
                self.start_failed(id, &fault);
            }
        }
    }

    /// Asks a container to end; after `grace` it is ended.
    pub(crate) fn begin_stop(&mut self, id: &ContainerId, signal: Signal, grace: Duration) {
        // One that waits for its start ends with the descriptor that it waits on.
        self.world.prepared.remove(id);
        self.unpause(id); // it would not hear the signal
        let Some(container) = self.world.found.containers.get_mut(id) else { return };
        container.asked_to_stop = true;
        if let ContainerState::Restarting { exit, .. } = container.state {
            container.state = ContainerState::Exited { exit };
        }
        let is_being_started = matches!(container.state, ContainerState::Running { .. });
        self.remember(id);
        let Some(process) = self.world.processes.get_mut(id) else {
            if is_being_started {
                self.late_stops.insert(id.clone(), (signal, grace));
            }
            return;
        };
        process.stopping = true;
        let run = process.run;
        if grace.is_zero() {
            return self.grace_over(id, run);
        }
        self.signal(id, signal);
        self.later(grace, Event::GraceOver { container: id.clone(), run });
    }

    /// Ends every process of a container that has had its time.
    pub(crate) fn grace_over(&mut self, id: &ContainerId, run: u64) {
        let stopping = |process: &&crate::world::Process| process.run == run && process.stopping;
        if self.world.processes.get(id).filter(stopping).is_none() {
            return;
        }
        // The init's death takes its whole pid namespace along, on every kernel.
        self.signal(id, Signal::KILL);
    }

    /// Sends a signal to a container's process; `false` if it does not run.
    pub(crate) fn signal(&self, id: &ContainerId, signal: Signal) -> bool {
        let Some(process) = self.world.processes.get(id) else { return false };
        trice_sys::pidfd::send_signal(process.pidfd.as_fd(), i32::from(signal.number())).is_ok()
    }

    /// Starts a keeper in place of one that has died. Containers run on; they are nobody's children of ours any more,
    /// so their ends are seen by their pidfds.
    fn keeper_gone(&mut self) {
        tracing::warn!("the keeper has died: another one takes over");
        for (id, process) in &mut self.world.processes {
            // Those that outlived a keeper before are watched already.
            if process.key.take().is_some() && !process.ending {
                watch_foreign(id, process, &self.events);
            }
        }
        // Children that waited for their start, and processes that somebody follows, are lost to us.
        self.world.prepared.clear();
        self.keeper_lives = false;
        self.followers.clear();
        let (backends, events) = (self.backends.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let socket = succession::start_keeper(&backends.directories, &backends.shared);
            let _ = events.send(Event::Succeeded(socket));
        });
    }

    /// Takes in the keeper that took over: it gets everything to hold.
    pub(crate) fn keeper_succeeded(&mut self, result: Result<OwnedFd, Fault>) {
        let listened = result.and_then(|socket| {
            let listened = succession::listen(socket, &self.events);
            listened.map_err(|error| failure::of_io("talk to the new keeper", &error))
        });
        let link = match listened {
            Ok((link, _)) => link,
            Err(fault) => {
                tracing::error!(%fault, "have another keeper");
                return self.keeper_gone();
            }
        };
        if let Err(error) = succession::hand_over(&self.backends, &self.world, &link) {
            tracing::error!(%error, "hand over to the new keeper");
            // Its death is told by its link, whether it ends because of this or has died already: were another one
            // started here too, both would hold the same, and only one would ever let go of it.
            let _ = link.leave();
            return;
        }
        self.backends.containers.relink(link);
        self.keeper_lives = true;
    }

    /// Tells whether the keeper whose child it is lives, and tells of its end.
    pub(crate) fn has_parent(&self, prepared: &Prepared) -> bool {
        self.keeper_lives && prepared.is_of(&self.backends.containers.link())
    }

    /// Sees to the end of a process whose keeper died when it was being made, and has what belongs to it held.
    pub(crate) fn adopt_orphan(&self, id: &ContainerId, process: &mut Process) {
        process.key = None;
        watch_foreign(id, process, &self.events);
        // Before there is another keeper nobody can hold anything, and that one is given all that there is.
        if self.keeper_lives
            && let Err(error) = succession::hold_process(&self.backends, id, process)
        {
            tracing::warn!(container = id.short(), %error, "have its output held");
        }
    }
}

/// Tells the end of a process that is no child of our keeper. A thread waits for it: keepers die rarely.
pub(crate) fn watch_foreign(
    id: &ContainerId,
    process: &Process,
    events: &tokio::sync::mpsc::UnboundedSender<Event>,
) {
    let (container, run, pid) = (id.clone(), process.run, process.identity.pid);
    let (pidfd, events) = (process.pidfd.clone(), events.clone());
    let wait = move || {
        while poll(&mut [PollFd::new(&*pidfd, PollFlags::IN)], None) == Err(Errno::INTR) {}
        let exit = settle(&pidfd, pid);
        let _ = events.send(Event::ForeignEnd { container, run, exit });
    };
    let thread = std::thread::Builder::new().name("foreign".to_owned()).stack_size(64 * 1024);
    if let Err(error) = thread.spawn(wait) {
        tracing::error!(container = id.short(), %error, "watch a container that runs");
    }
}

/// How long the parent of a process may take to see its end, and how often it is looked.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Returns the status of a process that has ended. While its parent has not seen it, `/proc` shows it to those who may
/// look; else the kernel tells it once the parent has.
fn settle(pidfd: &OwnedFd, pid: i32) -> ExitStatus {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        let exit = identity::exit_of(pidfd.as_fd(), pid);
        if exit != ExitStatus::Unknown || Instant::now() > deadline {
            return exit;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
