//! A connection that has left HTTP: what is said on it, and what the caller's terminal and signals have to do
//! with it.
//!
//! ```text
//! engine ── Started [terminal] ──► a window on it
//!        ── Operation, Ended ───► told
//! SIGWINCH ─────────────────────► the window's size
//! other signals ────────────────► the process, or the end of us
//! ```
//!
//! Source: [`trice_api::stream`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;
use trice_api::event::OperationEvent;
use trice_api::fault::Fault;
use trice_api::stream::{StreamEnd, StreamNotice, StreamRequest};
use trice_model::signal::Signal;

use crate::engine::EngineError;
use crate::terminal::Window;

/// What becomes of signals that we get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// They do what they usually do.
    Usual,
    /// They end us, after the terminal has been restored.
    Leave,
    /// They are for the process.
    PassOn,
}

/// What is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// What happens on the way to a one-off's start.
    Operation(OperationEvent),
    /// The process runs.
    Started,
    /// It has ended with this code.
    Ended(i32),
    /// It could not be run.
    Failed(Fault),
    /// The engine has died.
    Broken,
    /// A signal came that ends us.
    Signal(u8),
}

type Notices = mpsc::UnboundedReceiver<(StreamNotice, Vec<OwnedFd>)>;

/// One side of the conversation.
pub(crate) struct Conversation {
    writer: StreamEnd,
    notices: Notices,
    input: bool,
    signals: Signals,
    caught: Vec<(Signal, SignalStream)>,
    resized: Option<SignalStream>,
    window: Option<Window>,
    /// Those that have come and are not used yet.
    descriptors: Vec<OwnedFd>,
}

impl Conversation {
    /// Begins by handing over the process's streams. With `input`, keys go to its terminal if it has one.
    pub(crate) fn begin(
        end: StreamEnd,
        streams: &[OwnedFd],
        input: bool,
        signals: Signals,
    ) -> Result<Self, EngineError> {
        let (writer, notices) = begin(end, streams).map_err(EngineError::Stream)?;
        let caught = catch(signals).map_err(EngineError::Stream)?;
        let resized = signal(SignalKind::window_change()).ok();
        let (window, descriptors) = (None, Vec::new());
        Ok(Self { writer, notices, input, signals, caught, resized, window, descriptors })
    }

    /// Goes on over another connection, with the window that is open.
    pub(crate) fn go_on(&mut self, end: StreamEnd, streams: &[OwnedFd]) -> Result<(), EngineError> {
        (self.writer, self.notices) = begin(end, streams).map_err(EngineError::Stream)?;
        Ok(())
    }

    /// Waits for what is told next. Nothing is lost if the waiting is given up.
    pub(crate) async fn next(&mut self) -> Result<Told, EngineError> {
        loop {
            tokio::select! {
                notice = self.notices.recv() => return self.take(notice),
                signal = any(&mut self.caught) => match self.signals {
                    // Where nobody is there to hear it, the end is told next.
                    Signals::PassOn => drop(self.writer.send(&StreamRequest::Signal(signal), &[])),
                    Signals::Leave | Signals::Usual => return Ok(Told::Signal(signal.number())),
                },
                () = change(&mut self.resized) => {
                    if let Some(window) = &self.window {
                        window.resize();
                    }
                }
            }
        }
    }

    /// Waits for the rest of a terminal's output, and gives the caller his terminal back.
    pub(crate) async fn settle(&mut self) {
        if let Some(mut window) = self.window.take() {
            window.settle().await;
        }
    }

    /// Waits for the end of a terminal's output, or for a signal that ends us: nobody will tell of the
    /// process's end.
    pub(crate) async fn drain(&mut self) {
        if let Some(window) = &mut self.window {
            tokio::select! {
                () = window.drain() => {}
                _ = any(&mut self.caught) => {}
            }
        }
        self.window = None;
    }

    /// Says that nothing more of the process is wanted.
    pub(crate) fn done(&self) {
        // An engine that has died keeps nothing for us.
        let _ = self.writer.send(&StreamRequest::Done, &[]);
    }

    fn take(&mut self, notice: Option<(StreamNotice, Vec<OwnedFd>)>) -> Result<Told, EngineError> {
        let Some((notice, descriptors)) = notice else { return Ok(Told::Broken) };
        // The kernel gives out descriptors with the first of several messages that are read at once.
        self.descriptors.extend(descriptors);
        Ok(match notice {
            StreamNotice::Operation(event) => Told::Operation(event),
            StreamNotice::Ended(code) => Told::Ended(code),
            StreamNotice::Failed(fault) => Told::Failed(fault),
            StreamNotice::Started => {
                // After the engine has died there is a window already.
                if let (None, Some(terminal)) = (&self.window, self.descriptors.pop()) {
                    self.window = Some(Window::open(terminal, self.input).map_err(EngineError::Stream)?);
                }
                Told::Started
            }
        })
    }
}

/// Hands the streams over, and listens in a thread of its own.
fn begin(mut end: StreamEnd, streams: &[OwnedFd]) -> io::Result<(StreamEnd, Notices)> {
    let writer = end.writer()?;
    let streams: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
    writer.send(&StreamRequest::Begin, &streams)?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("notices".to_owned()).spawn(move || {
        while let Ok(Some(notice)) = end.receive() {
            if sender.send(notice).is_err() {
                return;
            }
        }
    })?;
    Ok((writer, receiver))
}

/// Listens to the signals that are not left to do what they usually do.
fn catch(signals: Signals) -> io::Result<Vec<(Signal, SignalStream)>> {
    let names: &[&str] = match signals {
        Signals::Usual => &[],
        Signals::Leave => &["HUP", "INT", "QUIT", "TERM"],
        Signals::PassOn => &["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"],
    };
    let caught = names.iter().filter_map(|name| name.parse::<Signal>().ok());
    caught.map(|number| Ok((number, signal(SignalKind::from_raw(number.number().into()))?))).collect()
}

/// Waits for any of them, forever if there is none.
async fn any(signals: &mut [(Signal, SignalStream)]) -> Signal {
    std::future::poll_fn(|context| {
        let came = signals
            .iter_mut()
            .find_map(|(signal, stream)| stream.poll_recv(context).is_ready().then_some(*signal));
        came.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

async fn change(resized: &mut Option<SignalStream>) {
    match resized {
        Some(resized) => drop(resized.recv().await),
        None => std::future::pending().await,
    }
}
