//! The client: HTTP over the unix socket.

use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::call::{Call, Logs};
use crate::fault::{Code, Fault};
use crate::frame::{Decoder, Frame};
use crate::stream::StreamEnd;

/// The name under which a connection leaves HTTP.
pub const PROTOCOL: &str = "trice-stream";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("connect to the engine")]
    Connect(#[source] io::Error),
    /// The connection broke: the engine has left, or died and is being started again.
    #[error("the connection to the engine broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine answered with an error.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The engine's answer makes no sense: it is of another version.
    #[error("the engine's answer could not be read")]
    Unreadable(#[source] serde_json::Error),
}

/// A connection to the engine.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the engine at `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(ClientError::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // With upgrades: the connection ends with the sender, or hands the socket over.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender })
    }

    /// Sends a request that has one answer.
    pub async fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, ClientError> {
        let response = self.send(call, false).await?;
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        serde_json::from_slice(&body).map_err(ClientError::Unreadable)
    }

    /// Sends a request whose answer comes in lines.
    pub async fn lines<C: Call>(&mut self, call: &C) -> Result<Lines<C::Answer>, ClientError> {
        let response = self.send(call, false).await?;
        Ok(Lines { body: response.into_body(), unread: Vec::new(), answer: PhantomData })
    }

    /// Asks for logs.
    pub async fn logs(&mut self, call: &Logs) -> Result<Frames, ClientError> {
        let response = self.send(call, false).await?;
        Ok(Frames { body: response.into_body(), decoder: Decoder::default() })
    }

    /// Sends a request after which the connection leaves HTTP.
    pub async fn stream<C: Call>(mut self, call: &C) -> Result<StreamEnd, ClientError> {
        let response = self.send(call, true).await?;
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let parts = upgraded.downcast::<TokioIo<UnixStream>>();
        let parts = parts.map_err(|_| broken(io::Error::from(io::ErrorKind::Unsupported)))?;
        let stream = parts.io.into_inner().into_std().map_err(broken)?;
        stream.set_nonblocking(false).map_err(broken)?;
        Ok(StreamEnd::new(OwnedFd::from(stream)))
    }

    async fn send<C: Call>(&mut self, call: &C, upgrade: bool) -> Result<Response<Incoming>, ClientError> {
        let body = serde_json::to_vec(call).map_err(ClientError::Unreadable)?;
        let mut request = Request::post(format!("/v1/{}", C::PATH)).header("host", "trice");
        if upgrade {
            request = request.header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(broken)?;
        let response = self.sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK | StatusCode::SWITCHING_PROTOCOLS => Ok(response),
            status => Err(refused(status, response).await),
        }
    }
}

/// Reads why the engine refused.
async fn refused(status: StatusCode, response: Response<Incoming>) -> ClientError {
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return broken(error),
    };
    let fault = serde_json::from_slice::<Fault>(&body);
    fault.unwrap_or_else(|_| Fault::new(Code::Internal, format!("the engine answered {status}"))).into()
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Broken(error.into())
}

/// An answer that comes in lines.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    unread: Vec<u8>,
    answer: PhantomData<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// Waits for the next line; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(ClientError::Unreadable);
            }
            match next_data(&mut self.body).await? {
                Some(data) => self.unread.extend_from_slice(&data),
                None => return Ok(None),
            }
        }
    }
}

/// An answer that comes in frames.
#[derive(Debug)]
pub struct Frames {
    body: Incoming,
    decoder: Decoder,
}

impl Frames {
    /// Waits for the next frame; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Ok(Some(frame));
            }
            match next_data(&mut self.body).await? {
                Some(data) => self.decoder.push(&data),
                None => return Ok(None),
            }
        }
    }
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
