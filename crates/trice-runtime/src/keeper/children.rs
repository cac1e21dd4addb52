//! The keeper's children: made, reaped, and remembered until their ends are in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use trice_sys::fork::{Forked, NewNamespace, SingleThread, Spawned, fork, spawn};

use super::FIRST_CHILD;
use crate::init;

/// A child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// Its wait status, once it has been reaped.
    pub(super) status: Option<i32>,
}

/// A child that is asked for; the fields are those of [`super::protocol::Request::Spawn`].
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) cgroup: bool,
    pub(super) inside: bool,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// All children that are alive, and those that are not but were not forgotten either.
#[derive(Debug)]
pub(super) struct Children {
    proof: SingleThread,
    own_pid_namespace: OwnedFd,
    by_key: BTreeMap<String, Child>,
    /// The keys of those that are alive.
    alive: BTreeMap<u64, String>,
    /// Those that may still have copies of this process's descriptors, by what tells that they have none.
    copies: BTreeMap<u64, OwnedFd>,
    next: u64,
}

/// The namespaces that a container gets for itself at its birth.
const OF_ITS_OWN: [NewNamespace; 4] =
    [NewNamespace::Mount, NewNamespace::Pid, NewNamespace::Uts, NewNamespace::Ipc];

/// From here on are descriptors that stay for a while.
const OUT_OF_THE_WAY: i32 = 512;

/// The status of a child that somebody else has reaped: exit code 255, which stands for unknown, and never 0.
const UNKNOWN: i32 = 255 << 8;

impl Children {
    pub(super) fn new(proof: SingleThread, own_pid_namespace: OwnedFd) -> Self {
        let (by_key, alive, copies) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { proof, own_pid_namespace, by_key, alive, copies, next: FIRST_CHILD }
    }

    /// Makes the child `key`, in place of one of that name that has ended, and has `epoll` tell of it.
    ///
    /// # Errors
    /// `EEXIST` if a child of that name is alive, and those of the kernel.
    pub(super) fn make(&mut self, key: &str, wanted: Wanted, epoll: BorrowedFd<'_>) -> io::Result<&Child> {
        if self.by_key.get(key).is_some_and(|child| child.status.is_none()) {
            return Err(Errno::EXIST.into());
        }
        let Spawned { pid, pidfd, apart } = self.fork(wanted)?;
        let (token, of_copies) = (self.next, self.next + 1);
        self.next += 2;
        // The kernel refuses only for lack of memory or watches: the child would then be seen when the engine asks, and
        // for one with copies nobody waits.
        let _ = epoll::add(epoll, &pidfd, EventData::new_u64(token), EventFlags::IN);
        // Out of the way of the descriptors that come next: a child closes all around its own, and what lies between those
        // costs it a call each.
        let apart = fcntl_dupfd_cloexec(&apart, OUT_OF_THE_WAY).unwrap_or(apart);
        if epoll::add(epoll, &apart, EventData::new_u64(of_copies), EventFlags::empty()).is_ok() {
            self.copies.insert(of_copies, apart);
        }
        self.alive.insert(token, key.to_owned());
        self.by_key.insert(key.to_owned(), Child { pid, pidfd, status: None });
        Ok(&self.by_key[key])
    }

    fn fork(&self, wanted: Wanted) -> io::Result<Spawned> {
        let mut descriptors = wanted.descriptors;
        // The plan and the handshake come first; what only this process needs comes after them.
        let mut take = |wanted: bool| match (wanted, descriptors.len() > 2) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(descriptors.remove(2))),
            (true, false) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        let (cgroup, container) = (take(wanted.cgroup)?, take(wanted.inside)?);
        // Where the next child is born is said anew each time, so that no failure misplaces the children after it.
        match &container {
            Some(init) => move_into_thread_name_spaces(init.as_fd(), ThreadNameSpaceType::PROCESS_ID)?,
            None => self.come_home()?,
        }
        let namespaces: &[NewNamespace] = if container.is_some() { &[] } else { &OF_ITS_OWN };
        spawn(&self.proof, namespaces, cgroup.as_ref().map(AsFd::as_fd), descriptors, init::run)
    }

    /// Has the next child born in this process's own pid namespace.
    fn come_home(&self) -> io::Result<()> {
        let home = self.own_pid_namespace.as_fd();
        Ok(move_into_link_name_space(home, Some(LinkNameSpaceType::ProcessID))?)
    }

    /// Makes a plain copy of this process, beside the containers.
    pub(super) fn fork_plain(&self) -> io::Result<Forked> {
        self.come_home()?;
        fork(&self.proof, &[], None)
    }

    /// Returns which children may still have copies of this process's descriptors.
    pub(super) fn with_copies(&self) -> BTreeSet<u64> {
        self.copies.keys().copied().collect()
    }

    /// Takes in that a child has no copies any more; tells whether that is what `token` stands for.
    pub(super) fn came_apart(&mut self, token: u64, epoll: BorrowedFd<'_>) -> bool {
        let Some(apart) = self.copies.remove(&token) else { return false };
        // A younger child may have a copy of it, and would be told of without an end.
        let _ = epoll::delete(epoll, &apart);
        true
    }

    /// Reaps the child that `token` stands for; `None` if it has not ended.
    pub(super) fn reap(&mut self, token: u64) -> Option<(String, &Child)> {
        let key = self.alive.get(&token)?;
        let child = self.by_key.get_mut(key)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        child.status = match waitid(WaitId::PidFd(child.pidfd.as_fd()), options) {
            Ok(status) => Some(wait_status(&status?)),
            Err(Errno::INTR) => return None,
            Err(_) => Some(UNKNOWN),
        };
        let key = self.alive.remove(&token)?;
        let child = self.by_key.get(&key)?;
        Some((key, child))
    }

    /// Forgets a child whose end is in the store. One that is alive stays: its end is still to be told.
    pub(super) fn forget(&mut self, key: &str) {
        if self.by_key.get(key).is_some_and(|child| child.status.is_some()) {
            self.by_key.remove(key);
        }
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Child)> {
        self.by_key.iter()
    }
}

/// Returns a status as wait(2) has it.
fn wait_status(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal,
        (None, None) => UNKNOWN,
    }
}
