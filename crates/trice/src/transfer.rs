//! Images on their way, from the request to its end. An interrupt takes the request back.

use trice_api::call::Call;
use trice_api::event::{OperationEvent, StepEvent, StepState};
use trice_api::fault::Fault;

use crate::engine::{Engine, Heard};
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::progress::{FRAME, Progress};

/// What became of the images.
#[derive(Debug, Default)]
pub(crate) struct Transferred {
    /// Those that have arrived, each with what was said of it last.
    pub(crate) done: Vec<StepEvent>,
    /// What went wrong with the others.
    pub(crate) faults: Vec<Fault>,
}

/// Asks, and shows how it goes.
pub(crate) async fn transfer<C: Call<Answer = OperationEvent>>(
    engine: &Engine,
    call: C,
    progress: &mut Progress,
) -> Result<Transferred, Failure> {
    let mut transferred = Transferred::default();
    let result = follow(engine, call, progress, &mut transferred).await;
    progress.end(result.is_ok() && transferred.faults.is_empty());
    result.map(|()| transferred)
}

async fn follow<C: Call<Answer = OperationEvent>>(
    engine: &Engine,
    call: C,
    progress: &mut Progress,
    transferred: &mut Transferred,
) -> Result<(), Failure> {
    let mut lines = engine.lines(call);
    let mut interrupts = Interrupts::listen()?;
    let mut frames = tokio::time::interval(FRAME);
    loop {
        tokio::select! {
            heard = lines.next() => match heard? {
                Heard::Opened => {}
                Heard::Line(OperationEvent::Step(step)) => {
                    progress.step(&step);
                    if step.state == StepState::Done {
                        transferred.done.push(step);
                    }
                }
                Heard::Line(OperationEvent::Note(note)) => progress.note(&note),
                Heard::Line(OperationEvent::Done) => return Ok(()),
                Heard::Line(OperationEvent::Failed(faults)) => {
                    transferred.faults = faults;
                    return Ok(());
                }
            },
            _ = frames.tick() => progress.draw(),
            // The engine hears that nobody listens any more.
            () = interrupts.next() => return Err(Failure::Interrupted),
        }
    }
}
