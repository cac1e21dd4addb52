//! Writing to the disk what will have to be there, before somebody waits for it.
//!
//! Source: sync_file_range(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has the kernel begin to write what it holds of `file` back to the disk, and does not wait. Nothing is promised: who
/// needs it there syncs as ever, and waits less.
///
/// # Errors
/// Those of sync_file_range(2); `ESPIPE` for what is no file.
pub fn begin(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes numbers alone, and changes nothing but when pages are written.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
