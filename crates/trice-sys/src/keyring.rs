//! The session keyring.
//!
//! Source: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING.

use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives this process a fresh, empty session keyring, so that it does not see the keys of whoever started it.
///
/// # Errors
/// Those of keyctl(2); `ENOSYS` where the kernel has no keyrings.
pub fn join_fresh_session() -> io::Result<()> {
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: a NULL name asks for an anonymous keyring; the call reads no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
