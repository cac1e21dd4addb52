//! The child between fork and `execve`: carries out a plan, first to last.
//!
//! It is an ordinary Rust program, since nothing else ran at the fork. What it reads of the container (links, user
//! files) may be hostile; the host's folders are out of sight from the first instruction on, because the keeper has
//! none.

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use trice_sys::namespace::{Unshare, unshare};
use trice_sys::{descriptors, keyring, signals};

use crate::handshake::{Child, Failure, FailureKind, Report};
use crate::mounts;
use crate::operation::{InitPlan, Operation, ProcessPlan, Slot, Stdio};
use crate::process;
use crate::reaper::{self, Side, Watch};
use crate::rootfs::{self, Links, Missing};
use crate::user::Identity;

/// What a child has when it begins.
#[derive(Debug)]
pub struct Inherited {
    /// The plan, as JSON in a file.
    pub plan: OwnedFd,
    /// Its end of the handshake.
    pub handshake: OwnedFd,
    /// The descriptors that the plan names.
    pub slots: Vec<OwnedFd>,
}

/// What the operations make and later ones need.
#[derive(Debug, Default)]
struct State {
    root: Option<OwnedFd>,
    dev: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
    proc: Option<OwnedFd>,
    empty: Option<OwnedFd>,
    /// A terminal's inner end, made before the change of roots since it is also the console.
    terminal: Option<OwnedFd>,
}

/// Becomes what the plan says. Returns a code to end with if it cannot; the engine has been told why.
pub fn run(inherited: Inherited) -> i32 {
    let Inherited { plan, handshake, slots } = inherited;
    let child = Child::new(handshake);
    match carry_out(&child, &plan, &slots) {
        Ok(Ready::Go(plan, state, identity)) => finish(child, &plan.process, state, &identity, slots),
        Ok(Ready::NobodyWaits) => 0,
        Err(failure) => fail(&child, failure),
    }
}

fn fail(child: &Child, failure: Failure) -> i32 {
    let code = match failure.kind {
        FailureKind::CommandNotFound => 127,
        FailureKind::CommandNotExecutable => 126,
        FailureKind::Setup => 125,
    };
    let _ = child.report(&Report::Failed(failure), None);
    code
}

/// What a child has come to before its last steps.
enum Ready {
    /// It was released.
    Go(Box<InitPlan>, State, Identity),
    /// The engine has gone without releasing it.
    NobodyWaits,
}

fn carry_out(child: &Child, plan: &OwnedFd, slots: &[OwnedFd]) -> Result<Ready, Failure> {
    let plan = read_plan(plan).map_err(|error| failed("read the plan", &error))?;
    // Folders and nodes get the modes that they are made with.
    rustix::process::umask(Mode::empty());
    rustix::process::setsid().map_err(|error| failed("begin a session", &error))?;
    // A kernel without keyrings has none to leak.
    let _ = keyring::join_fresh_session();
    let mut state = State::default();
    for operation in &plan.operations {
        perform(operation, &mut state, slots)?;
    }
    rustix::process::umask(Mode::from(0o022));
    if plan.process.stdio == Stdio::Terminal {
        open_terminal(child, &mut state).map_err(|error| failed("open a terminal", &error))?;
    }
    let identity = process::identity(&plan.process)?;
    if plan.wait {
        child.report(&Report::Created, None).map_err(|error| failed("report", &error))?;
        if !child.wait().map_err(|error| failed("wait for the start", &error))? {
            return Ok(Ready::NobodyWaits);
        }
    }
    Ok(Ready::Go(Box::new(plan), state, identity))
}

fn read_plan(plan: &OwnedFd) -> io::Result<InitPlan> {
    let file = File::from(plan.try_clone()?);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The last steps, after which there is no way back.
fn finish(child: Child, plan: &ProcessPlan, state: State, identity: &Identity, slots: Vec<OwnedFd>) -> i32 {
    if plan.init {
        match reaper::split() {
            Ok(Side::Payload) => {}
            Ok(Side::Init(watch)) => {
                drop((child, state));
                return be_init(plan, identity, slots, &watch).unwrap_or(255);
            }
            Err(error) => return fail(&child, failed("make the process below init", &error)),
        }
    }
    let Err(failure) = become_program(plan, &state, identity, &slots);
    fail(&child, failure)
}

/// Stays as process 1, with no more rights than its payload and no descriptor but its own.
fn be_init(plan: &ProcessPlan, identity: &Identity, slots: Vec<OwnedFd>, watch: &Watch) -> io::Result<i32> {
    let filter = plan.seccomp.and_then(|slot| slots.get(slot.0 as usize)).map(AsFd::as_fd);
    process::drop_privileges(plan, identity, filter)?;
    drop(slots);
    reaper::watch(watch)
}

fn become_program(
    plan: &ProcessPlan,
    state: &State,
    identity: &Identity,
    slots: &[OwnedFd],
) -> Result<Infallible, Failure> {
    connect(plan, state, identity, slots)?;
    process::limit(plan).map_err(|error| failed("set the limits", &error))?;
    process::enter_cwd(&plan.cwd, identity)
        .map_err(|error| failed(&format!("enter the working directory {}", plan.cwd), &error))?;
    let filter = plan.seccomp.map(|slot| get(slots, slot)).transpose()?;
    signals::reset();
    descriptors::close_on_exec_from(3).map_err(|error| failed("close the descriptors", &error))?;
    process::drop_privileges(plan, identity, filter).map_err(|error| failed("drop privileges", &error))?;
    process::exec(plan, identity)
}

fn connect(plan: &ProcessPlan, state: &State, identity: &Identity, slots: &[OwnedFd]) -> Result<(), Failure> {
    let streams = match &plan.stdio {
        Stdio::Terminal => {
            let terminal = made(&state.terminal, "the terminal")?;
            rustix::process::ioctl_tiocsctty(terminal)
                .map_err(|error| failed("take the terminal", &error))?;
            [(terminal, true); 3]
        }
        Stdio::Streams { stdin, stdout, stderr } => {
            let [stdin, stdout, stderr] =
                [stdin, stdout, stderr].map(|stream| (get(slots, stream.slot), stream.own));
            [(stdin.0?, stdin.1), (stdout.0?, stdout.1), (stderr.0?, stderr.1)]
        }
    };
    process::connect_streams(streams, identity)
        .map_err(|error| failed("connect the standard streams", &error))
}

/// Opens a terminal in the container's own `devpts`, sends its outer end to the engine and makes its inner end the
/// console.
///
/// Both ends come from the mount that we made, or are asked of the kernel by descriptor: what the container has put
/// at their names does not matter (CVE-2025-52565).
fn open_terminal(child: &Child, state: &mut State) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let outer = match &state.devpts {
        Some(devpts) => rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?,
        None => rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?,
    };
    if rustix::fs::fstatfs(&outer)?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(io::Error::other("/dev/pts is not a devpts"));
    }
    unlockpt(&outer)?;
    let inner = ioctl_tiocgptpeer(&outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    if state.root.is_some() {
        let tree = mounts::clone_tree(inner.as_fd(), "")?;
        let here = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let console = std::path::Path::new("/dev/console");
        let target = rootfs::open_inside(here.as_fd(), console, Links::Refuse, Missing::MakeFile)?;
        rootfs::attach_onto(tree.as_fd(), target.as_fd())?;
    }
    child.report(&Report::Terminal, Some(outer.as_fd()))?;
    state.terminal = Some(inner);
    Ok(())
}

/// `DEVPTS_SUPER_MAGIC` of Linux `include/uapi/linux/magic.h`.
const DEVPTS_SUPER_MAGIC: rustix::fs::FsWord = 0x1cd1;

/// Carries out one operation.
fn perform(operation: &Operation, state: &mut State, slots: &[OwnedFd]) -> Result<(), Failure> {
    let slot = |slot: &Slot| get(slots, *slot);
    match operation {
        Operation::JoinCgroup { tasks } => {
            rustix::io::write(slot(tasks)?, b"0").map(drop).map_err(|e| failed("join the cgroup", &e))
        }
        Operation::EnterNetwork { namespace } => {
            move_into_link_name_space(slot(namespace)?, Some(LinkNameSpaceType::Network))
                .map_err(|error| failed("enter the network namespace", &error))
        }
        Operation::EnterContainer { init } => enter_container(slot(init)?),
        Operation::NewCgroupNamespace => {
            unshare(Unshare::Cgroup).map_err(|error| failed("make a cgroup namespace", &error))
        }
        Operation::Hostname(name) => rustix::system::sethostname(name.as_bytes())
            .map_err(|error| failed(&format!("set the host name {name}"), &error)),
        Operation::Domainname(name) => rustix::system::setdomainname(name.as_bytes())
            .map_err(|error| failed(&format!("set the domain name {name}"), &error)),
        Operation::AttachLayer { tree, index } => rootfs::attach_layer(slot(tree)?, *index)
            .map_err(|error| failed(&format!("attach layer {index}"), &error)),
        Operation::AttachWritable { tree } => rootfs::attach(slot(tree)?, rootfs::WRITABLE)
            .map_err(|error| failed("attach the writable layer", &error)),
        Operation::MountRoot { layers } => {
            rootfs::mount_overlay(*layers).map_err(|error| failed("mount the root file system", &error))?;
            state.root = Some(rootfs::open_root().map_err(|error| failed("open the root", &error))?);
            Ok(())
        }
        Operation::MountFilesystem { kind, target, options, attributes } => {
            let mounted = mounts::mount_filesystem(root(state)?, kind, target, options, *attributes)
                .map_err(|error| failed(&format!("mount {kind} at {}", target.display()), &error))?;
            match kind.as_str() {
                "proc" => state.proc = Some(mounted),
                "devpts" => state.devpts = Some(mounted),
                "tmpfs" if target.as_os_str() == "/dev" => state.dev = Some(mounted),
                _ => {}
            }
            Ok(())
        }
        Operation::MakeDevices(nodes) => mounts::make_devices(made(&state.dev, "/dev")?, nodes)
            .map_err(|error| failed("make the devices", &error)),
        Operation::Bind { tree, target } => mounts::bind(root(state)?, slot(tree)?, target)
            .map_err(|error| failed(&format!("mount at {}", target.display()), &error)),
        Operation::Pivot { read_only } => {
            if *read_only {
                mounts::make_mount_read_only(root(state)?)
                    .map_err(|error| failed("make the root read-only", &error))?;
            }
            rootfs::pivot(root(state)?).map_err(|error| failed("change the root", &error))
        }
        Operation::OomScore(score) => {
            write_proc(made(&state.proc, "/proc")?, "1/oom_score_adj", &score.to_string())
                .map_err(|error| failed("set oom_score_adj", &error))
        }
        Operation::Sysctl { key, value } => set_sysctl(made(&state.proc, "/proc")?, key, value)
            .map_err(|error| failed(&format!("set {key} = {value}"), &error)),
        Operation::Mask(path) => {
            let dev = made(&state.dev, "/dev")?;
            mounts::mask(dev, &mut state.empty, path)
                .map_err(|error| failed(&format!("hide {}", path.display()), &error))
        }
        Operation::ReadOnly(path) => mounts::make_read_only(path)
            .map_err(|error| failed(&format!("make {} read-only", path.display()), &error)),
    }
}

/// Enters all namespaces of a running container but its pid namespace, and its root.
fn enter_container(init: BorrowedFd<'_>) -> Result<(), Failure> {
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(init, all).map_err(|error| failed("enter the container", &error))
}

fn set_sysctl(proc: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
    write_proc(proc, &format!("sys/{}", key.replace('.', "/")), value)
}

/// Writes to a file of the procfs that we mounted, so that nothing the container put over `/proc` is written instead
/// (CVE-2025-52881).
fn write_proc(proc: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = rustix::fs::openat2(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

fn root(state: &State) -> Result<BorrowedFd<'_>, Failure> {
    made(&state.root, "the root")
}

/// Returns what an earlier operation made.
fn made<'a>(place: &'a Option<OwnedFd>, name: &str) -> Result<BorrowedFd<'a>, Failure> {
    place.as_ref().map(AsFd::as_fd).ok_or_else(|| Failure {
        what: format!("{name} is not mounted yet"),
        errno: None,
        kind: FailureKind::Setup,
    })
}

fn get(slots: &[OwnedFd], slot: Slot) -> Result<BorrowedFd<'_>, Failure> {
    slots.get(slot.0 as usize).map(AsFd::as_fd).ok_or_else(|| Failure {
        what: format!("descriptor {} is missing", slot.0),
        errno: None,
        kind: FailureKind::Setup,
    })
}

fn failed(what: &str, error: &(impl Display + AsErrno)) -> Failure {
    Failure { what: format!("{what}: {error}"), errno: error.as_errno(), kind: FailureKind::Setup }
}

/// An error that may carry the kernel's number.
trait AsErrno {
    /// Returns the number.
    fn as_errno(&self) -> Option<i32>;
}

impl AsErrno for io::Error {
    fn as_errno(&self) -> Option<i32> {
        self.raw_os_error()
    }
}

impl AsErrno for rustix::io::Errno {
    fn as_errno(&self) -> Option<i32> {
        Some(self.raw_os_error())
    }
}
