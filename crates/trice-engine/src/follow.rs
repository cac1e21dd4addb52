//! Giving out what containers wrote, and going on while they write.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use trice_api::call::Logs;
use trice_api::event::ContainerEvent;
use trice_api::frame::{Frame, LogStream};
use trice_api::view::ContainerView;
use trice_model::container::ContainerState;
use trice_model::id::ContainerId;
use trice_model::name::ContainerName;
use trice_model::time::Timestamp;
use trice_runtime::logs::reader::{Line, LogReader, Tail};
use trice_runtime::logs::{LogFolder, Stream};

use crate::serve::Service;

/// The size from which frames are sent on.
const CHUNK: usize = 64 * 1024;

/// A container whose log is being read.
struct Followed {
    number: u16,
    reader: LogReader,
    /// How many lines have been read, from the log's beginning.
    read: u64,
}

/// One client's look at logs.
pub(crate) struct Follower {
    call: Logs,
    service: Service,
    out: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    followed: BTreeMap<ContainerId, Followed>,
    introduced: BTreeMap<ContainerName, u16>,
}

/// The client has gone.
struct Gone;

impl Follower {
    /// Begins with nothing read.
    pub(crate) fn new(call: Logs, service: Service, out: mpsc::Sender<Bytes>) -> Self {
        let (buffer, followed, introduced) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { call, service, out, buffer, followed, introduced }
    }

    /// Gives out all there is, and goes on if that is asked for.
    pub(crate) async fn run(mut self) {
        // A client that goes away ends this; there is nobody to tell.
        let _ = self.give_out().await;
    }

    async fn give_out(&mut self) -> Result<(), Gone> {
        // Listening begins before looking, so that nothing falls in between.
        let mut ticks = self.service.log_ticks();
        let mut changes = self.service.watch(self.call.of.clone());
        let mut containers = self.service.containers(self.call.of.clone()).await;
        containers.sort_by_key(|container| container.created_at);
        for container in &containers {
            self.begin(container).await?;
        }
        while self.call.follow {
            self.read_on().await?;
            if !self.call.forever && !is_any_alive(&containers) {
                // Its end was told after its last output had been put away.
                break;
            }
            wait(&mut ticks, &mut changes, &self.out).await?;
            containers = self.service.containers(self.call.of.clone()).await;
            for container in &containers {
                self.begin(container).await?;
            }
        }
        self.finish().await
    }

    /// Takes up a container: what it wrote so far is given out as far as the client asked for it.
    async fn begin(&mut self, container: &ContainerView) -> Result<(), Gone> {
        if self.followed.contains_key(&container.id) {
            return Ok(());
        }
        let number = self.introduce(&container.name);
        let folder: LogFolder = self.service.backends.containers.log(&container.id);
        let mut followed = Followed { number, reader: LogReader::new(folder), read: 0 };
        let lines = self.first_lines(&mut followed, container);
        for line in lines {
            self.give(number, line).await?;
        }
        self.followed.insert(container.id.clone(), followed);
        Ok(())
    }

    fn introduce(&mut self, name: &ContainerName) -> u16 {
        let next = self.introduced.len() as u16;
        let number = *self.introduced.entry(name.clone()).or_insert(next);
        if number == next {
            Frame::Introduce { number, name: name.to_string() }.encode(&mut self.buffer);
        }
        number
    }

    /// Reads what is there, and returns what of it the client wants.
    fn first_lines(&self, followed: &mut Followed, container: &ContainerView) -> Vec<Line> {
        let since = if self.call.since_start { container.started_at } else { None };
        let since = self.call.since.max(since);
        let skip = self.call.after.get(&container.name).copied().unwrap_or(0);
        let mut tail = Tail::new(self.call.tail.unwrap_or(usize::MAX));
        while let Ok(lines) = followed.reader.next_lines()
            && !lines.is_empty()
        {
            for line in lines {
                followed.read += 1;
                if followed.read > skip && self.is_wanted(&line, since) {
                    tail.push(line);
                }
            }
        }
        tail.into_lines().into()
    }

    fn is_wanted(&self, line: &Line, since: Option<Timestamp>) -> bool {
        since.is_none_or(|since| line.time >= since) && self.call.until.is_none_or(|until| line.time < until)
    }

    /// Gives out what has come since.
    async fn read_on(&mut self) -> Result<(), Gone> {
        let ids: BTreeSet<ContainerId> = self.followed.keys().cloned().collect();
        for id in ids {
            while let Some(followed) = self.followed.get_mut(&id) {
                let lines = followed.reader.next_lines().unwrap_or_default();
                followed.read += lines.len() as u64;
                let number = followed.number;
                if lines.is_empty() {
                    break;
                }
                for line in lines {
                    if self.is_wanted(&line, None) {
                        self.give(number, line).await?;
                    }
                }
            }
        }
        self.flush().await
    }

    /// Gives out the last lines, those without an end too.
    async fn finish(&mut self) -> Result<(), Gone> {
        self.read_on().await?;
        let rest: Vec<(u16, Vec<Line>)> =
            self.followed.values_mut().map(|followed| (followed.number, followed.reader.rest())).collect();
        for (number, lines) in rest {
            for line in lines {
                self.give(number, line).await?;
            }
        }
        self.flush().await
    }

    async fn give(&mut self, number: u16, line: Line) -> Result<(), Gone> {
        let stream = match line.stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        };
        Frame::Line { number, stream, time: line.time, bytes: line.bytes }.encode(&mut self.buffer);
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.out.send(bytes).await.map_err(|_| Gone)
    }
}

fn is_any_alive(containers: &[ContainerView]) -> bool {
    containers.iter().any(|container| match container.state {
        ContainerState::Running { .. } | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    })
}

/// Waits until there is more of any log, a container changes, or the client goes.
async fn wait(
    ticks: &mut watch::Receiver<u64>,
    changes: &mut mpsc::UnboundedReceiver<ContainerEvent>,
    out: &mpsc::Sender<Bytes>,
) -> Result<(), Gone> {
    tokio::select! {
        () = out.closed() => Err(Gone),
        tick = ticks.changed() => tick.map_err(|_| Gone),
        change = changes.recv() => change.map(drop).ok_or(Gone),
    }
}
