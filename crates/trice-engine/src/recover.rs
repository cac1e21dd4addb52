//! What a new engine does first: it reads what is recorded, takes back what the keeper holds, looks at the kernel, and
//! puts away what belongs to nobody.
//!
//! ```text
//! record says     keeper or kernel says      then
//! running         runs                       taken over: output, probes, names go on
//! running         has ended, with its code   it has just ended
//! running         nothing                    it ended unseen; on another boot, all did
//! any             a group or folder          of no record: put away
//! ```

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use trice_api::fault::Fault;
use trice_model::container::{ContainerState, ExitStatus, NetworkNamespace};
use trice_model::id::ContainerId;
use trice_model::name::ProjectName;
use trice_model::network::{FirewallSpec, ObservedInstance, ObservedNetwork};
use trice_model::port::PublishedPort;
use trice_network::firewall;
use trice_plan::building;
use trice_runtime::keeper::link::{Inventory, Spawned};

use crate::backends::Backends;
use crate::engine::Engine;
use crate::event::Event;
use crate::failure;
use crate::identity;
use crate::life::watch_foreign;
use crate::perform::instance_key;
use crate::record::{ContainerRecord, InstanceRecord, IntentRecord, NetworkRecord, ProcessIdentity};
use crate::steps::Connection;
use crate::world::{HostSide, Process, Reservation, World};

/// What is recorded.
pub(crate) struct Recorded {
    networks: Vec<NetworkRecord>,
    instances: Vec<InstanceRecord>,
    containers: Vec<ContainerRecord>,
    intents: Vec<IntentRecord>,
}

impl Recorded {
    /// Reads it from the store.
    pub(crate) fn read(backends: &Backends) -> Result<Self, Fault> {
        let store = &backends.store;
        let read = || -> Result<Self, trice_state::store::ReadError> {
            Ok(Self {
                networks: store.all()?,
                instances: store.all()?,
                containers: store.all()?,
                intents: store.all()?,
            })
        };
        read().map_err(|error| failure::of("read the store", &error))
    }
}

/// Fills the world of a new engine, and lets it go on.
pub(crate) fn recover(
    engine: &mut Engine,
    recorded: Recorded,
    mut inventory: Inventory,
) -> Result<(), Fault> {
    let backends = engine.backends.clone();
    let boot = identity::boot().map_err(|error| failure::of_io("read the boot's id", &error))?;
    let rebooted = recorded
        .containers
        .iter()
        .any(|record| record.process.as_ref().is_some_and(|process| process.boot != boot));
    let volumes = backends.volumes.observe().map_err(|error| failure::of("look at the volumes", &error))?;
    engine.world.found.volumes =
        volumes.into_iter().map(|volume| (volume.spec.name.clone(), volume)).collect();
    for record in recorded.networks {
        // Builds do not outlive an engine, and their network is of no use without them.
        if record.leaving || record.spec.name == building::network_name() {
            engine.remove_bridge(record.spec);
        } else {
            let network = ObservedNetwork { spec: record.spec, present: false };
            engine.world.found.networks.insert(network.spec.name.clone(), network);
        }
    }
    for record in recorded.containers {
        take_in_container(&mut engine.world, record);
    }
    take_back_ports(&mut engine.world, &mut inventory);
    for record in recorded.instances {
        take_back_instance(engine, record, &mut inventory)?;
    }
    take_back_processes(engine, &mut inventory);
    free_ports_of_strangers(engine, &mut inventory);
    put_away_strangers(&backends, &engine.world, &inventory)?;
    engine.changed.extend(engine.world.projects());
    take_back_firewalls(engine)?;
    engine.resume(recorded.intents, rebooted);
    Ok(())
}

fn take_in_container(world: &mut World, record: ContainerRecord) {
    let id = record.container.spec.id.clone();
    world.tallies.insert(id.clone(), record.tally);
    if let Some(identity) = record.process {
        world.recorded.insert(id.clone(), identity);
    }
    world.found.containers.insert(id, record.container);
}

/// Takes back the sockets that keep ports, for the instances whose containers have them.
fn take_back_ports(world: &mut World, inventory: &mut Inventory) {
    for container in world.found.containers.values() {
        let NetworkNamespace::Instance(instance) = &container.spec.network else { continue };
        for port in &container.spec.published {
            take_back_port(&mut world.ports, port, &container.spec.project, instance, inventory);
        }
    }
}

fn take_back_port(
    ports: &mut BTreeMap<HostSide, Reservation>,
    port: &PublishedPort,
    project: &ProjectName,
    instance: &trice_model::network::InstanceName,
    inventory: &mut Inventory,
) {
    let side = HostSide::of(port);
    if let Some(socket) = inventory.held.remove(&side.key()).and_then(|mut held| held.pop()) {
        let reservation = Reservation { socket, project: project.clone(), holders: Default::default() };
        ports.insert(side, reservation);
    }
    if let Some(reservation) = ports.get_mut(&side) {
        reservation.holders.insert(instance.clone());
    }
}

/// Takes back an instance's namespace from the keeper, or from a container that runs in it.
fn take_back_instance(
    engine: &mut Engine,
    record: InstanceRecord,
    inventory: &mut Inventory,
) -> Result<(), Fault> {
    let spec = record.spec;
    let held = inventory.held.remove(&instance_key(&spec.name)).unwrap_or_default();
    let connected = match connected_from(held) {
        Some(connected) => Some(connected),
        None => namespace_of_container(&engine.world, &spec.name)
            .and_then(|namespace| reconnect(namespace, spec.dns)),
    };
    match connected {
        Some(connected) => engine.take_in_instance(&spec, connected),
        None => {
            let instance = ObservedInstance { spec, present: false };
            engine.world.found.instances.insert(instance.spec.name.clone(), instance);
            Ok(())
        }
    }
}

fn connected_from(held: Vec<OwnedFd>) -> Option<Connection> {
    let mut held = held.into_iter();
    let namespace = held.next()?;
    let sockets = match (held.next(), held.next()) {
        (Some(udp), Some(tcp)) => Some((UdpSocket::from(udp), TcpListener::from(tcp))),
        _ => None,
    };
    Some(Connection { namespace, sockets, rules: None })
}

/// Opens the network namespace of a running container of the instance, where no keeper held it.
fn namespace_of_container(world: &World, instance: &trice_model::network::InstanceName) -> Option<OwnedFd> {
    let container = world
        .found
        .containers
        .values()
        .find(|container| container.spec.network == NetworkNamespace::Instance(instance.clone()))?;
    let recorded = world.recorded.get(&container.spec.id)?;
    let pidfd = identity::open(recorded).ok()??;
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", recorded.pid)).ok()?;
    // The process is still the one that was opened: its namespace is the one that was meant.
    trice_sys::pidfd::send_signal(pidfd.as_fd(), 0).ok()?;
    Some(namespace.into())
}

/// Opens the sockets for names again that nobody held.
fn reconnect(namespace: OwnedFd, dns: bool) -> Option<Connection> {
    if !dns {
        return Some(Connection { namespace, sockets: None, rules: None });
    }
    let dns = trice_network::instance::reopen_dns(namespace.as_fd()).ok()?;
    Some(Connection { namespace, sockets: Some((dns.udp, dns.tcp)), rules: Some(dns.rules) })
}

/// Takes over the processes that run, and takes in the ends of those that do not any more.
fn take_back_processes(engine: &mut Engine, inventory: &mut Inventory) {
    let running: Vec<ContainerId> = engine
        .world
        .found
        .containers
        .iter()
        .filter(|(_, container)| matches!(container.state, ContainerState::Running { .. }))
        .map(|(id, _)| id.clone())
        .collect();
    for id in running {
        take_back_process(engine, &id, inventory);
    }
    for (id, container) in &engine.world.found.containers {
        if let ContainerState::Restarting { at, .. } = container.state {
            let event = Event::RestartDue { container: id.clone() };
            engine.later(at.since(crate::engine::now()), event);
        }
    }
}

fn take_back_process(engine: &mut Engine, id: &ContainerId, inventory: &mut Inventory) {
    let recorded = engine.world.recorded.remove(id);
    let kept = recorded.as_ref().and_then(|recorded| take_kept(inventory, id, recorded));
    // Told by the keeper, or found in the kernel where the keeper is another one.
    let (key, pidfd, identity, end) = match (kept, recorded) {
        (Some((key, spawned, status)), Some(identity)) => {
            (Some(key), spawned.pidfd, identity, status.map(identity::from_wait_status))
        }
        (None, Some(identity)) => match find(engine, id, &identity) {
            Some(pidfd) => (None, pidfd, identity, None),
            None => return end_unseen(engine, id),
        },
        // It was about to start and nobody said which process it is: it cannot have begun.
        (_, None) => return end_unseen(engine, id),
    };
    inventory.held.remove(id.as_str());
    if let Err(error) = engine.backends.containers.start_again(id, &mut inventory.held) {
        let what = format!("start container {}", id.short());
        return engine.start_failed(id, &failure::of_container(&what, &error));
    }
    engine.go_on(id); // somebody may have died while it was committed
    let (pidfd, run) = (Arc::new(pidfd), engine.next_serial());
    let terminal_key = format!("{id}/terminal");
    let terminal =
        inventory.held.get(&terminal_key).and_then(|held| held.first()).and_then(|fd| fd.try_clone().ok());
    if let Err(error) = engine.backends.containers.adopt(id, &mut inventory.held) {
        tracing::error!(container = id.short(), %error, "take over its output");
    }
    let process =
        Process { key, pidfd, identity, terminal, run, probes: None, ending: false, stopping: false };
    if process.key.is_none() {
        watch_foreign(id, &process, &engine.events);
    }
    engine.world.processes.insert(id.clone(), process);
    match end {
        Some(exit) => engine.begin_end(id, exit),
        None => {
            engine.begin_probes(id);
            go_on_stopping(engine, id);
        }
    }
}

/// Takes what the keeper has of the process: its name there, the process, and its wait status if it has ended.
fn take_kept(
    inventory: &mut Inventory,
    id: &ContainerId,
    recorded: &ProcessIdentity,
) -> Option<(String, Spawned, Option<i32>)> {
    let is_it = |(key, (spawned, _)): &(&String, &(Spawned, Option<i32>))| {
        identity::container_of(key).as_ref() == Some(id) && spawned.pid == recorded.pid
    };
    let key = inventory.processes.iter().find(is_it)?.0.clone();
    let (spawned, status) = inventory.processes.remove(&key)?;
    Some((key, spawned, status))
}

/// Finds the process of a container that no keeper of ours made: it runs, or the kernel has kept how it ended.
fn find(engine: &Engine, id: &ContainerId, identity: &ProcessIdentity) -> Option<OwnedFd> {
    if identity::boot().ok()? != identity.boot {
        return None;
    }
    match identity::open(identity) {
        Ok(Some(pidfd)) => Some(pidfd),
        Ok(None) | Err(_) => engine.backends.containers.kept(id).ok()?,
    }
}

/// A container that a former engine had asked to end is given its grace again.
fn go_on_stopping(engine: &mut Engine, id: &ContainerId) {
    let Some(container) = engine.world.found.containers.get(id) else { return };
    if container.asked_to_stop {
        let (signal, grace) = (container.spec.stop_signal, container.spec.stop_grace);
        engine.begin_stop(id, signal, grace);
    }
}

/// Takes in the end of a container that nobody saw.
fn end_unseen(engine: &mut Engine, id: &ContainerId) {
    let boot = identity::boot().unwrap_or_default();
    // A stand-in, so that the end takes the way of all ends: its group and its output are put away.
    let null = std::fs::File::open("/dev/null").map(OwnedFd::from);
    let Ok(pidfd) = null else { return };
    let identity = crate::record::ProcessIdentity { boot, pid: 0, began: 0 };
    let run = engine.next_serial();
    let process = Process {
        key: None,
        pidfd: Arc::new(pidfd),
        identity,
        terminal: None,
        run,
        probes: None,
        ending: false,
        stopping: false,
    };
    engine.world.processes.insert(id.clone(), process);
    engine.begin_end(id, ExitStatus::Unknown);
}

/// Takes in the packet filters that there are: what they say is not known, and those of projects that are gone go.
fn take_back_firewalls(engine: &mut Engine) -> Result<(), Fault> {
    let realm = &engine.backends.realm;
    let tables = firewall::observe_firewalls(&mut engine.tables, &realm.mark())
        .map_err(|error| failure::of("look at the packet filters", &error))?;
    for table in tables {
        match realm.project_of_table(&table) {
            Some(project) => drop(engine.changed.insert(project)),
            None if table == realm.table_of_builds() => engine.ground.changed = true,
            None => continue,
        }
        engine.firewalls.insert(table.clone(), FirewallSpec { table, ..FirewallSpec::default() });
    }
    Ok(())
}

/// Has ports become free that are reserved for nobody: an operation that goes on may want the same again.
fn free_ports_of_strangers(engine: &mut Engine, inventory: &mut Inventory) {
    let ports = inventory.held.extract_if(.., |key, _| HostSide::of_key(key).is_some());
    let ports = ports.filter_map(|(key, mut held)| HostSide::of_key(&key).zip(held.pop()));
    engine.free_ports(ports.collect());
}

/// Ends and removes what is of no record: what a killed engine began and could not say, or ended and could not forget.
fn put_away_strangers(backends: &Backends, world: &World, inventory: &Inventory) -> Result<(), Fault> {
    // What cannot be told to a keeper that dies in this moment, its successor never hears of.
    let link = backends.containers.link();
    for key in inventory.processes.keys() {
        let _ = link.forget(key);
    }
    for key in inventory.held.keys() {
        let _ = link.release(key);
    }
    for name in backends.containers.groups() {
        let known = name.parse().is_ok_and(|id: ContainerId| world.processes.contains_key(&id));
        if !known {
            backends
                .containers
                .remove_group(&name)
                .map_err(|error| failure::of("remove a cgroup", &error))?;
        }
    }
    for id in backends.containers.folders() {
        if !world.found.containers.contains_key(&id) {
            backends
                .containers
                .remove(&id)
                .map_err(|error| failure::of("remove a container's folder", &error))?;
        }
    }
    Ok(())
}
