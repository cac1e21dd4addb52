//! An attached `up`: the operation, what its containers write, and what becomes of them, until they have
//! ended.
//!
//! ```text
//!          ┌─ operation ── progress
//! engine ──┼─ logs ─────── stdout, stderr
//!          └─ watch ────── attachment ── stop, finish
//! Ctrl-C ───── first: stop what was asked for; second: kill it; third: leave
//! ```

use std::collections::BTreeSet;

use tokio::time::interval;
use trice_api::call::{Kill, ListContainers, Logs, Selection, Watch};
use trice_api::event::{ContainerChange, ContainerEvent};
use trice_api::fault::{Code, Fault};
use trice_model::intent::Intent;
use trice_model::name::{ProjectName, ServiceName};
use trice_model::signal::Signal;

use crate::attachment::{Abort, Attachment, Next};
use crate::engine::{Engine, EngineError, Heard, Lines};
use crate::failure::{FAILED, Failure, INTERRUPTED};
use crate::interrupts::Interrupts;
use crate::logs::prefix::label;
use crate::logs::printer::Printer;
use crate::logs::stream::{LogLines, Written};
use crate::operation::Operation;
use crate::progress::{FRAME, Progress};
use crate::project::Places;

/// What an attached `up` shows and when it ends.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) project: ProjectName,
    /// The services that were asked for: their containers are watched, and stopped in the end.
    pub(crate) targets: BTreeSet<ServiceName>,
    /// Those whose output is shown.
    pub(crate) shown: BTreeSet<ServiceName>,
    pub(crate) abort: Abort,
    pub(crate) code_from: Option<ServiceName>,
    /// In place of each container's grace, when it is stopped in the end.
    pub(crate) timeout: Option<std::time::Duration>,
}

impl Attach {
    fn selection(&self, services: &BTreeSet<ServiceName>) -> Selection {
        Selection { project: Some(self.project.clone()), services: services.clone(), ..Selection::default() }
    }

    fn stop(&self) -> Intent {
        Intent::Stop { project: self.project.clone(), services: self.targets.clone(), timeout: self.timeout }
    }
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The containers come up.
    Coming,
    /// They run.
    Up,
    /// They are being stopped, for this reason.
    Stopping(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Aborted,
    Interrupted,
    Killed,
}

/// Brings a project up and stays with it. Returns the code to end with.
pub(crate) async fn run(
    engine: &Engine,
    intent: Intent,
    attach: Attach,
    printer: Printer,
    progress: &mut Progress,
    places: &Places,
) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut watch = engine.lines(Watch { of: attach.selection(&attach.targets) });
    // Before anything begins: what happens from here on is heard.
    while !matches!(watch.next().await?, Heard::Opened) {}
    let operation = Operation::begin(engine, intent);
    let mut logs = logs(engine, &attach, &operation);
    let attachment = Attachment::new(attach.abort, attach.code_from.clone(), operation.asked_at());
    let (phase, one_offs) = (Phase::Coming, BTreeSet::new());
    let operation = Some(operation);
    let mut session =
        Session { engine, attach, printer, progress, places, attachment, phase, operation, one_offs };
    let code = session.stay(&mut watch, &mut logs, &mut interrupts).await;
    match (&code, &mut logs) {
        // An engine that does not answer has no lines to give either.
        (Err(Failure::Engine(_) | Failure::Output(_)), _) | (_, None) => code,
        (_, Some(logs)) => session.drain(logs).await.and(code),
    }
}

/// Returns the lines to show; none if nobody's are.
fn logs<'a>(engine: &'a Engine, attach: &Attach, operation: &Operation<'_>) -> Option<LogLines<'a>> {
    let call = Logs {
        of: attach.selection(&attach.shown),
        follow: true,
        forever: true,
        // What a container that runs already wrote before belongs to another `up`.
        since: Some(operation.asked_at()),
        ..Logs::default()
    };
    (!attach.shown.is_empty()).then(|| LogLines::new(engine, call))
}

struct Session<'a> {
    engine: &'a Engine,
    attach: Attach,
    printer: Printer,
    progress: &'a mut Progress,
    places: &'a Places,
    attachment: Attachment,
    phase: Phase,
    operation: Option<Operation<'a>>,
    /// Containers of `run`, whose output is shown where they were run.
    one_offs: BTreeSet<String>,
}

impl Session<'_> {
    async fn stay(
        &mut self,
        watch: &mut Lines<'_, Watch>,
        logs: &mut Option<LogLines<'_>>,
        interrupts: &mut Interrupts,
    ) -> Result<u8, Failure> {
        let mut frames = interval(FRAME);
        loop {
            tokio::select! {
                heard = watch.next() => {
                    let next = match heard? {
                        Heard::Opened => self.look().await?,
                        Heard::Line(event) => self.change(&event)?,
                    };
                    if let Some(code) = self.follow(next) {
                        return Ok(code);
                    }
                }
                line = next_line(logs) => {
                    let line = line?;
                    if let Some(lines) = logs
                        && !self.print(line, lines).await?
                    {
                        *logs = None;
                    }
                }
                result = next_step(&mut self.operation, self.progress) => {
                    if let Some(result) = result?
                        && let Some(code) = self.operation_is_over(result).await?
                    {
                        return Ok(code);
                    }
                }
                () = interrupts.next() => {
                    if self.interrupted().await? {
                        return Ok(INTERRUPTED);
                    }
                }
                _ = frames.tick() => self.progress.draw(),
            }
        }
    }

    /// Looks how all watched containers do.
    async fn look(&mut self) -> Result<Next, Failure> {
        let of = self.attach.selection(&self.attach.targets);
        let containers = self.engine.call(&ListContainers { of }).await?;
        let one_offs = containers.iter().filter(|container| !container.role.is_replica());
        self.one_offs.extend(one_offs.map(|container| container.name.to_string()));
        Ok(self.attachment.look(&containers))
    }

    fn change(&mut self, event: &ContainerEvent) -> Result<Next, Failure> {
        if event.oneoff {
            self.one_offs.insert(event.container.to_string());
        } else if let ContainerChange::Exited { code, restarting } = event.what
            && self.attach.shown.contains(&event.service)
        {
            let name = label(self.attach.project.as_str(), event.container.as_str());
            let again = if restarting { " (restarting)" } else { "" };
            self.progress.aside(|out| writeln!(out, "{name} exited with code {code}{again}"));
        }
        Ok(self.attachment.change(event))
    }

    /// Does what follows from what happened to containers. Returns the code if it is all over.
    fn follow(&mut self, next: Next) -> Option<u8> {
        match (next, self.phase) {
            (Next::GoOn, _) | (_, Phase::Stopping(_)) | (Next::Finished, Phase::Coming) => None,
            (Next::Finished, Phase::Up) => Some(code(self.attachment.code())),
            (Next::Stop, Phase::Coming | Phase::Up) => {
                self.progress.aside(|out| writeln!(out, "Aborting on container exit..."));
                self.begin_stop(Why::Aborted);
                None
            }
        }
    }

    fn begin_stop(&mut self, why: Why) {
        self.phase = Phase::Stopping(why);
        self.progress.begin_again("stop");
        // It takes over from the `up`, if that is still on its way.
        self.operation = Some(Operation::begin(self.engine, self.attach.stop()));
    }

    /// Takes in the end of the `up` or of the stop. Returns the code if it is all over.
    async fn operation_is_over(&mut self, result: Result<(), Vec<Fault>>) -> Result<Option<u8>, Failure> {
        self.operation = None;
        self.progress.end(result.is_ok());
        match (self.phase, result) {
            (Phase::Coming | Phase::Up, Err(faults)) => Err(self.places.failure(faults)),
            (Phase::Coming | Phase::Up, Ok(())) => {
                self.phase = Phase::Up;
                self.attachment.up_is_done();
                let next = self.look().await?;
                Ok(self.follow(next))
            }
            // Who asked for it needs no word about it.
            (Phase::Stopping(Why::Interrupted | Why::Killed), _) => Ok(Some(INTERRUPTED)),
            (Phase::Stopping(Why::Aborted), Err(faults)) if !is_superseded(&faults) => {
                Err(self.places.failure(faults))
            }
            (Phase::Stopping(Why::Aborted), Ok(()) | Err(_)) => {
                // The code may be that of a container which the stop has ended.
                self.look().await?;
                Ok(Some(code(self.attachment.code())))
            }
        }
    }

    /// Takes in a Ctrl-C. Returns whether that is enough.
    async fn interrupted(&mut self) -> Result<bool, Failure> {
        match self.phase {
            Phase::Coming | Phase::Up => {
                self.progress
                    .aside(|out| writeln!(out, "\nGracefully stopping... (press Ctrl+C again to force)"));
                self.begin_stop(Why::Interrupted);
                Ok(false)
            }
            Phase::Stopping(Why::Aborted | Why::Interrupted) => {
                self.phase = Phase::Stopping(Why::Killed);
                let of = self.attach.selection(&self.attach.targets);
                self.engine.call(&Kill { of, signal: Signal::KILL }).await?;
                Ok(false)
            }
            Phase::Stopping(Why::Killed) => Ok(true),
        }
    }

    /// Prints a line, and with it those that are there already. Returns whether there are more to come.
    async fn print(&mut self, first: Option<Written>, logs: &mut LogLines<'_>) -> Result<bool, Failure> {
        self.progress.make_room();
        let mut next = Some(Ok(first));
        while let Some(line) = next {
            let Some(written) = line? else {
                self.printer.flush()?;
                return Ok(false);
            };
            if !self.one_offs.contains(&written.container) {
                self.printer.print(&written)?;
            }
            next = logs.ready().await;
        }
        self.printer.flush()?;
        Ok(true)
    }

    /// Prints what is left to be printed.
    async fn drain(&mut self, logs: &mut LogLines<'_>) -> Result<(), Failure> {
        logs.finish();
        loop {
            let line = logs.next().await?;
            if !self.print(line, logs).await? {
                return Ok(());
            }
        }
    }
}

fn is_superseded(faults: &[Fault]) -> bool {
    faults.iter().all(|fault| fault.code == Code::Superseded)
}

fn code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(FAILED)
}

/// Waits for the next line, forever if there are none to come.
async fn next_line(logs: &mut Option<LogLines<'_>>) -> Result<Option<Written>, EngineError> {
    match logs {
        Some(logs) => logs.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for what the operation tells, forever if there is none.
async fn next_step(
    operation: &mut Option<Operation<'_>>,
    progress: &mut Progress,
) -> Result<Option<Result<(), Vec<Fault>>>, EngineError> {
    match operation {
        Some(operation) => operation.next(progress).await,
        None => std::future::pending().await,
    }
}
