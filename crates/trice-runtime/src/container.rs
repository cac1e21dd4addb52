//! Containers: made up to the last step before the program, released, run into, removed.
//!
//! ```text
//! DATA/containers/<id>/upper, work     what it writes to its root       RUN/containers/<id>/hostname, hosts,
//! DATA/containers/<id>/log             what it prints                                       resolv.conf
//! ```
//!
//! Every function ends in its state whatever part of it was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getrlimit};
use trice_model::capability::Capability;
use trice_model::container::{ContainerSpec, ExecSpec, ProcessSpec};
use trice_model::id::ContainerId;
use trice_model::name::VolumeName;
use trice_model::service::Resources;
use trice_state::trash::{Trash, TrashError};
use trice_sys::mount::{MountAttributes, MountPropagation, set_attributes};

use crate::cgroup::{CgroupError, Cgroups, Devices, Group};
use crate::handshake::{self, Failure, Parent, Report};
use crate::keeper::link::{Link, Spawned};
use crate::keeper::start::Directories;
use crate::logs::pump::{Pump, Source};
use crate::logs::{LogFolder, Stream};
use crate::lower::{self, Facts, LowerError, Lowered, MadeFile, Needed, Travel};
use crate::seccomp;
use crate::seccomp::machine::Machine;
use crate::seccomp::profile::Profile;

/// Why a container or a process in one could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// What is asked for cannot be.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// Its group could not be made or limited.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// One of its own folders or files could not be made.
    #[error("make {}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// A layer of its image is gone.
    #[error("open the image's layer {}", path.display())]
    Layer {
        /// The layer's folder.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// The path of a bind mount does not exist.
    #[error("bind mount: {} does not exist on this machine", .0.display())]
    BindMissing(PathBuf),
    /// The path of a bind mount could not be opened.
    #[error("bind mount {}", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// A volume could not be opened.
    #[error("mount volume `{name}`")]
    Volume {
        /// The volume.
        name: VolumeName,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is left of a container could not be thrown away.
    #[error(transparent)]
    Trash(#[from] TrashError),
    /// The system call filter could not be made.
    #[error("make the system call filter")]
    Filter(#[source] io::Error),
    /// The kernel or the keeper refused a process.
    #[error("make the process")]
    Spawn(#[source] io::Error),
    /// The child told which of its steps failed.
    #[error(transparent)]
    Child(#[from] Failure),
    /// The child died without a word.
    #[error("the process died before it became the program")]
    Died,
}

/// Opens the folder of a volume, or one inside it.
pub type OpenVolume<'a> = &'a (
        dyn Fn(&VolumeName, Option<&Path>) -> Result<OwnedFd, Box<dyn std::error::Error + Send + Sync>> + Sync
    );

/// What a container is put into that the runtime does not make.
pub struct Surroundings<'a> {
    /// The instance's network namespace; `None` is the host's.
    pub namespace: Option<BorrowedFd<'a>>,
    /// The volumes.
    pub volumes: OpenVolume<'a>,
    /// The texts of the files in `/etc`.
    pub files: BTreeMap<MadeFile, String>,
    /// What the process reads, if it is to read something that the caller has.
    pub stdin: Option<OwnedFd>,
}

/// A container that waits at its last step, or runs.
#[derive(Debug)]
pub struct Prepared {
    /// Its number in the host's pid namespace.
    pub pid: i32,
    /// Its init.
    pub pidfd: OwnedFd,
    /// The outer end of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    handshake: Parent,
}

/// Where the standard streams of an exec'd process lead.
#[derive(Debug)]
pub enum ExecStdio {
    /// To the caller's descriptors.
    Streams {
        /// What it reads; nothing if absent.
        stdin: Option<OwnedFd>,
        /// Where its output goes.
        stdout: OwnedFd,
        /// Where its errors go.
        stderr: OwnedFd,
    },
    /// To a terminal in the container.
    Terminal,
}

/// The back end for containers.
#[derive(Debug)]
pub struct Containers {
    directories: Directories,
    cgroups: Cgroups,
    facts: Facts,
    link: RwLock<Link>,
    pump: Pump,
    filters: Mutex<BTreeMap<BTreeSet<Capability>, OwnedFd>>,
    trash: Trash,
}

impl Containers {
    /// Finds out what this machine has, and uses `link` to make processes.
    pub fn open(directories: Directories, tag: &str, link: Link, pump: Pump) -> Result<Self, CreateError> {
        let trash = Trash::open(&directories.data)?;
        let cgroups = Cgroups::open(tag)?;
        let facts = Facts {
            v1_hierarchies: cgroups.v1_controllers().map(<[String]>::to_vec).collect(),
            v2: cgroups.has_v2(),
            hard_nofile: getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20),
        };
        let filters = Mutex::new(BTreeMap::new());
        Ok(Self { directories, cgroups, facts, link: RwLock::new(link), pump, filters, trash })
    }

    /// Uses `link` from now on: its keeper has taken over from one that died.
    pub fn relink(&self, link: Link) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// The link to the keeper.
    pub fn link(&self) -> Link {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder of a container that outlives a reboot.
    pub fn folder(&self, id: &ContainerId) -> PathBuf {
        self.directories.data.join("containers").join(id.as_str())
    }

    /// A container's log.
    pub fn log(&self, id: &ContainerId) -> LogFolder {
        LogFolder::new(self.folder(id).join("log"))
    }

    fn run_folder(&self, id: &ContainerId) -> PathBuf {
        self.directories.run.join("containers").join(id.as_str())
    }

    /// Makes a container's own folders and files: what there is of it before it has a process.
    pub fn make_folders(&self, id: &ContainerId) -> Result<(), CreateError> {
        let folder = self.folder(id);
        make_folder(&folder, 0o700)?;
        for (name, mode) in [("upper", 0o755), ("work", 0o700)] {
            make_folder(&folder.join(name), mode)?;
        }
        let log = self.log(id);
        log.make().map_err(|source| CreateError::Folder { path: log.path().to_owned(), source })
    }

    /// Makes a container up to the last step before its program.
    pub fn prepare(
        &self,
        spec: &ContainerSpec,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<Prepared, CreateError> {
        let lowered = lower::container(spec, &self.facts)?;
        self.make_folders(&spec.id)?;
        self.write_files(&spec.id, &surroundings.files)?;
        let devices = if spec.privileged { Devices::Privileged } else { Devices::Confined };
        let group = self.cgroups.make(spec.id.as_str(), devices, &spec.resources)?;
        let streams = self.open_streams(spec, surroundings.stdin.take())?;
        let opener = Opener {
            containers: self,
            id: Some(&spec.id),
            group: &group,
            streams: &streams,
            init: None,
            process: &spec.process,
            namespace: surroundings.namespace,
            volumes: Some(surroundings.volumes),
        };
        let key = spec.id.as_str();
        let link = self.link();
        let held = [streams.stdout.as_ref(), streams.stderr.as_ref(), streams.held_stdin.as_ref()];
        let held: Vec<_> = held.into_iter().flatten().map(AsFd::as_fd).collect();
        link.hold(key, &held).map_err(CreateError::Spawn)?;
        let (spawned, handshake) = self.spawn(&link, key, &lowered, &opener)?;
        let mut prepared = Prepared { pid: spawned.pid, pidfd: spawned.pidfd, terminal: None, handshake };
        prepared.wait_until_created()?;
        self.pump_output(key, &link, streams, &prepared)?;
        Ok(prepared)
    }

    /// Has the container's output moved to its log, and what it comes through held by the keeper.
    fn pump_output(
        &self,
        key: &str,
        link: &Link,
        streams: Streams,
        prepared: &Prepared,
    ) -> Result<(), CreateError> {
        let folder = LogFolder::new(self.directories.data.join("containers").join(key).join("log"));
        let source = match (&prepared.terminal, streams.stdout, streams.stderr) {
            (Some(terminal), ..) => {
                link.hold(&terminal_key(key), &[terminal.as_fd()]).map_err(CreateError::Spawn)?;
                Source::Terminal(terminal.try_clone().map_err(CreateError::Spawn)?)
            }
            (None, Some(stdout), Some(stderr)) => Source::Fifos { stdout, stderr },
            (None, ..) => return Ok(()),
        };
        let error = |source| CreateError::Folder { path: folder.path().to_owned(), source };
        self.pump.add(key, folder.clone(), source).map_err(error)
    }

    /// Runs a process in a running container, whose init is `init`.
    pub fn exec(
        &self,
        key: &str,
        spec: &ExecSpec,
        container: &ContainerSpec,
        init: BorrowedFd<'_>,
        stdio: ExecStdio,
    ) -> Result<Prepared, CreateError> {
        let lowered = lower::exec(&spec.process, &self.facts)?;
        let devices = if container.privileged { Devices::Privileged } else { Devices::Confined };
        let group = self.cgroups.make(container.id.as_str(), devices, &Resources::default())?;
        let streams = match stdio {
            ExecStdio::Terminal => Streams::default(),
            ExecStdio::Streams { stdin, stdout, stderr } => {
                Streams { stdin, stdout: Some(stdout), stderr: Some(stderr), held_stdin: None }
            }
        };
        let opener = Opener {
            containers: self,
            id: None,
            group: &group,
            streams: &streams,
            init: Some(init),
            process: &spec.process,
            namespace: None,
            volumes: None,
        };
        let (spawned, handshake) = self.spawn(&self.link(), key, &lowered, &opener)?;
        let mut prepared = Prepared { pid: spawned.pid, pidfd: spawned.pidfd, terminal: None, handshake };
        // It does not wait; what is read is its terminal, then nothing, or its failure.
        prepared.wait_until_program()?;
        Ok(prepared)
    }

    fn spawn(
        &self,
        link: &Link,
        key: &str,
        lowered: &Lowered,
        opener: &Opener<'_>,
    ) -> Result<(Spawned, Parent), CreateError> {
        let opened =
            lowered.needed.iter().map(|needed| opener.open(needed)).collect::<Result<Vec<_>, _>>()?;
        let plan = plan_file(lowered).map_err(CreateError::Spawn)?;
        let (ours, theirs) = handshake::pair().map_err(CreateError::Spawn)?;
        let mut descriptors = vec![plan.as_fd(), theirs.as_fd()];
        descriptors.extend(opener.group.v2.as_ref().map(AsFd::as_fd));
        descriptors.extend(opener.init);
        descriptors.extend(opened.iter().map(AsFd::as_fd));
        let (cgroup, inside) = (opener.group.v2.is_some(), opener.init.is_some());
        let spawned = link.spawn(key, cgroup, inside, &descriptors).map_err(CreateError::Spawn)?;
        Ok((spawned, Parent::new(ours)))
    }

    fn write_files(&self, id: &ContainerId, files: &BTreeMap<MadeFile, String>) -> Result<(), CreateError> {
        let folder = self.run_folder(id);
        make_folder(&folder, 0o755)?;
        for (file, text) in files {
            let path = folder.join(file.name());
            fs::write(&path, text).map_err(|source| CreateError::Folder { path, source })?;
        }
        Ok(())
    }

    fn open_streams(&self, spec: &ContainerSpec, stdin: Option<OwnedFd>) -> Result<Streams, CreateError> {
        if spec.process.tty {
            return Ok(Streams::default());
        }
        let log = self.log(&spec.id);
        let open = |stream| {
            log.open_fifo(stream)
                .map_err(|source| CreateError::Folder { path: log.path().to_owned(), source })
        };
        let (stdout, stderr) = (Some(open(Stream::Stdout)?), Some(open(Stream::Stderr)?));
        let (stdin, held_stdin) = match stdin {
            Some(stdin) => (Some(stdin), None),
            None if spec.process.stdin_open => {
                let (reads, writes) =
                    pipe_with(PipeFlags::CLOEXEC).map_err(|error| CreateError::Spawn(error.into()))?;
                (Some(reads), Some(writes))
            }
            None => (None, None),
        };
        Ok(Streams { stdin, stdout, stderr, held_stdin })
    }

    /// Returns the filter of processes with these capabilities, compiled once.
    fn filter(&self, capabilities: &BTreeSet<Capability>) -> io::Result<OwnedFd> {
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = filters.get(capabilities) {
            return filter.try_clone();
        }
        let uname = rustix::system::uname();
        let (machine, release) = (uname.machine().to_string_lossy(), uname.release().to_string_lossy());
        let machine = Machine::from_uname(&machine, &release).map_err(io::Error::other)?;
        let program = seccomp::compile(&Profile::default_profile(), capabilities, &machine)
            .map_err(io::Error::other)?;
        let file = memfd_create("seccomp", MemfdFlags::CLOEXEC)?;
        write_all(&file, &seccomp::to_bytes(&program))?;
        let copy = file.try_clone()?;
        filters.insert(capabilities.clone(), file);
        Ok(copy)
    }

    /// Takes up a container that was running before this engine: `held` is what the keeper held for it.
    pub fn adopt(&self, id: &ContainerId, held: &mut BTreeMap<String, Vec<OwnedFd>>) -> io::Result<()> {
        let key = id.as_str();
        if let Some(terminal) = held.remove(&terminal_key(key)).and_then(|mut held| held.pop()) {
            return self.pump.add(key, self.log(id), Source::Terminal(terminal));
        }
        let log = self.log(id);
        let (stdout, stderr) = (log.open_fifo(Stream::Stdout)?, log.open_fifo(Stream::Stderr)?);
        self.pump.add(key, log, Source::Fifos { stdout, stderr })
    }

    /// Moves the last output of a container that has ended to its log, ends what is left of it and lets go of what the
    /// keeper holds.
    pub fn finish(&self, id: &ContainerId) -> Result<(), CgroupError> {
        let key = id.as_str();
        self.cgroups.remove(key)?;
        // What cannot be told to a keeper that has died is told to its successor by not being handed over.
        let _ = self.pump.finish(key);
        let link = self.link();
        let _ = link.release(key);
        let _ = link.release(&terminal_key(key));
        Ok(())
    }

    /// Deletes what was thrown away.
    pub fn empty_trash(&self) -> Result<(), TrashError> {
        self.trash.empty()
    }

    /// Ends every process of a container at once.
    pub fn kill(&self, id: &ContainerId) -> Result<(), CgroupError> {
        self.cgroups.kill(id.as_str())
    }

    /// Removes what there is of a container that has no process any more. Its folder goes to the trash, which is
    /// emptied when there is time.
    pub fn remove(&self, id: &ContainerId) -> Result<(), CreateError> {
        self.finish(id)?;
        let run = self.run_folder(id);
        match fs::remove_dir_all(&run) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CreateError::Folder { path: run, source });
            }
            _ => {}
        }
        self.trash.discard(&self.folder(id))?;
        Ok(())
    }

    /// Returns the names of the groups that are there: ids of containers that have not been finished.
    pub fn groups(&self) -> Vec<String> {
        self.cgroups.names()
    }

    /// Returns the ids of all containers that have a folder, in either place.
    pub fn folders(&self) -> Vec<ContainerId> {
        let places = [&self.directories.data, &self.directories.run].map(|place| place.join("containers"));
        let entries = places.into_iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// Ends and removes a group that belongs to no container that is known.
    pub fn remove_group(&self, name: &str) -> Result<(), CgroupError> {
        self.cgroups.remove(name)
    }

    /// Lets go of the machine: the engine leaves.
    pub fn leave(&self) {
        self.cgroups.leave();
    }
}

impl Prepared {
    /// Lets the container's program run; returns once it does.
    pub fn start(&mut self) -> Result<(), CreateError> {
        self.handshake.release().map_err(CreateError::Spawn)?;
        self.wait_until_program()
    }

    fn wait_until_created(&mut self) -> Result<(), CreateError> {
        loop {
            match self.handshake.next().map_err(CreateError::Spawn)? {
                Some((Report::Created, _)) => return Ok(()),
                Some((Report::Terminal, terminal)) => self.terminal = terminal,
                Some((Report::Failed(failure), _)) => return Err(failure.into()),
                None => return Err(CreateError::Died),
            }
        }
    }

    fn wait_until_program(&mut self) -> Result<(), CreateError> {
        loop {
            match self.handshake.next().map_err(CreateError::Spawn)? {
                Some((Report::Created, _)) => {}
                Some((Report::Terminal, terminal)) => self.terminal = terminal,
                Some((Report::Failed(failure), _)) => return Err(failure.into()),
                None => return Ok(()),
            }
        }
    }
}

fn terminal_key(container: &str) -> String {
    format!("{container}/terminal")
}

/// The standard streams of a process; none for one with a terminal.
#[derive(Debug, Default)]
struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// The other end of a standard input that nobody writes to yet.
    held_stdin: Option<OwnedFd>,
}

/// Opens what a plan needs.
struct Opener<'a> {
    containers: &'a Containers,
    id: Option<&'a ContainerId>,
    group: &'a Group,
    streams: &'a Streams,
    init: Option<BorrowedFd<'a>>,
    process: &'a ProcessSpec,
    namespace: Option<BorrowedFd<'a>>,
    volumes: Option<OpenVolume<'a>>,
}

impl Opener<'_> {
    fn open(&self, needed: &Needed) -> Result<OwnedFd, CreateError> {
        match needed {
            Needed::Tasks(index) => copy(self.group.tasks.get(*index).map(AsFd::as_fd)),
            Needed::NetworkNamespace => copy(self.namespace),
            Needed::ContainerInit => copy(self.init),
            Needed::Stdin => match &self.streams.stdin {
                Some(stdin) => copy(Some(stdin.as_fd())),
                None => open_null(),
            },
            Needed::Stdout => copy(self.streams.stdout.as_ref().map(AsFd::as_fd)),
            Needed::Stderr => copy(self.streams.stderr.as_ref().map(AsFd::as_fd)),
            Needed::Null => open_null(),
            Needed::Seccomp => {
                self.containers.filter(&self.process.capabilities).map_err(CreateError::Filter)
            }
            Needed::Layer(path) => {
                clone(path, false).map_err(|source| CreateError::Layer { path: path.clone(), source })
            }
            Needed::Writable => {
                let path = self.id.map(|id| self.containers.folder(id)).unwrap_or_default();
                clone(&path, false).map_err(|source| CreateError::Folder { path, source })
            }
            Needed::File(file) => {
                let folder = self.id.map(|id| self.containers.run_folder(id)).unwrap_or_default();
                let path = folder.join(file.name());
                clone(&path, false).map_err(|source| CreateError::Folder { path, source })
            }
            Needed::Bind { path, create, recursive, propagation, read_only } => {
                open_bind(path, *create, *recursive, *propagation, *read_only)
            }
            Needed::Volume { name, subpath, read_only } => {
                self.open_volume(name, subpath.as_deref(), *read_only)
            }
        }
    }

    fn open_volume(
        &self,
        name: &VolumeName,
        subpath: Option<&Path>,
        read_only: bool,
    ) -> Result<OwnedFd, CreateError> {
        let failed = |source| CreateError::Volume { name: name.clone(), source };
        let io_failed = |error: io::Error| failed(error.into());
        let open = self.volumes.ok_or_else(|| io_failed(io::ErrorKind::Unsupported.into()))?;
        let folder = open(name, subpath).map_err(failed)?;
        let tree = crate::mounts::clone_tree(folder.as_fd(), "").map_err(io_failed)?;
        let attributes = MountAttributes { read_only, ..MountAttributes::default() };
        set_attributes(tree.as_fd(), attributes, false).map_err(io_failed)?;
        Ok(tree)
    }
}

/// Copies a descriptor that must be there, since the plan and the opener come from the same request.
fn copy(descriptor: Option<BorrowedFd<'_>>) -> Result<OwnedFd, CreateError> {
    let descriptor = descriptor.ok_or_else(|| CreateError::Spawn(io::ErrorKind::NotFound.into()))?;
    descriptor.try_clone_to_owned().map_err(CreateError::Spawn)
}

fn open_null() -> Result<OwnedFd, CreateError> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    null.map_err(|error| CreateError::Spawn(error.into()))
}

fn open_bind(
    path: &Path,
    create: bool,
    recursive: bool,
    propagation: Travel,
    read_only: bool,
) -> Result<OwnedFd, CreateError> {
    let failed = |source| CreateError::Bind { path: path.to_owned(), source };
    let tree = match clone(path, recursive) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(failed)?;
            clone(path, recursive).map_err(failed)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CreateError::BindMissing(path.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    let propagation = match propagation {
        Travel::Private => MountPropagation::Private,
        Travel::Slave => MountPropagation::Slave,
        Travel::Shared => MountPropagation::Shared,
    };
    let attributes =
        MountAttributes { read_only, propagation: Some(propagation), ..MountAttributes::default() };
    set_attributes(tree.as_fd(), attributes, true).map_err(failed)?;
    Ok(tree)
}

/// Returns a detached second look at `path`.
fn clone(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    Ok(open_tree(CWD, path, flags)?)
}

fn make_folder(path: &Path, mode: u32) -> Result<(), CreateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| CreateError::Folder { path: path.to_owned(), source })
}

fn plan_file(lowered: &Lowered) -> io::Result<OwnedFd> {
    let file = memfd_create("plan", MemfdFlags::CLOEXEC)?;
    write_all(&file, &serde_json::to_vec(&lowered.plan)?)?;
    Ok(file)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}
