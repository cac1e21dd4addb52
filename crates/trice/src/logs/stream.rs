//! An answer in frames that survives the engine: read once more, and shown from where it was.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use trice_api::call::Logs;
use trice_api::client::{ClientError, Frames};
use trice_api::frame::{Frame, LogStream};
use trice_model::time::Timestamp;

use super::seen::Seen;
use crate::engine::{Engine, EngineError, Trials};

/// A line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) container: String,
    pub(crate) stream: LogStream,
    pub(crate) time: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

/// Logs, as they are asked for.
pub(crate) struct LogLines<'a> {
    engine: &'a Engine,
    call: Logs,
    open: Option<Frames>,
    was_open: bool,
    names: BTreeMap<u16, String>,
    seen: Seen,
    trials: Trials,
}

impl<'a> LogLines<'a> {
    pub(crate) fn new(engine: &'a Engine, call: Logs) -> Self {
        let (names, seen, trials) = (BTreeMap::new(), Seen::default(), Trials::default());
        Self { engine, call, open: None, was_open: false, names, seen, trials }
    }

    /// Waits for the next line; `None` after the last. Nothing is lost if the waiting is given up.
    pub(crate) async fn next(&mut self) -> Result<Option<Written>, EngineError> {
        loop {
            let result = match &mut self.open {
                Some(frames) => frames.next().await,
                None => match self.open().await? {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            match result {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    self.trials.succeeded();
                    if let Some(written) = self.take(frame) {
                        return Ok(Some(written));
                    }
                }
                Err(error) => {
                    self.open = None;
                    self.trials.failed(error, self.engine).await?;
                }
            }
        }
    }

    /// Returns the next line if it is there already; `None` if it has to be waited for.
    pub(crate) async fn ready(&mut self) -> Option<Result<Option<Written>, EngineError>> {
        let mut next = pin!(self.next());
        poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(line) => Poll::Ready(Some(line)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Ends the following: what comes now are the lines that are there and have not been shown.
    pub(crate) fn finish(&mut self) {
        self.call.follow = false;
        self.open = None;
    }

    async fn open(&mut self) -> Result<Result<(), ClientError>, EngineError> {
        if self.was_open {
            self.seen.begin_again();
            self.call.tail = None;
            self.call.since = self.call.since.max(self.seen.since());
        }
        let mut client = self.engine.connect().await?;
        let opened = self.engine.in_time(client.logs(&self.call)).await?;
        Ok(opened.map(|frames| {
            self.names.clear();
            // A client that asked for no old lines gets those from now on, whenever it asks again.
            if self.call.tail == Some(0) {
                self.call.since = self.call.since.max(Some(crate::clock::now()));
            }
            self.was_open = true;
            self.open = Some(frames);
        }))
    }

    fn take(&mut self, frame: Frame) -> Option<Written> {
        match frame {
            Frame::Introduce { number, name } => {
                self.names.insert(number, name);
                None
            }
            Frame::Line { number, stream, time, bytes } => {
                let container = self.names.get(&number)?.clone();
                let is_new = self.seen.is_new(&container, time);
                is_new.then_some(Written { container, stream, time, bytes })
            }
        }
    }
}
