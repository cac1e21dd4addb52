//! An engine that does what a test tells it, and can be killed.
//!
//! It is started by a keeper, as the real one is, takes back what the keeper and the kernel have, and then answers
//! questions on its socket: one JSON line each way.
#![allow(clippy::print_stderr, reason = "an engine of a test that fails says why")]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde::{Deserialize, Serialize};
use trice_model::container::ContainerSpec;
use trice_model::id::ContainerId;
use trice_runtime::container::{Containers, Prepared};
use trice_runtime::keeper::launch;
use trice_runtime::keeper::link::{Link, Told};
use trice_runtime::keeper::start::{Directories, Shared};
use trice_runtime::logs::Stream;
use trice_runtime::logs::pump::Pump;
use trice_sys::pidfd;

use crate::realm;

/// What a test asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Make a container up to its last step.
    Prepare(Box<ContainerSpec>),
    /// Let the container that was made run.
    Release(ContainerId),
    /// Tell what is known.
    Report,
    /// Put away a container that has ended.
    Finish(ContainerId),
    /// Leave, with the keeper.
    Leave,
}

/// What is known.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The engine's process.
    pub(crate) engine: u32,
    /// The processes of the containers that this engine made.
    pub(crate) made: BTreeMap<String, i32>,
    /// The processes that the keeper had when the engine came: their numbers and wait statuses.
    pub(crate) found: BTreeMap<String, (i32, Option<i32>)>,
    /// The exits that were told since.
    pub(crate) told: BTreeMap<String, i32>,
    /// The exits that only the kernel knows of: of containers that no keeper has.
    pub(crate) kept: BTreeMap<String, Option<i32>>,
    /// How often a keeper has died.
    pub(crate) keepers_lost: u32,
    /// Why the last question could not be answered.
    pub(crate) error: Option<String>,
}

struct Actor {
    directories: Directories,
    shared: Shared,
    containers: Containers,
    namespace: OwnedFd,
    prepared: BTreeMap<ContainerId, Prepared>,
    /// What the keeper held when the engine came.
    held: BTreeMap<String, Vec<OwnedFd>>,
    told: Receiver<Told>,
    tell: Sender<Told>,
    report: Report,
}

/// Runs the engine until it is told to leave.
pub(crate) fn run(directories: Directories, shared: Shared) -> i32 {
    match act(directories, shared) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the engine of a test: {error}");
            1
        }
    }
}

fn act(directories: Directories, shared: Shared) -> io::Result<()> {
    let listener = UnixListener::from(shared.listener.try_clone()?);
    let (tell, told) = channel();
    let (link, mut inventory) = Link::open(shared.link.try_clone()?, tell.clone())?;
    let pump = Pump::start(Box::new(|_| {}))?;
    let tag = realm::tag(&directories);
    let containers = Containers::open(directories.clone(), &tag, link, pump).map_err(io::Error::other)?;
    let report = Report { engine: std::process::id(), ..Report::default() };
    let (namespace, prepared, held) = (realm::network_namespace(), BTreeMap::new(), BTreeMap::new());
    let mut actor = Actor { directories, shared, containers, namespace, prepared, held, told, tell, report };
    for id in actor.containers.folders() {
        match inventory.processes.get(id.as_str()) {
            Some((spawned, status)) => {
                actor.report.found.insert(id.to_string(), (spawned.pid, *status));
            }
            None => {
                let kept = actor.containers.kept(&id)?;
                let status = kept.map(|pidfd| pidfd::exit_status(pidfd.as_fd())).transpose()?;
                actor.report.kept.insert(id.to_string(), status.flatten());
            }
        }
        actor.containers.adopt(&id, &mut inventory.held)?;
    }
    actor.held = inventory.held;
    for stream in listener.incoming() {
        if !actor.serve(stream?)? {
            return Ok(());
        }
    }
    Ok(())
}

impl Actor {
    /// Answers the questions of one client; `false` after the last there will ever be.
    fn serve(&mut self, stream: UnixStream) -> io::Result<bool> {
        let mut questions = BufReader::new(stream.try_clone()?);
        let mut answers = stream;
        let mut line = String::new();
        while questions.read_line(&mut line)? > 0 {
            let question = serde_json::from_str(&line)?;
            let go_on = !matches!(question, Question::Leave);
            self.report.error = self.answer(question).err().map(|error| error.to_string());
            if go_on {
                // A keeper that leaves because it was told to is not missed.
                self.listen()?;
            }
            serde_json::to_writer(&mut answers, &self.report)?;
            answers.write_all(b"\n")?;
            if !go_on {
                return Ok(false);
            }
            line.clear();
        }
        Ok(true)
    }

    fn answer(&mut self, question: Question) -> io::Result<()> {
        match question {
            Question::Prepare(spec) => {
                let (containers, volume) = (&self.containers, self.directories.run.join("../volume"));
                let prepared = realm::prepare(containers, &spec, &self.namespace, &volume, None);
                let prepared = prepared.map_err(io::Error::other)?;
                self.report.made.insert(spec.id.to_string(), prepared.pid);
                self.prepared.insert(spec.id.clone(), prepared);
            }
            Question::Release(id) => {
                let started = match self.prepared.remove(&id) {
                    Some(mut prepared) => prepared.start(),
                    None => self.containers.start_again(&id, &mut self.held),
                };
                started.map_err(io::Error::other)?;
            }
            Question::Report => {}
            Question::Finish(id) => {
                self.containers.finish(&id).map_err(io::Error::other)?;
                self.containers.link().forget(id.as_str())?;
            }
            Question::Leave => {
                for id in self.containers.folders() {
                    self.containers.remove(&id).map_err(io::Error::other)?;
                }
                self.containers.empty_trash().map_err(io::Error::other)?;
                self.containers.leave();
                self.containers.link().leave()?;
            }
        }
        Ok(())
    }

    /// Takes in what the keeper has told, and has another one when it has died.
    fn listen(&mut self) -> io::Result<()> {
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Exited { key, status } => drop(self.report.told.insert(key, status)),
                Told::Gone => self.succeed()?,
            }
        }
        Ok(())
    }

    fn succeed(&mut self) -> io::Result<()> {
        self.report.keepers_lost += 1;
        let (listener, lock) = (self.shared.listener.as_fd(), self.shared.lock.as_fd());
        let succeeded = launch::succeed(&self.directories, listener, lock).map_err(io::Error::other)?;
        let (mut keeper, socket) = succeeded;
        thread::spawn(move || keeper.wait());
        let (link, _) = Link::open(socket, self.tell.clone())?;
        for id in self.containers.folders() {
            let log = self.containers.log(&id);
            let fifos = [log.open_fifo(Stream::Stdout)?, log.open_fifo(Stream::Stderr)?];
            link.hold(id.as_str(), &[fifos[0].as_fd(), fifos[1].as_fd()])?;
        }
        self.containers.relink(link);
        Ok(())
    }
}
