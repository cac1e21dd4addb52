//! Staying with a one-off until it has ended.
//!
//! ```text
//!           ┌── with a terminal: its outer end, shown on the caller's
//! engine ───┤
//!           └── without: what it wrote, from its log; the caller's input through a pipe
//! ```
//!
//! If the engine dies, the container does not: another engine is asked how it does, and is stayed with.

use std::time::Duration;

use tokio::time::{interval, sleep, timeout};
use trice_api::call::{Attach, ListContainers, Logs, Run, Selection};
use trice_api::event::OperationEvent;
use trice_api::fault::{Code, Fault};
use trice_model::container::ContainerState;
use trice_model::intent::Intent;
use trice_model::name::ContainerName;
use trice_model::time::Timestamp;

use crate::clock;
use crate::conversation::{Conversation, Signals, Told};
use crate::engine::{Engine, EngineError};
use crate::failure::{FAILED, Failure};
use crate::logs::prefix::Style;
use crate::logs::printer::Printer;
use crate::logs::stream::{LogLines, Written};
use crate::progress::{FRAME, Progress};
use crate::project::Places;
use crate::relay::Pipes;

/// How long the removal of a one-off is waited for.
const REMOVAL: Duration = Duration::from_secs(10);
/// The time between two looks at whether it is gone.
const PAUSE: Duration = Duration::from_millis(2);

/// A one-off that is to be run.
pub(super) struct OneOff<'a> {
    pub(super) engine: &'a Engine,
    pub(super) intent: Intent,
    pub(super) name: ContainerName,
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) rm: bool,
}

/// What is to be done after the engine has died.
enum Resumption {
    /// It has ended, with this code.
    Ended(i32),
    /// It runs.
    Attach,
    /// It is not there.
    RunAgain,
}

impl OneOff<'_> {
    /// Runs it, and stays with it. Returns its code.
    pub(super) async fn attend(&self, mut progress: Progress, places: &Places) -> Result<u8, Failure> {
        let asked_at = clock::now();
        let mut logs = (!self.tty).then(|| LogLines::new(self.engine, self.log(asked_at)));
        let mut printer = Printer::new("", Style { names: false, colours: false }, false, false);
        let pipes = Pipes::open(self.stdin && !self.tty, false).map_err(EngineError::Stream)?;
        let run = Run { intent: self.intent.clone(), asked_at, access: self.engine.access() };
        let end = self.engine.stream(&run).await?;
        let mut conversation = Conversation::begin(end, &pipes.theirs, self.stdin, Signals::PassOn)?;
        let mut frames = interval(FRAME);
        let mut is_running = false;
        let code = loop {
            tokio::select! {
                told = conversation.next() => match told? {
                    // From its start on the terminal is its own.
                    Told::Operation(_) if is_running => {}
                    Told::Operation(OperationEvent::Step(step)) => {
                        progress.step(&step);
                        is_running = self.runs(&mut progress);
                    }
                    Told::Operation(OperationEvent::Note(note)) => progress.note(&note),
                    Told::Operation(OperationEvent::Done | OperationEvent::Failed(_)) => {}
                    Told::Started => {
                        is_running = self.tty;
                        progress.settle();
                    }
                    Told::Ended(code) => break code,
                    Told::Failed(fault) => return Err(failure(fault, places)),
                    Told::Signal(number) => return Ok(128 + number),
                    Told::Broken => match self.resumption().await? {
                        Resumption::Ended(code) => break code,
                        Resumption::RunAgain => {
                            conversation.go_on(self.engine.stream(&run).await?, &pipes.theirs)?;
                        }
                        Resumption::Attach => {
                            let attach = Attach { container: self.name.clone() };
                            conversation.go_on(self.engine.stream(&attach).await?, &[])?;
                            // It may have ended before anybody listened.
                            if let Resumption::Ended(code) = self.resumption().await? {
                                break code;
                            }
                        }
                    },
                },
                line = next_line(&mut logs) => print(line?, &mut logs, &mut printer).await?,
                _ = frames.tick() => progress.draw(),
            }
        };
        progress.settle();
        conversation.settle().await;
        self.print_rest(logs, &mut printer).await?;
        conversation.done();
        if self.rm {
            self.wait_until_gone().await?;
        }
        Ok(u8::try_from(code).unwrap_or(FAILED))
    }

    /// Whether it has been started, as far as was told; then the view is left as it is.
    fn runs(&self, progress: &mut Progress) -> bool {
        let runs = progress.has_started(&self.name);
        if runs {
            progress.settle();
        }
        runs
    }

    fn selection(&self) -> Selection {
        Selection { names: [self.name.clone()].into(), ..Selection::default() }
    }

    fn log(&self, asked_at: Timestamp) -> Logs {
        Logs { of: self.selection(), follow: true, forever: true, since: Some(asked_at), ..Logs::default() }
    }

    async fn state(&self) -> Result<Option<ContainerState>, EngineError> {
        let containers = self.engine.call(&ListContainers { of: self.selection() }).await?;
        Ok(containers.first().map(|container| container.state))
    }

    async fn resumption(&self) -> Result<Resumption, EngineError> {
        Ok(match self.state().await? {
            None => Resumption::RunAgain,
            Some(ContainerState::Exited { exit }) => Resumption::Ended(exit.code()),
            Some(ContainerState::Created) => Resumption::RunAgain,
            Some(ContainerState::Running { .. } | ContainerState::Restarting { .. }) => Resumption::Attach,
        })
    }

    /// Prints the rest of its output. One that is to be removed stays until that is done.
    async fn print_rest(&self, mut logs: Option<LogLines<'_>>, printer: &mut Printer) -> Result<(), Failure> {
        if let Some(lines) = &mut logs {
            lines.finish();
        }
        while logs.is_some() {
            let line = next_line(&mut logs).await?;
            print(line, &mut logs, printer).await?;
        }
        Ok(())
    }

    async fn wait_until_gone(&self) -> Result<(), EngineError> {
        let gone = async {
            while self.state().await?.is_some() {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        // One that cannot be removed is told of by the engine's log, and stays visible.
        timeout(REMOVAL, gone).await.unwrap_or(Ok(()))
    }
}

fn failure(fault: Fault, places: &Places) -> Failure {
    match fault.code {
        Code::CommandNotFound | Code::CommandNotExecutable => Failure::Command(fault),
        Code::BadRequest
        | Code::NotFound
        | Code::Plan
        | Code::Image
        | Code::PortInUse
        | Code::Start
        | Code::Dependency
        | Code::Superseded
        | Code::Cancelled
        | Code::Machine
        | Code::Internal => places.failure(vec![fault]),
    }
}

/// Prints a line and those that are there already; without one there are no more to come.
async fn print(
    first: Option<Written>,
    logs: &mut Option<LogLines<'_>>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut next = Some(Ok(first));
    while let Some(line) = next {
        let (Some(written), Some(lines)) = (line?, logs.as_mut()) else {
            *logs = None;
            break;
        };
        printer.print(&written)?;
        next = lines.ready().await;
    }
    printer.flush()
}

/// Waits for the next line, forever if there are none to come.
async fn next_line(logs: &mut Option<LogLines<'_>>) -> Result<Option<Written>, EngineError> {
    match logs {
        Some(logs) => logs.next().await,
        None => std::future::pending().await,
    }
}
