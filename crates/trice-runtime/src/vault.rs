//! How containers ended, kept by the kernel for when nobody of ours was left to see it.
//!
//! ```text
//! RUN/vault       a mount of its own, private                    in the host's mount namespace: two mounts in all
//! RUN/vault/ns    a mount namespace, pinned
//!   └─ /<name>    a pidfd, mounted                               in that namespace: one a container
//! ```
//!
//! A mounted pidfd keeps what the kernel knows of a process although no process holds a descriptor of it: opened again
//! it tells the exit status, even if parent, keeper and engine have died meanwhile. The mounts are in a namespace of
//! their own, since every mount in the host's makes each new namespace on the machine slower.
//!
//! It is an ability that not every kernel has; see [`is_supported`]. Where it is missing nothing is kept, and an exit
//! that nobody saw is unknown.
//!
//! Sources: Linux `fs/pidfs.c` (mounts since 6.14, exit status since 6.15), open_tree(2), namespaces(7).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, fstatfs, statfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, UnmountFlags, open_tree, unmount};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::{
    CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_getaffinity, sched_setaffinity,
};
use trice_sys::mount::{MountAttributes, MountPropagation, set_attributes};
use trice_sys::namespace::{Unshare, unshare};

use crate::mounts::clone_tree;
use crate::root;
use crate::rootfs::{attach, attach_onto};
use crate::seccomp::machine::KernelVersion;

/// Whether this kernel keeps how a process ended for whoever mounts its pidfd.
pub fn is_supported() -> bool {
    let itself = pidfd_open(getpid(), PidfdFlags::empty());
    let mountable = itself.is_ok_and(|itself| clone_tree(itself.as_fd(), "").is_ok());
    // Mounting came one version before what it is good for.
    mountable && KernelVersion { major: 6, minor: 15 }.is_here()
}

/// The folder in the `run` directory from which the vault is reached.
pub fn folder(run: &Path) -> PathBuf {
    run.join("vault")
}

/// The pidfds that are kept.
///
/// The namespace is entered by a thread of its own, which stays there and does what is asked.
#[derive(Debug)]
pub struct Vault {
    folder: PathBuf,
    orders: Option<Sender<Order>>,
}

/// What the thread is asked for, and where its answer goes.
#[derive(Debug)]
enum Order {
    Keep(String, OwnedFd, SyncSender<io::Result<()>>),
    Open(String, SyncSender<io::Result<Option<OwnedFd>>>),
    Drop(String, SyncSender<io::Result<()>>),
}

impl Vault {
    /// Finds the vault in the `run` directory, or makes it. Where the kernel cannot, it stays empty.
    pub fn open(run: &Path) -> io::Result<Self> {
        let folder = folder(run);
        if !is_supported() {
            return Ok(Self { folder, orders: None });
        }
        let orders = match open_pinned(&folder)? {
            Some(namespace) => begin(move || enter(&namespace))?.0,
            None => make_newer(&folder)?,
        };
        Ok(Self { folder, orders: Some(orders) })
    }

    /// Keeps the process that `pidfd` is open on as `name`, in place of one that was kept so before.
    pub fn keep(&self, name: &str, pidfd: OwnedFd) -> io::Result<()> {
        self.ask((), |answer| Order::Keep(name.to_owned(), pidfd, answer))
    }

    /// Opens the process that is kept as `name`.
    pub fn reopen(&self, name: &str) -> io::Result<Option<OwnedFd>> {
        self.ask(None, |answer| Order::Open(name.to_owned(), answer))
    }

    /// Forgets the process that is kept as `name`, if there is one.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        self.ask((), |answer| Order::Drop(name.to_owned(), answer))
    }

    fn ask<T>(&self, absent: T, order: impl FnOnce(SyncSender<io::Result<T>>) -> Order) -> io::Result<T> {
        let Some(orders) = &self.orders else { return Ok(absent) };
        let (sender, answer) = sync_channel(1);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        orders.send(order(sender)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    /// Removes the vault and all that is in it.
    pub fn leave(&self) -> io::Result<()> {
        if self.orders.is_some() {
            take_away(&self.folder)?;
        }
        Ok(())
    }
}

/// `NSFS_MAGIC` and `PID_FS_MAGIC` of Linux `include/uapi/linux/magic.h`.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
const PID_FS_MAGIC: rustix::fs::FsWord = 0x5049_4446;

fn open_pinned(folder: &Path) -> io::Result<Option<OwnedFd>> {
    let path = folder.join("ns");
    match statfs(&path) {
        Ok(stat) if stat.f_type == NSFS_MAGIC => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Makes the namespace and pins it, and has a thread in it.
///
/// The kernel pins a namespace only in one that it numbered before, so that none can come to hold itself. Since 6.18
/// each processor has a stock of numbers: what is made later on another processor may have a lower one. On that
/// which made the namespace that we are in, the next number is higher than ours. Which it was is not known any more.
fn make_newer(folder: &Path) -> io::Result<Sender<Order>> {
    let allowed = sched_getaffinity(None)?;
    let each = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).map(|cpu| {
        let mut one = CpuSet::new();
        one.set(cpu);
        one
    });
    let mut refused = Errno::LOOP.into();
    for processors in std::iter::once(allowed).chain(each) {
        let (orders, namespace) = make(folder, processors)?;
        match pin(folder, &namespace) {
            Ok(()) => return Ok(orders),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => refused = error,
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// Makes the namespace on one of the `processors`, with a thread in it.
fn make(folder: &Path, processors: CpuSet) -> io::Result<(Sender<Order>, OwnedFd)> {
    // What an engine left that died half-way.
    take_away(folder)?;
    fs::create_dir_all(folder)?;
    let mount_point = folder.to_owned();
    begin(move || {
        // Opened while there is a `/proc`: the root that comes is empty.
        let own = rustix::fs::open("/proc/thread-self/ns", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let all = sched_getaffinity(None)?;
        sched_setaffinity(None, &processors)?;
        root::enter_empty(&mount_point, &[])?;
        sched_setaffinity(None, &all)?;
        Ok(rustix::fs::openat(&own, "mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    })
}

/// Has the namespace outlive all processes. The mount that it is pinned on must be private: the kernel refuses to let
/// a namespace appear inside itself.
fn pin(folder: &Path, namespace: &OwnedFd) -> io::Result<()> {
    let itself = open_tree(CWD, folder, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let private =
        MountAttributes { propagation: Some(MountPropagation::Private), ..MountAttributes::default() };
    set_attributes(itself.as_fd(), private, false)?;
    File::create(folder.join("ns"))?;
    let place = rustix::fs::openat(&itself, "ns", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    attach_onto(itself.as_fd(), folder.as_fd())?;
    attach_onto(clone_tree(namespace.as_fd(), "")?.as_fd(), place.as_fd())
}

/// Removes what there is of the pinned namespace.
fn take_away(folder: &Path) -> io::Result<()> {
    for path in [folder.join("ns"), folder.to_owned()] {
        match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Starts a thread that goes where `enter` leads, and then obeys; returns what `enter` brought.
fn begin<T: Send + 'static>(
    enter: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<(Sender<Order>, T)> {
    let (orders, receiver) = channel();
    let (sender, entered) = sync_channel(1);
    thread::Builder::new().name("vault".to_owned()).spawn(move || {
        let result = enter();
        let go_on = result.is_ok();
        if sender.send(result).is_ok() && go_on {
            obey(&receiver);
        }
    })?;
    let brought = entered.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
    Ok((orders, brought))
}

fn enter(namespace: &OwnedFd) -> io::Result<()> {
    unshare(Unshare::Filesystem)?;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?)
}

/// Does what is asked, in the namespace, until nobody is left to ask.
fn obey(orders: &Receiver<Order>) {
    // Whoever does not wait for the answer does not want it.
    for order in orders {
        match order {
            Order::Keep(name, pidfd, answer) => drop(answer.send(keep(&name, &pidfd))),
            Order::Open(name, answer) => drop(answer.send(reopen(&name))),
            Order::Drop(name, answer) => drop(answer.send(forget(&name))),
        }
    }
}

fn place(name: &str) -> String {
    format!("/{name}")
}

fn keep(name: &str, pidfd: &OwnedFd) -> io::Result<()> {
    forget(name)?;
    File::create(place(name))?;
    attach(clone_tree(pidfd.as_fd(), "")?.as_fd(), &place(name))
}

fn reopen(name: &str) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::open(place(name), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        // Without the mount it is an empty file, of an engine that died before it could mount.
        Ok(opened) => Ok((fstatfs(&opened)?.f_type == PID_FS_MAGIC).then_some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn forget(name: &str) -> io::Result<()> {
    match unmount(place(name), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(place(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
