//! Handing descriptors over to the engine, and waiting for what it does with them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::sync::mpsc;
use trice_api::call::Call;
use trice_api::event::OperationEvent;
use trice_api::fault::{Code, Fault};
use trice_api::stream::{StreamNotice, StreamRequest};

use crate::engine::{Engine, EngineError};
use crate::failure::Failure;
use crate::interrupts::Interrupts;

/// Has the engine do what `call` says with `descriptors`. Returns what it told on the way.
pub(crate) async fn exchange<C: Call<Answer = StreamNotice>>(
    engine: &Engine,
    call: &C,
    descriptors: Vec<OwnedFd>,
) -> Result<Vec<String>, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut end = engine.stream(call).await?;
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    end.send(&StreamRequest::Begin, &borrowed).map_err(EngineError::Stream)?;
    // They are the engine's now: whoever is at the other end must see when it is done.
    drop(descriptors);
    let (sender, mut notices) = mpsc::unbounded_channel();
    std::thread::Builder::new()
        .name("notices".to_owned())
        .spawn(move || {
            while let Ok(Some((notice, _))) = end.receive::<StreamNotice>() {
                if sender.send(notice).is_err() {
                    return;
                }
            }
        })
        .map_err(Failure::surroundings("listen to the engine"))?;
    let mut told = Vec::new();
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            // The engine sees that we have gone.
            () = interrupts.next() => return Err(Failure::Interrupted),
        };
        match notice {
            Some(StreamNotice::Operation(OperationEvent::Note(note))) => told.push(note),
            Some(StreamNotice::Operation(_) | StreamNotice::Started) => {}
            Some(StreamNotice::Ended(_)) => return Ok(told),
            Some(StreamNotice::Failed(fault)) => return Err(EngineError::Fault(fault).into()),
            None => {
                let fault = Fault::new(Code::Internal, "the engine died in the middle").hint("try it again");
                return Err(EngineError::Fault(fault).into());
            }
        }
    }
}
