//! Signals of this process: what it ignores, what it holds back, what it reads from a descriptor.
//!
//! Source: signal(7), signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Gives every signal its default action and lets all of them through, as a program expects that was started by a
/// shell. A Rust program ignores SIGPIPE, and what is ignored stays so over `execve`.
pub fn reset() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is an action that refers to no code of ours. Numbers that have no action to change
        // (SIGKILL, those of the C library) are refused, which is as good.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = empty_set();
    set_mask(&none);
}

/// Holds back `signals` and returns a descriptor from which they are read.
///
/// # Errors
/// Those of signalfd(2).
pub fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: `set` is an initialised set, which the call only changes.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set_mask(&set);
    // SAFETY: `set` is an initialised set, which the call only reads.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `fd` is a new descriptor, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads the next signal's number, `None` if there is none now.
///
/// # Errors
/// Those of read(2).
pub fn read_signal(signalfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: `info` has the stated size, and any bytes are a valid `signalfd_siginfo`.
    let read = unsafe {
        libc::read(signalfd.as_raw_fd(), info.as_mut_ptr().cast(), size_of::<libc::signalfd_siginfo>())
    };
    if read < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: it was zeroed, which is a valid value of a struct of numbers, and perhaps filled by the kernel.
    let info = unsafe { info.assume_init() };
    Ok(Some(info.ssi_signo as i32))
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes a whole set to the place it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the call above has written it whole; it has no failure with a valid pointer.
    unsafe { set.assume_init() }
}

fn set_mask(set: &libc::sigset_t) {
    // SAFETY: `set` is an initialised set, which the call only reads; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, ptr::null_mut()) };
}
