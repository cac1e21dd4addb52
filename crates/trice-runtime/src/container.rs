//! Containers: made up to the last step before the program, released, run into, removed.
//!
//! ```text
//! DATA/containers/<id>/upper, work     what it writes to its root       RUN/containers/<id>/hostname, hosts,
//! DATA/containers/<id>/log             what it prints                                       resolv.conf
//! ```
//!
//! Every function ends in its state whatever part of it was there before.

mod devices;
mod filters;
mod opener;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getrlimit};
use trice_model::container::{ContainerSpec, ExecSpec};
use trice_model::id::ContainerId;
use trice_model::name::VolumeName;
use trice_state::trash::{Trash, TrashError};

use crate::cgroup::{CgroupError, Cgroups, Devices};
use crate::handshake::{self, Failure, Parent, Report};
use crate::keeper::link::{Link, Spawned, is_gone};
use crate::keeper::start::Directories;
use crate::logs::pump::{Pump, Source};
use crate::logs::{LogFolder, Stream};
use crate::lower::{self, Facts, LowerError, Lowered, MadeFile};
use crate::vault::{self, Vault};
use filters::Filters;
use opener::Opener;

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
    /// The files of an image could not be mounted.
    #[error("mount image `{name}`")]
    Image {
        /// The image.
        name: String,
        /// The kernel's word.
        #[source]
        source: io::Error,
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

impl CreateError {
    /// Whether the keeper died before it made the process.
    pub fn is_of_keeper(&self) -> bool {
        matches!(self, Self::Spawn(error) if is_gone(error))
    }
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
    /// Under which name the keeper tells its end.
    pub key: String,
    /// Its number in the host's pid namespace.
    pub pid: i32,
    /// Its init.
    pub pidfd: OwnedFd,
    /// The outer end of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// The keeper whose child it is.
    parent: Link,
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

impl ExecStdio {
    /// Returns the same streams once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Streams { stdin, stdout, stderr } => Self::Streams {
                stdin: stdin.as_ref().map(OwnedFd::try_clone).transpose()?,
                stdout: stdout.try_clone()?,
                stderr: stderr.try_clone()?,
            },
            Self::Terminal => Self::Terminal,
        })
    }
}

/// How long another keeper may take to begin.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);

/// The back end for containers.
#[derive(Debug)]
pub struct Containers {
    directories: Directories,
    cgroups: Cgroups,
    facts: Facts,
    link: Mutex<Link>,
    relinked: Condvar,
    pump: Pump,
    filters: Filters,
    trash: Trash,
    vault: Vault,
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
            kcore: Path::new("/proc/kcore").exists(),
            host_devices: Vec::new(),
        };
        let vault = Vault::open(&directories.run);
        let vault =
            vault.map_err(|source| CreateError::Folder { path: vault::folder(&directories.run), source })?;
        let (link, relinked, filters) = (Mutex::new(link), Condvar::new(), Filters::default());
        Ok(Self { directories, cgroups, facts, link, relinked, pump, filters, trash, vault })
    }

    /// Uses `link` from now on: its keeper has taken over from one that died.
    pub fn relink(&self, link: Link) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
        self.relinked.notify_all();
    }

    /// Waits until another keeper has taken over from the one behind `link`; `false` if none has in time.
    pub fn wait_for_successor(&self, link: &Link) -> bool {
        let current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |current: &mut Link| current.is(link);
        let waited = self.relinked.wait_timeout_while(current, TAKEN_OVER_WITHIN, same);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Has the keeper hold `descriptors` under `key`, or the one that takes over from it. To be called by nobody who
    /// has to see to that.
    ///
    /// # Errors
    /// That of the link, if no keeper takes over in time.
    pub fn hold(&self, key: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let link = self.link();
            match link.hold(key, descriptors) {
                Err(error) if is_gone(&error) && self.wait_for_successor(&link) => {}
                held => return held,
            }
        }
    }

    /// The link to the keeper.
    pub fn link(&self) -> Link {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder of a container that outlives a reboot.
    pub fn folder(&self, id: &ContainerId) -> PathBuf {
        self.directories.data.join("containers").join(id.as_str())
    }

    /// A container's log.
    pub fn log(&self, id: &ContainerId) -> LogFolder {
        LogFolder::new(self.folder(id).join("log"), self.run_folder(id))
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
        Ok(())
    }

    /// Makes a container up to the last step before its program. The keeper tells its end under the name `key`, which
    /// no process of the container had before: the end of one is never taken for that of another.
    pub fn prepare(
        &self,
        key: &str,
        spec: &ContainerSpec,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<Prepared, CreateError> {
        let made: Vec<MadeFile> = surroundings.files.keys().copied().collect();
        let lowered = self.lower(spec, &made)?;
        self.make_folders(&spec.id)?;
        self.write_files(&spec.id, &surroundings.files)?;
        let devices = devices_of(spec);
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
        let (id, link) = (spec.id.as_str(), self.link());
        let held = [streams.stdout.as_ref(), streams.stderr.as_ref(), streams.held_stdin.as_ref()];
        let held: Vec<_> = held.into_iter().flatten().map(AsFd::as_fd).collect();
        link.hold(id, &held).map_err(CreateError::Spawn)?;
        let (spawned, handshake) = self.spawn(&link, key, &lowered, &opener)?;
        // An engine that dies between the record of the start and the start itself has a successor who starts it.
        link.hold(&start_key(id), &[handshake.as_fd()]).map_err(CreateError::Spawn)?;
        let mut prepared = Prepared::new(key, spawned, link.clone(), handshake);
        prepared.wait_until_created()?;
        self.pump_output(&spec.id, &link, streams, &prepared)?;
        // Before it is released, so that no end of its goes unseen.
        let pidfd = prepared.pidfd.try_clone().map_err(CreateError::Spawn)?;
        let path = vault::folder(&self.directories.run);
        self.vault.keep(id, pidfd).map_err(|source| CreateError::Folder { path, source })?;
        Ok(prepared)
    }

    fn lower(&self, spec: &ContainerSpec, made: &[MadeFile]) -> Result<Lowered, CreateError> {
        if !spec.privileged {
            return Ok(lower::container(spec, made, &self.facts)?);
        }
        let path = Path::new("/dev");
        let failed = |source| CreateError::Folder { path: path.to_owned(), source };
        let facts = Facts { host_devices: devices::scan(path).map_err(failed)?, ..self.facts.clone() };
        Ok(lower::container(spec, made, &facts)?)
    }

    /// Has the container's output moved to its log, and what it comes through held by the keeper.
    fn pump_output(
        &self,
        id: &ContainerId,
        link: &Link,
        streams: Streams,
        prepared: &Prepared,
    ) -> Result<(), CreateError> {
        let (folder, id) = (self.log(id), id.as_str());
        let source = match (&prepared.terminal, streams.stdout, streams.stderr) {
            (Some(terminal), ..) => {
                link.hold(&terminal_key(id), &[terminal.as_fd()]).map_err(CreateError::Spawn)?;
                Source::Terminal(terminal.try_clone().map_err(CreateError::Spawn)?)
            }
            (None, Some(stdout), Some(stderr)) => Source::Fifos { stdout, stderr },
            (None, ..) => return Ok(()),
        };
        let error = |source| CreateError::Folder { path: folder.path().to_owned(), source };
        self.pump.add(id, folder.clone(), source).map_err(error)
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
        let devices = devices_of(container);
        let group = self.cgroups.find(container.id.as_str(), devices)?;
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
        let link = self.link();
        let (spawned, handshake) = self.spawn(&link, key, &lowered, &opener)?;
        let mut prepared = Prepared::new(key, spawned, link.clone(), handshake);
        // It does not wait; what is read is its terminal, then nothing, or its failure.
        prepared.terminal = wait_until_program(&prepared.handshake)?;
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
        let plan = serde_json::to_vec(&lowered.plan).map_err(io::Error::from);
        let plan = plan.and_then(|plan| memory_file("plan", &plan)).map_err(CreateError::Spawn)?;
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

    /// Changes the text of a file that was made for a container, under the eyes of the programs in it. One that is not
    /// there is made by the next start.
    ///
    /// # Errors
    /// [`CreateError::Folder`].
    pub fn rewrite(
        &self,
        id: &ContainerId,
        file: MadeFile,
        change: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), CreateError> {
        let path = self.run_folder(id).join(file.name());
        // In place: it is mounted.
        match read_bounded(&path).and_then(|text| fs::write(&path, change(&text))) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CreateError::Folder { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
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

    /// Starts a container that a former engine may not have got to start though its record says so: `held` is what
    /// the keeper held for it. One whose program runs already is left alone.
    pub fn start_again(
        &self,
        id: &ContainerId,
        held: &mut BTreeMap<String, Vec<OwnedFd>>,
    ) -> Result<(), CreateError> {
        let key = start_key(id.as_str());
        let Some(handshake) = held.remove(&key).and_then(|mut held| held.pop()) else { return Ok(()) };
        let handshake = Parent::new(handshake);
        match handshake.release() {
            // Nobody waits at the other end any more: what there was to report is still there to be read.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CreateError::Spawn(error)),
            Ok(()) | Err(_) => wait_until_program(&handshake).map(drop),
        }
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

    /// Returns the process that was the container's last, whoever has reaped it, where the kernel keeps such things:
    /// its exit status can be had of it by `trice_sys::pidfd::exit_status`.
    pub fn kept(&self, id: &ContainerId) -> io::Result<Option<OwnedFd>> {
        self.vault.reopen(id.as_str())
    }

    /// Moves the last output of a container that has ended to its log, ends what is left of it and lets go of what the
    /// keeper and the kernel hold. To be called once its exit is known.
    pub fn finish(&self, id: &ContainerId) -> Result<(), CgroupError> {
        let key = id.as_str();
        let removed = self.cgroups.remove(key);
        // Whatever became of its group: nothing else of it is to stay. What cannot be told to a keeper that has died
        // is told to its successor by not being handed over.
        if let Err(error) = self.pump.finish(key) {
            tracing::error!(container = id.short(), %error, "move the last of its output");
        }
        let link = self.link();
        for key in [key, &terminal_key(key), &start_key(key)] {
            let _ = link.release(key);
        }
        if let Err(error) = self.vault.forget(key) {
            tracing::warn!(container = id.short(), %error, "forget its process");
        }
        removed
    }

    /// Deletes what was thrown away.
    pub fn empty_trash(&self) -> Result<(), TrashError> {
        self.trash.empty()
    }

    /// Ends every process of a container at once.
    pub fn kill(&self, id: &ContainerId) -> Result<(), CgroupError> {
        self.cgroups.kill(id.as_str())
    }

    /// Holds every process of a container still, and returns when they are.
    ///
    /// # Errors
    /// [`CgroupError::Freeze`]; some may be held still then.
    pub fn freeze(&self, spec: &ContainerSpec) -> Result<(), CgroupError> {
        self.cgroups.freeze(spec.id.as_str(), devices_of(spec))
    }

    /// Lets a container go on that is held still.
    pub fn thaw(&self, spec: &ContainerSpec) {
        self.cgroups.thaw(spec.id.as_str(), devices_of(spec));
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
        if let Err(error) = self.vault.leave() {
            tracing::warn!(%error, "remove what kept exit statuses");
        }
    }
}

/// The longest file that is changed under the eyes of a container, which may have written to it what it likes.
const LONGEST_FILE: u64 = 1 << 20;

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the container has made it longer than 1 MiB",
        ));
    }
    Ok(text)
}

fn devices_of(spec: &ContainerSpec) -> Devices {
    if spec.privileged { Devices::Privileged } else { Devices::Confined }
}

impl Prepared {
    fn new(key: &str, spawned: Spawned, parent: Link, handshake: Parent) -> Self {
        Self {
            key: key.to_owned(),
            pid: spawned.pid,
            pidfd: spawned.pidfd,
            terminal: None,
            parent,
            handshake,
        }
    }

    /// Tells whether it is a child of the keeper behind `link`, which tells of its end.
    pub fn is_of(&self, link: &Link) -> bool {
        self.parent.is(link)
    }

    /// Lets the container's program run; returns once it does.
    pub fn start(&mut self) -> Result<(), CreateError> {
        self.handshake.release().map_err(CreateError::Spawn)?;
        wait_until_program(&self.handshake).map(drop)
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
}

/// Waits until the child has become its program; returns its terminal, if one is told of on the way.
fn wait_until_program(handshake: &Parent) -> Result<Option<OwnedFd>, CreateError> {
    let mut terminal = None;
    loop {
        match handshake.next().map_err(CreateError::Spawn)? {
            Some((Report::Created, _)) => {}
            Some((Report::Terminal, told)) => terminal = told,
            Some((Report::Failed(failure), _)) => return Err(failure.into()),
            None => return Ok(terminal),
        }
    }
}

/// Names a container's terminal for the keeper.
fn terminal_key(container: &str) -> String {
    format!("{container}/terminal")
}

/// Names our end of the handshake with a container's child for the keeper.
fn start_key(container: &str) -> String {
    format!("{container}/start")
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

fn make_folder(path: &Path, mode: u32) -> Result<(), CreateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| CreateError::Folder { path: path.to_owned(), source })
}

/// Returns a file in memory with these `bytes`, which cannot be changed any more: children read it while others do.
fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}
