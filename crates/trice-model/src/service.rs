//! A service as a project wants it, normalised: one form for each attribute, variables filled in, paths absolute.
//!
//! Source: Compose Specification, `05-services.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::health::Healthcheck;
use crate::image::{ImageRef, PlatformImage};
use crate::mount::{Mount, MountSource};
use crate::name::{ContainerName, HostName, Key, ServiceName};
use crate::network::Attachment;
use crate::port::{ContainerPort, Port};
use crate::restart::RestartPolicy;
use crate::signal::Signal;
use crate::units::Bytes;

/// A service that a project wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The image of its containers.
    pub image: ImageRef,
    /// The platform of the image, as it is written; `None` is this machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// When the image is fetched.
    pub pull_policy: PullPolicy,
    /// How many containers.
    pub replicas: u32,
    /// A fixed name for its only container.
    pub container_name: Option<ContainerName>,
    /// In place of the image's entrypoint; an empty one clears it.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's command; an empty one clears it.
    pub command: Option<Vec<String>>,
    /// Variables over the image's.
    pub environment: BTreeMap<String, String>,
    /// In place of the image's working directory.
    pub working_dir: Option<String>,
    /// In place of the image's user.
    pub user: Option<String>,
    /// More groups of the process, by name or number.
    pub group_add: Vec<String>,
    /// The host name; `None` is the short container id.
    pub hostname: Option<HostName>,
    /// The domain part of the host name.
    pub domainname: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What must be there before it starts.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Other services under names of its own.
    pub links: Vec<Link>,
    /// Containers of other projects under names of its own.
    pub external_links: Vec<ExternalLink>,
    /// Whose network it uses.
    pub network_mode: NetworkMode,
    /// The networks it is on, by key.
    pub networks: BTreeMap<Key, Attachment>,
    /// Ports that it listens on, beside the published ones and the image's.
    pub expose: BTreeSet<ContainerPort>,
    /// Ports of the host that lead to it.
    pub ports: Vec<Port>,
    /// Resolvers.
    pub dns: Vec<IpAddr>,
    /// Search domains; `None` is the host's.
    pub dns_search: Option<Vec<String>>,
    /// Options of the resolver.
    pub dns_opt: Vec<String>,
    /// Lines for `/etc/hosts`: a name and an address, or `host-gateway`.
    pub extra_hosts: Vec<(String, ExtraHost)>,
    /// Mounts.
    pub volumes: Vec<Mount>,
    /// The size of `/dev/shm`; `None` is 64 MiB.
    pub shm_size: Option<Bytes>,
    /// Nothing may be written to the root file system.
    pub read_only: bool,
    /// A small init reaps orphans and passes signals on.
    pub init: bool,
    /// The process has a terminal.
    pub tty: bool,
    /// The standard input stays open.
    pub stdin_open: bool,
    /// The probe.
    pub healthcheck: Option<Healthcheck>,
    /// What happens after an exit.
    pub restart: RestartPolicy,
    /// In place of the image's stop signal.
    pub stop_signal: Option<Signal>,
    /// The time between the stop signal and the kill; `None` is 10 s.
    pub stop_grace_period: Option<Duration>,
    /// Its output is shown by an attached `up`.
    pub attach: bool,
    /// Capabilities over the default ones.
    pub cap_add: CapabilitySet,
    /// Default capabilities that it does not want.
    pub cap_drop: CapabilitySet,
    /// All capabilities and devices, no filter.
    pub privileged: bool,
    /// `security_opt`.
    pub security: SecurityOptions,
    /// Settings of the kernel in its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Limits of its processes, by the lower-case name without `RLIMIT_`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Limits of all its processes together.
    pub resources: Resources,
    /// How readily the kernel ends it when memory runs out.
    pub oom_score_adj: Option<i32>,
    /// How much of a linked service is told in variables.
    pub links_env: LinksEnv,
    /// How connections to its ports of the host get to it.
    pub publish: PublishMode,
}

impl Service {
    /// Returns the image of its containers, for its platform.
    pub fn own_image(&self) -> PlatformImage {
        PlatformImage { image: self.image.clone(), platform: self.platform.clone() }
    }

    /// Returns the images whose files it mounts.
    pub fn mounted_images(&self) -> impl Iterator<Item = &ImageRef> {
        self.volumes.iter().filter_map(|mount| match &mount.source {
            MountSource::Image { image, .. } => Some(image),
            MountSource::Bind(_) | MountSource::Volume { .. } | MountSource::Tmpfs(_) => None,
        })
    }
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// When it is not here.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Not at all: it must be here.
    Never,
    /// Not at all: it is made here, by the service's own build.
    Build,
    /// When it is not here, or was last compared with its registry longer ago than this.
    Refresh(Duration),
}

/// What must be there before a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// The state that is waited for.
    pub condition: Condition,
    /// It is restarted when the dependency is.
    pub restart: bool,
    /// Without it there is no start; if false, its absence is only told.
    pub required: bool,
}

/// A state that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has been started.
    ServiceStarted,
    /// Its probe succeeds.
    ServiceHealthy,
    /// It has ended with code 0.
    ServiceCompletedSuccessfully,
}

/// Another service under a name of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The other service.
    pub service: ServiceName,
    /// The name.
    pub alias: String,
}

/// A container of another project under a name of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExternalLink {
    /// The container.
    pub container: ContainerName,
    /// The name.
    pub alias: String,
}

/// Whose network a service uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Its own, on the networks it names.
    #[default]
    Own,
    /// The host's.
    Host,
    /// Its own, with nothing but `lo`.
    None,
    /// That of another service's first container.
    Service(ServiceName),
    /// That of a container.
    Container(ContainerName),
}

/// How connections to ports of the host get to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PublishMode {
    /// The packet filter leads them there, past the host's own rules.
    #[default]
    Direct,
    /// As if the host itself listened: its own packet filter has its say.
    RespectFirewall,
}

/// The address of an extra host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtraHost {
    /// This one.
    Address(IpAddr),
    /// The host's, as the container sees it.
    HostGateway,
}

/// Named capabilities, or all there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CapabilitySet {
    /// `ALL`.
    All,
    /// These.
    Only(BTreeSet<Capability>),
}

impl Default for CapabilitySet {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// What `security_opt` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SecurityOptions {
    /// No program gains privileges by its file's bits.
    pub no_new_privileges: bool,
    /// No system call filter.
    pub seccomp_unconfined: bool,
    /// No masked and read-only paths.
    pub systempaths_unconfined: bool,
}

/// A limit of each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ulimit {
    /// The limit in force; -1 is none.
    pub soft: i64,
    /// What the process may raise it to; -1 is none.
    pub hard: i64,
}

/// Limits of all processes of a container together; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Memory.
    pub memory: Option<Bytes>,
    /// Memory that it keeps when memory is short.
    pub memory_reservation: Option<Bytes>,
    /// Memory and swap together; `None` with a memory limit is twice the limit, -1 is no limit.
    pub memory_swap: Option<i64>,
    /// Processor time in billionths of one processor.
    pub nano_cpus: Option<u64>,
    /// Processor time in microseconds per period.
    pub cpu_quota_us: Option<i64>,
    /// That period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// The weight against others, 1024 being usual.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// How much of a linked service is told in variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinksEnv {
    /// Nothing.
    Off,
    /// Its name, addresses and ports.
    #[default]
    Ports,
    /// Its variables too, secrets among them.
    Full,
}
