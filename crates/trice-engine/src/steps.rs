//! One step: what begins it, and what its end changes in what is known.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use trice_api::event::ContainerChange;
use trice_api::fault::{Code, Fault};
use trice_model::container::{
    ContainerSpec, ContainerState, ExitStatus, NetworkNamespace, ObservedContainer,
};
use trice_model::id::ContainerId;
use trice_model::name::{NetworkName, ProjectName};
use trice_model::network::{
    EndpointSpec, InstanceName, InstanceSpec, NetworkSpec, ObservedInstance, ObservedNetwork,
};
use trice_model::port::PublishedPort;
use trice_network::instance::Connected;
use trice_network::nftables::TableOwner;
use trice_network::port::PortError;
use trice_plan::action::{Action, Target};
use trice_plan::building;
use trice_plan::plan::StepId;
use trice_plan::restart::Tally;
use trice_runtime::container::Prepared;
use trice_runtime::keeper::link::{Parting, is_gone};

use crate::engine::{Destination, Engine, now};
use crate::event::Event;
use crate::failure;
use crate::identity;
use crate::operation::Operation;
use crate::perform::{self, Outcome, Place};
use crate::record::ContainerRecord;
use crate::world::{Home, HostSide, Process, Reservation};

impl Engine {
    /// Begins a step.
    pub(crate) fn begin_step(&mut self, operation: &Operation, step: StepId, action: &Action) {
        let job = match action {
            Action::FetchImage { image, .. } => {
                let (events, serial) = (self.events.clone(), operation.serial);
                let tell = move |amount| {
                    let _ = events.send(Event::StepGone { operation: serial, step, amount });
                };
                let (access, stopped) = (operation.access.clone(), operation.stopped());
                perform::fetch_image(image.clone(), access, stopped, tell)
            }
            Action::CreateNetwork(spec) => {
                let job = perform::create_network((**spec).clone());
                if self.world.leaving.contains(&spec.name) {
                    // One of the same name is on its way out: its bridge and its record must go first.
                    let destination = Destination::Step { operation: operation.serial, step };
                    return self.after_leaving.entry(spec.name.clone()).or_default().push((job, destination));
                }
                job
            }
            Action::RemoveNetwork(name) => match self.world.found.networks.get(name) {
                Some(network) => perform::mark_leaving(network.spec.clone()),
                None => return self.end_now(operation, step, Ok(Outcome::Done)),
            },
            Action::CreateVolume(spec) => perform::create_volume(spec.clone()),
            Action::RemoveVolume(name) => perform::remove_volume(name.clone()),
            Action::ConnectInstance(spec) => perform::connect_instance(spec.clone()),
            Action::ReshapeInstance(spec) => {
                let there = self.world.found.instances.get(&spec.name).map(|there| there.spec.clone());
                let home = self.world.homes.get(&spec.name);
                let namespace = home.and_then(|home| home.namespace.try_clone().ok());
                let in_it = |container: &&ContainerSpec| {
                    container.network == NetworkNamespace::Instance(spec.name.clone())
                };
                let containers = self.world.found.containers.values().map(|container| &container.spec);
                let containers = containers.filter(in_it).cloned().collect();
                perform::reshape_instance(spec.clone(), there.zip(namespace), containers)
            }
            Action::DisconnectInstance(name) => match self.world.found.instances.get(name) {
                Some(instance) => {
                    let spec = instance.spec.clone();
                    self.world.homes.remove(name);
                    self.backends.sockets.remove(name);
                    perform::disconnect_instance(spec, self.give_back_ports(name, &[]))
                }
                None => return self.end_now(operation, step, Ok(Outcome::Done)),
            },
            Action::PublishPorts { instance, ports } => {
                let project = operation.record.intent.project();
                let result = self.reserve(project, instance, ports);
                return self.end_now(operation, step, result);
            }
            Action::CreateContainer(spec) => {
                let starts = Self::starts_later(operation, &spec.id);
                self.begin_create(spec, starts)
            }
            Action::StartContainer(target) => match self.begin_start(&target.id, Tally::default()) {
                Ok(job) => job,
                Err(fault) => return self.end_now(operation, step, Err(fault)),
            },
            Action::StopContainer { container, signal, grace } => {
                // It ends when the container has; see `end_waits`.
                return self.begin_stop(&container.id, *signal, *grace);
            }
            Action::RemoveContainer(target) => match self.world.found.containers.get(&target.id) {
                Some(container) => {
                    let spec = container.spec.clone();
                    self.world.prepared.remove(&target.id);
                    perform::remove_container(spec)
                }
                None => return self.end_now(operation, step, Ok(Outcome::Done)),
            },
            Action::Await { .. } => return,
        };
        self.step_job(operation, step, job);
    }

    fn end_now(&mut self, operation: &Operation, step: StepId, result: Result<Outcome, Fault>) {
        self.over.push((operation.serial, step, result));
    }

    fn begin_create(&mut self, spec: &ContainerSpec, starts: bool) -> perform::Job {
        let container = ObservedContainer {
            spec: spec.clone(),
            state: ContainerState::Created,
            created_at: now(),
            started_at: None,
            finished_at: None,
            restarts: 0,
            asked_to_stop: false,
        };
        self.world.found.containers.insert(spec.id.clone(), container.clone());
        let record = ContainerRecord { container, tally: Tally::default(), process: None };
        let place = Place { stdin: self.inputs.remove(&spec.name), ..self.place(spec) };
        perform::create_container(record, place, starts)
    }

    /// Begins the start of a container: from now on it counts as running, so that its name and its ports lead to it
    /// when its program begins.
    pub(crate) fn begin_start(&mut self, id: &ContainerId, tally: Tally) -> Result<perform::Job, Fault> {
        let Some(container) = self.world.found.containers.get_mut(id) else {
            return Err(Fault::new(Code::NotFound, format!("container {} is gone", id.short())));
        };
        let health = container.spec.health.as_ref().map(|_| trice_model::health::Health::Starting);
        container.state = ContainerState::Running { health, paused: false };
        container.started_at = Some(now());
        container.restarts = tally.restarts;
        container.asked_to_stop = false;
        let (container, spec) = (container.clone(), container.spec.clone());
        self.world.tallies.insert(id.clone(), tally);
        self.changed.insert(spec.project.clone());
        let record = ContainerRecord { container, tally, process: None };
        let waiting = self.world.prepared.remove(id);
        Ok(perform::start_container(record, waiting, self.place(&spec)))
    }

    /// Returns what a container is put into.
    fn place(&self, spec: &ContainerSpec) -> Place {
        let NetworkNamespace::Instance(name) = &spec.network else {
            return Place { namespace: None, addresses: Vec::new(), stdin: None };
        };
        let namespace = self.world.homes.get(name).and_then(|home| home.namespace.try_clone().ok());
        Place { namespace, addresses: self.addresses(name), stdin: None }
    }

    fn addresses(&self, name: &InstanceName) -> Vec<IpAddr> {
        let instance = self.world.found.instances.get(name);
        let endpoints = instance.into_iter().flat_map(|instance| &instance.spec.endpoints);
        endpoints.flat_map(EndpointSpec::addresses).collect()
    }

    /// Reserves `ports` for an instance, and no others. It takes microseconds, so the loop does it itself: two
    /// replicas that share a port come one after the other.
    fn reserve(
        &mut self,
        project: &ProjectName,
        instance: &InstanceName,
        ports: &[PublishedPort],
    ) -> Result<Outcome, Fault> {
        let free = self.give_back_ports(instance, ports);
        self.free_ports(free);
        for port in ports {
            let side = HostSide::of(port);
            let known = self.world.ports.get_mut(&side).filter(|reservation| reservation.project == *project);
            if let Some(reservation) = known {
                reservation.holders.insert(instance.clone());
                continue;
            }
            let parting = self.parting.remove(&side).map(|(_, socket)| Ok(socket));
            let socket = match parting.unwrap_or_else(|| trice_network::port::reserve_port(port)) {
                Ok(socket) => socket,
                // Without IPv6 on this machine, all of its addresses are those of IPv4.
                Err(PortError::Unsupported { .. }) if is_second_half(port, ports) => continue,
                Err(error) => return Err(failure::of_port(instance, &error)),
            };
            match self.backends.containers.link().hold(&side.key(), &[socket.as_fd()]) {
                // Its successor is given all ports that there are.
                Err(error) if is_gone(&error) => {}
                held => held.map_err(|error| failure::of_io(&format!("publish {port}"), &error))?,
            }
            let holders = [instance.clone()].into();
            self.world.ports.insert(side, Reservation { socket, project: project.clone(), holders });
        }
        Ok(Outcome::Done)
    }

    /// Takes an instance off all its ports but `kept`, and returns the sockets of those that nobody holds any more.
    pub(crate) fn give_back_ports(
        &mut self,
        instance: &InstanceName,
        kept: &[PublishedPort],
    ) -> Vec<(HostSide, OwnedFd)> {
        let nobodys = |side: &HostSide, reservation: &mut Reservation| {
            if !kept.iter().any(|port| HostSide::of(port) == *side) {
                reservation.holders.remove(instance);
            }
            reservation.holders.is_empty()
        };
        let free = self.world.ports.extract_if(.., nobodys);
        let free: Vec<_> = free.map(|(side, reservation)| (side, reservation.socket)).collect();
        for (side, _) in &free {
            self.proxies.remove(side);
        }
        free
    }

    /// Has ports become anybody's again. Until the keeper has let go of them too, whoever of ours wants one of them
    /// gets its socket: nobody else could have it.
    pub(crate) fn free_ports(&mut self, ports: Vec<(HostSide, OwnedFd)>) {
        if ports.is_empty() {
            return;
        }
        let turn = self.next_serial();
        let link = self.backends.containers.link();
        // Said here and not later: whoever gets such a socket has the keeper hold it again.
        let partings: Vec<_> = ports.iter().map(|(side, _)| link.begin_release(&side.key())).collect();
        self.parting.extend(ports.into_iter().map(|(side, socket)| (side, (turn, socket))));
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            partings.into_iter().for_each(Parting::wait);
            let _ = events.send(Event::PortsFree { turn });
        });
    }

    /// Takes in what a step brought.
    pub(crate) fn take_in(
        &mut self,
        operation: &mut Operation,
        action: &Action,
        result: Result<Outcome, Fault>,
    ) -> Result<(), Fault> {
        self.changed.insert(operation.record.intent.project().clone());
        match (action, result) {
            (Action::StartContainer(target), Err(fault)) => {
                self.start_failed(&target.id, &fault);
                Err(fault)
            }
            (Action::CreateContainer(spec), Err(fault)) => {
                // What there is of it is recorded: the next plan removes it or goes on with it.
                self.world.prepared.remove(&spec.id);
                Err(fault)
            }
            (_, Err(fault)) => Err(fault),
            (action, Ok(outcome)) => {
                if let (Action::FetchImage { image, .. }, Outcome::Image(_)) = (action, &outcome) {
                    operation.fetched.insert(image.clone());
                }
                self.take_in_outcome(action, outcome)
            }
        }
    }

    fn take_in_outcome(&mut self, action: &Action, outcome: Outcome) -> Result<(), Fault> {
        match (action, outcome) {
            (Action::FetchImage { image, .. }, Outcome::Image(observed)) => {
                self.world.found.images.insert(image.clone(), *observed);
            }
            (Action::CreateNetwork(spec), _) => {
                let network = ObservedNetwork { spec: (**spec).clone(), present: true };
                self.world.found.networks.insert(spec.name.clone(), network);
            }
            (Action::RemoveNetwork(name), _) => self.let_network_go(name),
            (Action::CreateVolume(spec), Outcome::Volume(volume)) => {
                self.world.found.volumes.insert(spec.name.clone(), *volume);
            }
            (Action::RemoveVolume(name), _) => drop(self.world.found.volumes.remove(name)),
            (Action::ConnectInstance(spec), Outcome::Connected(connected)) => {
                self.take_in_instance(spec, Connection::from(*connected))?;
            }
            (Action::ReshapeInstance(spec), _) => {
                if let Some(there) = self.world.found.instances.get_mut(&spec.name) {
                    there.spec.clone_from(spec);
                }
            }
            (Action::DisconnectInstance(name), _) => {
                if let Some(instance) = self.world.found.instances.remove(name) {
                    self.let_links_go(&instance.spec);
                }
            }
            (Action::CreateContainer(spec), outcome) => {
                // The start of one whose keeper has died makes another one.
                if let Outcome::Prepared(prepared) = outcome
                    && self.has_parent(&prepared)
                {
                    self.world.prepared.insert(spec.id.clone(), *prepared);
                }
                self.announce(&spec.id, ContainerChange::Created);
            }
            (Action::StartContainer(target), Outcome::Started(prepared, record)) => {
                self.started(&target.id, *prepared, *record);
            }
            (Action::RemoveContainer(Target { id, .. }), _) => {
                self.announce(id, ContainerChange::Removed);
                self.world.found.containers.remove(id);
                self.world.tallies.remove(id);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in an instance whose namespace is there, and answers its names.
    pub(crate) fn take_in_instance(
        &mut self,
        spec: &InstanceSpec,
        connection: Connection,
    ) -> Result<(), Fault> {
        let what = format!("connect {}", spec.name);
        let failed = |error: std::io::Error| failure::of_io(&what, &error);
        let (mut sockets, mut serving) = (Vec::new(), None);
        if let Some((udp, tcp)) = connection.sockets {
            sockets.push(udp.try_clone().map_err(failed)?.into());
            sockets.push(tcp.try_clone().map_err(failed)?.into());
            let served = self.backends.names.serve(spec.name.clone(), udp, tcp);
            serving = Some(served.map_err(|error| failure::of(&what, &error))?);
        }
        let namespace = connection.namespace.try_clone().map_err(failed)?;
        self.backends.sockets.insert(spec.name.clone(), namespace);
        let (namespace, rules) = (connection.namespace, connection.rules);
        let home = Home { namespace, sockets, _serving: serving, rules };
        self.world.homes.insert(spec.name.clone(), home);
        let instance = ObservedInstance { spec: spec.clone(), present: true };
        self.world.found.instances.insert(spec.name.clone(), instance);
        Ok(())
    }

    /// Takes in a container whose program runs.
    pub(crate) fn started(&mut self, id: &ContainerId, prepared: Prepared, record: ContainerRecord) {
        let Some(identity) = record.process else { return };
        let run = self.next_serial();
        let early_end = self.take_early_end(id, Some(&prepared.key));
        let has_parent = self.has_parent(&prepared);
        let mut process = Process {
            key: Some(prepared.key),
            pidfd: Arc::new(prepared.pidfd),
            identity,
            terminal: prepared.terminal,
            run,
            probes: None,
            ending: false,
            stopping: false,
        };
        if !has_parent {
            self.adopt_orphan(id, &mut process);
        }
        self.world.processes.insert(id.clone(), process);
        self.announce(id, ContainerChange::Started);
        if let Some(exit) = early_end {
            self.late_stops.remove(id);
            return self.begin_end(id, exit);
        }
        self.begin_probes(id);
        if let Some((signal, grace)) = self.late_stops.remove(id) {
            self.begin_stop(id, signal, grace);
        }
    }

    /// Takes the end that was told of the process `key` before its start was; those of others of the container are of
    /// no use any more.
    fn take_early_end(&mut self, id: &ContainerId, key: Option<&String>) -> Option<ExitStatus> {
        let exit = key.and_then(|key| self.early_ends.remove(key));
        let of_container =
            |key: &String, _: &mut ExitStatus| identity::container_of(key).as_ref() == Some(id);
        self.forgotten.extend(self.early_ends.extract_if(.., of_container).map(|(key, _)| key));
        exit
    }

    /// Takes in a container whose program could not be started.
    pub(crate) fn start_failed(&mut self, id: &ContainerId, fault: &Fault) {
        let code = match fault.code {
            Code::CommandNotFound => 127,
            Code::CommandNotExecutable => 126,
            _ => 125,
        };
        self.take_early_end(id, None);
        self.late_stops.remove(id);
        if let Some(container) = self.world.found.containers.get_mut(id) {
            container.state = ContainerState::Exited { exit: ExitStatus::Code(code) };
            container.started_at = None;
            container.finished_at = Some(now());
            self.changed.insert(container.spec.project.clone());
        }
        self.remember(id);
    }

    /// Has a network's bridge go in the background: the kernel takes its time, and nobody has to wait for it.
    pub(crate) fn let_network_go(&mut self, name: &NetworkName) {
        let Some(network) = self.world.found.networks.remove(name) else { return };
        self.remove_bridge(network.spec);
    }

    /// Removes a bridge in the background.
    pub(crate) fn remove_bridge(&mut self, spec: NetworkSpec) {
        self.world.leaving.insert(spec.name.clone());
        let (backends, events) = (self.backends.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = perform::remove_network(&backends, &spec);
            let _ = events.send(Event::NetworkGone { name: spec.name, result });
        });
    }

    /// Takes in that a bridge has gone.
    pub(crate) fn network_gone(&mut self, name: &NetworkName, result: Result<(), Fault>) {
        if let Err(fault) = result {
            tracing::error!(network = %name, %fault, "remove a network");
        }
        self.world.leaving.remove(name);
        self.jobs.extend(self.after_leaving.remove(name).into_iter().flatten());
        if *name == building::network_name() {
            self.ground_gone();
        }
    }
}

/// Tells whether `port` is the half of a port of all addresses that is of IPv6.
fn is_second_half(port: &PublishedPort, ports: &[PublishedPort]) -> bool {
    let first = PublishedPort { host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..*port };
    port.host_ip.is_ipv6() && port.host_ip.is_unspecified() && ports.contains(&first)
}

/// What there is of an instance: its namespace, and where its names are asked.
pub(crate) struct Connection {
    /// The namespace.
    pub(crate) namespace: OwnedFd,
    /// The sockets for names.
    pub(crate) sockets: Option<(UdpSocket, TcpListener)>,
    /// What keeps the instance from flushing the rules that lead there; absent after an engine's death, when they
    /// stay without an owner.
    pub(crate) rules: Option<TableOwner>,
}

impl From<Connected> for Connection {
    fn from(connected: Connected) -> Self {
        let namespace = connected.namespace;
        match connected.dns {
            Some(dns) => Self { namespace, sockets: Some((dns.udp, dns.tcp)), rules: Some(dns.rules) },
            None => Self { namespace, sockets: None, rules: None },
        }
    }
}
