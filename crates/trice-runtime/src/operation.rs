//! The flat plan of operations that turns a fresh child into a container's process.
//!
//! The engine computes it from a [`ContainerSpec`](trice_model::container::ContainerSpec), the child carries it out,
//! first to last, and decides nothing. Descriptors that the child needs travel beside the plan; an operation names
//! them by [`Slot`].
//!
//! ```text
//! join, enter ──► mount the root ──► mount the rest ──► pivot ──► mask ──► (created: wait) ──► process
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The place of a descriptor among those that travel with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

/// All that a child does before and at its `execve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitPlan {
    /// What surrounds the process, in order.
    pub operations: Vec<Operation>,
    /// Whether the child then waits to be released.
    pub wait: bool,
    /// The process.
    pub process: ProcessPlan,
}

/// One step; it ends in its state or fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Joins the v1 group whose `tasks` file is open, by writing `0` there.
    JoinCgroup {
        /// The file, open for writing.
        tasks: Slot,
    },
    /// Enters a network namespace.
    EnterNetwork {
        /// The namespace.
        namespace: Slot,
    },
    /// Enters all namespaces of a running container but its pid namespace, in which the child was made.
    EnterContainer {
        /// The container's init, as a pidfd.
        init: Slot,
    },
    /// Makes the groups that the child is in the roots that it sees.
    NewCgroupNamespace,
    /// Sets the host name.
    Hostname(String),
    /// Sets the domain name.
    Domainname(String),
    /// Makes a layer reachable by the overlay mount.
    AttachLayer {
        /// The layer, as a detached mount.
        tree: Slot,
        /// Its place, the topmost being 0.
        index: u32,
    },
    /// Makes the container's own folder, with `upper` and `work`, reachable by the overlay mount.
    AttachWritable {
        /// The folder, as a detached mount.
        tree: Slot,
    },
    /// Mounts the layers as the new root.
    MountRoot {
        /// How many layers there are.
        layers: u32,
        /// The others lie in the lowest, which the kernel takes for a mistake.
        nested: bool,
    },
    /// Mounts a file system of the kernel.
    MountFilesystem(Filesystem),
    /// Mounts a file system of the kernel in a new folder of the one that [`Operation::MountFilesystem`] mounted last:
    /// nobody else can reach that yet, so that nothing has to be looked for.
    MountInside(Filesystem),
    /// Makes device nodes and links in the file system that is mounted at `/dev`.
    MakeDevices(Vec<DeviceNode>),
    /// Mounts a prepared tree.
    Bind {
        /// The tree, as a detached mount.
        tree: Slot,
        /// The absolute path in the container; made as what the tree's root is, a folder or a file.
        target: PathBuf,
    },
    /// Makes the mount at a path read-only, and not those below it.
    Seal(PathBuf),
    /// Makes a folder, and those above it, where there is nothing.
    MakeDirectory(PathBuf),
    /// Makes the new root the root, and lets go of the old one.
    Pivot {
        /// Nothing may be written to the new root.
        read_only: bool,
    },
    /// Says how readily the kernel ends the container when memory runs out.
    OomScore(i32),
    /// Sets a setting of the kernel below `/proc/sys`.
    Sysctl {
        /// Its name, with dots.
        key: String,
        /// Its value.
        value: String,
    },
    /// Hides a path, if it is there.
    Mask(PathBuf),
    /// Makes a path read-only, if it is there.
    ReadOnly(PathBuf),
}

/// A file system of the kernel, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its type, such as `proc`.
    pub kind: String,
    /// The absolute path in the container.
    pub target: PathBuf,
    /// Links in that path lead where they lead inside the container; otherwise they are an error.
    pub follow: bool,
    /// Options with and without a value.
    pub options: Vec<(String, Option<String>)>,
    /// What is forbidden there.
    pub attributes: Attributes,
}

/// What is forbidden on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attributes {
    /// Writing.
    pub read_only: bool,
    /// Gaining privileges by a file's bits.
    pub nosuid: bool,
    /// Opening devices.
    pub nodev: bool,
    /// Running programs.
    pub noexec: bool,
}

/// Something in `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceNode {
    /// A device.
    Device {
        /// Its path below `/dev`.
        name: String,
        /// Its kind.
        kind: DeviceKind,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
        /// Who may use it.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A symbolic link.
    Link {
        /// Its name.
        name: String,
        /// Where it leads.
        target: String,
    },
    /// A folder.
    Directory {
        /// Its path below `/dev`.
        name: String,
    },
}

impl DeviceNode {
    /// Its path below `/dev`.
    pub fn name(&self) -> &str {
        match self {
            Self::Device { name, .. } | Self::Link { name, .. } | Self::Directory { name } => name,
        }
    }
}

/// The two kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Bytes in a row.
    Character,
    /// Blocks in any order.
    Block,
}

/// The process of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// The program and its arguments; never empty.
    pub args: Vec<String>,
    /// Variables; `HOME` is added from the container's files if it is missing.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: String,
    /// The user: `name`, `uid`, either with `:group`.
    pub user: String,
    /// More groups, by name or number.
    pub groups: Vec<String>,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The numbers of the capabilities that it may have.
    pub capabilities: Vec<u8>,
    /// No program gains privileges by its file's bits.
    pub no_new_privileges: bool,
    /// The system call filter: a file with the kernel's instructions, one after another.
    pub seccomp: Option<Slot>,
    /// Limits of the process.
    pub rlimits: Vec<ProcessLimit>,
    /// It runs below a small init that reaps orphans and passes signals on.
    pub init: bool,
}

/// Where the standard streams of a process lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// Three descriptors. Those that were made for this process become its user's, so that a program may open
    /// `/dev/stdout` again; the others, such as the host's null device, stay as they are.
    Streams {
        /// Standard input.
        stdin: Stream,
        /// Standard output.
        stdout: Stream,
        /// Standard error.
        stderr: Stream,
    },
    /// A terminal of the container's own `devpts`, whose other end is sent back over the handshake.
    Terminal,
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The descriptor.
    pub slot: Slot,
    /// It was made for this process.
    pub own: bool,
}

/// A limit of a process; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimit {
    /// The kernel's number of the resource.
    pub resource: u32,
    /// The limit in force.
    pub soft: Option<u64>,
    /// What the process may raise it to.
    pub hard: Option<u64>,
}
