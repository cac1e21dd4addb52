//! Leaving the host's mounts behind.
//!
//! Source: pivot_root(2).

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use trice_sys::namespace::{Unshare, unshare};

/// Gives this thread a mount namespace of its own, whose root is an empty file system with the `folders`, each an
/// absolute path of one part. `mount_point` is a folder that is there now; nothing is changed about it.
pub(crate) fn enter_empty(mount_point: &Path, folders: &[&str]) -> io::Result<()> {
    unshare(Unshare::Mount)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "trice"), ("mode", "0700"), ("size", "1m")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    for folder in folders {
        rustix::fs::mkdirat(&root, folder.trim_start_matches('/'), Mode::from(0o700))?;
    }
    move_mount(root.as_fd(), "", CWD, mount_point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}
