//! One operation of a plan, carried out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, ResolveFlags};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use trice_sys::namespace::{Unshare, unshare};
use trice_sys::resolve::open_below;

use super::slots::Slots;
use super::{failed, failed_without_errno};
use crate::handshake::Failure;
use crate::litter::Litter;
use crate::mounts;
use crate::operation::{Filesystem, Operation};
use crate::rootfs::{self, Links, Missing};

/// What the operations make and later ones need.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The new root, until it is the root.
    pub(super) root: Option<OwnedFd>,
    /// The mounts that we made at `/dev`, `/dev/pts` and `/proc`, whatever covers them by now.
    pub(super) dev: Option<OwnedFd>,
    pub(super) devpts: Option<OwnedFd>,
    pub(super) proc: Option<OwnedFd>,
    /// What [`Operation::MountFilesystem`] mounted last.
    pub(super) last: Option<OwnedFd>,
    /// The null device that we made.
    pub(super) null: Option<OwnedFd>,
    /// An empty file system, once there is a folder to hide.
    pub(super) empty: Option<OwnedFd>,
    /// A terminal's inner end.
    pub(super) terminal: Option<OwnedFd>,
    /// What is done with.
    pub(super) litter: Litter,
}

/// Carries out one operation.
pub(super) fn perform(operation: &Operation, state: &mut State, slots: &mut Slots) -> Result<(), Failure> {
    let at = |what: &str, path: &Path| format!("{what} {}", path.display());
    match operation {
        Operation::JoinCgroup { tasks } => {
            let tasks = slots.take(*tasks)?;
            let joined = rustix::io::write(&tasks, b"0").map_err(|error| failed("join the cgroup", &error));
            state.litter.throw([tasks]);
            joined.map(drop)
        }
        Operation::EnterNetwork { namespace } => {
            let namespace = slots.take(*namespace)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| failed("enter the network namespace", &error))
        }
        Operation::EnterContainer { init } => enter_container(slots.take(*init)?.as_fd()),
        Operation::NewCgroupNamespace => {
            unshare(Unshare::Cgroup).map_err(|error| failed("make a cgroup namespace", &error))
        }
        Operation::Hostname(name) => rustix::system::sethostname(name.as_bytes())
            .map_err(|error| failed(&format!("set the host name {name}"), &error)),
        Operation::Domainname(name) => rustix::system::setdomainname(name.as_bytes())
            .map_err(|error| failed(&format!("set the domain name {name}"), &error)),
        Operation::AttachLayer { tree, index } => {
            let tree = slots.take(*tree)?;
            let attached = rootfs::attach_layer(tree.as_fd(), *index);
            state.litter.throw([tree]);
            attached.map_err(|error| failed(&format!("attach layer {index}"), &error))
        }
        Operation::AttachWritable { tree } => {
            let tree = slots.take(*tree)?;
            let attached = rootfs::attach(tree.as_fd(), rootfs::WRITABLE);
            state.litter.throw([tree]);
            attached.map_err(|error| failed("attach the writable layer", &error))
        }
        Operation::MountRoot { layers, nested } => {
            if *nested {
                rootfs::hide_lowest(*layers).map_err(|error| failed("mount the lowest layer", &error))?;
            }
            rootfs::mount_overlay(*layers, &mut state.litter)
                .map_err(|error| failed("mount the root file system", &error))?;
            state.root = Some(rootfs::open_root().map_err(|error| failed("open the root", &error))?);
            Ok(())
        }
        Operation::MountFilesystem(filesystem) => mount_filesystem(filesystem, false, state),
        Operation::MountInside(filesystem) => mount_filesystem(filesystem, true, state),
        Operation::MakeDevices(nodes) => {
            let dev = made(&state.dev, "/dev")?;
            mounts::make_devices(dev, nodes).map_err(|error| failed("make the devices", &error))?;
            state.null = Some(open_null(dev).map_err(|error| failed("open the null device", &error))?);
            Ok(())
        }
        Operation::Bind { tree, target } => {
            let (root, tree) = (made(&state.root, "the root")?, slots.take(*tree)?);
            mounts::bind(root, tree, target, &mut state.litter)
                .map_err(|error| failed(&at("mount at", target), &error))
        }
        Operation::Seal(path) => {
            let place =
                rootfs::open_inside(made(&state.root, "the root")?, path, Links::Refuse, Missing::Fail);
            place
                .and_then(|place| mounts::make_mount_read_only(place.as_fd()))
                .map_err(|error| failed(&at("make read-only", path), &error))
        }
        Operation::MakeDirectory(path) => {
            let root = made(&state.root, "the root")?;
            rootfs::open_inside(root, path, Links::Follow, Missing::MakeDirectory)
                .map(drop)
                .map_err(|error| failed(&at("make the folder", path), &error))
        }
        Operation::Pivot { read_only } => pivot(state, *read_only),
        Operation::OomScore(score) => {
            write_proc(made(&state.proc, "/proc")?, "1/oom_score_adj", &score.to_string())
                .map_err(|error| failed("set oom_score_adj", &error))
        }
        Operation::Sysctl { key, value } => {
            let path = format!("sys/{}", key.replace('.', "/"));
            write_proc(made(&state.proc, "/proc")?, &path, value)
                .map_err(|error| failed(&format!("set {key} = {value}"), &error))
        }
        Operation::Mask(path) => {
            let null = made(&state.null, "the null device")?;
            mounts::mask(null, &mut state.empty, path, &mut state.litter)
                .map_err(|error| failed(&at("hide", path), &error))
        }
        Operation::ReadOnly(path) => mounts::make_read_only(path, &mut state.litter)
            .map_err(|error| failed(&at("make read-only", path), &error)),
    }
}

/// Enters all namespaces of a running container but its pid namespace, and its root.
fn enter_container(init: BorrowedFd<'_>) -> Result<(), Failure> {
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(init, all).map_err(|error| failed("enter the container", &error))
}

fn mount_filesystem(filesystem: &Filesystem, inside: bool, state: &mut State) -> Result<(), Failure> {
    let (kind, target) = (&filesystem.kind, &filesystem.target);
    let mounted = if inside {
        mounts::mount_in_fresh(made(&state.last, "what it is mounted in")?, filesystem, &mut state.litter)
    } else {
        mounts::mount_filesystem(made(&state.root, "the root")?, filesystem, &mut state.litter)
    };
    let mounted =
        mounted.map_err(|error| failed(&format!("mount {kind} at {}", target.display()), &error))?;
    if !inside {
        let again = mounted.try_clone().map_err(|error| failed("hold a mount", &error))?;
        state.last = Some(again);
    }
    let place = match target.to_str() {
        Some("/proc") => Some(&mut state.proc),
        Some("/dev/pts") => Some(&mut state.devpts),
        Some("/dev") => Some(&mut state.dev),
        _ => None,
    };
    // The first is ours; a service that mounts its own there covers it.
    match place.filter(|place| place.is_none()) {
        Some(place) => *place = Some(mounted),
        None => state.litter.throw([mounted]),
    }
    Ok(())
}

fn open_null(dev: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    open_below(dev, "null", OFlags::PATH | OFlags::CLOEXEC, resolve)
}

fn pivot(state: &mut State, read_only: bool) -> Result<(), Failure> {
    let root = made(&state.root, "the root")?;
    if read_only {
        mounts::make_mount_read_only(root).map_err(|error| failed("make the root read-only", &error))?;
    }
    rootfs::pivot(root).map_err(|error| failed("change the root", &error))?;
    state.root = None;
    Ok(())
}

/// Writes to a file of the procfs that we mounted, so that nothing the container put over `/proc` is written instead
/// (CVE-2025-52881).
fn write_proc(proc: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = open_below(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, resolve)?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// Returns what an earlier operation made.
fn made<'a>(place: &'a Option<OwnedFd>, name: &str) -> Result<BorrowedFd<'a>, Failure> {
    let place = place.as_ref().map(AsFd::as_fd);
    place.ok_or_else(|| failed_without_errno(format!("{name} is not there yet")))
}
