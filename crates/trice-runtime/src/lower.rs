//! From what is asked for, a [`ContainerSpec`], to the flat plan of operations and the descriptors that go with it.
//!
//! A function from values to values: what the plan needs opened is named by [`Needed`], and opened by somebody else.

mod filesystems;
mod mounts;
mod process;
mod sysctls;

use std::path::PathBuf;

use trice_model::container::{ContainerSpec, NetworkNamespace, ProcessSpec};
use trice_model::name::VolumeName;

use crate::handshake::DESCRIPTORS;
use crate::operation::{DeviceNode, InitPlan, Operation, Slot};
use process::Streams;

/// What this machine has that decides a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The v1 hierarchies that the container joins, each by its controllers.
    pub v1_hierarchies: Vec<Vec<String>>,
    /// There is a v2 hierarchy.
    pub v2: bool,
    /// The most open files that a process may have here.
    pub hard_nofile: u64,
    /// The kernel shows its memory in `/proc/kcore`.
    pub kcore: bool,
    /// The devices in the host's `/dev`, for a container with `privileged: true`.
    pub host_devices: Vec<DeviceNode>,
}

/// A descriptor that a plan needs; its place among the others is its slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// The `tasks` file of the container's group in a v1 hierarchy.
    Tasks(usize),
    /// The instance's network namespace.
    NetworkNamespace,
    /// The init of the container that a process is run in.
    ContainerInit,
    /// A layer, as a detached mount.
    Layer(PathBuf),
    /// The container's own folder, as a detached mount.
    Writable,
    /// One of the files that are made for the container, as a detached mount.
    File(MadeFile),
    /// A path of the host, as a detached mount.
    Bind {
        /// The path.
        path: PathBuf,
        /// A folder is made where there is nothing.
        create: bool,
        /// What is mounted below comes along.
        recursive: bool,
        /// How mounts travel, in the words of `mount`.
        propagation: Travel,
        /// Nothing may be written there.
        read_only: bool,
    },
    /// A volume's folder, as a detached mount.
    Volume {
        /// The volume.
        name: VolumeName,
        /// A folder inside it.
        subpath: Option<PathBuf>,
        /// Nothing may be written there.
        read_only: bool,
    },
    /// The files of an image, as a detached mount that nobody can write to.
    Image {
        /// What people call it.
        name: String,
        /// The folders of its layers, the topmost first.
        layers: Vec<PathBuf>,
        /// A folder inside it.
        subpath: Option<PathBuf>,
    },
    /// The system call filter.
    Seccomp,
    /// The host's null device.
    Null,
    /// What the process reads.
    Stdin,
    /// Where its output goes.
    Stdout,
    /// Where its errors go.
    Stderr,
}

/// How mounts below a bind mount travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Travel {
    /// Not at all.
    Private,
    /// From the host in.
    Slave,
    /// Both ways.
    Shared,
}

/// A file that is made for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MadeFile {
    /// `/etc/hostname`.
    Hostname,
    /// `/etc/hosts`.
    Hosts,
    /// `/etc/resolv.conf`.
    ResolvConf,
}

impl MadeFile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hostname, Self::Hosts, Self::ResolvConf];

    /// Its name in `/etc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Hosts => "hosts",
            Self::ResolvConf => "resolv.conf",
        }
    }
}

/// Why there is no plan for what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// A mount would replace what the kernel tells the process about itself.
    #[error("nothing may be mounted at {}: it would hide what the kernel shows there", .0.display())]
    TargetTaken(PathBuf),
    /// The path is relative, or goes up.
    #[error("the mount target {} is not an absolute path without `..`", .0.display())]
    TargetRelative(PathBuf),
    /// The name is unknown.
    #[error("`{0}` is not a limit: names are those of setrlimit(2) in lower case, such as `nofile`")]
    UnknownUlimit(String),
    /// The name or the value could mean something else to the kernel.
    #[error("`{0}` cannot be set: a name has words with dots between them, a value one line")]
    BadSysctl(String),
    /// It is one for the whole machine.
    #[error("`{0}` cannot be set for a container alone: the kernel has it once for the whole machine")]
    SysctlOfHost(String),
    /// It would be the host's.
    #[error("`{0}` cannot be set: the container shares the host's network")]
    SysctlOfHostNetwork(String),
    /// Layers and mounts are more than fit in one message.
    #[error("the container's layers and mounts are {0} too many")]
    TooMuch(usize),
}

/// A plan and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// The plan.
    pub plan: InitPlan,
    /// The descriptors, in the order of their slots.
    pub needed: Vec<Needed>,
}

/// The plan of a container, for which the files `made` are made.
pub fn container(spec: &ContainerSpec, made: &[MadeFile], facts: &Facts) -> Result<Lowered, LowerError> {
    let mut needed = Slots::default();
    let mut operations = Vec::new();
    join(spec, facts, &mut needed, &mut operations);
    root(spec, &mut needed, &mut operations);
    filesystems::add(spec, facts, &mut operations);
    mounts::add(spec, made, &mut needed, &mut operations)?;
    operations.extend(spec.process.oom_score_adj.map(Operation::OomScore));
    sysctls::add(spec, &mut operations)?;
    let process = process::plan(&spec.process, spec.init, Streams::Made, facts, &mut needed)?;
    // Before nothing may be written any more.
    operations.push(Operation::MakeDirectory(PathBuf::from(&process.cwd)));
    operations.push(Operation::Pivot { read_only: spec.read_only });
    operations.extend(spec.masked_paths.iter().cloned().map(Operation::Mask));
    operations.extend(spec.readonly_paths.iter().cloned().map(Operation::ReadOnly));
    let needed = needed.0;
    if needed.len() > MOST_NEEDED {
        return Err(LowerError::TooMuch(needed.len() - MOST_NEEDED));
    }
    Ok(Lowered { plan: InitPlan { operations, wait: true, process }, needed })
}

/// What fits in one message beside the plan, the handshake, the cgroup and the container's init. It is below what the
/// kernel stacks.
const MOST_NEEDED: usize = DESCRIPTORS - 4;

/// The plan of a process that is run in a running container.
pub fn exec(spec: &ProcessSpec, facts: &Facts) -> Result<Lowered, LowerError> {
    let mut needed = Slots::default();
    let mut operations = Vec::new();
    join_groups(facts, &mut needed, &mut operations);
    operations.push(Operation::EnterContainer { init: needed.take(Needed::ContainerInit) });
    let process = process::plan(spec, false, Streams::Brought, facts, &mut needed)?;
    Ok(Lowered { plan: InitPlan { operations, wait: false, process }, needed: needed.0 })
}

/// The descriptors so far.
#[derive(Default)]
struct Slots(Vec<Needed>);

impl Slots {
    fn take(&mut self, needed: Needed) -> Slot {
        self.0.push(needed);
        Slot(self.0.len() as u32 - 1)
    }
}

fn join_groups(facts: &Facts, needed: &mut Slots, operations: &mut Vec<Operation>) {
    for index in 0..facts.v1_hierarchies.len() {
        operations.push(Operation::JoinCgroup { tasks: needed.take(Needed::Tasks(index)) });
    }
}

fn join(spec: &ContainerSpec, facts: &Facts, needed: &mut Slots, operations: &mut Vec<Operation>) {
    join_groups(facts, needed, operations);
    if let NetworkNamespace::Instance(_) = spec.network {
        let namespace = needed.take(Needed::NetworkNamespace);
        operations.push(Operation::EnterNetwork { namespace });
    }
    // After the groups have been joined: they become the roots that the container sees.
    operations.push(Operation::NewCgroupNamespace);
    operations.push(Operation::Hostname(spec.hostname.to_string()));
    operations.extend(spec.domainname.clone().map(Operation::Domainname));
}

fn root(spec: &ContainerSpec, needed: &mut Slots, operations: &mut Vec<Operation>) {
    for (index, layer) in spec.layers.iter().enumerate() {
        let tree = needed.take(Needed::Layer(layer.clone()));
        operations.push(Operation::AttachLayer { tree, index: index as u32 });
    }
    operations.push(Operation::AttachWritable { tree: needed.take(Needed::Writable) });
    let holds_others =
        |(lowest, others): (&PathBuf, &[PathBuf])| others.iter().any(|layer| layer.starts_with(lowest));
    let nested = spec.layers.split_last().is_some_and(holds_others);
    operations.push(Operation::MountRoot { layers: spec.layers.len() as u32, nested });
}

#[cfg(test)]
mod tests;
