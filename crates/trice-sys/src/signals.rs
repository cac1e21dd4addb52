//! Signals of this process: what it ignores, what it holds back, what it reads from a descriptor.
//!
//! Source: signal(7), signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Gives every signal its default action but SIGPIPE, which every Rust program ignores, and lets all of them through:
/// who started this process may have ignored some, and what is ignored stays so over `execve`.
///
/// To be called once at the beginning; children then have only [`reset`] to call before they become other programs.
pub fn reset_inherited() {
    (1..=LAST).filter(|signal| *signal != libc::SIGPIPE).for_each(set_default);
    set_mask(&empty_set());
}

/// Lets a program begin as one that was started by a shell, in a process whose ancestor called [`reset_inherited`].
pub fn reset() {
    set_default(libc::SIGPIPE);
    set_mask(&empty_set());
}

fn set_default(signal: libc::c_int) {
    let default = KernelAction { handler: libc::SIG_DFL as u64, flags: 0, restorer: 0, mask: 0 };
    let (new, old) = (&raw const default, ptr::null_mut::<KernelAction>());
    // SAFETY: `new` is to the kernel's layout of an action, which it only reads, and which refers to no code of ours;
    // the old action is not asked for. Signals that have no action to change (SIGKILL, SIGSTOP) are refused.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>()) };
}

/// The last real-time signal.
const LAST: libc::c_int = 64;

/// The kernel's `struct sigaction`.
///
/// The C library's own call keeps two real-time signals to itself and refuses to touch them; who started us may have
/// ignored these too.
#[repr(C)]
struct KernelAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
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
