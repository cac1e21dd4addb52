//! A keeper in place of one that has died.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;

use tokio::sync::mpsc::UnboundedSender;
use trice_api::fault::Fault;
use trice_model::id::ContainerId;
use trice_runtime::keeper::launch;
use trice_runtime::keeper::link::{Inventory, Link, Told, is_gone};
use trice_runtime::keeper::start::{Directories, Shared};
use trice_runtime::logs::Stream;

use crate::backends::Backends;
use crate::event::Event;
use crate::failure;
use crate::perform::instance_key;
use crate::world::{Process, World};

/// Starts a keeper and returns this engine's end of the link to it.
pub(crate) fn start_keeper(directories: &Directories, shared: &Shared) -> Result<OwnedFd, Fault> {
    let started = launch::succeed(directories, shared.listener.as_fd(), shared.lock.as_fd());
    let (mut child, socket) = started.map_err(|error| failure::of("start a keeper", &error))?;
    // It is reaped here if it ever dies; its death itself is seen by the link.
    std::thread::spawn(move || drop(child.wait()));
    Ok(socket)
}

/// Listens to the keeper that started this engine, or to another one if that has died before it could be asked.
pub(crate) fn listen_first(
    directories: &Directories,
    shared: &Shared,
    events: &UnboundedSender<Event>,
) -> Result<(Link, Inventory), Fault> {
    let failed = |error: std::io::Error| failure::of_io("talk to the keeper", &error);
    let socket = shared.link.try_clone().map_err(failed)?;
    match listen(socket, events) {
        Err(error) if is_gone(&error) => listen(start_keeper(directories, shared)?, events).map_err(failed),
        other => other.map_err(failed),
    }
}

/// Listens to a keeper, as events.
pub(crate) fn listen(socket: OwnedFd, events: &UnboundedSender<Event>) -> std::io::Result<(Link, Inventory)> {
    let (sender, receiver) = mpsc::channel::<Told>();
    let opened = Link::open(socket, sender)?;
    let events = events.clone();
    std::thread::Builder::new().name("keeper-told".to_owned()).spawn(move || {
        for told in receiver {
            if events.send(Event::Told(told)).is_err() {
                return;
            }
        }
    })?;
    Ok(opened)
}

/// Hands the keeper behind `link` everything that is to outlive this engine.
pub(crate) fn hand_over(backends: &Backends, world: &World, link: &Link) -> std::io::Result<()> {
    for (key, descriptors) in holdings(backends, world)? {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        link.hold(&key, &borrowed)?;
    }
    Ok(())
}

/// Has the keeper hold what belongs to a process that another one made.
pub(crate) fn hold_process(backends: &Backends, id: &ContainerId, process: &Process) -> std::io::Result<()> {
    let (key, descriptors) = holding(backends, id, process)?;
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    backends.containers.link().hold(&key, &borrowed)
}

/// Returns what a keeper holds for a process, and the name of that.
fn holding(
    backends: &Backends,
    id: &ContainerId,
    process: &Process,
) -> std::io::Result<(String, Vec<OwnedFd>)> {
    if let Some(terminal) = &process.terminal {
        return Ok((format!("{id}/terminal"), vec![terminal.try_clone()?]));
    }
    let log = backends.containers.log(id);
    Ok((id.to_string(), vec![log.open_fifo(Stream::Stdout)?, log.open_fifo(Stream::Stderr)?]))
}

/// Returns copies of all descriptors that a keeper holds for us, by their names.
fn holdings(backends: &Backends, world: &World) -> std::io::Result<BTreeMap<String, Vec<OwnedFd>>> {
    let mut all = BTreeMap::new();
    for (id, process) in &world.processes {
        all.extend([holding(backends, id, process)?]);
    }
    for (name, home) in &world.homes {
        let mut descriptors = vec![home.namespace.try_clone()?];
        for socket in &home.sockets {
            descriptors.push(socket.try_clone()?);
        }
        all.insert(instance_key(name), descriptors);
    }
    for (side, reservation) in &world.ports {
        all.insert(side.key(), vec![reservation.socket.try_clone()?]);
    }
    Ok(all)
}
