//! Leaving namespaces behind.
//!
//! Entering those that somebody holds is `rustix::thread::move_into_link_name_space`.
//!
//! Source: unshare(2).

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A kind of namespace, or other shared state, of which this thread gets its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unshare {
    /// `CLONE_NEWNET`.
    Net,
    /// `CLONE_NEWNS`; the thread also gets its own root and current directory.
    Mount,
    /// `CLONE_FS`: the thread gets its own root and current directory, without which it may not enter a mount
    /// namespace.
    Filesystem,
    /// `CLONE_NEWCGROUP`: the groups that this thread is in become the roots that it sees.
    Cgroup,
}

/// Gives this thread, and no other of this process, what `what` says for itself.
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(what: Unshare) -> io::Result<()> {
    let flags = match what {
        Unshare::Net => UnshareFlags::NEWNET,
        Unshare::Mount => UnshareFlags::NEWNS | UnshareFlags::FS,
        Unshare::Filesystem => UnshareFlags::FS,
        Unshare::Cgroup => UnshareFlags::NEWCGROUP,
    };
    // SAFETY: what makes the call unsafe is CLONE_FILES, which would give this thread other descriptors under the
    // same numbers; none of the flags above is it.
    unsafe { unshare_unsafe(flags) }?;
    Ok(())
}
