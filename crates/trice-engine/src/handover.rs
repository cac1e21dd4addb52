//! A connection that has left HTTP so that the client can hand descriptors over.
//!
//! ```text
//! client ── Begin, descriptors ──► first
//!        ◄── Operation …            tell
//!        ◄── Ended, or Failed       when the work is over
//! ```

use std::os::fd::OwnedFd;

use hyper::Request;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use trice_api::event::OperationEvent;
use trice_api::fault::Fault;
use trice_api::stream::{StreamEnd, StreamNotice, StreamRequest};

use crate::failure;
use crate::pipe::Pipe;
use crate::serve::{Answer, Service, read};
use crate::session::{gone, switched, taken_over};

/// Our end.
pub(crate) struct Handover {
    end: Option<StreamEnd>,
    writer: StreamEnd,
    client: OwnedFd,
}

impl Handover {
    /// Waits for the descriptors that the client hands over.
    pub(crate) async fn descriptors(&mut self) -> Result<Vec<OwnedFd>, Fault> {
        let Some(mut end) = self.end.take() else { return Ok(Vec::new()) };
        let begun = tokio::task::spawn_blocking(move || end.receive::<StreamRequest>());
        match begun.await {
            Ok(Ok(Some((StreamRequest::Begin, descriptors)))) => Ok(descriptors),
            _ => Err(gone()),
        }
    }

    /// Waits for the only descriptor that the client hands over.
    pub(crate) async fn pipe(&mut self) -> Result<Pipe, Fault> {
        let descriptor = self.descriptors().await?.into_iter().next().ok_or_else(gone)?;
        let failed = |error| failure::of_io("take over a descriptor", &error);
        let client = self.client.try_clone().map_err(failed)?;
        Pipe::new(descriptor, client).map_err(failed)
    }

    /// Tells the client something on the way. Who has gone does not hear it.
    pub(crate) fn tell(&self, event: &OperationEvent) {
        let _ = self.writer.send(&StreamNotice::Operation(event.clone()), &[]);
    }
}

/// Leaves HTTP, and does `work` with what the request says.
pub(crate) async fn hand_over<C, F>(
    mut request: Request<Incoming>,
    service: Service,
    work: impl FnOnce(C, Handover, Service) -> F + Send + 'static,
) -> Result<Answer, Fault>
where
    C: DeserializeOwned + Send + 'static,
    F: Future<Output = Result<(), Fault>> + Send,
{
    let upgrade = hyper::upgrade::on(&mut request);
    let call: C = read(request).await?;
    tokio::spawn(async move {
        let Some(stream) = taken_over(upgrade).await else { return };
        // The client is there for as long as this lasts.
        let presence = service.presence();
        attend(stream, |handover| work(call, handover, service)).await;
        drop(presence);
    });
    Ok(switched())
}

async fn attend<F>(stream: OwnedFd, work: impl FnOnce(Handover) -> F)
where
    F: Future<Output = Result<(), Fault>> + Send,
{
    let (Ok(client), end) = (stream.try_clone(), StreamEnd::new(stream)) else { return };
    let (Ok(writer), Ok(last)) = (end.writer(), end.writer()) else { return };
    let notice = match work(Handover { end: Some(end), writer, client }).await {
        Ok(()) => StreamNotice::Ended(0),
        Err(fault) => StreamNotice::Failed(fault),
    };
    let _ = last.send(&notice, &[]);
}
