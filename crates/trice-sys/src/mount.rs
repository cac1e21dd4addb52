//! Attributes of whole trees of mounts.
//!
//! Source: mount_setattr(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What changes about a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountAttributes {
    /// `MOUNT_ATTR_RDONLY`.
    pub read_only: bool,
    /// `MOUNT_ATTR_NOSUID`.
    pub nosuid: bool,
    /// `MOUNT_ATTR_NODEV`.
    pub nodev: bool,
    /// `MOUNT_ATTR_NOEXEC`.
    pub noexec: bool,
    /// How mounts below it travel from now on.
    pub propagation: Option<MountPropagation>,
}

/// How mounts travel between namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum MountPropagation {
    /// Not at all.
    Private = libc::MS_PRIVATE,
    /// From the outside in.
    Slave = libc::MS_SLAVE,
    /// Both ways.
    Shared = libc::MS_SHARED,
}

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const MOUNT_ATTR_NODEV: u64 = 0x4;
const MOUNT_ATTR_NOEXEC: u64 = 0x8;

/// The kernel's `struct mount_attr`, version 0.
#[repr(C, align(8))]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Gives the mount that `mount` is open on the attributes that are true, and with `recursive` those below it too.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: MountAttributes, recursive: bool) -> io::Result<()> {
    let wanted = [
        (attributes.read_only, MOUNT_ATTR_RDONLY),
        (attributes.nosuid, MOUNT_ATTR_NOSUID),
        (attributes.nodev, MOUNT_ATTR_NODEV),
        (attributes.noexec, MOUNT_ATTR_NOEXEC),
    ];
    let attr = MountAttr {
        attr_set: wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).sum(),
        attr_clr: 0,
        propagation: attributes.propagation.map_or(0, |propagation| propagation as u64),
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let pointer = &raw const attr;
    // SAFETY: the path is a static empty string, and `pointer` is to a `mount_attr` of the stated size; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            pointer,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
