//! The keeper's first steps: from a freshly executed binary to one thread in a minimal root.
//!
//! ```text
//! founder   lock ─► socket ──────────────┐
//!                                        ├─► root of its own ─► "ready" to whoever started it ─► keep
//! heir      engine, lock, socket given ──┘
//! ```
//!
//! A founder is started by the command line and starts the engine. An heir is started by an engine whose keeper has
//! died.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::FdFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use trice_sys::fork::SingleThread;
use trice_sys::{descriptors, exec, signals, title};

use super::Keeper;
use crate::{root, rootfs};

/// The first argument of a keeper, by which `main` knows it before anything else runs.
pub const KEEPER_ARGUMENT: &str = "trice-keeper";
/// The first argument of an engine.
pub const ENGINE_ARGUMENT: &str = "trice-engine";

/// Where things lie, as both processes are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// What outlives a reboot.
    pub data: PathBuf,
    /// What does not.
    pub run: PathBuf,
}

impl Directories {
    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("engine.sock")
    }

    /// The file that the living keeper and engine of these directories hold locked.
    pub fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }
}

/// What keeper and engine share, and one gets from the other.
#[derive(Debug)]
pub struct Shared {
    /// The link between the two.
    pub link: OwnedFd,
    /// The engine's listening socket.
    pub listener: OwnedFd,
    /// The lock on the directories.
    pub lock: OwnedFd,
}

/// What a process was started as.
#[derive(Debug)]
pub enum Role {
    /// A keeper that founds everything.
    Founder(Directories),
    /// A keeper that takes over from one that died: its engine, as a pidfd, comes along.
    Heir(Directories, Shared, OwnedFd),
    /// An engine.
    Engine(Directories, Shared),
}

impl Role {
    /// Reads what a keeper or an engine was started with; `None` for the arguments of the command line.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Option<io::Result<Self>> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let first = arguments.first()?;
        if first == KEEPER_ARGUMENT || first == ENGINE_ARGUMENT {
            let is_engine = first == ENGINE_ARGUMENT;
            Some(Self::read(is_engine, &arguments[1..]))
        } else {
            None
        }
    }

    fn read(is_engine: bool, arguments: &[OsString]) -> io::Result<Self> {
        let bad = || io::Error::from(io::ErrorKind::InvalidInput);
        let [data, run, numbers @ ..] = arguments else { return Err(bad()) };
        let directories = Directories { data: data.into(), run: run.into() };
        let mut descriptors = numbers.iter().map(|number| {
            let number = number.to_str().and_then(|text| text.parse().ok()).ok_or_else(bad)?;
            descriptors::inherited(number)
        });
        let Some(link) = descriptors.next() else { return Ok(Self::Founder(directories)) };
        let mut next = || descriptors.next().ok_or_else(bad)?;
        let shared = Shared { link: link?, listener: next()?, lock: next()? };
        if is_engine {
            Ok(Self::Engine(directories, shared))
        } else {
            Ok(Self::Heir(directories, shared, next()?))
        }
    }
}

/// Returns the arguments that make a process what [`Role::from_arguments`] reads, and lets `inherited` pass through
/// its `execve`.
pub(crate) fn arguments(
    first: &str,
    directories: &Directories,
    inherited: &[BorrowedFd<'_>],
) -> io::Result<Vec<OsString>> {
    let mut arguments = vec![first.into(), directories.data.clone().into(), directories.run.clone().into()];
    for descriptor in inherited {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        arguments.push(descriptor.as_raw_fd().to_string().into());
    }
    Ok(arguments)
}

/// How an engine is started, again and again.
#[derive(Debug)]
pub(crate) struct EngineProgram {
    directories: Directories,
    binary: OwnedFd,
    host_mounts: OwnedFd,
    listener: OwnedFd,
    lock: OwnedFd,
}

impl EngineProgram {
    /// Becomes an engine. Returns a code to end with if that failed.
    pub(crate) fn exec(&self, link: &OwnedFd) -> i32 {
        match self.try_exec(link) {
            Ok(never) => match never {},
            Err(_) => 125,
        }
    }

    fn try_exec(&self, link: &OwnedFd) -> io::Result<Infallible> {
        move_into_link_name_space(self.host_mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
        signals::reset();
        let passed = [link.as_fd(), self.listener.as_fd(), self.lock.as_fd()];
        let arguments = arguments(ENGINE_ARGUMENT, &self.directories, &passed)?;
        // The program's own name first, as everywhere.
        let all = std::iter::once(OsString::from("trice")).chain(arguments);
        let args = all.map(|text| CString::new(text.into_vec())).collect::<Result<Vec<_>, _>>()?;
        let variables = std::env::vars_os().map(|(key, value)| {
            let pair = [key.as_bytes(), b"=", value.as_bytes()].concat();
            CString::new(pair)
        });
        let env = variables.collect::<Result<Vec<_>, _>>()?;
        exec::execveat(self.binary.as_fd(), &args, &env)
    }
}

/// Runs a keeper in this process. Whoever started it reads one line from its standard output: `ready`, `taken` if
/// there is one already, or what went wrong.
pub fn keep(role: Role) -> i32 {
    match begin(role) {
        Ok(Some(keeper)) => i32::from(keeper.run().is_err()),
        Ok(None) => {
            say("taken");
            0
        }
        Err(error) => {
            say(&error.to_string());
            1
        }
    }
}

fn say(word: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{word}").and_then(|()| out.flush());
}

/// Returns a keeper that is ready; `None` if there is one already.
fn begin(role: Role) -> io::Result<Option<Keeper>> {
    let proof = SingleThread::prove()?;
    signals::reset_inherited();
    // It was run by the number of a descriptor, which says nothing to who looks at a list of processes.
    rustix::thread::set_name(c"trice-keeper")?;
    title::remember()?;
    allow_many_files()?;
    rustix::process::umask(Mode::from(0o077));
    // A session of its own: what its starter's terminal sends does not reach it.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let (directories, listener, lock, engine) = match role {
        Role::Founder(directories) => {
            let Some(lock) = take_lock(&directories)? else { return Ok(None) };
            let listener = listen(&directories.socket())?;
            (directories, listener, lock, None)
        }
        Role::Heir(directories, shared, pidfd) => {
            (directories, shared.listener, shared.lock, Some((shared.link, pidfd)))
        }
        Role::Engine(..) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let open = |path: &str, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let binary = open("/proc/self/exe", OFlags::RDONLY)?;
    let host_mounts = open("/proc/self/ns/mnt", OFlags::RDONLY)?;
    let own_pid_namespace = open("/proc/self/ns/pid", OFlags::RDONLY)?;
    let null = open("/dev/null", OFlags::RDWR)?;
    // A container's mount namespace begins as a copy of this one, so that making it does not depend on how much is
    // mounted on the host, and nothing of the host is within reach of a child.
    root::enter_empty(&directories.run, &[rootfs::LAYERS, rootfs::WRITABLE, rootfs::ROOT])?;
    let program = EngineProgram { directories, binary, host_mounts, listener, lock };
    let keeper = Keeper::new(proof, program, own_pid_namespace, engine)?;
    say("ready");
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(Some(keeper))
}

/// It holds several descriptors a container. What a container's process may have is said in its plan.
fn allow_many_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Takes the lock of the directories; `None` if a keeper or an engine has it.
fn take_lock(directories: &Directories) -> io::Result<Option<OwnedFd>> {
    fs::create_dir_all(&directories.run)?;
    // Whoever else owned it could put a socket of his in the place of ours.
    if fs::metadata(&directories.run)?.uid() != rustix::process::geteuid().as_raw() {
        let what = format!("{} belongs to another user", directories.run.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    fs::set_permissions(&directories.run, fs::Permissions::from_mode(0o700))?;
    let lock =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(directories.lock())?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock.into())),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Listens at `path`, where only this user may connect: the file is made with the mode 0600 by the umask above.
///
/// The keeper holds the socket too, so that a request that comes while no engine lives waits for the next one.
fn listen(path: &Path) -> io::Result<OwnedFd> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(UnixListener::bind(path)?.into())
}
