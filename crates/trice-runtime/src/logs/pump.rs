//! Moving what containers write from their FIFOs into files: one thread for all containers.
//!
//! The bytes are moved inside the kernel, by `splice`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use trice_model::time::Timestamp;

use super::index::{IndexWriter, Piece};
use super::{LogFile, LogFolder, Stream};

/// The most that is moved at once.
const PIECE: usize = 1 << 20;

/// Called with a container's key whenever there is more of its log.
pub type OnProgress = Box<dyn Fn(&str) + Send>;

/// The way to the thread.
#[derive(Debug, Clone)]
pub struct Pump {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
}

/// Where a container's output comes from.
#[derive(Debug)]
pub enum Source {
    /// Its two FIFOs.
    Fifos {
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// The outer end of its terminal.
    Terminal(OwnedFd),
}

#[derive(Debug)]
enum Order {
    Add { key: String, folder: LogFolder, source: Source, done: SyncSender<io::Result<()>> },
    Finish { key: String, done: SyncSender<()> },
}

impl Pump {
    /// Starts the thread, which calls `progress` and must not wait in it.
    pub fn start(progress: OnProgress) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let worker = Worker {
            epoll,
            wake: wake.clone(),
            orders: receiver,
            logs: HashMap::new(),
            places: HashMap::new(),
            stuck: Vec::new(),
            tried: Instant::now(),
            next: 0,
            progress,
        };
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || worker.run())?;
        Ok(Self { orders, wake })
    }

    /// Moves what comes from `source` into `folder` from now on, under the name `key`.
    pub fn add(&self, key: &str, folder: LogFolder, source: Source) -> io::Result<()> {
        let (done, answer) = sync_channel(1);
        self.order(Order::Add { key: key.to_owned(), folder, source, done })?;
        answer.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?
    }

    /// Moves what is still there under `key`, then lets go of it. To be called once the container has ended.
    pub fn finish(&self, key: &str) -> io::Result<()> {
        let (done, answer) = sync_channel(1);
        self.order(Order::Finish { key: key.to_owned(), done })?;
        answer.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        rustix::io::write(&*self.wake, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

/// The event that says that there are orders; streams count from 0.
const WAKE: u64 = u64::MAX;

/// A stream that is being moved.
#[derive(Debug)]
struct Inlet {
    source: OwnedFd,
    stream: Stream,
    spool: LogFile,
    /// The end of the spool, and how far of it is entered in the index.
    end: u64,
    entered: u64,
    /// A terminal cannot be spliced.
    copied: bool,
}

#[derive(Debug)]
struct Log {
    index: IndexWriter,
    inlets: Vec<(u64, Inlet)>,
}

struct Worker {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    orders: Receiver<Order>,
    logs: HashMap<String, Log>,
    /// Which log a stream belongs to, and its place there.
    places: HashMap<u64, (String, usize)>,
    /// Streams that could not be moved: the disk is full, perhaps. They are tried again.
    stuck: Vec<u64>,
    tried: Instant,
    next: u64,
    progress: OnProgress,
}

/// How long a stream that could not be moved is left alone.
const TRIED_AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    fn run(mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let timeout = Timespec::try_from(TRIED_AGAIN).ok().filter(|_| !self.stuck.is_empty());
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "wait for output");
                    return;
                }
            }
            if !self.stuck.is_empty() && self.tried.elapsed() >= TRIED_AGAIN {
                self.try_again();
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => {
                        if !self.obey() {
                            return;
                        }
                    }
                    token => self.move_one(token),
                }
            }
        }
    }

    /// Carries out all orders; `false` if nobody is left to give any.
    fn obey(&mut self) -> bool {
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        loop {
            match self.orders.try_recv() {
                Ok(Order::Add { key, folder, source, done }) => {
                    let _ = done.send(self.add(key, &folder, source));
                }
                Ok(Order::Finish { key, done }) => {
                    self.finish(&key);
                    let _ = done.send(());
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn add(&mut self, key: String, folder: &LogFolder, source: Source) -> io::Result<()> {
        let (mut index, ends) = IndexWriter::open(folder.index())?;
        let sources = match source {
            Source::Fifos { stdout, stderr } => {
                vec![(Stream::Stdout, stdout, false), (Stream::Stderr, stderr, false)]
            }
            Source::Terminal(outer) => vec![(Stream::Stdout, outer, true)],
        };
        let mut inlets = Vec::new();
        for (stream, source, copied) in sources {
            let spool = LogFile::open(folder.spool(stream))?;
            let end = spool.existing().map(File::metadata).transpose()?.map_or(0, |there| there.len());
            enter_tail(&mut index, stream, ends[stream as usize], end)?;
            inlets.push((self.next, Inlet { source, stream, spool, end, entered: end, copied }));
            self.next += 1;
        }
        // Whatever was moved under this name before has been finished, or was of an engine's former life.
        self.let_go(&key);
        for (at, (token, inlet)) in inlets.iter().enumerate() {
            epoll::add(&self.epoll, &inlet.source, EventData::new_u64(*token), EventFlags::IN)?;
            self.places.insert(*token, (key.clone(), at));
        }
        self.logs.insert(key, Log { index, inlets });
        Ok(())
    }

    fn move_one(&mut self, token: u64) {
        let Some((key, at)) = self.places.get(&token) else { return };
        let Some(log) = self.logs.get_mut(key) else { return };
        match log.move_piece(*at) {
            Ok(0) => {}
            Ok(_) => (self.progress)(key),
            Err(error) => {
                // It would be reported again and again.
                let _ = epoll::delete(&self.epoll, &log.inlets[*at].1.source);
                // A terminal whose last inner end has been closed says so by an I/O error.
                if error.raw_os_error() != Some(Errno::IO.raw_os_error()) {
                    tracing::error!(%error, container = key, "keep its output");
                    self.stuck.push(token);
                }
            }
        }
    }

    /// Listens again to the streams that could not be moved.
    fn try_again(&mut self) {
        self.tried = Instant::now();
        for token in std::mem::take(&mut self.stuck) {
            let Some((key, at)) = self.places.get(&token) else { continue };
            let Some(log) = self.logs.get(key) else { continue };
            let source = &log.inlets[*at].1.source;
            let _ = epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN);
        }
    }

    fn finish(&mut self, key: &str) {
        let Some(log) = self.logs.get_mut(key) else { return };
        for at in 0..log.inlets.len() {
            loop {
                match log.move_piece(at) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => break,
                    Err(error) => {
                        tracing::error!(%error, container = key, "keep the last of its output");
                        break;
                    }
                }
            }
        }
        self.let_go(key);
        (self.progress)(key);
    }

    /// Forgets the log `key`, if there is one.
    fn let_go(&mut self, key: &str) {
        let Some(log) = self.logs.remove(key) else { return };
        for (token, inlet) in log.inlets {
            let _ = epoll::delete(&self.epoll, &inlet.source);
            self.places.remove(&token);
            self.stuck.retain(|stuck| *stuck != token);
        }
    }
}

impl Log {
    /// Moves what the inlet `at` has now, and enters it; returns how much that was.
    fn move_piece(&mut self, at: usize) -> io::Result<usize> {
        let inlet = &mut self.inlets[at].1;
        let moved = inlet.move_bytes()?;
        inlet.end += moved as u64;
        // What a failure has kept out of the index is entered with what comes next.
        if inlet.end > inlet.entered {
            let (offset, length) = (inlet.entered, (inlet.end - inlet.entered) as u32);
            self.index.append(Piece { stream: inlet.stream, offset, length, time: now() })?;
            inlet.entered = inlet.end;
        }
        Ok(moved)
    }
}

impl Inlet {
    fn move_bytes(&mut self) -> io::Result<usize> {
        if self.copied {
            return self.copy_bytes();
        }
        // There is no file for nothing.
        if self.spool.existing().is_none() && rustix::io::ioctl_fionread(&self.source)? == 0 {
            return Ok(0);
        }
        let mut end = self.end;
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(self.source.as_fd(), None, self.spool.make()?.as_fd(), Some(&mut end), PIECE, flags) {
            Ok(moved) => Ok(moved),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies what a terminal has. It is shared with others, so it is not set to never block, but asked first.
    fn copy_bytes(&mut self) -> io::Result<usize> {
        if rustix::io::ioctl_fionread(&self.source)? == 0 && !self.hung_up()? {
            return Ok(0);
        }
        let mut bytes = [0; 16 * 1024];
        let read = match rustix::io::read(&self.source, &mut bytes) {
            Ok(read) => read,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        std::os::unix::fs::FileExt::write_all_at(self.spool.make()?, &bytes[..read], self.end)?;
        Ok(read)
    }

    /// Whether the last inner end of a terminal has been closed.
    fn hung_up(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.source, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(polled[0].revents().contains(PollFlags::HUP))
    }
}

/// Enters the bytes that an engine moved and died before it could enter them.
fn enter_tail(index: &mut IndexWriter, stream: Stream, entered: u64, end: u64) -> io::Result<()> {
    let mut offset = entered;
    while offset < end {
        let length = u32::try_from(end - offset).unwrap_or(u32::MAX);
        index.append(Piece { stream, offset, length, time: now() })?;
        offset += u64::from(length);
    }
    Ok(())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
