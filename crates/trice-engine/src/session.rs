//! `exec`, `run` and `attach`: connections that leave HTTP to hand descriptors over.
//!
//! Each has a thread of its own while it lasts: what it does is to wait for one message at a time.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use trice_api::call::{self, Call};
use trice_api::client::PROTOCOL;
use trice_api::event::{ContainerChange, ContainerEvent, OperationEvent};
use trice_api::fault::{Code, Fault};
use trice_api::stream::{StreamEnd, StreamNotice, StreamRequest};
use trice_model::container::{ExecSpec, ExitStatus};
use trice_model::intent::Intent;
use trice_model::name::ContainerName;
use trice_runtime::container::{CreateError, ExecStdio, Prepared};
use trice_runtime::keeper::link::Link;

use crate::event::{Entrance, Question};
use crate::failure;
use crate::serve::{Answer, Service, read};

/// What a connection that leaves HTTP is for.
enum Purpose {
    Exec(call::Exec),
    Run(call::Run),
    Attach(call::Attach),
}

/// Leaves HTTP and goes on for the request at `path`.
pub(crate) async fn begin(
    path: &str,
    mut request: Request<Incoming>,
    service: Service,
) -> Result<Answer, Fault> {
    let upgrade = hyper::upgrade::on(&mut request);
    let purpose = match path {
        call::Exec::PATH => Purpose::Exec(read(request).await?),
        call::Run::PATH => Purpose::Run(read(request).await?),
        _ => Purpose::Attach(read(request).await?),
    };
    tokio::spawn(async move {
        let Some(stream) = taken_over(upgrade).await else { return };
        // The client is there for as long as this lasts.
        let presence = service.presence();
        attend(StreamEnd::new(stream), purpose, service).await;
        drop(presence);
    });
    Ok(switched())
}

/// Waits for a connection that leaves HTTP; `None` if it has broken.
pub(crate) async fn taken_over(upgrade: OnUpgrade) -> Option<OwnedFd> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<UnixStream>>().ok()?;
    let stream = parts.io.into_inner().into_std().ok()?;
    stream.set_nonblocking(false).ok()?;
    Some(OwnedFd::from(stream))
}

/// Returns the answer with which a connection leaves HTTP.
pub(crate) fn switched() -> Answer {
    let mut response = Response::new(Empty::<Bytes>::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, "upgrade".parse().expect("a word is a header"));
    response.headers_mut().insert(UPGRADE, PROTOCOL.parse().expect("a word is a header"));
    response
}

/// Carries out the purpose, and says how it ended.
async fn attend(stream: StreamEnd, purpose: Purpose, service: Service) {
    let Ok(writer) = stream.writer() else { return };
    let mut requests = listen(stream);
    let attended = match &purpose {
        Purpose::Exec(_) => None,
        Purpose::Run(call) => one_off(call).cloned(),
        Purpose::Attach(call) => Some(call.container.clone()),
    };
    attended.iter().for_each(|name| service.ask(Question::Attend(name.clone())));
    let result = match purpose {
        Purpose::Exec(call) => exec(call, &mut requests, &writer, &service).await,
        Purpose::Run(call) => run(call, &mut requests, &writer, &service).await,
        Purpose::Attach(call) => attach(&call.container, &mut requests, &writer, &service).await,
    };
    let notice = match result {
        Ok(code) => StreamNotice::Ended(code),
        Err(fault) => StreamNotice::Failed(fault),
    };
    let _ = writer.send(&notice, &[]);
    if let Some(name) = attended {
        // The client reads what is left of the log, and says so or goes.
        while !matches!(requests.recv().await, Some((StreamRequest::Done, _)) | None) {}
        service.ask(Question::Leave(name));
    }
}

/// The name of the container that a one-off is to have.
fn one_off(call: &call::Run) -> Option<&ContainerName> {
    match &call.intent {
        Intent::Run { options, .. } => options.name.as_ref(),
        _ => None,
    }
}

type Requests = mpsc::UnboundedReceiver<(StreamRequest, Vec<OwnedFd>)>;

/// Reads what the client says, in a thread of its own.
fn listen(mut stream: StreamEnd) -> Requests {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        while let Ok(Some(message)) = stream.receive() {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

pub(crate) fn gone() -> Fault {
    Fault::new(Code::Cancelled, "the client has gone")
}

/// Waits for the client's word to begin, and the descriptors with it.
async fn begun(requests: &mut Requests) -> Result<Vec<OwnedFd>, Fault> {
    match requests.recv().await {
        Some((StreamRequest::Begin, descriptors)) => Ok(descriptors),
        Some((StreamRequest::Signal(_) | StreamRequest::Done, _)) | None => Err(gone()),
    }
}

async fn exec(
    call: call::Exec,
    requests: &mut Requests,
    writer: &StreamEnd,
    service: &Service,
) -> Result<i32, Fault> {
    let descriptors = begun(requests).await?;
    let entrance = service.ask_for(|reply| Question::Enter(call.container, reply)).await??;
    let stdio = stdio(&call.process, descriptors)?;
    let name = entrance.spec.name.clone();
    if entrance.paused {
        let fault = Fault::new(Code::Start, format!("container {name} is paused: nothing runs in it"));
        return Err(fault.hint("`trice unpause` lets it go on"));
    }
    let process = call.process.over(&entrance.spec.process);
    let exec = ExecSpec { container: entrance.spec.id.clone(), process };
    let inside = Arc::new((entrance, exec, stdio));
    let (prepared, ended) = loop {
        let (follower, ended) = oneshot::channel();
        let key = format!("exec/{}", unique());
        service.ask(Question::Follow(key.clone(), follower));
        let link = service.backends.containers.link();
        let made = make(key, inside.clone(), service).await?;
        match made {
            Ok(prepared) => break (prepared, ended),
            // Nobody made it, and nobody would tell of its end: the next keeper does both.
            Err(error) if error.is_of_keeper() && succeeded(link, service).await => {}
            Err(error) => return Err(failure::of_container(&format!("exec in {name}"), &error)),
        }
    };
    // From here on only the process holds its streams.
    drop(inside);
    let terminal: Vec<_> = prepared.terminal.iter().map(AsFd::as_fd).collect();
    writer.send(&StreamNotice::Started, &terminal).map_err(|_| gone())?;
    follow(requests, ended, &prepared.pidfd).await
}

/// Has the keeper make a process in a container.
async fn make(
    key: String,
    inside: Arc<(Entrance, ExecSpec, ExecStdio)>,
    service: &Service,
) -> Result<Result<Prepared, CreateError>, Fault> {
    let backends = service.backends.clone();
    let begun = tokio::task::spawn_blocking(move || {
        let (Entrance { spec, init, .. }, exec, stdio) = &*inside;
        let stdio = stdio.try_clone().map_err(CreateError::Spawn)?;
        backends.containers.exec(&key, exec, spec, init.as_fd(), stdio)
    });
    begun.await.map_err(|error| Fault::of(Code::Internal, &error))
}

/// Waits until another keeper has taken over from the one behind `link`; `false` if none does.
async fn succeeded(link: Link, service: &Service) -> bool {
    let backends = service.backends.clone();
    let waited = tokio::task::spawn_blocking(move || backends.containers.wait_for_successor(&link));
    waited.await.unwrap_or(false)
}

/// Passes signals on until the process has ended. It lives on if the client goes.
async fn follow(
    requests: &mut Requests,
    mut ended: oneshot::Receiver<ExitStatus>,
    pidfd: &OwnedFd,
) -> Result<i32, Fault> {
    let unseen = || Fault::new(Code::Internal, "nobody saw how the process ended: the keeper has died");
    let mut listening = true;
    loop {
        tokio::select! {
            exit = &mut ended => return exit.map(ExitStatus::code).map_err(|_| unseen()),
            request = requests.recv(), if listening => match request {
                Some((StreamRequest::Signal(signal), _)) => {
                    // It may have ended in this moment.
                    let _ = trice_sys::pidfd::send_signal(pidfd.as_fd(), i32::from(signal.number()));
                }
                Some((StreamRequest::Begin | StreamRequest::Done, _)) => {}
                None => listening = false,
            },
        }
    }
}

fn stdio(process: &call::ExecProcess, descriptors: Vec<OwnedFd>) -> Result<ExecStdio, Fault> {
    if process.tty {
        return Ok(ExecStdio::Terminal);
    }
    let missing = || Fault::new(Code::BadRequest, "the standard streams are missing");
    let mut descriptors = descriptors.into_iter();
    let stdin = if process.stdin { Some(descriptors.next().ok_or_else(missing)?) } else { None };
    let (stdout, stderr) = (descriptors.next().ok_or_else(missing)?, descriptors.next().ok_or_else(missing)?);
    Ok(ExecStdio::Streams { stdin, stdout, stderr })
}

/// Runs a one-off: an operation, of which the client hears, then its terminal or nothing, then its end.
async fn run(
    call: call::Run,
    requests: &mut Requests,
    writer: &StreamEnd,
    service: &Service,
) -> Result<i32, Fault> {
    let descriptors = begun(requests).await?;
    let Some(name) = one_off(&call).cloned() else {
        return Err(Fault::new(Code::BadRequest, "a one-off that is followed needs a name"));
    };
    if let Some(stdin) = descriptors.into_iter().next() {
        service.ask(Question::Stdin(name.clone(), stdin));
    }
    let of = call::Selection { names: [name.clone()].into(), ..call::Selection::default() };
    let mut changes = service.watch(of);
    let (listener, mut events) = mpsc::unbounded_channel();
    let (intent, asked_at, access) = (call.intent.clone(), call.asked_at, call.access.clone());
    let operate = call::Operate { intent, asked_at, access };
    service.ask(Question::Operate(Box::new(operate), listener));
    let mut operating = true;
    loop {
        tokio::select! {
            event = events.recv(), if operating => match event {
                Some(OperationEvent::Failed(faults)) => {
                    return Err(faults.into_iter().next().unwrap_or_else(gone));
                }
                Some(OperationEvent::Done) | None => operating = false,
                Some(event) => {
                    let _ = writer.send(&StreamNotice::Operation(event), &[]);
                }
            },
            change = changes.recv() => {
                let Some(change) = change else { return Err(gone()) };
                if let Some(code) = changed(&change, &name, writer, service).await? {
                    return Ok(code);
                }
            }
            request = requests.recv() => pass_on(request, &name, service).await?,
        }
    }
}

/// Takes part in a container that runs already.
async fn attach(
    name: &ContainerName,
    requests: &mut Requests,
    writer: &StreamEnd,
    service: &Service,
) -> Result<i32, Fault> {
    begun(requests).await?;
    let of = call::Selection { names: [name.clone()].into(), ..call::Selection::default() };
    let mut changes = service.watch(of);
    send_terminal(name, writer, service).await?;
    loop {
        tokio::select! {
            change = changes.recv() => {
                if let ContainerChange::Exited { code, .. } = change.ok_or_else(gone)?.what {
                    return Ok(code);
                }
            }
            request = requests.recv() => pass_on(request, name, service).await?,
        }
    }
}

/// Takes in a change of a one-off; returns its code if it was its end.
async fn changed(
    change: &ContainerEvent,
    name: &ContainerName,
    writer: &StreamEnd,
    service: &Service,
) -> Result<Option<i32>, Fault> {
    match change.what {
        ContainerChange::Started => send_terminal(name, writer, service).await.map(|()| None),
        ContainerChange::Exited { code, .. } => Ok(Some(code)),
        ContainerChange::Created
        | ContainerChange::Healthy
        | ContainerChange::Unhealthy
        | ContainerChange::Paused
        | ContainerChange::Unpaused
        | ContainerChange::Removed => Ok(None),
    }
}

async fn send_terminal(name: &ContainerName, writer: &StreamEnd, service: &Service) -> Result<(), Fault> {
    let entrance = service.ask_for(|reply| Question::Enter(name.clone(), reply)).await?;
    // It has ended already: its end is told next.
    let Ok(entrance) = entrance else { return Ok(()) };
    let terminal: Vec<_> = entrance.terminal.iter().map(AsFd::as_fd).collect();
    writer.send(&StreamNotice::Started, &terminal).map_err(|_| gone())
}

/// Passes on what the client says to a container.
async fn pass_on(
    request: Option<(StreamRequest, Vec<OwnedFd>)>,
    name: &ContainerName,
    service: &Service,
) -> Result<(), Fault> {
    match request {
        Some((StreamRequest::Signal(signal), _)) => {
            let of = call::Selection { names: [name.clone()].into(), ..call::Selection::default() };
            let call = call::Kill { of, signal };
            service.ask_for(|reply| Question::Kill(call, reply)).await.map(drop)
        }
        Some((StreamRequest::Begin | StreamRequest::Done, _)) => Ok(()),
        None => Err(gone()),
    }
}

/// Returns a number that no exec'd process of this machine had before.
fn unique() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}
