//! The keeper: the parent of the engine, of every container and of every exec'd process.
//!
//! ```text
//!                 ┌────────── epoll ──────────┐
//! engine's link ──┤ Spawn   → fork            │
//! pidfds        ──┤ exit    → reap, keep, tell│
//! births        ──┤ apart   → tell of release │
//! engine's death ─┤         → start another   │
//!                 └───────────────────────────┘
//! ```
//!
//! It receives, forks, reaps and holds, and nothing else, so that nothing can go wrong in it: one thread, no timer but
//! the one that keeps a broken engine from being restarted in a busy loop, no file of the host in sight.
//!
//! Invariants:
//!
//! - It never blocks, on nobody: what takes time happens in the children, and what an engine does not read waits.
//! - An exit is kept until the engine says that it is in the store. Descriptors are held until the engine says so.
//! - A child has the descriptors that were meant for it, and none of the keeper's.
//! - It ends when it is told to, and never because the engine died.

mod children;
mod engine;
pub mod launch;
pub mod link;
pub mod protocol;
pub mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventFlags};
use rustix::io::Errno;
use trice_sys::fork::SingleThread;

use crate::handshake::Packet;
use children::{Children, Wanted};
use engine::Engines;
use protocol::{Notice, Request};
use start::EngineProgram;

/// The largest message of the link.
const MESSAGE: usize = 64 * 1024;

/// What an event of the epoll is about; children count upwards from [`FIRST_CHILD`], each with two numbers: for its end,
/// and for its copies of descriptors.
const LINK: u64 = 0;
const ENGINE: u64 = 1;
const FIRST_CHILD: u64 = 2;

/// All that the keeper knows.
#[derive(Debug)]
pub struct Keeper {
    epoll: OwnedFd,
    engines: Engines,
    children: Children,
    held: BTreeMap<String, Vec<OwnedFd>>,
    /// What has been let go of, and the children that may still have copies of it.
    parting: Vec<(String, BTreeSet<u64>)>,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl Keeper {
    /// Takes what [`start`] has prepared.
    pub(crate) fn new(
        proof: SingleThread,
        program: EngineProgram,
        own_pid_namespace: OwnedFd,
        engine: Option<(OwnedFd, OwnedFd)>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let children = Children::new(proof, own_pid_namespace);
        let engines = Engines::new(program, engine, epoll.as_fd())?;
        Ok(Self { epoll, engines, children, held: BTreeMap::new(), parting: Vec::new() })
    }

    /// Keeps, until it is told to leave.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            let timeout = self.engines.have_one(&self.children, self.epoll.as_fd());
            self.wait(&mut events, timeout)?;
            for event in &events {
                let next = match event.data.u64() {
                    LINK => self.serve(event.flags),
                    ENGINE => self.bury_engine(),
                    token if self.children.came_apart(token, self.epoll.as_fd()) => self.part(token),
                    token => self.reap(token),
                };
                if next == Next::Leave {
                    return Ok(());
                }
            }
        }
    }

    fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn serve(&mut self, flags: EventFlags) -> Next {
        let epoll = self.epoll.as_fd();
        let Some(engine) = self.engines.living() else { return Next::Go };
        if flags.contains(EventFlags::OUT) {
            engine.say_more(epoll);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return match engine.receive(epoll) {
                Some(packet) => self.obey(packet),
                None => Next::Go,
            };
        }
        Next::Go
    }

    /// Carries out what a dead engine had still asked for, and lets go of it.
    fn bury_engine(&mut self) -> Next {
        loop {
            let epoll = self.epoll.as_fd();
            let Some(packet) = self.engines.living().and_then(|engine| engine.receive(epoll)) else { break };
            if self.obey(packet) == Next::Leave {
                return Next::Leave;
            }
        }
        // Nobody waits for what it let go of: the next engine could take a late word of it for one of its own.
        self.parting.clear();
        self.engines.bury(self.epoll.as_fd());
        Next::Go
    }

    fn reap(&mut self, token: u64) -> Next {
        if let Some((key, child)) = self.children.reap(token) {
            let _ = epoll::delete(&self.epoll, &child.pidfd);
            if let Some(status) = child.status {
                tell(&mut self.engines, self.epoll.as_fd(), &Notice::Exited { key, status }, &[]);
            }
        }
        Next::Go
    }

    fn obey(&mut self, packet: Packet) -> Next {
        // What is no request is no word of our engine: it cannot be answered.
        let Ok(request) = serde_json::from_slice(&packet.bytes) else { return Next::Go };
        let descriptors = packet.descriptors;
        match request {
            Request::Spawn { key, .. } if packet.cut => self.refuse(key, Errno::MFILE),
            Request::Spawn { key, cgroup, inside } => {
                self.spawn(key, Wanted { cgroup, inside, descriptors });
            }
            Request::Hold { key } => drop(self.held.insert(key, descriptors)),
            Request::Release { key, tell: false } => drop(self.held.remove(&key)),
            Request::Release { key, tell: true } => {
                drop(self.held.remove(&key));
                self.parting.push((key, self.children.with_copies()));
                self.tell_released();
            }
            Request::Forget { key } => self.children.forget(&key),
            Request::Inventory => self.tell_all(),
            Request::Leave => return Next::Leave,
        }
        Next::Go
    }

    fn spawn(&mut self, key: String, wanted: Wanted) {
        let epoll = self.epoll.as_fd();
        match self.children.make(&key, wanted, epoll) {
            Ok(child) => {
                let notice = Notice::Spawned { key, pid: child.pid };
                tell(&mut self.engines, epoll, &notice, &[child.pidfd.as_fd()]);
            }
            Err(error) => {
                let errno = error.raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error);
                self.refuse(key, errno);
            }
        }
    }

    /// Takes in that a child has no copies of what is held here any more.
    fn part(&mut self, token: u64) -> Next {
        for (_, children) in &mut self.parting {
            children.remove(&token);
        }
        self.tell_released();
        Next::Go
    }

    /// Tells what nobody has any more of what was let go of.
    fn tell_released(&mut self) {
        for (key, _) in self.parting.extract_if(.., |(_, children)| children.is_empty()) {
            tell(&mut self.engines, self.epoll.as_fd(), &Notice::Released { key }, &[]);
        }
    }

    fn refuse(&mut self, key: String, errno: Errno) {
        let notice = Notice::NotSpawned { key, errno: errno.raw_os_error() };
        tell(&mut self.engines, self.epoll.as_fd(), &notice, &[]);
    }

    fn tell_all(&mut self) {
        let epoll = self.epoll.as_fd();
        for (key, child) in self.children.all() {
            let (key, pid, status) = (key.clone(), child.pid, child.status);
            tell(&mut self.engines, epoll, &Notice::Process { key, pid, status }, &[child.pidfd.as_fd()]);
        }
        for (key, descriptors) in &self.held {
            let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            tell(&mut self.engines, epoll, &Notice::Held { key: key.clone() }, &descriptors);
        }
        tell(&mut self.engines, epoll, &Notice::InventoryEnd, &[]);
    }
}

/// Tells the engine, if there is one. The next one asks for all.
fn tell(engines: &mut Engines, epoll: BorrowedFd<'_>, notice: &Notice, descriptors: &[BorrowedFd<'_>]) {
    let (Some(engine), Ok(bytes)) = (engines.living(), serde_json::to_vec(notice)) else { return };
    engine.say(bytes, descriptors, epoll);
}

/// An engine that lived this long was no failure at the start.
const LIVED: Duration = Duration::from_secs(1);
/// The wait before the second engine that does not live, and the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Returns how long to wait before the next engine, after one that was `born` then and the `last` wait before it.
fn patience(born: Instant, last: Duration) -> Duration {
    if born.elapsed() > LIVED { Duration::ZERO } else { (last * 2).clamp(FIRST_WAIT, LONGEST_WAIT) }
}
