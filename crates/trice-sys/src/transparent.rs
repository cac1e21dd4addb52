//! Sockets with addresses that are not this machine's.
//!
//! Source: ip(7), `IP_TRANSPARENT`; ipv6(7).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Lets `socket`, which is one of `version`, be bound to any address, and speak to others from there.
///
/// # Errors
/// Those of setsockopt(2); `EPERM` without `CAP_NET_ADMIN`.
pub fn allow_any_address(socket: BorrowedFd<'_>, version: Version) -> io::Result<()> {
    let (level, option) = match version {
        Version::V4 => (libc::SOL_IP, libc::IP_TRANSPARENT),
        Version::V6 => (libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
    };
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let pointer = (&raw const on).cast();
    // SAFETY: `pointer` is to an integer of the stated length in this frame, which the kernel only reads.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
