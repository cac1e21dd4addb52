//! What is asked for: it crosses the engine's socket and is the planner's first argument.
//!
//! An intent lies in the engine's store until its plan has been carried out, so that a new engine can go on
//! with it. It therefore says all there is to say, a one-off's name included, and is answered by a state and
//! not by an event: with the moment at which it was asked, planning it once more after any part of its plan
//! leads to the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::name::{ContainerName, Key, NetworkName, ProjectName, ServiceName};
use crate::project::Project;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// The project is there as its files say, and runs.
    Up {
        /// The project.
        project: Box<Project>,
        /// How.
        options: UpOptions,
    },
    /// The project is gone. Its files are not needed.
    Down {
        /// The project.
        project: ProjectName,
        /// How.
        options: DownOptions,
    },
    /// A container of its own runs beside a service's replicas.
    Run {
        /// The project.
        project: Box<Project>,
        /// How.
        options: Box<RunOptions>,
    },
    /// Replicas that are there run, and those they depend on.
    Start {
        /// The project.
        project: ProjectName,
        /// Of these services; none is all.
        services: BTreeSet<ServiceName>,
        /// It is done when they run, or are healthy if they have a probe.
        wait: bool,
    },
    /// Replicas do not run.
    Stop {
        /// The project.
        project: ProjectName,
        /// Of these services; none is all.
        services: BTreeSet<ServiceName>,
        /// In place of each container's grace.
        timeout: Option<Duration>,
    },
    /// Replicas that are there have been stopped and started, and those that want to follow them.
    Restart {
        /// The project.
        project: ProjectName,
        /// Of these services; none is all.
        services: BTreeSet<ServiceName>,
        /// In place of each container's grace.
        timeout: Option<Duration>,
        /// Nobody follows.
        no_deps: bool,
    },
    /// Replicas that do not run are gone.
    Remove {
        /// The project.
        project: ProjectName,
        /// Of these services; none is all.
        services: BTreeSet<ServiceName>,
        /// Running ones are stopped first.
        stop: bool,
        /// Volumes without a name go too.
        volumes: bool,
    },
    /// A container that is there is on a network too, beside what its files say; its program runs on.
    Connect {
        /// The project.
        project: ProjectName,
        /// The container.
        container: ContainerName,
        /// The network, of this project or another one.
        network: NetworkName,
        /// How it is on it.
        options: ConnectOptions,
    },
    /// A container that is there is no longer on a network; its program runs on.
    Disconnect {
        /// The project.
        project: ProjectName,
        /// The container.
        container: ContainerName,
        /// The network.
        network: NetworkName,
    },
    /// Networks of the project that nobody is on are gone.
    RemoveNetworks {
        /// The project.
        project: ProjectName,
        /// Which.
        networks: BTreeSet<NetworkName>,
    },
    /// The machine or the keeper has come up again: containers run as their restart policies say.
    Resume {
        /// The project.
        project: ProjectName,
    },
}

impl Intent {
    /// Returns the project that it is about.
    pub fn project(&self) -> &ProjectName {
        match self {
            Self::Up { project, .. } | Self::Run { project, .. } => &project.name,
            Self::Down { project, .. }
            | Self::Start { project, .. }
            | Self::Stop { project, .. }
            | Self::Restart { project, .. }
            | Self::Remove { project, .. }
            | Self::Connect { project, .. }
            | Self::Disconnect { project, .. }
            | Self::RemoveNetworks { project, .. }
            | Self::Resume { project } => project,
        }
    }
}

/// How a project comes up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UpOptions {
    /// These services and what they depend on; none is all.
    pub services: BTreeSet<ServiceName>,
    /// What happens to containers that are there.
    pub recreate: Recreate,
    /// Numbers of containers in place of the files'.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Containers of services that the files do not know are removed, and one-offs that have ended.
    pub remove_orphans: bool,
    /// Nothing is done about dependencies.
    pub no_deps: bool,
    /// In place of each container's grace.
    pub timeout: Option<Duration>,
    /// It is done when all run, or are healthy if they have a probe.
    pub wait: bool,
    /// Containers that are recreated get new volumes in place of those without a name.
    pub renew_anonymous_volumes: bool,
    /// Containers are made and not started.
    pub no_start: bool,
}

/// What happens to containers that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recreate {
    /// Those that are not as the files say are made again.
    #[default]
    Diverged,
    /// All are made again; with services named, all of those.
    Force,
    /// None is made again.
    Never,
}

/// How a project goes down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DownOptions {
    /// These services and those that depend on them, and no network or volume; none is all.
    pub services: BTreeSet<ServiceName>,
    /// The services of the files, if there are files: containers of others stay, unless `remove_orphans`.
    pub known: Option<BTreeSet<ServiceName>>,
    /// Containers of services that the files do not know go too.
    pub remove_orphans: bool,
    /// Volumes go too.
    pub volumes: bool,
    /// In place of each container's grace.
    pub timeout: Option<Duration>,
}

/// How a container is on a network that it joins by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConnectOptions {
    /// More names for it there.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// More addresses, which are not the network's.
    pub link_local_ips: Vec<IpAddr>,
    /// The network with the highest gives the default route.
    pub gw_priority: i32,
}

/// How a one-off container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunOptions {
    /// The service it is made after.
    pub service: ServiceName,
    /// What tells this one-off from others, chosen when the request came: twelve hexadecimal digits.
    pub slug: Key,
    /// In place of `project-service-run-slug`.
    pub name: Option<ContainerName>,
    /// In place of the service's command, if not empty.
    pub command: Vec<String>,
    /// In place of the service's entrypoint, whose command then goes too.
    pub entrypoint: Option<Vec<String>>,
    /// Variables over the service's.
    pub environment: BTreeMap<String, String>,
    /// In place of the service's user.
    pub user: Option<String>,
    /// In place of the service's working directory.
    pub working_dir: Option<String>,
    /// Labels over the service's.
    pub labels: BTreeMap<String, String>,
    /// Nothing is done about dependencies.
    pub no_deps: bool,
    /// The service's ports of the host lead to it.
    pub service_ports: bool,
    /// It answers to the service's names.
    pub use_aliases: bool,
    /// It is removed when it has ended, with its volumes that have no name.
    pub rm: bool,
    /// It has a terminal.
    pub tty: bool,
    /// Its standard input stays open.
    pub stdin: bool,
}

impl RunOptions {
    /// Returns the plainest way to run a one-off of `service`.
    pub fn new(service: ServiceName, slug: Key) -> Self {
        Self {
            service,
            slug,
            name: None,
            command: Vec::new(),
            entrypoint: None,
            environment: BTreeMap::new(),
            user: None,
            working_dir: None,
            labels: BTreeMap::new(),
            no_deps: false,
            service_ports: false,
            use_aliases: false,
            rm: false,
            tty: false,
            stdin: false,
        }
    }
}
