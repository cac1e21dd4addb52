//! The terminal of a process with `tty: true`.
//!
//! Source: pts(4), ioctl_tty(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use crate::handshake::{Child, Report};
use crate::mounts;
use crate::rootfs::{self, Links, Missing};

/// `DEVPTS_SUPER_MAGIC` of Linux `include/uapi/linux/magic.h`.
const DEVPTS_SUPER_MAGIC: rustix::fs::FsWord = 0x1cd1;

/// Opens a terminal in the container's own `devpts`, sends its outer end to the engine and returns its inner end.
///
/// Both ends come from the mount that we made, or are asked of the kernel by descriptor: what the container has put
/// at their names does not matter (CVE-2025-52565). A process that is run in a running container has no such mount at
/// hand, and looks whether it got one.
pub(super) fn open(child: &Child, devpts: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let outer = match devpts {
        Some(devpts) => rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?,
        None => rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?,
    };
    if rustix::fs::fstatfs(&outer)?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(io::Error::other("/dev/pts is not a devpts"));
    }
    unlockpt(&outer)?;
    let inner = ioctl_tiocgptpeer(&outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    child.report(&Report::Terminal, Some(outer.as_fd()))?;
    Ok(inner)
}

/// Makes the terminal the container's console.
pub(super) fn make_console(inner: BorrowedFd<'_>) -> io::Result<()> {
    let tree = mounts::clone_tree(inner, "")?;
    let here = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let console =
        rootfs::open_inside(here.as_fd(), Path::new("/dev/console"), Links::Refuse, Missing::MakeFile)?;
    rootfs::attach_onto(tree.as_fd(), console.as_fd())
}
