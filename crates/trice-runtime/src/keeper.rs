//! The keeper: the parent of the engine, of every container and of every exec'd process.
//!
//! ```text
//!                 ┌────────── poll ───────────┐
//! engine's link ──┤ Spawn   → fork            │
//! pidfds        ──┤ exit    → reap, keep, tell│
//! engine's death ─┤         → start another   │
//!                 └───────────────────────────┘
//! ```
//!
//! It receives, forks, reaps and holds, and nothing else, so that nothing can go wrong in it: one thread, no timer but
//! the one that keeps a broken engine from being restarted in a busy loop, no file of the host in sight.
//!
//! Invariants:
//!
//! - It never blocks: what takes time happens in the children.
//! - An exit is kept until the engine says that it is in the store. Descriptors are held until the engine says so.
//! - It ends when it is told to, and never because the engine died.

pub mod launch;
pub mod link;
pub mod protocol;
pub mod start;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};
use trice_sys::exec::exit_now;
use trice_sys::fork::{Forked, NewNamespace, SingleThread, fork};

use crate::handshake;
use crate::init::{self, Inherited};
use protocol::{Notice, Request};
use start::EngineProgram;

/// The largest message of the link.
const MESSAGE: usize = 64 * 1024;

/// A child.
#[derive(Debug)]
struct Process {
    pid: i32,
    pidfd: OwnedFd,
    status: Option<i32>,
}

/// The running engine.
#[derive(Debug)]
struct Engine {
    link: OwnedFd,
    pidfd: OwnedFd,
    born: Instant,
}

/// All that the keeper knows.
#[derive(Debug)]
pub struct Keeper {
    proof: SingleThread,
    program: EngineProgram,
    own_pid_namespace: OwnedFd,
    processes: BTreeMap<String, Process>,
    held: BTreeMap<String, Vec<OwnedFd>>,
    engine: Option<Engine>,
    /// How long an engine that does not live is waited for before the next one is started.
    patience: Duration,
}

/// An engine that lived this long was no failure at the start.
const LIVED: Duration = Duration::from_secs(1);
/// The longest wait between two engines.
const MOST_PATIENT: Duration = Duration::from_secs(5);

impl Keeper {
    /// Takes what [`start`] has prepared.
    pub(crate) fn new(
        proof: SingleThread,
        program: EngineProgram,
        own_pid_namespace: OwnedFd,
        engine: Option<(OwnedFd, OwnedFd)>,
    ) -> Self {
        Self {
            proof,
            program,
            own_pid_namespace,
            processes: BTreeMap::new(),
            held: BTreeMap::new(),
            engine: engine.map(|(link, pidfd)| Engine { link, pidfd, born: Instant::now() }),
            patience: Duration::ZERO,
        }
    }

    /// Keeps, until it is told to leave.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            if self.engine.is_none() {
                self.start_engine()?;
            }
            let ready = self.wait()?;
            if ready.engine_died {
                self.bury_engine();
                continue;
            }
            for key in ready.ended {
                self.reap(&key)?;
            }
            if ready.request && !self.answer()? {
                return Ok(());
            }
        }
    }

    fn start_engine(&mut self) -> io::Result<()> {
        std::thread::sleep(self.patience);
        let (ours, theirs) = handshake::pair()?;
        let pidfd = match fork(&self.proof, &[], None)? {
            Forked::Parent { pidfd, .. } => pidfd,
            Forked::Child => exit_now(self.program.exec(&theirs)),
        };
        self.engine = Some(Engine { link: ours, pidfd, born: Instant::now() });
        Ok(())
    }

    /// Lets go of an engine that has died and decides how long the next one waits.
    fn bury_engine(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        // An engine that started this keeper is no child of it, and is reaped elsewhere.
        let _ = waitid(WaitId::PidFd(engine.pidfd.as_fd()), WaitIdOptions::EXITED);
        self.patience = if engine.born.elapsed() > LIVED {
            Duration::ZERO
        } else {
            (self.patience * 2).clamp(Duration::from_millis(50), MOST_PATIENT)
        };
    }

    fn wait(&self) -> io::Result<Readiness> {
        let Some(engine) = &self.engine else { return Ok(Readiness::default()) };
        let running: Vec<_> = self.processes.iter().filter(|(_, process)| process.status.is_none()).collect();
        let mut polled =
            vec![PollFd::new(&engine.link, PollFlags::IN), PollFd::new(&engine.pidfd, PollFlags::IN)];
        polled.extend(running.iter().map(|(_, process)| PollFd::new(&process.pidfd, PollFlags::IN)));
        match poll(&mut polled, None::<&Timespec>) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Readiness::default()),
            Err(error) => return Err(error.into()),
        }
        let ended = running.iter().zip(&polled[2..]).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(Readiness {
            request: polled[0].revents().contains(PollFlags::IN),
            // What it said before it died is read first.
            engine_died: !polled[1].revents().is_empty() && !polled[0].revents().contains(PollFlags::IN),
            ended: ended.map(|((key, _), _)| (*key).clone()).collect(),
        })
    }

    /// Reaps the child and tells its exit.
    fn reap(&mut self, key: &str) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(key) else { return Ok(()) };
        let Some(status) = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED)? else {
            return Ok(());
        };
        let raw = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code << 8,
            (None, signal) => signal.unwrap_or(0),
        };
        process.status = Some(raw);
        self.tell(&Notice::Exited { key: key.to_owned(), status: raw }, &[]);
        Ok(())
    }

    /// Answers the next request; `false` if it was the last.
    fn answer(&mut self) -> io::Result<bool> {
        let Some(engine) = &self.engine else { return Ok(true) };
        let mut bytes = vec![0; MESSAGE];
        let (read, descriptors) = handshake::receive(engine.link.as_fd(), &mut bytes)?;
        if read == 0 {
            // It has closed its end: whether it is dead or only about to be, another one is needed.
            self.bury_engine();
            return Ok(true);
        }
        let Ok(request) = serde_json::from_slice(&bytes[..read]) else { return Ok(true) };
        match request {
            Request::Spawn { key, cgroup, inside } => self.spawn(key, cgroup, inside, descriptors),
            Request::Hold { key } => drop(self.held.insert(key, descriptors)),
            Request::Release { key } => drop(self.held.remove(&key)),
            Request::Forget { key } => drop(self.processes.remove(&key)),
            Request::Inventory => self.tell_all(),
            Request::Leave => return Ok(false),
        }
        Ok(true)
    }

    fn spawn(&mut self, key: String, cgroup: bool, inside: bool, descriptors: Vec<OwnedFd>) {
        match self.fork_child(cgroup, inside, descriptors) {
            Ok((pid, pidfd)) => {
                self.tell(&Notice::Spawned { key: key.clone(), pid }, &[pidfd.as_fd()]);
                self.processes.insert(key, Process { pid, pidfd, status: None });
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or_else(|| Errno::INVAL.raw_os_error());
                self.tell(&Notice::NotSpawned { key, errno }, &[]);
            }
        }
    }

    fn fork_child(
        &self,
        cgroup: bool,
        inside: bool,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<(i32, OwnedFd)> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        let (plan, handshake) = (next()?, next()?);
        let cgroup = if cgroup { Some(next()?) } else { None };
        let container = if inside { Some(next()?) } else { None };
        let own = [NewNamespace::Mount, NewNamespace::Pid, NewNamespace::Uts, NewNamespace::Ipc];
        if let Some(container) = &container {
            // Only the children of this process are born there; it stays where it is.
            rustix::thread::move_into_thread_name_spaces(container.as_fd(), ThreadNameSpaceType::PROCESS_ID)?;
        }
        let forked = fork(&self.proof, if inside { &[] } else { &own }, cgroup.as_ref().map(AsFd::as_fd));
        if inside && !matches!(forked, Ok(Forked::Child)) {
            let back = self.own_pid_namespace.as_fd();
            rustix::thread::move_into_link_name_space(back, Some(LinkNameSpaceType::ProcessID))?;
        }
        match forked? {
            Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
            Forked::Child => {
                let slots = descriptors.collect();
                exit_now(init::run(Inherited { plan, handshake, slots }))
            }
        }
    }

    fn tell_all(&self) {
        for (key, process) in &self.processes {
            let (key, pid, status) = (key.clone(), process.pid, process.status);
            self.tell(&Notice::Process { key, pid, status }, &[process.pidfd.as_fd()]);
        }
        for (key, descriptors) in &self.held {
            let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            self.tell(&Notice::Held { key: key.clone() }, &descriptors);
        }
        self.tell(&Notice::InventoryEnd, &[]);
    }

    /// Tells the engine. One that does not listen any more is about to be replaced, and its successor asks for all.
    fn tell(&self, notice: &Notice, descriptors: &[BorrowedFd<'_>]) {
        let (Some(engine), Ok(bytes)) = (&self.engine, serde_json::to_vec(notice)) else { return };
        let _ = handshake::send(engine.link.as_fd(), &bytes, descriptors);
    }
}

/// What a wait has brought.
#[derive(Debug, Default)]
struct Readiness {
    request: bool,
    engine_died: bool,
    ended: Vec<String>,
}
