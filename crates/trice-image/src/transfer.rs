//! Hands over between what waits for sockets and what waits for the disk.
//!
//! ```text
//! task: download ──chunks──► [ at most a few ] ──► Incoming, a reader in a thread that unpacks
//! task: in_thread ◄──progress── the thread's work
//! ```
//!
//! A task never touches a file and a thread never a socket. A full channel stops the registry, an empty one
//! the thread. When whoever wanted the image has gone, the tasks end, and the threads with them at their next
//! read.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::digest::Digest;
use crate::registry::Repository;
use crate::registry::download::DownloadError;
use crate::source::{Files, Opened};

/// How many chunks of a download may wait for their reader. A chunk is what the kernel had at once.
const CHUNKS: usize = 16;

/// The blobs of a repository, as files whose paths are their digests.
pub(crate) struct RemoteFiles {
    repository: Repository,
    sizes: HashMap<String, (Digest, u64)>,
    tasks: Handle,
    /// Closed when nobody wants the image any more.
    wanted: watch::Receiver<()>,
}

impl RemoteFiles {
    /// Offers the blobs of the given sizes for as long as the other end of `wanted` is open. It is made where
    /// tasks can be spawned.
    pub(crate) fn new(
        repository: Repository,
        blobs: impl Iterator<Item = (Digest, u64)>,
        wanted: watch::Receiver<()>,
    ) -> Self {
        let sizes = blobs.map(|(digest, size)| (digest.to_string(), (digest, size))).collect();
        Self { repository, sizes, tasks: Handle::current(), wanted }
    }
}

impl Files for RemoteFiles {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        let Some((digest, size)) = self.sizes.get(path).cloned() else { return Ok(None) };
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (repository, mut wanted) = (self.repository.clone(), self.wanted.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = repository.download(&digest, size, &sender) => {}
                _ = wanted.changed() => {}
            }
        });
        Ok(Some(Opened { content: Box::new(Incoming { receiver, chunk: Bytes::new() }), size }))
    }
}

/// What comes from a task.
struct Incoming {
    receiver: mpsc::Receiver<Result<Bytes, DownloadError>>,
    chunk: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Ends the work in a thread when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` in a thread, which waits for the disk, and tells `progress` what it tells. When the caller leaves,
/// the work is told to stop.
pub(crate) async fn in_thread<T: Send + 'static, P: Send + 'static>(
    progress: &mut (dyn FnMut(P) + Send),
    work: impl FnOnce(&mut dyn FnMut(P), &AtomicBool) -> T + Send + 'static,
) -> T {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stop = Stop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    let mut tell = move |step| {
        // Who does not listen any more has stopped the work.
        let _ = sender.send(step);
    };
    let thread = tokio::task::spawn_blocking(move || work(&mut tell, &stopped));
    while let Some(step) = receiver.recv().await {
        progress(step);
    }
    match thread.await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()), // threads are not cancelled
    }
}
