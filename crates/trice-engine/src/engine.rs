//! The loop: one list of events, one owner of the state, the same question after each.
//!
//! ```text
//! event ──► handle: what is known changes
//!             └──► turn: steps that may begin, waits that have come ──► names, packet filters ──► records ──► jobs
//! ```
//!
//! It never waits. What takes time is a job in a thread of its own, and its end an event. A turn takes in all events
//! that are there, so that many of them cost one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use trice_api::call::Selection;
use trice_api::event::{ContainerChange, ContainerEvent};
use trice_api::fault::Fault;
use trice_model::container::ExitStatus;
use trice_model::id::{ContainerId, Ids};
use trice_model::name::{ContainerName, LinkName, NetworkName, ProjectName};
use trice_model::network::{FirewallSpec, InstanceName};
use trice_model::signal::Signal;
use trice_model::time::Timestamp;
use trice_network::nftables::TableOwner;
use trice_network::proxy::Proxy;
use trice_network::watch::Change;
use trice_plan::plan::StepId;
use trice_state::batch::Batch;
use trice_sys::memory;

use crate::backends::Backends;
use crate::build::ground::Ground;
use crate::event::Event;
use crate::operation::Lanes;
use crate::perform::{Job, Outcome};
use crate::record::ContainerRecord;
use crate::world::{HostSide, World};

/// How long an engine with nothing to keep waits for the next request.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a power cut can undo what no operation waits for: the end of a container, say.
const SYNC_DELAY: Duration = Duration::from_secs(1);

/// What an event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// Something may have changed: the turn ends with the question what follows.
    Changed,
    /// Nothing has.
    Nothing,
    /// There is nothing left to keep, and nobody asks.
    End,
}

/// The engine.
pub(crate) struct Engine {
    pub(crate) backends: Arc<Backends>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) world: World,
    pub(crate) lanes: Lanes,
    pub(crate) ids: Ids,
    /// Owns the packet filters' tables.
    pub(crate) tables: TableOwner,
    /// Ports of the host that this process passes on, each with its project.
    pub(crate) proxies: BTreeMap<HostSide, (ProjectName, Proxy)>,
    /// What is to be looked at when the host's network has settled.
    pub(crate) unsettled: BTreeSet<Change>,
    /// The bridges whose packets the packet filters of others let through; absent until that has been seen to, since
    /// a former engine may have left rules.
    pub(crate) admitted: Option<Vec<LinkName>>,
    /// Routes that overlap our networks and have been told of.
    pub(crate) warned: BTreeSet<String>,
    /// The tables that are in force, by their names.
    pub(crate) firewalls: BTreeMap<String, FirewallSpec>,
    /// Projects whose names or ports may have changed in this turn.
    pub(crate) changed: BTreeSet<ProjectName>,
    /// The network of builds, and who waits for it.
    pub(crate) ground: Ground,
    /// Records to be written at the end of this turn.
    pub(crate) records: Option<Batch>,
    /// No keeper has died, or another one has taken over.
    pub(crate) keeper_lives: bool,
    /// An operation ended in this turn.
    pub(crate) concluded: bool,
    /// What was written lazily will be brought to the disk.
    sync_is_due: bool,
    /// What begins once they are.
    pub(crate) jobs: Vec<(Job, Destination)>,
    /// What begins once the network of that name has gone.
    pub(crate) after_leaving: BTreeMap<NetworkName, Vec<(Job, Destination)>>,
    /// Sockets of ports that the keeper is about to let go of, with the turn in which they became free.
    pub(crate) parting: BTreeMap<HostSide, (u64, OwnedFd)>,
    /// Links of instances that have been cut off, until they have gone.
    pub(crate) lingering: Vec<LinkName>,
    /// Names under which the keeper tells exits that are then in the store.
    pub(crate) forgotten: Vec<String>,
    /// Steps that are over, or ended at once.
    pub(crate) over: Vec<(u64, StepId, Result<Outcome, Fault>)>,
    /// Processes, by the keeper's names, that ended before their start was known to have succeeded.
    pub(crate) early_ends: BTreeMap<String, ExitStatus>,
    /// Containers that were asked to end while they were being started, with the signal and their time.
    pub(crate) late_stops: BTreeMap<ContainerId, (Signal, Duration)>,
    /// Those who wait for the end of a process that the keeper made.
    pub(crate) followers: BTreeMap<String, oneshot::Sender<ExitStatus>>,
    /// Containers that somebody stays with until all that they wrote has been read.
    pub(crate) attended: BTreeSet<ContainerName>,
    /// What containers that are about to be made are to read from.
    pub(crate) inputs: BTreeMap<ContainerName, OwnedFd>,
    /// Those who want to hear what happens to containers.
    pub(crate) watchers: Vec<(Selection, UnboundedSender<ContainerEvent>)>,
    /// How many removals of images are on their way: no plan is made meanwhile that could need one of them.
    pub(crate) removals: usize,
    /// Projects of which a container that does not run is being written to: nothing is begun for them meanwhile.
    pub(crate) held: BTreeMap<ProjectName, usize>,
    /// Counts operations, runs and turns.
    pub(crate) serial: u64,
    /// How many clients are connected.
    clients: usize,
    turn: u64,
}

/// Where the end of a job is told.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To the operation whose step it is.
    Step { operation: u64, step: StepId },
    /// To a container that restarts by itself.
    Restart(ContainerId),
    /// To nobody but the next turn: a container's end has been put away.
    End(ContainerId, ExitStatus),
    /// To those who wait for the network of builds.
    Ground,
    /// To the step of a build that was put on it.
    Place(InstanceName),
}

impl Engine {
    /// Begins with what was recovered.
    pub(crate) fn new(
        backends: Arc<Backends>,
        events: UnboundedSender<Event>,
        world: World,
        ids: Ids,
        tables: TableOwner,
    ) -> Self {
        Self {
            backends,
            events,
            world,
            lanes: Lanes::new(),
            ids,
            tables,
            firewalls: BTreeMap::new(),
            proxies: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            admitted: None,
            warned: BTreeSet::new(),
            changed: BTreeSet::new(),
            ground: Ground::default(),
            records: None,
            keeper_lives: true,
            concluded: false,
            sync_is_due: false,
            jobs: Vec::new(),
            after_leaving: BTreeMap::new(),
            lingering: Vec::new(),
            parting: BTreeMap::new(),
            forgotten: Vec::new(),
            over: Vec::new(),
            early_ends: BTreeMap::new(),
            late_stops: BTreeMap::new(),
            followers: BTreeMap::new(),
            attended: BTreeSet::new(),
            inputs: BTreeMap::new(),
            watchers: Vec::new(),
            removals: 0,
            held: BTreeMap::new(),
            serial: 0,
            clients: 0,
            turn: 0,
        }
    }

    /// Runs until there is nothing left to keep.
    pub(crate) async fn run(mut self, mut events: UnboundedReceiver<Event>) {
        self.end_turn();
        while let Some(event) = events.recv().await {
            let mut changed = false;
            let mut next = Some(event);
            while let Some(event) = next {
                match self.handle(event) {
                    Handled::Changed => changed = true,
                    Handled::Nothing => {}
                    Handled::End => return,
                }
                next = events.try_recv().ok();
            }
            if changed {
                self.end_turn();
            }
        }
    }

    fn handle(&mut self, event: Event) -> Handled {
        match event {
            Event::Connected => self.clients += 1,
            Event::Disconnected => self.clients -= 1,
            Event::Asked(question) => self.answer(question),
            Event::Told(told) => self.told(told),
            Event::StepOver { operation, step, result } => self.over.push((operation, step, result)),
            Event::StepGone { operation, step, amount } => {
                self.step_gone(operation, step, amount);
                return Handled::Nothing;
            }
            Event::ForeignEnd { container, run, exit } => self.foreign_ended(&container, run, exit),
            Event::Finished { container, exit } => self.ended(&container, exit),
            Event::RestartDue { container } => self.restart_due(&container),
            Event::Restarted { container, result } => self.restarted(&container, result),
            Event::GraceOver { container, run } => self.grace_over(&container, run),
            Event::ProbeDue { container, run } => self.probe_due(&container, run),
            Event::Probed { container, run, succeeded } => self.probed(&container, run, succeeded),
            Event::NetworkGone { name, result } => self.network_gone(&name, result),
            Event::BuildBegan => self.ground.builds += 1,
            Event::BuildOver => self.build_over(),
            Event::GroundMade(result) => self.ground_made(result),
            Event::PlaceMade { step, result } => self.place_made(&step, result),
            Event::PlaceLeft(step) => self.place_left(&step),
            Event::Succeeded(result) => self.keeper_succeeded(result),
            Event::NetworkChanged(change) => return self.network_changed(change),
            Event::NetworkSettled => return self.network_settled(),
            Event::ResolversChanged => return self.resolvers_changed(),
            Event::PortsFree { turn } => self.parting.retain(|_, (since, _)| *since != turn),
            Event::Held(held) => self.held_still(held),
            Event::LinksDue => {
                self.remove_links();
                return Handled::Nothing;
            }
            Event::LinksGone(count) => self.links_gone(count),
            Event::TrashDue => self.empty_trash(),
            Event::SyncDue => {
                self.sync();
                return Handled::Nothing;
            }
            Event::RemovalOver => self.removals -= 1,
            Event::HoldOver(project) => self.hold_over(&project),
            // A look at the clock is no change: it must not put off the next one.
            Event::Idle { turn } if self.is_idle_since(turn) => return Handled::End,
            Event::Idle { .. } => return Handled::Nothing,
        }
        Handled::Changed
    }

    /// Deletes what was thrown away, beside everything else.
    fn empty_trash(&self) {
        let backends = self.backends.clone();
        tokio::task::spawn_blocking(move || {
            // Of many containers, the allocator would keep all that they took for the next ones.
            memory::give_back();
            if let Err(error) = backends.containers.empty_trash() {
                tracing::warn!(error = &error as &dyn std::error::Error, "empty the trash");
            }
        });
    }

    /// Goes on with everything until nothing changes by itself any more, then lets it happen.
    pub(crate) fn end_turn(&mut self) {
        while self.advance() {}
        self.project();
        self.write_records();
        for (job, destination) in std::mem::take(&mut self.jobs) {
            self.spawn(job, destination);
        }
        self.turn += 1;
        // Who followed may have gone, or what was to be followed never have begun.
        self.followers.retain(|_, follower| !follower.is_closed());
        self.watch_idleness();
    }

    /// Writes what changed: to the disk where an operation has ended, whose client hears of it after this turn, and
    /// lazily otherwise. What the store refuses is told in the log: the state lives on in memory, and the next write
    /// says it all again.
    fn write_records(&mut self) {
        let store = &self.backends.store;
        let concluded = std::mem::take(&mut self.concluded);
        let written = match self.records.take() {
            Some(batch) if concluded => store.commit(batch),
            Some(batch) => store.commit_lazily(batch),
            None => Ok(()),
        };
        if let Err(error) = written {
            tracing::error!(error = &error as &dyn std::error::Error, "write records");
        }
        if !store.is_synced() && !std::mem::replace(&mut self.sync_is_due, true) {
            self.later(SYNC_DELAY, Event::SyncDue);
        }
        let link = self.backends.containers.link();
        for key in std::mem::take(&mut self.forgotten) {
            let _ = link.forget(&key);
        }
    }

    /// Brings to the disk what was written lazily, beside everything else.
    fn sync(&mut self) {
        self.sync_is_due = false;
        let backends = self.backends.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = backends.store.sync() {
                tracing::error!(error = &error as &dyn std::error::Error, "bring records to the disk");
            }
        });
    }

    /// Has what is known of a container written at the end of this turn.
    pub(crate) fn remember(&mut self, id: &ContainerId) {
        if let Some(record) = self.world.record(id) {
            self.write(|batch| batch.put::<ContainerRecord>(&record));
        }
    }

    /// Adds to what is written at the end of this turn.
    pub(crate) fn write(&mut self, add: impl FnOnce(Batch) -> Batch) {
        let batch = self.records.take().unwrap_or_default();
        self.records = Some(add(batch));
    }

    fn spawn(&self, job: Job, destination: Destination) {
        let (backends, events) = (self.backends.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = job(&backends);
            let event = match destination {
                Destination::Step { operation, step } => Event::StepOver { operation, step, result },
                Destination::Restart(container) => Event::Restarted { container, result },
                Destination::End(container, exit) => Event::Finished { container, exit },
                Destination::Ground => Event::GroundMade(result),
                Destination::Place(step) => Event::PlaceMade { step, result },
            };
            // The loop has ended only if nobody needs the answer.
            let _ = events.send(event);
        });
    }

    /// Has `event` happen after `delay`.
    pub(crate) fn later(&self, delay: Duration, event: Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = events.send(event);
        });
    }

    /// Tells those who watch what happened to a container.
    pub(crate) fn announce(&mut self, id: &ContainerId, what: ContainerChange) {
        let Some(container) = self.world.found.containers.get(id) else { return };
        let spec = &container.spec;
        let event = ContainerEvent {
            time: now(),
            id: spec.id.clone(),
            container: spec.name.clone(),
            service: spec.service.clone(),
            image: spec.image.clone(),
            oneoff: matches!(spec.role, trice_model::container::Role::OneOff(_)),
            what,
        };
        let project = spec.project.clone();
        self.watchers.retain(|(selection, watcher)| {
            !crate::select::selects(selection, &project, &event.service, &event.container)
                || watcher.send(event.clone()).is_ok()
        });
    }

    fn watch_idleness(&mut self) {
        if self.is_quiet() {
            self.later(PATIENCE, Event::Idle { turn: self.turn });
        }
    }

    fn is_idle_since(&self, turn: u64) -> bool {
        self.turn == turn && self.is_quiet()
    }

    /// Whether there is nothing to keep and nobody to serve.
    fn is_quiet(&self) -> bool {
        self.clients == 0
            && self.removals == 0
            && self.held.is_empty()
            && !self.world.has_processes()
            && self.world.homes.is_empty()
            && self.world.leaving.is_empty()
            && self.lingering.is_empty()
            && self.lanes.values().all(|lane| lane.is_empty())
            && self.followers.is_empty()
    }

    /// Returns a number that nothing had before.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// Returns this moment.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
