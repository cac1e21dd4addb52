//! One container: what the runtime is asked for, and what is found.
//!
//! Sources: OCI Runtime Specification, `config.md` and `config-linux.md`; Compose Specification, `05-services.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::health::{Health, HealthSpec};
use crate::id::ContainerId;
use crate::image::ImageRef;
use crate::mount::MountSpec;
use crate::name::{ContainerName, HostName, NetworkName, ProjectName, ServiceName};
use crate::network::InstanceName;
use crate::port::{ContainerPort, PublishedPort};
use crate::restart::RestartPolicy;
use crate::service::{Dependency, ExternalLink, Link, LinksEnv, PublishMode, Resources, Ulimit};
use crate::signal::Signal;
use crate::time::Timestamp;
use crate::units::Bytes;

/// What of the kernel's files a container does not see. Source: moby `daemon/pkg/oci/defaults.go`.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What of the kernel's files a container only reads. Source: as above.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A container that the runtime is asked for, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerSpec {
    /// Its id.
    pub id: ContainerId,
    /// Its name, one of a kind on this machine.
    pub name: ContainerName,
    /// The project that it belongs to.
    pub project: ProjectName,
    /// The service that it runs.
    pub service: ServiceName,
    /// What it is to the service.
    pub role: Role,
    /// Labels, those of Compose included.
    pub labels: BTreeMap<String, String>,
    /// Its image as the project calls it.
    pub image: ImageRef,
    /// The image's id at the time of planning.
    pub image_id: String,
    /// The folders of the image's layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// The process.
    pub process: ProcessSpec,
    /// The host name.
    pub hostname: HostName,
    /// The domain part of the host name.
    pub domainname: Option<String>,
    /// Mounts beside the root and those that every container has.
    pub mounts: Vec<MountSpec>,
    /// The size of `/dev/shm`.
    pub shm_size: Bytes,
    /// Nothing may be written to the root file system.
    pub read_only: bool,
    /// A small init reaps orphans and passes signals on.
    pub init: bool,
    /// Whose network namespace it is in.
    pub network: NetworkNamespace,
    /// The names it answers to on each network beside its own. None at all is a one-off's way: it answers to nothing
    /// but its own name.
    pub aliases: BTreeMap<NetworkName, Vec<String>>,
    /// Other services under names that only it knows.
    pub links: Vec<Link>,
    /// Containers of other projects under names that only it knows.
    pub external_links: Vec<ExternalLink>,
    /// How much of those services is told in variables.
    pub links_env: LinksEnv,
    /// The ports it listens on, as far as anybody said.
    pub exposed: BTreeSet<ContainerPort>,
    /// The ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// How connections to them get here.
    pub publish: PublishMode,
    /// The content of `/etc/hosts` beside the usual lines: address and name.
    pub hosts: Vec<(IpAddr, String)>,
    /// The content of `/etc/resolv.conf`.
    pub resolver: ResolverSpec,
    /// Settings of the kernel in its namespaces, those of the network apart.
    pub sysctls: BTreeMap<String, String>,
    /// All capabilities and devices, no filter, no masks.
    pub privileged: bool,
    /// Paths that are hidden.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that are read-only.
    pub readonly_paths: Vec<PathBuf>,
    /// Limits.
    pub resources: Resources,
    /// The signal that asks for the end.
    pub stop_signal: Signal,
    /// The time between that and the kill.
    pub stop_grace: Duration,
    /// What happens after an exit.
    pub restart: RestartPolicy,
    /// The probe.
    pub health: Option<HealthSpec>,
    /// The services it waits for, linked ones included; the way down goes against them.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Its output is shown by an attached `up`.
    pub attach: bool,
    /// The digest of all that makes it another container when it changes.
    pub config_hash: String,
}

/// What a container is to its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One of its replicas, counted from 1.
    Replica(u32),
    /// Made by `run`, with a suffix of its own.
    OneOff(String),
}

impl ContainerSpec {
    /// Tells whether it lives in the network namespace of another container's instance.
    pub fn is_guest(&self) -> bool {
        match &self.network {
            NetworkNamespace::Instance(instance) => *instance != self.name,
            NetworkNamespace::Host => false,
        }
    }
}

impl Role {
    /// Tells whether the container is one of its service's replicas.
    pub fn is_replica(&self) -> bool {
        match self {
            Self::Replica(_) => true,
            Self::OneOff(_) => false,
        }
    }
}

/// The process of a container, or one that is run in it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessSpec {
    /// The program and its arguments; never empty.
    pub args: Vec<String>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Variables that tell of linked services. They follow addresses and so do not make another container.
    pub link_env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: String,
    /// The user: `name`, `uid`, either with `:group`; resolved in the container's own files.
    pub user: String,
    /// More groups, by name or number.
    pub groups: Vec<String>,
    /// It has a terminal.
    pub tty: bool,
    /// The standard input stays open.
    pub stdin_open: bool,
    /// The capabilities that it and its children may have.
    pub capabilities: BTreeSet<Capability>,
    /// No program gains privileges by its file's bits.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: SeccompSpec,
    /// Limits of each process, by the lower-case name without `RLIMIT_`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// How readily the kernel ends it when memory runs out.
    pub oom_score_adj: Option<i32>,
}

/// Which system calls a process may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompSpec {
    /// The usual ones.
    Default,
    /// All.
    Unconfined,
}

/// Whose network namespace a container is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkNamespace {
    /// The instance's.
    Instance(InstanceName),
    /// The host's.
    Host,
}

/// The content of `/etc/resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResolverSpec {
    /// Resolvers to ask, instead of the host's.
    pub servers: Vec<IpAddr>,
    /// Search domains; `None` is the host's.
    pub search: Option<Vec<String>>,
    /// Options.
    pub options: Vec<String>,
}

/// A process that is run in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecSpec {
    /// The container.
    pub container: ContainerId,
    /// The process.
    pub process: ProcessSpec,
}

/// A container that is recorded, and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedContainer {
    /// As it was asked for.
    pub spec: ContainerSpec,
    /// How it does.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Somebody asked for its end.
    pub asked_to_stop: bool,
}

impl ObservedContainer {
    /// Tells whether its processes are held still.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, ContainerState::Running { paused: true, .. })
    }
}

/// How a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    /// It has never been started.
    Created,
    /// Its process runs; with what its probe says, if it has one.
    Running {
        /// What the probe says.
        health: Option<Health>,
        /// Its processes are held still.
        #[serde(default)]
        paused: bool,
    },
    /// It has ended and will be started again.
    Restarting {
        /// How it ended.
        exit: ExitStatus,
        /// When it is started.
        at: Timestamp,
    },
    /// It has ended.
    Exited {
        /// How it ended.
        exit: ExitStatus,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
    /// Nobody was there to see it.
    Unknown,
}

impl ExitStatus {
    /// Returns the code as a shell shows it: 128 and the signal's number for a death by signal, 255 if unknown.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(number) => 128 + i32::from(number),
            Self::Unknown => 255,
        }
    }
}
