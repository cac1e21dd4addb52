//! Descriptors that must not outlive an `execve`.
//!
//! Source: close_range(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// Marks all descriptors from `first` on to be closed by the next `execve`.
///
/// # Errors
/// Those of close_range(2).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call closes nothing; it sets a flag that no owner of a descriptor relies
    // on being clear.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes all descriptors of this process but `kept` and the three standard streams.
///
/// # Errors
/// Those of close_range(2).
///
/// # Safety
/// Nothing may use or drop any other descriptor afterwards: other code of this process must not run again.
pub(crate) unsafe fn close_all_but(kept: &[OwnedFd]) -> io::Result<()> {
    let mut numbers: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    numbers.sort_unstable();
    let mut first = 3_u32;
    for number in numbers.into_iter().filter(|number| *number >= 3) {
        if first < number {
            // SAFETY: the range holds none of `kept`, and the caller vouches for the rest.
            unsafe { close_range(first, number - 1) }?;
        }
        first = number + 1;
    }
    // SAFETY: as above: all of `kept` lies before `first`.
    unsafe { close_range(first, u32::MAX) }
}

/// Closes `descriptors`, those with neighbouring numbers by one call.
pub fn close_together(descriptors: Vec<OwnedFd>) {
    let mut numbers: Vec<u32> = descriptors.into_iter().map(|fd| fd.into_raw_fd() as u32).collect();
    numbers.sort_unstable();
    for run in numbers.chunk_by(|number, next| number + 1 == *next) {
        let (first, last) = (run[0], run[run.len() - 1]);
        // SAFETY: every number from the first to the last is one of `numbers`, which were owned here and are nobody's
        // any more.
        let closed = unsafe { close_range(first, last) };
        debug_assert!(closed.is_ok(), "a range that is not empty is closed");
    }
}

/// Closes the descriptors from `first` to `last`.
///
/// # Safety
/// Nobody may own one of them.
unsafe fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the call reads no memory; the caller vouches that nobody relies on these descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over the descriptor `number`, which this process was started with, and closes it at the next `execve`.
///
/// To be called at the beginning of `main`, once for each number that the parent's arguments name.
///
/// # Errors
/// `EBADF` if there is no such descriptor.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD changes a flag of a descriptor, and fails for a number that is none.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has shown it to be open; it was opened before this program began, so nothing in this
    // program owns it, unless this function is called twice for it, which its documentation rules out.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
