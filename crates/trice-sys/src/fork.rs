//! Making a process by `clone3`: with namespaces of its own, in a cgroup, with a pidfd, in one call.
//!
//! The child is a copy of this process and runs on as an ordinary Rust program. That is sound only where no other
//! thread existed at the call: another one might have held the allocator's lock, which nobody would ever release in
//! the child. [`SingleThread`] is the proof that a caller must bring.
//!
//! Source: clone3(2), signal-safety(7).

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::catch_unwind;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::descriptors;
use crate::exec::exit_now;

/// Proof that this process has one thread.
///
/// It can be had once the kernel says so, and neither sent nor shared, so that it stays with the thread that asked.
/// Whoever holds it must not start threads.
#[derive(Debug)]
pub struct SingleThread {
    not_send: PhantomData<*const ()>,
}

impl SingleThread {
    /// Asks the kernel whether this process has one thread.
    ///
    /// # Errors
    /// `ErrorKind::Other` if it has more, and whatever reading `/proc/self/status` gives.
    pub fn prove() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).map(str::trim);
        if threads == Some("1") {
            Ok(Self { not_send: PhantomData })
        } else {
            Err(io::Error::other(format!("the process has {} threads, not 1", threads.unwrap_or("unknown"))))
        }
    }
}

/// A kind of namespace that a child gets for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum NewNamespace {
    /// `CLONE_NEWNS`.
    Mount = libc::CLONE_NEWNS as u64,
    /// `CLONE_NEWPID`.
    Pid = libc::CLONE_NEWPID as u64,
    /// `CLONE_NEWUTS`.
    Uts = libc::CLONE_NEWUTS as u64,
    /// `CLONE_NEWIPC`.
    Ipc = libc::CLONE_NEWIPC as u64,
    /// `CLONE_NEWNET`.
    Net = libc::CLONE_NEWNET as u64,
}

/// Which of the two a process is after the call.
#[derive(Debug)]
pub enum Forked {
    /// The one that called.
    Parent {
        /// The child's number in this process's pid namespace.
        pid: i32,
        /// The child.
        pidfd: OwnedFd,
    },
    /// The new one.
    Child,
}

/// A bit above those that `libc` has room for.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The kernel's `struct clone_args`, version 2.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes a child with the `namespaces` of its own, in `cgroup` of the v2 hierarchy if one is given.
///
/// A child that joins a cgroup here does so without the lock that a later move takes.
///
/// # Errors
/// Those of clone3(2).
pub fn fork(
    _proof: &SingleThread,
    namespaces: &[NewNamespace],
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Forked> {
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    for namespace in namespaces {
        args.flags |= *namespace as u64;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let pointer = &raw const args;
    // SAFETY: `pointer` is to a `clone_args` of the stated size, which outlives the call; its `pidfd` points to an
    // `i32` of this frame. Without CLONE_VM and with no stack given the child runs on a copy of this stack, and
    // `_proof` says that no other thread can have held a lock that the child would miss.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, pointer, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the call succeeded with CLONE_PIDFD, so the kernel has stored a new descriptor, ours alone.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// What a child of [`spawn`] carries out. It gets the descriptors that were meant for it, and returns the code that it
/// ends with.
///
/// A plain function and no closure: it brings nothing else along from its parent.
pub type Program = fn(Vec<OwnedFd>) -> i32;

/// The code of a child that could not even begin.
const NOT_BEGUN: i32 = 125;

/// A child of [`spawn`].
#[derive(Debug)]
pub struct Spawned {
    /// Its number in this process's pid namespace.
    pub pid: i32,
    /// The child.
    pub pidfd: OwnedFd,
    /// Hangs up once the child has let go of its parent's descriptors. It is born with copies of them all: what its
    /// parent closes before is still open.
    pub apart: OwnedFd,
}

/// Makes a child as [`fork`] does, which has `descriptors`, the three standard streams and no other descriptor of its
/// parent, carries out `program`, and ends.
///
/// # Errors
/// Those of clone3(2) and pipe2(2).
pub fn spawn(
    proof: &SingleThread,
    namespaces: &[NewNamespace],
    cgroup: Option<BorrowedFd<'_>>,
    descriptors: Vec<OwnedFd>,
    program: Program,
) -> io::Result<Spawned> {
    let (apart, _until_then) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork(proof, namespaces, cgroup)? {
        Forked::Parent { pid, pidfd } => Ok(Spawned { pid, pidfd, apart }),
        Forked::Child => {
            // SAFETY: from here on this process runs `program`, which got `descriptors` and captures nothing, and then
            // ends without dropping anything: whatever else owned a descriptor never runs again in this process.
            let closed = unsafe { descriptors::close_all_but(&descriptors) };
            // A panic must not unwind into the copy of the parent's frames.
            let code = closed.map(|()| catch_unwind(|| program(descriptors)).unwrap_or(NOT_BEGUN));
            exit_now(code.unwrap_or(NOT_BEGUN))
        }
    }
}
