//! Reaching the engine: starting one if there is none, and going on when it dies in the middle.
//!
//! ```text
//! connect ── nobody there ──► found a keeper ── ready ──► connect
//!    ▲                              ├── taken: somebody else is starting, or just leaving ──► wait ─┐
//!    │                              └── killed before it was ready ────────────────────────► wait ─┤
//!    └──────────────────────────────────────────────────────────────────────────────────────────────┘
//! ask ── broken ──► ask the same again      until nothing has come for too long
//! ```
//!
//! A request that is asked again is the same to the engine: it carries the moment at which it was first
//! asked.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use trice_api::call::Call;
use trice_api::client::{Client, ClientError, Lines as OpenLines};
use trice_api::fault::Fault;
use trice_api::stream::StreamEnd;
use trice_model::registry::RegistryAccess;
use trice_runtime::keeper::launch::{self, Founded, LaunchError};
use trice_runtime::keeper::start::Directories;

/// How long an engine may be dead or silent before that is an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two looks at whether it is there.
const PAUSE: Duration = Duration::from_millis(5);
/// How many of its log's last lines are shown when it does not come.
const LAST_LINES: usize = 5;
/// How much of its log is read for that.
const LAST_BYTES: u64 = 8 * 1024;

/// Why the engine could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// Its folder or its log could not be made.
    #[error("make `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    /// No keeper could be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It does not come, or dies again and again.
    #[error("the engine does not answer")]
    Silent { log: PathBuf, last_lines: String, source: Option<Box<ClientError>> },
    /// It answered with an error.
    #[error(transparent)]
    Fault(Fault),
    /// It answered something else than expected.
    #[error(transparent)]
    Answer(ClientError),
    /// The connection for descriptors failed.
    #[error("talk to the engine")]
    Stream(#[source] io::Error),
}

impl EngineError {
    /// Returns what to do, or where to look.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Silent { log, last_lines, .. } if last_lines.is_empty() => {
                Some(format!("its log is `{}`", log.display()))
            }
            Self::Silent { log, last_lines, .. } => {
                Some(format!("its log, `{}`, ends with\n{last_lines}", log.display()))
            }
            Self::Answer(_) => Some(
                "an engine of another version runs: it leaves when no container runs any more".to_owned(),
            ),
            Self::Folder { .. } | Self::Launch(_) | Self::Fault(_) | Self::Stream(_) => None,
        }
    }
}

/// The way to the engine of these directories.
#[derive(Debug)]
pub(crate) struct Engine {
    directories: Directories,
    access: RegistryAccess,
}

impl Engine {
    pub(crate) fn new(directories: Directories) -> Self {
        Self { directories, access: RegistryAccess::default() }
    }

    /// Has requests that may need images take along how the caller gets to registries.
    pub(crate) fn with_access(self, access: RegistryAccess) -> Self {
        Self { access, ..self }
    }

    /// How the caller gets to registries.
    pub(crate) fn access(&self) -> RegistryAccess {
        self.access.clone()
    }

    /// Connects to the engine, and starts it if there is none.
    pub(crate) async fn connect(&self) -> Result<Client, EngineError> {
        let mut trials = Trials::default();
        loop {
            let error = match Client::connect(&self.directories.socket()).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if !is_nobody_there(&error) || self.found()? != Founded::Ready {
                trials.failed(error, self).await?;
            }
        }
    }

    /// Asks for something that has one answer.
    pub(crate) async fn call<C: Call>(&self, call: &C) -> Result<C::Answer, EngineError> {
        let mut trials = Trials::default();
        loop {
            let mut client = self.connect().await?;
            match self.in_time(client.call(call)).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => trials.failed(error, self).await?,
            }
        }
    }

    /// Asks for something whose answer comes in lines.
    pub(crate) fn lines<C: Call>(&self, call: C) -> Lines<'_, C> {
        Lines { engine: self, call: Rc::new(call), opening: None, open: None, trials: Trials::default() }
    }

    /// Asks for something after which the connection leaves HTTP.
    pub(crate) async fn stream<C: Call>(&self, call: &C) -> Result<StreamEnd, EngineError> {
        let mut trials = Trials::default();
        loop {
            let client = self.connect().await?;
            match self.in_time(client.stream(call)).await? {
                Ok(end) => return Ok(end),
                Err(error) => trials.failed(error, self).await?,
            }
        }
    }

    /// Waits for an answer's beginning, but not forever: a keeper takes connections for an engine that never
    /// comes.
    pub(crate) async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, EngineError> {
        timeout(3 * PATIENCE, answer).await.map_err(|_| self.silent(None))
    }

    fn found(&self) -> Result<Founded, EngineError> {
        let errors = self.open_log()?;
        Ok(launch::found(&self.directories, errors)?)
    }

    fn log_path(&self) -> PathBuf {
        trice_engine::start::log_file(&self.directories.data)
    }

    /// Opens the engine's log, to which keeper and engine write what they cannot say otherwise.
    fn open_log(&self) -> Result<OwnedFd, EngineError> {
        let folder = &self.directories.data;
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| EngineError::Folder { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let path = self.log_path();
        let log = File::options().create(true).append(true).mode(0o600).open(&path).map_err(failed(&path))?;
        Ok(log.into())
    }

    fn silent(&self, source: Option<ClientError>) -> EngineError {
        let log = self.log_path();
        let last_lines = last_lines(&end_of(&log).unwrap_or_default());
        EngineError::Silent { log, last_lines, source: source.map(Box::new) }
    }
}

fn is_nobody_there(error: &ClientError) -> bool {
    match error {
        ClientError::Connect(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        }
        ClientError::Broken(_) | ClientError::Fault(_) | ClientError::Unreadable(_) => false,
    }
}

fn end_of(path: &PathBuf) -> io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Failures in a row, and since when.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    since: Option<Instant>,
}

impl Trials {
    /// Takes in a failure: returns after a pause if another trial makes sense.
    pub(crate) async fn failed(&mut self, error: ClientError, engine: &Engine) -> Result<(), EngineError> {
        match error {
            ClientError::Fault(fault) => return Err(EngineError::Fault(fault)),
            ClientError::Unreadable(_) => return Err(EngineError::Answer(error)),
            ClientError::Connect(_) | ClientError::Broken(_) => {}
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(engine.silent(Some(error)));
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// Takes in an answer: the engine lives.
    pub(crate) fn succeeded(&mut self) {
        self.since = None;
    }
}

/// An answer in lines that survives the engine.
pub(crate) struct Lines<'a, C: Call> {
    engine: &'a Engine,
    call: Rc<C>,
    /// The request on its way: kept while nobody waits for it, because it must not be sent twice.
    opening: Option<Opening<'a, C::Answer>>,
    open: Option<OpenLines<C::Answer>>,
    trials: Trials,
}

/// A request on its way, and what becomes of it.
type Opening<'a, T> =
    Pin<Box<dyn Future<Output = Result<Result<OpenLines<T>, ClientError>, EngineError>> + 'a>>;

/// What is heard on the way of such an answer.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// The request has been taken, for the first time or by another engine: what happened in between was not
    /// heard.
    Opened,
    /// A line.
    Line(T),
}

impl<'a, C: Call + 'a> Lines<'a, C> {
    /// Waits for what is heard next. Nothing is lost if the waiting is given up.
    pub(crate) async fn next(&mut self) -> Result<Heard<C::Answer>, EngineError> {
        loop {
            let result = match &mut self.open {
                Some(open) => open.next().await.map(|line| line.map(Heard::Line)),
                None => self.open().await?.map(|()| Some(Heard::Opened)),
            };
            let error = match result {
                Ok(Some(heard)) => {
                    if let Heard::Line(_) = heard {
                        self.trials.succeeded();
                    }
                    return Ok(heard);
                }
                // The asker ends these answers, by what they say: one that ends before is broken.
                Ok(None) => ClientError::Broken(Box::from("the answer ended too early")),
                Err(error) => error,
            };
            self.open = None;
            self.trials.failed(error, self.engine).await?;
        }
    }

    async fn open(&mut self) -> Result<Result<(), ClientError>, EngineError> {
        let (engine, call) = (self.engine, &self.call);
        let opening = self.opening.get_or_insert_with(|| {
            let call = Rc::clone(call);
            Box::pin(async move {
                let mut client = engine.connect().await?;
                engine.in_time(client.lines(&*call)).await
            })
        });
        let opened = opening.await;
        self.opening = None;
        Ok(opened?.map(|lines| self.open = Some(lines)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_log_are_shown_indented() {
        assert_eq!(last_lines("1\n2\n3\n4\n5\n6\n"), "  2\n  3\n  4\n  5\n  6");
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn a_refused_connection_is_nobody_and_a_full_queue_is_somebody() {
        let connect = |kind: io::ErrorKind| is_nobody_there(&ClientError::Connect(kind.into()));
        assert!(connect(io::ErrorKind::NotFound) && connect(io::ErrorKind::ConnectionRefused));
        assert!(!connect(io::ErrorKind::WouldBlock));
    }
}
