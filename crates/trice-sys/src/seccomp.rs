//! Putting a system call filter in force.
//!
//! Source: seccomp(2).

use std::io;

/// One instruction of a classic BPF program, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct SockFilter {
    /// The operation.
    pub code: u16,
    /// How far to jump if the comparison holds.
    pub jt: u8,
    /// How far to jump if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Puts `program` in force for this thread and all that come from it.
///
/// # Errors
/// Those of seccomp(2): `EACCES` without `CAP_SYS_ADMIN` and `no_new_privs`, `EINVAL` for a bad program.
pub fn install(program: &[SockFilter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    let pointer = &raw const filter;
    // SAFETY: `pointer` is to a `sock_fprog` whose `filter` points to `len` instructions of the kernel's layout; the
    // kernel copies them and writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, pointer) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
