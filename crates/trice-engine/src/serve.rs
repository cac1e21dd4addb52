//! The engine's socket: HTTP, one task a connection.
//!
//! Only processes of the engine's own user and of root may ask; the file's mode says so, and the kernel's word on each
//! peer is asked too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use trice_api::call::{self, Call, Selection};
use trice_api::event::ContainerEvent;
use trice_api::fault::{Code, Fault};
use trice_api::view::{ContainerView, EngineView};

use crate::backends::Backends;
use crate::body::Parts;
use crate::event::{Event, Question};
use crate::follow::Follower;
use crate::images;
use crate::inside;
use crate::session;
use crate::system;

/// The largest request: a project of many thousand services.
const LARGEST: usize = 256 << 20;

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What a connection needs of the engine.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) backends: Arc<Backends>,
    events: mpsc::UnboundedSender<Event>,
    ticks: watch::Receiver<u64>,
}

impl Service {
    /// Asks `events`' loop; `ticks` changes whenever there is more of any log.
    pub(crate) fn new(
        backends: Arc<Backends>,
        events: mpsc::UnboundedSender<Event>,
        ticks: watch::Receiver<u64>,
    ) -> Self {
        Self { backends, events, ticks }
    }

    /// Says that a client is there, for as long as what is returned is held.
    pub(crate) fn presence(&self) -> Presence {
        let _ = self.events.send(Event::Connected);
        Presence { events: self.events.clone() }
    }

    /// Says that a build begins, and that somebody is there, for as long as what is returned is held.
    pub(crate) fn building(&self) -> Building {
        let presence = self.presence();
        let _ = self.events.send(Event::BuildBegan);
        Building { service: self.clone(), _presence: presence }
    }

    /// Puts a question to the loop. It ends only when nobody is connected.
    pub(crate) fn ask(&self, question: Question) {
        let _ = self.events.send(Event::Asked(question));
    }

    /// Puts a question that has one answer.
    pub(crate) async fn ask_for<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Fault> {
        let (sender, receiver) = oneshot::channel();
        self.ask(question(sender));
        receiver.await.map_err(|_| Fault::new(Code::Internal, "the engine is leaving"))
    }

    /// Lists containers.
    pub(crate) async fn containers(&self, of: Selection) -> Vec<ContainerView> {
        let call = call::ListContainers { of };
        self.ask_for(|reply| Question::Containers(call, reply)).await.unwrap_or_default()
    }

    /// Listens to what happens to containers.
    pub(crate) fn watch(&self, of: Selection) -> mpsc::UnboundedReceiver<ContainerEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.ask(Question::Watch(call::Watch { of }, sender));
        receiver
    }

    /// Listens to the growth of logs.
    pub(crate) fn log_ticks(&self) -> watch::Receiver<u64> {
        self.ticks.clone()
    }
}

/// A build that is carried out.
pub(crate) struct Building {
    service: Service,
    _presence: Presence,
}

impl Drop for Building {
    fn drop(&mut self) {
        let _ = self.service.events.send(Event::BuildOver);
    }
}

/// A client that is there.
pub(crate) struct Presence {
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Disconnected);
    }
}

/// Accepts connections for as long as the engine lives.
pub(crate) async fn serve(listener: UnixListener, service: Service) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_allowed(&stream) => {
                tokio::spawn(serve_connection(stream, service.clone()));
            }
            Ok(_) => tracing::warn!("a process of another user was turned away"),
            Err(error) => {
                // Out of descriptors, most likely: others end, and then it goes on.
                tracing::error!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How long an engine that could not start waits for somebody to tell why.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Answers every request with `fault`, until nobody has asked for a while.
pub(crate) async fn serve_fault(listener: UnixListener, fault: Fault) {
    while let Ok(Ok((stream, _))) = tokio::time::timeout(TOLD_WITHIN, listener.accept()).await {
        let fault = fault.clone();
        let answer =
            service_fn(move |_: Request<Incoming>| std::future::ready(Ok::<_, Infallible>(refuse(&fault))));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        // A client that breaks off is none of our business.
        let _ = tokio::time::timeout(TOLD_WITHIN, connection).await;
    }
}

fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn serve_connection(stream: UnixStream, service: Service) {
    let presence = service.presence();
    let answer = service_fn(|request| answer(request, service.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).with_upgrades();
    // A client that breaks off is none of our business.
    let _ = connection.await;
    drop(presence);
}

async fn answer(request: Request<Incoming>, service: Service) -> Result<Answer, Infallible> {
    Ok(route(request, service).await.unwrap_or_else(|fault| refuse(&fault)))
}

async fn route(request: Request<Incoming>, service: Service) -> Result<Answer, Fault> {
    if request.method() != Method::POST {
        return Err(Fault::new(Code::BadRequest, "every request is a POST"));
    }
    let path = request.uri().path().strip_prefix("/v1/").unwrap_or_default().to_owned();
    match path.as_str() {
        call::Operate::PATH => operate(read(request).await?, &service),
        call::Cancel::PATH => {
            let call: call::Cancel = read(request).await?;
            json(&service.ask_for(|reply| Question::Cancel(call, reply)).await?)
        }
        call::Plan::PATH => {
            let call: call::Plan = read(request).await?;
            json(&service.ask_for(|reply| Question::Plan(Box::new(call), reply)).await??)
        }
        call::ListContainers::PATH => {
            let call: call::ListContainers = read(request).await?;
            json(&service.ask_for(|reply| Question::Containers(call, reply)).await?)
        }
        call::ListProjects::PATH => json(&service.ask_for(Question::Projects).await?),
        call::ListNetworks::PATH => json(&service.ask_for(Question::Networks).await?),
        call::Examine::PATH => json(&service.ask_for(Question::Examine).await??),
        call::Describe::PATH => json(&EngineView { version: env!("CARGO_PKG_VERSION").to_owned() }),
        call::Kill::PATH => {
            let call: call::Kill = read(request).await?;
            json(&service.ask_for(|reply| Question::Kill(call, reply)).await?)
        }
        call::Pause::PATH => {
            let call: call::Pause = read(request).await?;
            json(&service.ask_for(|reply| Question::Pause(call, reply)).await??)
        }
        call::Watch::PATH => {
            let call: call::Watch = read(request).await?;
            Ok(lines(service.watch(call.of)))
        }
        call::Logs::PATH => {
            let call: call::Logs = read(request).await?;
            let (out, parts) = Parts::new();
            tokio::spawn(Follower::new(call, service, out).run());
            Ok(Response::new(parts.boxed()))
        }
        call::Exec::PATH | call::Run::PATH | call::Attach::PATH => {
            session::begin(&path, request, service).await
        }
        trice_api::build::Build::PATH => Ok(lines(crate::build::begin(read(request).await?, service))),
        path if path.starts_with(images::PREFIX) => images::answer(path, request, service).await,
        path if path.starts_with(inside::PREFIX) => inside::answer(path, request, service).await,
        path if path.starts_with(system::PREFIX) => system::answer(path, request, service).await,
        path => Err(no_such_request(path)),
    }
}

/// The fault of a request that this engine does not know.
pub(crate) fn no_such_request(path: &str) -> Fault {
    Fault::new(Code::BadRequest, format!("there is no request `{path}`"))
        .hint("the engine is of another version: it is replaced once nothing runs any more")
}

fn operate(call: call::Operate, service: &Service) -> Result<Answer, Fault> {
    let (listener, events) = mpsc::unbounded_channel();
    service.ask(Question::Operate(Box::new(call), listener));
    Ok(lines(events))
}

/// Reads a request's body.
pub(crate) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Fault> {
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| Fault::new(Code::BadRequest, format!("read the request: {error}")))?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| Fault::new(Code::BadRequest, format!("read the request: {error}")))
}

/// Answers with a value.
pub(crate) fn json(value: &impl Serialize) -> Result<Answer, Fault> {
    let body = serde_json::to_vec(value).map_err(|error| Fault::of(Code::Internal, &error))?;
    Ok(Response::new(Full::new(Bytes::from(body)).boxed()))
}

/// Answers with a line for each value, until there are no more or the client goes.
pub(crate) fn lines<T: Serialize + Send + 'static>(mut values: mpsc::UnboundedReceiver<T>) -> Answer {
    let (out, parts) = Parts::new();
    tokio::spawn(async move {
        loop {
            let value = tokio::select! {
                value = values.recv() => value,
                () = out.closed() => None,
            };
            let Some(Ok(mut line)) = value.map(|value| serde_json::to_vec(&value)) else { return };
            line.push(b'\n');
            if out.send(Bytes::from(line)).await.is_err() {
                return;
            }
        }
    });
    Response::new(parts.boxed())
}

fn refuse(fault: &Fault) -> Answer {
    let status = match fault.code {
        Code::BadRequest | Code::Plan => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Superseded | Code::Cancelled => StatusCode::CONFLICT,
        Code::Image
        | Code::PortInUse
        | Code::Start
        | Code::CommandNotFound
        | Code::CommandNotExecutable
        | Code::Dependency
        | Code::Machine
        | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = serde_json::to_vec(fault).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    response
}
