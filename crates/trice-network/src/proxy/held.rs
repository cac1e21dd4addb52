//! A socket that a task waits on and another one closes: without waiting until the task has ended.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A socket, until it is closed.
#[derive(Debug)]
pub(super) struct Held<S>(Arc<Mutex<Option<S>>>);

impl<S> Clone for Held<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Held<S> {
    /// Holds `socket`.
    pub(super) fn new(socket: S) -> Self {
        Self(Arc::new(Mutex::new(Some(socket))))
    }

    /// Closes it.
    pub(super) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Returns what `work` returns.
    ///
    /// # Errors
    /// Those of `work`, and `NotConnected` once it is closed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), work)
    }

    /// Waits for what `poll` waits for.
    ///
    /// # Errors
    /// Those of `poll`, and `NotConnected` once it is closed.
    pub(super) async fn wait<T>(
        &self,
        mut poll: impl FnMut(&S, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        poll_fn(|context| {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match held.as_ref() {
                Some(socket) => poll(socket, context),
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        })
        .await
    }
}
