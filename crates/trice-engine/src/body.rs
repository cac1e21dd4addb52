//! An answer whose parts come one after the other.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// How many parts may wait for the client.
const WAITING: usize = 16;

/// The receiving end.
pub(crate) struct Parts {
    receiver: mpsc::Receiver<Bytes>,
}

impl Parts {
    /// Returns an answer and the end at which its parts are put in.
    pub(crate) fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Self { receiver })
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }
}
