//! Doing work in another network namespace, on a thread that never comes back from there.
//!
//! A namespace belongs to a thread. One that entered another would have to return on every path out, errors and
//! panics included, or it would go on in the wrong network; so it ends instead.
//!
//! Source: network_namespaces(7), setns(2), unshare(2).

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use trice_sys::namespace::{Unshare, unshare};

/// Why work could not be done in another namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// There is no thread to do it on.
    #[error("start a thread for a network namespace")]
    Thread(#[source] io::Error),
    /// The kernel has no network namespaces, or they are used up, or it takes root.
    #[error("make a network namespace")]
    Unshare(#[source] io::Error),
    /// The namespace cannot be held.
    #[error("hold the new network namespace")]
    Hold(#[source] io::Error),
    /// The descriptor is no network namespace's, or it takes root.
    #[error("enter the network namespace")]
    Enter(#[source] io::Error),
}

/// Returns what `work` returns that was done in a new namespace; it is given the namespace to hold.
pub(crate) fn in_new_namespace<T: Send>(work: impl FnOnce(OwnedFd) -> T + Send) -> Result<T, NamespaceError> {
    on_a_thread(|| {
        unshare(Unshare::Net).map_err(NamespaceError::Unshare)?;
        let namespace = File::open("/proc/thread-self/ns/net").map_err(NamespaceError::Hold)?;
        Ok(work(namespace.into()))
    })
}

/// Returns what `work` returns that was done in `namespace`. Sockets that it opens stay there.
///
/// # Errors
/// [`NamespaceError::Enter`] or [`NamespaceError::Thread`].
pub fn in_namespace<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NamespaceError> {
    on_a_thread(|| {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
            .map_err(|errno| NamespaceError::Enter(errno.into()))?;
        Ok(work())
    })
}

fn on_a_thread<T: Send>(
    work: impl FnOnce() -> Result<T, NamespaceError> + Send,
) -> Result<T, NamespaceError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("network".to_owned());
        let thread = builder.spawn_scoped(scope, work).map_err(NamespaceError::Thread)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    fn links() -> String {
        fs::read_to_string("/proc/thread-self/net/dev").expect("needs /proc")
    }

    #[test]
    fn a_new_namespace_has_only_the_loopback_and_can_be_entered_again_while_the_caller_stays_outside() {
        let before = links();
        let (namespace, first) =
            in_new_namespace(|namespace| (namespace, links())).expect("needs root: a network namespace");
        assert!(first.contains(" lo:") && !first.contains("eth0"), "{first}");
        assert_eq!(in_namespace(namespace.as_fd(), links).unwrap(), first);
        assert_eq!(links().lines().count(), before.lines().count());
    }

    #[test]
    fn a_descriptor_of_something_else_is_not_entered() {
        let file = File::open("/proc/self/status").unwrap();
        let error = in_namespace(file.as_fd(), || ()).unwrap_err();
        assert!(matches!(error, NamespaceError::Enter(_)), "{error}");
    }
}
