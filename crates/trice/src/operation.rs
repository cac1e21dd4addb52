//! Something that the engine is asked to do, from the request to its end.

use std::time::Duration;

use trice_api::call::{Cancel, Operate, Plan};
use trice_api::event::OperationEvent;
use trice_api::fault::Fault;
use trice_model::intent::Intent;
use trice_model::name::ProjectName;
use trice_model::time::Timestamp;

use crate::clock;
use crate::console::ProgressMode;
use crate::engine::{Engine, EngineError, Heard, Lines};
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::progress::{FRAME, Progress};
use crate::project::Places;

/// An operation that has been asked for.
pub(crate) struct Operation<'a> {
    engine: &'a Engine,
    project: ProjectName,
    asked_at: Timestamp,
    lines: Lines<'a, Operate>,
}

impl<'a> Operation<'a> {
    /// Asks for `intent`, now.
    pub(crate) fn begin(engine: &'a Engine, intent: Intent) -> Self {
        let asked_at = clock::now();
        let project = intent.project().clone();
        let operate = Operate { intent, asked_at, access: engine.access() };
        Self { engine, project, asked_at, lines: engine.lines(operate) }
    }

    /// Returns the moment at which it was asked for.
    pub(crate) fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    /// Waits until something is told, and takes it in; returns the end if that was it. Nothing is lost if the
    /// waiting is given up.
    pub(crate) async fn next(
        &mut self,
        progress: &mut Progress,
    ) -> Result<Option<Result<(), Vec<Fault>>>, EngineError> {
        match self.lines.next().await? {
            Heard::Opened => {}
            Heard::Line(OperationEvent::Step(step)) => progress.step(&step),
            Heard::Line(OperationEvent::Note(note)) => progress.note(&note),
            Heard::Line(OperationEvent::Done) => return Ok(Some(Ok(()))),
            Heard::Line(OperationEvent::Failed(faults)) => return Ok(Some(Err(faults))),
        }
        Ok(None)
    }

    /// Asks to stop it: what has begun comes to its end.
    pub(crate) async fn cancel(&self) -> Result<(), EngineError> {
        self.engine.call(&Cancel { project: self.project.clone(), asked_at: self.asked_at }).await
    }
}

/// Has the engine do `intent`, and shows how it does. A first Ctrl-C takes the request back, a second one
/// leaves.
pub(crate) async fn operate(
    engine: &Engine,
    intent: Intent,
    progress: &mut Progress,
    places: &Places,
) -> Result<(), Failure> {
    operate_within(engine, intent, progress, places, None).await
}

/// Like [`operate`], and takes the request back when it takes longer than `limit`.
pub(crate) async fn operate_within(
    engine: &Engine,
    intent: Intent,
    progress: &mut Progress,
    places: &Places,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let result = follow(engine, intent, progress, places, limit).await;
    progress.end(result.is_ok());
    result
}

async fn follow(
    engine: &Engine,
    intent: Intent,
    progress: &mut Progress,
    places: &Places,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let mut operation = Operation::begin(engine, intent);
    let mut interrupts = Interrupts::listen()?;
    let mut frames = tokio::time::interval(FRAME);
    let deadline = tokio::time::sleep(limit.unwrap_or_default());
    tokio::pin!(deadline);
    let mut broken_off: Option<Failure> = None;
    loop {
        tokio::select! {
            result = operation.next(progress) => match (result?, broken_off.take()) {
                (Some(_), Some(failure)) => return Err(failure),
                (Some(Ok(())), None) => return Ok(()),
                (Some(Err(faults)), None) => return Err(places.failure(faults)),
                (None, failure) => broken_off = failure,
            },
            _ = frames.tick() => progress.draw(),
            () = interrupts.next() => {
                if broken_off.replace(Failure::Interrupted).is_some() {
                    return Err(Failure::Interrupted);
                }
                operation.cancel().await?;
            }
            () = &mut deadline, if limit.is_some() && broken_off.is_none() => {
                let limit = limit.unwrap_or_default().as_secs();
                broken_off = Some(Failure::TimedOut(format!("it took longer than {limit} s")));
                operation.cancel().await?;
            }
        }
    }
}

/// Prints what `intent` would lead to: for programs, if progress is for them too.
pub(crate) async fn dry_run(
    engine: &Engine,
    intent: Intent,
    places: &Places,
    progress: ProgressMode,
) -> Result<(), Failure> {
    let plan = plan(engine, intent, places).await?;
    match progress {
        ProgressMode::Json => crate::output::print(&format!("{:#}", plan.json)),
        ProgressMode::Auto | ProgressMode::Tty | ProgressMode::Plain | ProgressMode::Quiet => {
            crate::output::print(&plan.text)
        }
    }
}

/// Asks what `intent` would lead to.
pub(crate) async fn plan(
    engine: &Engine,
    intent: Intent,
    places: &Places,
) -> Result<trice_api::view::PlanView, Failure> {
    match engine.call(&Plan { intent }).await {
        Ok(plan) => Ok(plan),
        Err(EngineError::Fault(fault)) => Err(places.failure(vec![fault])),
        Err(error) => Err(error.into()),
    }
}
