//! The engine's end of the link to the keeper.
//!
//! Requests are sent by whoever has one. One thread reads what the keeper tells, hands a `Spawned` to the caller that
//! waits for it, and everything else to the engine as an event.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::MESSAGE;
use super::protocol::{Notice, Request};
use crate::handshake;

/// Tells whether `error`, of a link, says that the keeper has died.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A child of the keeper.
#[derive(Debug)]
pub struct Spawned {
    /// Its number in the host's pid namespace.
    pub pid: i32,
    /// The child.
    pub pidfd: OwnedFd,
}

/// What the keeper tells without being asked.
#[derive(Debug)]
pub enum Told {
    /// A child has ended.
    Exited {
        /// Its name.
        key: String,
        /// As the kernel's wait status has it.
        status: i32,
    },
    /// The keeper has died.
    Gone,
}

/// What a keeper had when the engine came.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Its children by name, with the wait status of those that have ended.
    pub processes: BTreeMap<String, (Spawned, Option<i32>)>,
    /// The descriptors that it holds.
    pub held: BTreeMap<String, Vec<OwnedFd>>,
}

/// The link, for all who send.
#[derive(Debug, Clone)]
pub struct Link {
    socket: Arc<OwnedFd>,
    waiting: Arc<Mutex<Waiting>>,
    releasing: Arc<Mutex<Releasing>>,
}

/// Who waits until what is held under a name is let go of.
type Releasing = Vec<(String, SyncSender<()>)>;

/// What is being let go of.
#[derive(Debug)]
pub struct Parting(Receiver<()>);

impl Parting {
    /// Waits until nobody has it any more, or the keeper has died, which holds nothing.
    pub fn wait(self) {
        // The other end is dropped if the keeper dies.
        let _ = self.0.recv();
    }
}

/// Who waits for which child; `None` once nobody will make one any more.
type Waiting = Option<HashMap<String, SyncSender<io::Result<Spawned>>>>;

impl Link {
    /// Asks the keeper at the other end of `socket` for all it has, and listens to it from then on: `told` gets what
    /// it tells.
    pub fn open(socket: OwnedFd, told: Sender<Told>) -> io::Result<(Self, Inventory)> {
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let link = Self { socket: Arc::new(socket), waiting, releasing: Arc::default() };
        link.send(&Request::Inventory, &[])?;
        let (inventory, early) = link.read_inventory()?;
        for notice in early {
            let _ = told.send(notice);
        }
        let listener = link.clone();
        std::thread::Builder::new().name("keeper-link".to_owned()).spawn(move || listener.listen(&told))?;
        Ok((link, inventory))
    }

    /// Makes a child; `descriptors` are those that [`Request::Spawn`] names.
    pub fn spawn(
        &self,
        key: &str,
        cgroup: bool,
        inside: bool,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Spawned> {
        let (sender, receiver) = sync_channel(1);
        self.expect(key, sender)?;
        let sent = self.send(&Request::Spawn { key: key.to_owned(), cgroup, inside }, descriptors);
        if let Err(error) = sent {
            self.take_waiting(key);
            return Err(error);
        }
        receiver.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Whether `other` leads to the same keeper.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// Has what the keeper says of the child `key` handed to `sender`.
    fn expect(&self, key: &str, sender: SyncSender<io::Result<Spawned>>) -> io::Result<()> {
        let mut waiting = self.waiting();
        let waiting = waiting.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        match waiting.entry(key.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(sender);
                Ok(())
            }
            Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Has `descriptors` kept under `key`.
    pub fn hold(&self, key: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send(&Request::Hold { key: key.to_owned() }, descriptors)
    }

    /// Has what is kept under `key` let go of.
    pub fn release(&self, key: &str) -> io::Result<()> {
        self.send(&Request::Release { key: key.to_owned(), tell: false }, &[])
    }

    /// Has what is kept under `key` let go of, and returns who waits until it is.
    pub fn begin_release(&self, key: &str) -> Parting {
        let (sender, receiver) = sync_channel(1);
        // In the order in which they are told.
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.send(&Request::Release { key: key.to_owned(), tell: true }, &[]).is_ok() {
            releasing.push((key.to_owned(), sender));
        }
        Parting(receiver)
    }

    /// Says that the exit told under `key` is in the store.
    pub fn forget(&self, key: &str) -> io::Result<()> {
        self.send(&Request::Forget { key: key.to_owned() }, &[])
    }

    /// Has the keeper end.
    pub fn leave(&self) -> io::Result<()> {
        self.send(&Request::Leave, &[])
    }

    fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        handshake::send(self.socket.as_fd(), &serde_json::to_vec(request)?, descriptors)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_waiting(&self, key: &str) -> Option<SyncSender<io::Result<Spawned>>> {
        self.waiting().as_mut()?.remove(key)
    }

    /// Reads the next notice; `None` if the keeper has gone.
    fn receive(&self) -> io::Result<Option<(Notice, Vec<OwnedFd>)>> {
        let Some(packet) = handshake::receive(self.socket.as_fd(), MESSAGE)? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&packet.bytes)?, packet.descriptors)))
    }

    /// Reads to the end of the inventory; exits that are told in between are returned for later.
    fn read_inventory(&self) -> io::Result<(Inventory, Vec<Told>)> {
        let (mut inventory, mut early) = (Inventory::default(), Vec::new());
        loop {
            let Some((notice, mut descriptors)) = self.receive()? else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match notice {
                Notice::InventoryEnd => return Ok((inventory, early)),
                Notice::Held { key } => drop(inventory.held.insert(key, descriptors)),
                Notice::Process { key, pid, status } => {
                    let pidfd = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
                    inventory.processes.insert(key, (Spawned { pid, pidfd }, status));
                }
                Notice::Exited { key, status } => early.push(Told::Exited { key, status }),
                Notice::Spawned { .. } | Notice::NotSpawned { .. } | Notice::Released { .. } => {}
            }
        }
    }

    fn listen(&self, told: &Sender<Told>) {
        while let Ok(Some((notice, descriptors))) = self.receive() {
            match notice {
                Notice::Spawned { key, pid } => {
                    let pidfd = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData.into());
                    self.hand_over(&key, pidfd.map(|pidfd| Spawned { pid, pidfd }));
                }
                Notice::NotSpawned { key, errno } => {
                    self.hand_over(&key, Err(io::Error::from_raw_os_error(errno)));
                }
                Notice::Exited { key, status } => {
                    let _ = told.send(Told::Exited { key, status });
                }
                Notice::Released { key } => self.released(&key),
                Notice::Process { .. } | Notice::Held { .. } | Notice::InventoryEnd => {}
            }
        }
        // Whoever still waits for a child hears that nobody will make it, and so does whoever comes now.
        *self.waiting() = None;
        self.releasing.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let _ = told.send(Told::Gone);
    }

    /// Tells the first who waits for it that what was kept under `key` is let go of.
    fn released(&self, key: &str) {
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = releasing.iter().position(|(name, _)| name == key) {
            let (_, sender) = releasing.remove(first);
            let _ = sender.send(());
        }
    }

    fn hand_over(&self, key: &str, spawned: io::Result<Spawned>) {
        if let Some(waiting) = self.take_waiting(key) {
            let _ = waiting.send(spawned);
        }
    }
}
