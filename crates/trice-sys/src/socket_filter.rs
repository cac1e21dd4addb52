//! Sockets that receive nothing.
//!
//! Source: socket(7), `SO_ATTACH_FILTER`; Linux `Documentation/networking/filter.rst`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes `socket` drop whatever arrives at it, unseen.
///
/// # Errors
/// Those of setsockopt(2).
pub fn drop_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    const RETURN: u16 = 0x06;
    // "Return 0": keep no byte of the packet.
    let mut program = [libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let pointer = (&raw const filter).cast();
    // SAFETY: `pointer` is to a `sock_fprog` of the stated length, whose `filter` points to one instruction; both live
    // in this frame, and the kernel copies them and writes nothing.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, pointer, length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `socket` receive what arrives at it again, after [`drop_all`].
///
/// # Errors
/// Those of setsockopt(2); `ENOENT` if it dropped nothing.
pub fn take_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    let unused: libc::c_int = 0;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let pointer = (&raw const unused).cast();
    // SAFETY: `pointer` is to an integer of the stated length in this frame, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DETACH_FILTER, pointer, length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
