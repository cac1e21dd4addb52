//! Descriptors that must not outlive an `execve`.
//!
//! Source: close_range(2).

use std::io;

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
