//! Containers that are held still.
//!
//! ```text
//! pause ──► freeze, beside everything else ──► held ──► recorded as paused
//!                                                  └──► ended or asked to end meanwhile: let go again
//! ```
//!
//! The kernel keeps them so whoever of us dies; the record says that it is meant.

use tokio::sync::oneshot;
use trice_api::call;
use trice_api::event::ContainerChange;
use trice_api::fault::Fault;
use trice_api::view::PauseView;
use trice_model::container::ContainerState;
use trice_model::id::ContainerId;
use trice_model::name::ContainerName;

use crate::engine::Engine;
use crate::event::Event;
use crate::failure;

/// What became of containers that were to be held still.
#[derive(Debug)]
pub(crate) struct Held {
    /// Those that are, each with the run that is meant.
    containers: Vec<(ContainerId, u64)>,
    /// Those that were before.
    already: Vec<ContainerName>,
    /// Why others are not.
    fault: Option<Fault>,
    reply: oneshot::Sender<Result<PauseView, Fault>>,
}

impl Engine {
    /// Holds running containers still, or lets them go on.
    pub(crate) fn pause(&mut self, call: &call::Pause, reply: oneshot::Sender<Result<PauseView, Fault>>) {
        let (mut already, mut others) = (Vec::new(), Vec::new());
        for container in self.selected(&call.of) {
            let ContainerState::Running { paused, .. } = container.state else { continue };
            let Some(process) = self.world.processes.get(&container.spec.id) else { continue };
            if paused == call.paused {
                already.push(container.spec.name.clone());
            } else if !process.ending && !process.stopping {
                others.push((container.spec.clone(), process.run));
            }
        }
        if !call.paused {
            let reached = others.into_iter().map(|(spec, _)| {
                self.unpause(&spec.id);
                spec.name
            });
            let view = PauseView { reached: reached.collect(), already };
            return drop(reply.send(Ok(view.sorted())));
        }
        let (backends, events) = (self.backends.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let (mut containers, mut fault) = (Vec::new(), None);
            for (spec, run) in others {
                match backends.containers.freeze(&spec) {
                    Ok(()) => containers.push((spec.id, run)),
                    Err(error) => {
                        backends.containers.thaw(&spec);
                        fault = Some(failure::of(&format!("pause container {}", spec.name), &error));
                    }
                }
            }
            let _ = events.send(Event::Held(Held { containers, already, fault, reply }));
        });
    }

    /// Takes in that containers are held still.
    pub(crate) fn held_still(&mut self, held: Held) {
        let mut reached = Vec::new();
        for (id, run) in held.containers {
            let goes_on =
                |process: &crate::world::Process| process.run == run && !process.ending && !process.stopping;
            let goes_on = self.world.processes.get(&id).is_some_and(goes_on);
            let Some(container) = self.world.found.containers.get_mut(&id) else { continue };
            match &mut container.state {
                ContainerState::Running { paused, .. } if goes_on => {
                    *paused = true;
                    reached.push(container.spec.name.clone());
                    self.remember(&id);
                    self.announce(&id, ContainerChange::Paused);
                }
                _ => self.backends.containers.thaw(&container.spec),
            }
        }
        let view = PauseView { reached, already: held.already };
        let _ = held.reply.send(held.fault.map_or(Ok(view.sorted()), Err));
    }

    /// Lets a container go on that is held still.
    pub(crate) fn unpause(&mut self, id: &ContainerId) {
        let Some(container) = self.world.found.containers.get_mut(id) else { return };
        let ContainerState::Running { paused: paused @ true, .. } = &mut container.state else { return };
        *paused = false;
        self.backends.containers.thaw(&container.spec);
        self.remember(id);
        self.announce(id, ContainerChange::Unpaused);
    }

    /// Lets a container go on that was held still for a while, unless that is meant to last.
    pub(crate) fn go_on(&self, id: &ContainerId) {
        let Some(container) = self.world.found.containers.get(id) else { return };
        if !container.is_paused() {
            self.backends.containers.thaw(&container.spec);
        }
    }
}
