//! From what is asked for, a [`ContainerSpec`], to the flat plan of operations and the descriptors that go with it.
//!
//! A function from values to values: what the plan needs opened is named by [`Needed`], and opened by somebody else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trice_model::container::{ContainerSpec, NetworkNamespace, ProcessSpec};
use trice_model::mount::{Bind, MountSpec, MountSpecSource, Tmpfs};
use trice_model::name::VolumeName;
use trice_model::service::Ulimit;

use crate::operation::{
    Attributes, DeviceNode, InitPlan, Operation, ProcessLimit, ProcessPlan, Slot, Stdio, Stream,
};

/// What this machine has that decides a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The v1 hierarchies that the container joins, each by its controllers.
    pub v1_hierarchies: Vec<Vec<String>>,
    /// There is a v2 hierarchy.
    pub v2: bool,
    /// The most open files that a process may have here.
    pub hard_nofile: u64,
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
    /// The path is relative.
    #[error("the mount target {} is not an absolute path", .0.display())]
    TargetRelative(PathBuf),
    /// The name is unknown.
    #[error("`{0}` is not a limit: names are those of setrlimit(2) in lower case, such as `nofile`")]
    UnknownUlimit(String),
    /// The layers are more than the kernel stacks.
    #[error("the image has {0} layers, and the kernel stacks at most 500")]
    TooManyLayers(usize),
}

/// A plan and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// The plan.
    pub plan: InitPlan,
    /// The descriptors, in the order of their slots.
    pub needed: Vec<Needed>,
}

/// The plan of a container.
pub fn container(spec: &ContainerSpec, facts: &Facts) -> Result<Lowered, LowerError> {
    if spec.layers.len() > crate::rootfs::MAX_LAYERS as usize {
        return Err(LowerError::TooManyLayers(spec.layers.len()));
    }
    let mut needed = Slots::default();
    let mut operations = Vec::new();
    join(spec, facts, &mut needed, &mut operations);
    root(spec, &mut needed, &mut operations);
    kernel_filesystems(spec, facts, &mut operations);
    user_mounts(spec, &mut needed, &mut operations)?;
    operations.extend(spec.process.oom_score_adj.map(Operation::OomScore));
    let sysctls = spec.sysctls.iter().map(|(key, value)| (key.clone(), value.clone()));
    operations.extend(sysctls.map(|(key, value)| Operation::Sysctl { key, value }));
    operations.push(Operation::Pivot { read_only: spec.read_only });
    operations.extend(spec.masked_paths.iter().cloned().map(Operation::Mask));
    operations.extend(spec.readonly_paths.iter().cloned().map(Operation::ReadOnly));
    let process = process(&spec.process, spec.init, facts, &mut needed)?;
    Ok(Lowered { plan: InitPlan { operations, wait: true, process }, needed: needed.0 })
}

/// The plan of a process that is run in a running container.
pub fn exec(spec: &ProcessSpec, facts: &Facts) -> Result<Lowered, LowerError> {
    let mut needed = Slots::default();
    let mut operations = Vec::new();
    join_groups(facts, &mut needed, &mut operations);
    operations.push(Operation::EnterContainer { init: needed.take(Needed::ContainerInit) });
    let process = process(spec, false, facts, &mut needed)?;
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
    operations.push(Operation::MountRoot { layers: spec.layers.len() as u32 });
}

const NOSUID: Attributes = Attributes { read_only: false, nosuid: true, nodev: false, noexec: false };
const NOSUID_NOEXEC: Attributes = Attributes { noexec: true, ..NOSUID };
const NO_ANYTHING: Attributes = Attributes { nodev: true, ..NOSUID_NOEXEC };

/// The file systems that every container has.
///
/// Source: OCI Runtime Specification, `config-linux.md`, "Default Filesystems"; options as Docker's.
fn kernel_filesystems(spec: &ContainerSpec, facts: &Facts, operations: &mut Vec<Operation>) {
    let sealed = Attributes { read_only: !spec.privileged, ..NO_ANYTHING };
    operations.push(filesystem("proc", "/proc", &[], NO_ANYTHING));
    operations.push(filesystem("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], NOSUID));
    operations.push(Operation::MakeDevices(devices()));
    let devpts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    operations.push(filesystem("devpts", "/dev/pts", &devpts, NOSUID_NOEXEC));
    operations.push(filesystem("mqueue", "/dev/mqueue", &[], NO_ANYTHING));
    if !spec.mounts.iter().any(|mount| mount.target == Path::new("/dev/shm")) {
        let size = spec.shm_size.0.to_string();
        operations.push(filesystem("tmpfs", "/dev/shm", &[("mode", "1777"), ("size", &size)], NO_ANYTHING));
    }
    operations.push(filesystem("sysfs", "/sys", &[], sealed));
    cgroup_filesystems(facts, sealed, operations);
}

/// What a program looks at that wants to know its limits.
fn cgroup_filesystems(facts: &Facts, sealed: Attributes, operations: &mut Vec<Operation>) {
    let base = "/sys/fs/cgroup";
    if facts.v1_hierarchies.is_empty() {
        operations.push(filesystem("cgroup2", base, &[], sealed));
        return;
    }
    operations.push(filesystem("tmpfs", base, &[("mode", "755")], NO_ANYTHING));
    for controllers in &facts.v1_hierarchies {
        let options: Vec<(&str, &str)> = controllers.iter().map(|name| (name.as_str(), "")).collect();
        operations.push(filesystem("cgroup", &format!("{base}/{}", controllers.join(",")), &options, sealed));
    }
    if facts.v2 {
        operations.push(filesystem("cgroup2", &format!("{base}/unified"), &[], sealed));
    }
}

fn filesystem(kind: &str, target: &str, options: &[(&str, &str)], attributes: Attributes) -> Operation {
    let option = |(key, value): &(&str, &str)| {
        (key.to_string(), Some(value.to_string()).filter(|value| !value.is_empty()))
    };
    Operation::MountFilesystem {
        kind: kind.to_owned(),
        target: PathBuf::from(target),
        options: options.iter().map(option).collect(),
        attributes,
    }
}

fn devices() -> Vec<DeviceNode> {
    let node = |name: &str, major, minor| DeviceNode::Character { name: name.to_owned(), major, minor };
    let link =
        |name: &str, target: &str| DeviceNode::Link { name: name.to_owned(), target: target.to_owned() };
    vec![
        node("null", 1, 3),
        node("zero", 1, 5),
        node("full", 1, 7),
        node("random", 1, 8),
        node("urandom", 1, 9),
        node("tty", 5, 0),
        link("fd", "/proc/self/fd"),
        link("stdin", "/proc/self/fd/0"),
        link("stdout", "/proc/self/fd/1"),
        link("stderr", "/proc/self/fd/2"),
        link("ptmx", "pts/ptmx"),
        link("core", "/proc/kcore"),
    ]
}

/// The service's mounts, the ones above before those below, and the files that are made for the container.
fn user_mounts(
    spec: &ContainerSpec,
    needed: &mut Slots,
    operations: &mut Vec<Operation>,
) -> Result<(), LowerError> {
    for file in MadeFile::ALL {
        let target = Path::new("/etc").join(file.name());
        if !spec.mounts.iter().any(|mount| mount.target == target) {
            let tree = needed.take(Needed::File(file));
            operations.push(Operation::Bind { tree, target });
        }
    }
    let mut mounts: Vec<&MountSpec> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        check_target(&mount.target)?;
        operations.push(user_mount(mount, needed));
    }
    Ok(())
}

/// Refuses what would put something else in the place of the root or of `/proc` (CVE-2019-19921, CVE-2023-27561).
fn check_target(target: &Path) -> Result<(), LowerError> {
    if !target.is_absolute() {
        return Err(LowerError::TargetRelative(target.to_owned()));
    }
    if target == Path::new("/") || target.starts_with("/proc") {
        return Err(LowerError::TargetTaken(target.to_owned()));
    }
    Ok(())
}

fn user_mount(mount: &MountSpec, needed: &mut Slots) -> Operation {
    let (read_only, target) = (mount.read_only, mount.target.clone());
    let tree = match &mount.source {
        MountSpecSource::Tmpfs(tmpfs) => return tmpfs_mount(tmpfs, target, read_only),
        MountSpecSource::Bind(bind) => bind_needed(bind, read_only),
        MountSpecSource::Volume { name, subpath, .. } => {
            Needed::Volume { name: name.clone(), subpath: subpath.clone(), read_only }
        }
    };
    Operation::Bind { tree: needed.take(tree), target }
}

fn bind_needed(bind: &Bind, read_only: bool) -> Needed {
    use trice_model::mount::Propagation::{Rprivate, Rshared, Rslave};
    Needed::Bind {
        path: bind.path.clone(),
        create: bind.create_host_path,
        recursive: bind.recursive,
        propagation: match bind.propagation {
            Rprivate => Travel::Private,
            Rslave => Travel::Slave,
            Rshared => Travel::Shared,
        },
        read_only,
    }
}

fn tmpfs_mount(tmpfs: &Tmpfs, target: PathBuf, read_only: bool) -> Operation {
    let mut options = vec![("mode".to_owned(), Some(format!("{:o}", tmpfs.mode.unwrap_or(0o1777))))];
    options.extend(tmpfs.size.map(|size| ("size".to_owned(), Some(size.0.to_string()))));
    options.extend(tmpfs.uid.map(|uid| ("uid".to_owned(), Some(uid.to_string()))));
    options.extend(tmpfs.gid.map(|gid| ("gid".to_owned(), Some(gid.to_string()))));
    let attributes = Attributes { read_only, noexec: !tmpfs.exec, ..NO_ANYTHING };
    Operation::MountFilesystem { kind: "tmpfs".to_owned(), target, options, attributes }
}

fn process(
    spec: &ProcessSpec,
    init: bool,
    facts: &Facts,
    needed: &mut Slots,
) -> Result<ProcessPlan, LowerError> {
    let stdio = if spec.tty {
        Stdio::Terminal
    } else {
        let stdin = if spec.stdin_open {
            Stream { slot: needed.take(Needed::Stdin), own: true }
        } else {
            Stream { slot: needed.take(Needed::Null), own: false }
        };
        let stdout = Stream { slot: needed.take(Needed::Stdout), own: true };
        let stderr = Stream { slot: needed.take(Needed::Stderr), own: true };
        Stdio::Streams { stdin, stdout, stderr }
    };
    let filtered = spec.seccomp == trice_model::container::SeccompSpec::Default;
    Ok(ProcessPlan {
        args: spec.args.clone(),
        env: spec.link_env.iter().chain(&spec.env).map(|(key, value)| (key.clone(), value.clone())).collect(),
        cwd: if spec.cwd.is_empty() { "/".to_owned() } else { spec.cwd.clone() },
        user: spec.user.clone(),
        groups: spec.groups.clone(),
        stdio,
        capabilities: spec.capabilities.iter().map(|capability| capability.number()).collect(),
        no_new_privileges: spec.no_new_privileges,
        seccomp: filtered.then(|| needed.take(Needed::Seccomp)),
        rlimits: rlimits(&spec.ulimits, facts)?,
        init,
    })
}

/// The names of limits, in the order of the kernel's numbers.
const RLIMITS: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];
/// The open files that a program may count on, whatever the engine allows itself; it may raise that.
const USUAL_NOFILE: u64 = 1024;

fn rlimits(ulimits: &BTreeMap<String, Ulimit>, facts: &Facts) -> Result<Vec<ProcessLimit>, LowerError> {
    let usual = Ulimit {
        soft: USUAL_NOFILE.min(facts.hard_nofile) as i64,
        hard: i64::try_from(facts.hard_nofile).unwrap_or(-1),
    };
    let mut wanted = BTreeMap::from([("nofile", usual)]);
    wanted.extend(ulimits.iter().map(|(name, limit)| (name.as_str(), *limit)));
    let limit = |(name, limit): (&str, Ulimit)| {
        let resource = RLIMITS.iter().position(|known| *known == name);
        let resource = resource.ok_or_else(|| LowerError::UnknownUlimit(name.to_owned()))? as u32;
        // A negative number is no limit.
        let (soft, hard) = (u64::try_from(limit.soft).ok(), u64::try_from(limit.hard).ok());
        Ok(ProcessLimit { resource, soft, hard })
    };
    wanted.into_iter().map(limit).collect()
}
