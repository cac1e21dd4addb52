//! Owner, mode, time and attributes of what was unpacked.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, fchown, futimens, utimensat,
};
use rustix::io::Errno;

use crate::members::Member;
use crate::xattr;

/// Gives an open file or folder all that `member` says but the time.
///
/// The order is the kernel's: a change of the owner takes setuid, setgid and capabilities away.
pub(super) fn apply(file: impl AsFd, member: &Member) -> Result<(), Errno> {
    fchown(&file, Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))?;
    xattr::give(&file, &member.xattrs)?;
    fchmod(&file, Mode::from_raw_mode(member.mode))
}

/// Gives an open file or folder its time.
pub(super) fn apply_time(file: impl AsFd, mtime: (i64, u32)) -> Result<(), Errno> {
    futimens(file, &times(mtime))
}

/// Gives a link, which cannot be opened, its owner and time.
pub(super) fn apply_to_link(folder: impl AsFd, name: &OsStr, member: &Member) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
    chownat(&folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(&folder, name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Gives a device or FIFO, whose opening would do something, what `member` says. It was just made, and is no
/// link.
pub(super) fn apply_to_node(folder: impl AsFd, name: &OsStr, member: &Member) -> Result<(), Errno> {
    apply_to_link(&folder, name, member)?;
    chmodat(&folder, name, Mode::from_raw_mode(member.mode), AtFlags::empty())?;
    utimensat(&folder, name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
