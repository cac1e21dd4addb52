//! The commands of builds: containers like those of services, which nobody else hears of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use trice_build::sandbox::{Command, Executed, Rest, Sandbox, SandboxError, Written};
use trice_dns::resolv_conf;
use trice_model::build::BuildNetwork;
use trice_model::capability::Capability;
use trice_model::container::{
    ContainerSpec, ExitStatus, MASKED_PATHS, NetworkNamespace, ProcessSpec, READONLY_PATHS, ResolverSpec,
    Role, SeccompSpec,
};
use trice_model::id::{ContainerId, Ids};
use trice_model::image::ImageRef;
use trice_model::name::{ContainerName, VolumeName};
use trice_model::network::InstanceSpec;
use trice_model::restart::RestartPolicy;
use trice_model::service::{ExtraHost, LinksEnv, PublishMode, Resources};
use trice_model::units::Bytes;
use trice_plan::building;
use trice_runtime::container::{Prepared, Surroundings};
use trice_runtime::logs::Stream;
use trice_runtime::logs::reader::{Line, LogReader};
use trice_runtime::lower::MadeFile;

use crate::build::ground::Place;
use crate::event::Question;
use crate::failure;
use crate::identity;
use crate::serve::Service;

/// How often it is looked whether anybody still wants a command.
const LOOK: Duration = Duration::from_millis(100);
/// What commands find as the name of their machine, as those of BuildKit do.
const HOSTNAME: &str = "buildkitsandbox";
/// The size of `/dev/shm` of a command that asks for none.
const SHM_SIZE: Bytes = Bytes(64 << 20);

/// Executes commands in containers.
pub(super) struct EngineSandbox {
    service: Service,
    runtime: Handle,
}

/// Where a command finds other machines.
enum Net {
    /// Where the host does.
    Host,
    /// On the network of builds.
    Builds(Place),
    /// Nowhere.
    None(OwnedFd),
}

impl Net {
    /// Returns the namespace; none is the host's.
    fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Host => None,
            Self::Builds(place) => Some(place.namespace.as_fd()),
            Self::None(namespace) => Some(namespace.as_fd()),
        }
    }

    /// Returns the host's address as it is known there.
    fn host(&self) -> IpAddr {
        match self {
            Self::Host | Self::None(_) => Ipv4Addr::LOCALHOST.into(),
            Self::Builds(place) => place.gateway(),
        }
    }
}

/// A container that is removed when it is dropped.
struct Container {
    service: Service,
    id: ContainerId,
}

impl Drop for Container {
    fn drop(&mut self) {
        let containers = &self.service.backends.containers;
        if let Err(error) = containers.remove(&self.id) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(container = self.id.short(), error, "remove what a build executed");
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl EngineSandbox {
    pub(super) fn new(service: Service, runtime: Handle) -> Self {
        Self { service, runtime }
    }

    /// Returns where a command finds other machines.
    fn net(&self, id: &ContainerId, command: &Command) -> Result<Net, Failed> {
        let name = name_of(id)?;
        match command.network {
            BuildNetwork::Host => Ok(Net::Host),
            BuildNetwork::Default => {
                let asked = |reply| Question::Place(name, !command.privileged, reply);
                Ok(Net::Builds(self.runtime.block_on(self.service.ask_for(asked))??))
            }
            BuildNetwork::None => {
                let instance = InstanceSpec {
                    name,
                    project: building::owner(),
                    endpoints: Vec::new(),
                    sysctls: BTreeMap::new(),
                    dns: false,
                };
                Ok(Net::None(trice_network::instance::connect(&instance)?.namespace))
            }
        }
    }

    /// Makes a container up to the last step before its program.
    fn prepare(
        &self,
        key: &str,
        spec: &ContainerSpec,
        namespace: Option<BorrowedFd<'_>>,
    ) -> Result<Prepared, Failed> {
        let backends = &self.service.backends;
        let host_text = fs::read_to_string(&backends.resolv_conf).unwrap_or_default();
        let host = resolv_conf::parse(&host_text);
        let no_volume = |name: &VolumeName, _: Option<&Path>| -> Result<OwnedFd, Failed> {
            Err(format!("a build has no volume `{name}`").into())
        };
        let mut files = crate::files::texts(spec, &[], &host, &host_text);
        // As BuildKit has it: what a command writes there is the image's.
        files.remove(&MadeFile::Hostname);
        let mut surroundings = Surroundings { namespace, volumes: &no_volume, files, stdin: None };
        let prepared = backends.containers.prepare(key, spec, &mut surroundings);
        prepared.map_err(|error| failure::of_container("execute a command", &error).into())
    }

    /// Follows a command to its end. Nothing comes back if nobody wants it any more; it has ended nevertheless.
    async fn follow(
        &self,
        id: &ContainerId,
        mut ended: oneshot::Receiver<ExitStatus>,
        log: &mut LogReader,
        written: &mut dyn FnMut(Written<'_>),
        stop: &AtomicBool,
    ) -> Result<Option<ExitStatus>, Failed> {
        let containers = &self.service.backends.containers;
        let mut ticks = self.service.log_ticks();
        let (mut look, mut is_killed) = (tokio::time::interval(LOOK), false);
        loop {
            tokio::select! {
                exit = &mut ended => {
                    let exit = exit.map_err(|_| "nobody saw how the command ended: the keeper has died")?;
                    return Ok((!is_killed).then_some(exit));
                }
                _ = ticks.changed() => tell(log.next_lines()?, written),
                _ = look.tick(), if !is_killed => {
                    if stop.load(Ordering::Relaxed) {
                        is_killed = true;
                        containers.kill(id)?;
                    }
                }
            }
        }
    }
}

impl Sandbox for EngineSandbox {
    fn execute(
        &self,
        command: &Command,
        written: &mut dyn FnMut(Written<'_>),
        stop: &AtomicBool,
    ) -> Result<Executed, SandboxError> {
        let failed = |error: Failed| SandboxError::Failed(error);
        let containers = &self.service.backends.containers;
        let id = fresh_id().map_err(failed)?;
        let net = self.net(&id, command).map_err(failed)?;
        let spec = spec(&id, command, &net).map_err(failed)?;
        let container = Container { service: self.service.clone(), id: id.clone() };
        let key = identity::key_of(&id);
        let (follower, ended) = oneshot::channel();
        self.service.ask(Question::Follow(key.clone(), follower));
        let mut prepared = self.prepare(&key, &spec, net.namespace()).map_err(failed)?;
        let mut log = LogReader::new(containers.log(&id));
        let started = prepared.start();
        started.map_err(|error| failed(failure::of_container("execute a command", &error).into()))?;
        let exit = self.runtime.block_on(self.follow(&id, ended, &mut log, written, stop)).map_err(failed)?;
        drop(prepared);
        containers.finish(&id).map_err(|error| failed(error.into()))?;
        loop {
            let lines = log.next_lines().map_err(|error| failed(error.into()))?;
            if lines.is_empty() {
                break;
            }
            tell(lines, written);
        }
        tell(log.rest(), written);
        let exit = exit.ok_or(SandboxError::Cancelled)?;
        let upper = containers.folder(&id).join("upper");
        Ok(Executed { exit, upper, rest: Rest(Some(Box::new(move || drop(container)))) })
    }
}

fn tell(lines: Vec<Line>, written: &mut dyn FnMut(Written<'_>)) {
    for line in lines {
        written(Written { is_error: line.stream == Stream::Stderr, line: &line.bytes });
    }
}

fn fresh_id() -> Result<ContainerId, Failed> {
    let mut seed = [0_u8; 32];
    getrandom(&mut seed, GetRandomFlags::empty())?;
    let (lanes, _) = seed.as_chunks::<8>();
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(lanes) {
        *number = u64::from_ne_bytes(*bytes);
    }
    Ok(Ids::new(numbers).container())
}

/// Returns what a command's container and its namespace are called.
fn name_of(id: &ContainerId) -> Result<ContainerName, Failed> {
    Ok(format!("build-{}", id.short()).parse()?)
}

/// Returns the container of a command.
fn spec(id: &ContainerId, command: &Command, net: &Net) -> Result<ContainerSpec, Failed> {
    let name = name_of(id)?;
    let hosts = command.hosts.iter().map(|(name, host)| match host {
        ExtraHost::Address(address) => Ok((*address, name.clone())),
        ExtraHost::HostGateway => Ok((net.host(), name.clone())),
    });
    let own = Ok((IpAddr::from(Ipv4Addr::LOCALHOST), HOSTNAME.parse()?));
    let paths = |paths: &[&str]| paths.iter().map(Into::into).collect();
    let (masked_paths, readonly_paths) = match command.privileged {
        true => (Vec::new(), Vec::new()),
        false => (paths(&MASKED_PATHS), paths(&READONLY_PATHS)),
    };
    let network = match net {
        Net::Host => NetworkNamespace::Host,
        Net::Builds(_) | Net::None(_) => NetworkNamespace::Instance(name.clone()),
    };
    let process = ProcessSpec {
        args: command.args.clone(),
        env: command.env.clone(),
        link_env: BTreeMap::new(),
        cwd: command.cwd.clone(),
        user: if command.user.is_empty() { "0".to_owned() } else { command.user.clone() },
        groups: Vec::new(),
        tty: false,
        stdin_open: false,
        capabilities: if command.privileged { Capability::all() } else { Capability::default_set() },
        no_new_privileges: false,
        seccomp: if command.privileged { SeccompSpec::Unconfined } else { SeccompSpec::Default },
        ulimits: command.ulimits.clone(),
        oom_score_adj: None,
    };
    Ok(ContainerSpec {
        id: id.clone(),
        name,
        project: building::owner(),
        service: "build".parse()?,
        role: Role::OneOff(id.short().to_owned()),
        labels: BTreeMap::new(),
        image: "scratch".parse::<ImageRef>()?,
        image_id: String::new(),
        layers: command.layers.clone(),
        process,
        hostname: HOSTNAME.parse()?,
        domainname: None,
        mounts: command.mounts.clone(),
        shm_size: command.shm_size.unwrap_or(SHM_SIZE),
        read_only: false,
        init: false,
        network,
        aliases: BTreeMap::new(),
        links: Vec::new(),
        external_links: Vec::new(),
        links_env: LinksEnv::Off,
        exposed: BTreeSet::new(),
        published: Vec::new(),
        publish: PublishMode::default(),
        hosts: [own].into_iter().chain(hosts).collect::<Result<_, Failed>>()?,
        resolver: ResolverSpec::default(),
        sysctls: BTreeMap::new(),
        privileged: command.privileged,
        masked_paths,
        readonly_paths,
        resources: Resources::default(),
        stop_signal: "SIGKILL".parse()?,
        stop_grace: Duration::ZERO,
        restart: RestartPolicy::No,
        health: None,
        depends_on: BTreeMap::new(),
        attach: false,
        config_hash: String::new(),
    })
}
