//! System calls that want to be made again.

use rustix::io::Errno;

/// Calls until the answer is another one than `EAGAIN`.
///
/// `openat2` gives it for a `..` in a link while anything on the machine is renamed or mounted.
pub(crate) fn again<T>(call: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::AGAIN) => {}
            outcome => return outcome,
        }
    }
}
