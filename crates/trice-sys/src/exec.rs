//! Replacing the program of this process.
//!
//! Source: execve(2), execveat(2).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Runs the program at `path` in place of this one; returns only if that failed.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: `path` and what the two NULL-terminated arrays point to are NUL-terminated strings that live on in
    // the caller until the call returns, which it does only on failure.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Runs the program that `file` is open on in place of this one.
///
/// # Errors
/// Those of execveat(2); there is no other return.
pub fn execveat(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Result<Infallible> {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: the path is a static empty string, and what the two NULL-terminated arrays point to are NUL-terminated
    // strings that live on in the caller until the call returns, which it does only on failure.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(io::Error::last_os_error())
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Ends this process at once, without what a Rust or C program does at its end.
///
/// A forked child that fails must not flush buffers or remove files that belong to its parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number, touches none of our memory and does not return.
    unsafe { libc::_exit(code) }
}
