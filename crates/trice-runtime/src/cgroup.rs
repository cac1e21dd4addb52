//! Groups of processes: limits, devices, tracking; on cgroup v1, v2, and machines that have both.
//!
//! ```text
//! <base>/trice-<tag>/confined/<container>      the usual devices only
//! <base>/trice-<tag>/privileged/<container>    all devices
//! ```
//!
//! in each hierarchy that is used: on v2 the one there is; on v1 those of [`CONTROLLERS`], and the v2 one beside them,
//! which carries no limits there but tracks, freezes and kills.
//!
//! Groups are made and limited while they are empty. A process joins the v2 group by being born in it, and a v1 group
//! by writing `0` to its `tasks` file: both are free of the lock that writing another process's number takes, and
//! which waits for some 11 ms.
//!
//! Sources: Linux `Documentation/admin-guide/cgroup-v1/`, `cgroup-v2.rst`.

pub mod hierarchy;
pub mod limits;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trice_model::service::Resources;

use hierarchy::{Hierarchies, V1Hierarchy};
pub use limits::LimitError;

/// The v1 controllers that containers are in.
pub const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "devices", "memory", "pids"];

/// Why a group could not be made, limited or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The machine's hierarchies could not be read.
    #[error("read the cgroup hierarchies of this machine")]
    Detect(#[source] io::Error),
    /// There is none.
    #[error("this machine has no cgroup file system mounted, neither v1 nor v2")]
    None,
    /// A folder could not be made.
    #[error("make the cgroup {}", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// It could not be opened: its container has ended, perhaps.
    #[error("open the cgroup {}", path.display())]
    Open {
        /// The folder or its file.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// The rules on devices could not be set.
    #[error("restrict devices in the cgroup {}", path.display())]
    Devices {
        /// The folder.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// A limit could not be set.
    #[error("limit the cgroup {}", path.display())]
    Limit {
        /// The folder.
        path: PathBuf,
        /// Which, and the kernel's word.
        #[source]
        source: LimitError,
    },
    /// Its processes could not be held still.
    #[error("hold the processes of the cgroup {} still", path.display())]
    Freeze {
        /// The folder.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// Its processes could not be ended, or the folder not be removed.
    #[error("remove the cgroup {}", path.display())]
    Remove {
        /// The folder.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
}

/// The file that says whether a v2 group's processes are held still.
const FREEZE: &str = "cgroup.freeze";

/// Which devices a group may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// The usual ones.
    Confined,
    /// All.
    Privileged,
}

impl Devices {
    fn folder(self) -> &'static str {
        match self {
            Self::Confined => "confined",
            Self::Privileged => "privileged",
        }
    }
}

/// The groups of one engine.
#[derive(Debug)]
pub struct Cgroups {
    /// The engine's folder in the v2 hierarchy, and whether that has the controllers.
    v2: Option<(PathBuf, bool)>,
    /// The engine's folders in the v1 hierarchies, with their controllers.
    v1: Vec<V1Hierarchy>,
}

/// A container's group, for a process to join.
#[derive(Debug)]
pub struct Group {
    /// The v2 folder, in which the process is born.
    pub v2: Option<OwnedFd>,
    /// The v1 groups' `tasks` files, open for writing.
    pub tasks: Vec<OwnedFd>,
}

/// The devices that every container may use, and those that it may make: type, major, minor, access.
///
/// Source: OCI Runtime Specification, `config-linux.md`, "Default Devices"; 10:229 (fuse) is not among them.
const ALLOWED: [&str; 9] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:* rwm",
    "c 136:* rwm",
];

impl Cgroups {
    /// Finds the hierarchies and makes the engine's folders in them.
    pub fn open(tag: &str) -> Result<Self, CgroupError> {
        let found = Hierarchies::of_this_process().map_err(CgroupError::Detect)?;
        if found.v2.is_none() && found.v1.is_empty() {
            return Err(CgroupError::None);
        }
        let name = format!("trice-{tag}");
        let v1: Vec<_> = found.v1.into_iter().map(|hierarchy| hierarchy.below(&name)).collect();
        let v2 = found.v2.map(|(path, controlled)| (path.join(&name), controlled && v1.is_empty()));
        let cgroups = Self { v2, v1 };
        cgroups.make_base()?;
        Ok(cgroups)
    }

    fn make_base(&self) -> Result<(), CgroupError> {
        for devices in [Devices::Confined, Devices::Privileged] {
            for folder in self.folders(devices) {
                make(&folder)?;
            }
        }
        if let Some((base, true)) = &self.v2 {
            limits::delegate(base).map_err(|source| CgroupError::Make { path: base.clone(), source })?;
        }
        self.confine()
    }

    /// Sets the rules on devices once, where all confined containers inherit them.
    fn confine(&self) -> Result<(), CgroupError> {
        let with_devices =
            |hierarchy: &&V1Hierarchy| hierarchy.controllers.iter().any(|name| name == "devices");
        if let Some(hierarchy) = self.v1.iter().find(with_devices) {
            let path = hierarchy.path.join(Devices::Confined.folder());
            return confine_v1(&path).map_err(|source| CgroupError::Devices { path, source });
        }
        match &self.v2 {
            Some((base, _)) => {
                let path = base.join(Devices::Confined.folder());
                let confined =
                    File::open(&path).and_then(|group| trice_sys::device_filter::attach(group.as_fd()));
                confined.map_err(|source| CgroupError::Devices { path, source })
            }
            None => Ok(()),
        }
    }

    /// Makes the group `name` with its limits, or finds it as it was left, and opens it for a process to join.
    pub fn make(&self, name: &str, devices: Devices, resources: &Resources) -> Result<Group, CgroupError> {
        self.check_limits(resources)?;
        if let Some((base, controlled)) = &self.v2 {
            let path = base.join(devices.folder()).join(name);
            make(&path)?;
            if *controlled {
                limits::set_v2(&path, resources).map_err(|source| CgroupError::Limit { path, source })?;
            }
        }
        for hierarchy in &self.v1 {
            let path = hierarchy.path.join(devices.folder()).join(name);
            make(&path)?;
            limits::set_v1(&path, &hierarchy.controllers, resources)
                .map_err(|source| CgroupError::Limit { path, source })?;
        }
        self.find(name, devices)
    }

    /// Opens the group `name`, which is there, for one more process to join.
    pub fn find(&self, name: &str, devices: Devices) -> Result<Group, CgroupError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CgroupError::Open { path, source }
        };
        let mut group = Group { v2: None, tasks: Vec::new() };
        if let Some((base, _)) = &self.v2 {
            let path = base.join(devices.folder()).join(name);
            group.v2 = Some(File::open(&path).map_err(failed(&path))?.into());
        }
        for hierarchy in &self.v1 {
            let path = hierarchy.path.join(devices.folder()).join(name).join("tasks");
            let tasks = OpenOptions::new().write(true).open(&path).map_err(failed(&path))?;
            group.tasks.push(tasks.into());
        }
        Ok(group)
    }

    /// A limit that nothing here can hold is an error, and never dropped in silence.
    fn check_limits(&self, resources: &Resources) -> Result<(), CgroupError> {
        let controlled = self.v2.as_ref().is_some_and(|(_, controlled)| *controlled);
        let has = |name: &str| {
            controlled
                || self.v1.iter().any(|hierarchy| hierarchy.controllers.iter().any(|known| known == name))
        };
        match limits::needed(resources).into_iter().find(|name| !has(name)) {
            None => Ok(()),
            Some(controller) => {
                let path = self.v2.as_ref().map(|(base, _)| base.clone()).unwrap_or_default();
                Err(CgroupError::Limit { path, source: LimitError::NoController { controller } })
            }
        }
    }

    /// Ends every process of the group `name` and removes it. Nothing happens if there is none.
    pub fn remove(&self, name: &str) -> Result<(), CgroupError> {
        for devices in [Devices::Confined, Devices::Privileged] {
            // The v2 group comes first: it is the one that ends processes and says when the last has gone.
            for folder in self.folders(devices) {
                let path = folder.join(name);
                remove(&path).map_err(|source| CgroupError::Remove { path, source })?;
            }
        }
        Ok(())
    }

    /// Ends every process of the group `name` at once.
    pub fn kill(&self, name: &str) -> Result<(), CgroupError> {
        let Some((base, _)) = &self.v2 else { return Ok(()) };
        for devices in [Devices::Confined, Devices::Privileged] {
            let path = base.join(devices.folder()).join(name);
            match fs::write(path.join("cgroup.kill"), "1") {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CgroupError::Remove { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Holds every process of the group `name` still, and returns when they are.
    ///
    /// # Errors
    /// [`CgroupError::Freeze`]; some may be held still then.
    pub fn freeze(&self, name: &str, devices: Devices) -> Result<(), CgroupError> {
        let Some((base, _)) = &self.v2 else {
            let source = io::Error::other("this machine has no cgroup v2 hierarchy");
            return Err(CgroupError::Freeze { path: name.into(), source });
        };
        let path = base.join(devices.folder()).join(name);
        let failed = |source| CgroupError::Freeze { path: path.clone(), source };
        fs::write(path.join(FREEZE), "1").map_err(failed)?;
        wait_for_event(&path, "frozen 1").map_err(failed)
    }

    /// Lets the processes of the group `name` go on.
    pub fn thaw(&self, name: &str, devices: Devices) {
        if let Some((base, _)) = &self.v2 {
            // Without a group there is nobody to go on.
            let _ = fs::write(base.join(devices.folder()).join(name).join(FREEZE), "0");
        }
    }

    /// Returns the names of all groups there are.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for devices in [Devices::Confined, Devices::Privileged] {
            for folder in self.folders(devices) {
                let Ok(entries) = fs::read_dir(folder) else { continue };
                let groups =
                    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                names.extend(groups.filter_map(|entry| entry.file_name().into_string().ok()));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Removes the engine's own folders, once they are empty.
    pub fn leave(&self) {
        for devices in [Devices::Confined, Devices::Privileged] {
            for folder in self.folders(devices) {
                // Not empty: somebody still needs it, and takes it along when he goes.
                let _ = fs::remove_dir(&folder);
                let _ = folder.parent().map(fs::remove_dir);
            }
        }
    }

    /// Returns the folder of `devices` in each hierarchy, the v2 one first.
    fn folders(&self, devices: Devices) -> Vec<PathBuf> {
        let v2 = self.v2.iter().map(|(base, _)| base);
        let v1 = self.v1.iter().map(|hierarchy| &hierarchy.path);
        v2.chain(v1).map(|base| base.join(devices.folder())).collect()
    }

    /// The v1 controllers that a container sees below its `/sys/fs/cgroup`, each with those that share its hierarchy;
    /// none on a machine that has v2 alone.
    pub fn v1_controllers(&self) -> impl Iterator<Item = &[String]> {
        self.v1.iter().map(|hierarchy| hierarchy.controllers.as_slice())
    }

    /// Whether there is a v2 hierarchy.
    pub fn has_v2(&self) -> bool {
        self.v2.is_some()
    }
}

fn make(path: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(path).map_err(|source| CgroupError::Make { path: path.to_owned(), source })
}

/// Denies all devices and allows the usual ones.
fn confine_v1(path: &Path) -> io::Result<()> {
    // With containers in it from before, the rules are there, and the kernel would refuse to change them.
    if fs::read_to_string(path.join("devices.list"))?.starts_with("a ") {
        fs::write(path.join("devices.deny"), "a")?;
    }
    ALLOWED.iter().try_for_each(|rule| fs::write(path.join("devices.allow"), rule))
}

/// How long processes may take to leave their group once they have been ended, or to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    match fs::write(path.join("cgroup.kill"), "1") {
        Ok(()) => wait_until_empty(path)?,
        // A v1 group: its processes are those of the v2 group, which has been emptied. Groups inside it go first.
        Err(_) => remove_children(path)?,
    }
    fs::remove_dir(path)
}

/// Removes the groups that a container made inside its own.
fn remove_children(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Waits until the v2 group at `path` and those inside it have no process.
fn wait_until_empty(path: &Path) -> io::Result<()> {
    wait_for_event(path, "populated 0")?;
    remove_children(path)
}

/// Waits until the v2 group at `path` says `event`.
fn wait_for_event(path: &Path, event: &str) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = File::open(path.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        io::Seek::rewind(&mut events)?;
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == event) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok().filter(|_| !left.is_zero());
        let timeout = timeout.ok_or(io::ErrorKind::TimedOut)?;
        poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout))?;
    }
}
