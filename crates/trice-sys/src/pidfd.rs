//! How a process ended that is not a child of this one.
//!
//! Source: Linux `include/uapi/linux/pidfd.h` (`PIDFD_GET_INFO`, exit status since 6.15).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The kernel's `struct pidfd_info`, as far as version 1 goes.
#[repr(C, align(8))]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::c_ulong =
    (3 << 30) | ((size_of::<PidfdInfo>() as libc::c_ulong) << 16) | (0xff << 8) | 11;

/// Returns the wait status of the process that `pidfd` is open on, once it has ended and its parent has seen it.
///
/// `None` as long as it runs or waits for its parent.
///
/// # Errors
/// `ENOTTY` or `EINVAL` where the kernel keeps no exit status (before 6.15).
pub fn exit_status(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    let pointer = &raw mut info;
    // SAFETY: `pointer` is to a `pidfd_info` of the size that the request states, which the kernel fills.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, pointer) };
    if result < 0 {
        let error = io::Error::last_os_error();
        // Reaped by somebody else on a kernel that keeps nothing of it.
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
    }
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// Sends the signal of that number, real-time signals included, to the process that `pidfd` is open on.
///
/// # Errors
/// Those of pidfd_send_signal(2): `ESRCH` if it has ended.
pub fn send_signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: with a NULL `siginfo_t` the call reads no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_info, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
