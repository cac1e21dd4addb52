//! The child between fork and `execve`: carries out a plan, first to last.
//!
//! ```text
//! read the plan ─► perform its operations ─► created: wait ─► become the program
//!                                                     └─────► or stay as init, with the program below
//! ```
//!
//! It is an ordinary Rust program, since nothing else ran at the fork. What it reads of the container (links, user
//! files) may be hostile; the host's folders are out of sight from the first instruction on, because the keeper has
//! none, and those that the plan brought are closed before the container's files are looked at.

mod perform;
mod slots;
mod terminal;

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};
use trice_sys::fork::SingleThread;
use trice_sys::{descriptors, keyring, signals, title};

use crate::handshake::{Child, Failure, FailureKind, Report};
use crate::operation::{InitPlan, ProcessPlan, Stdio};
use crate::process::{self, Streams};
use crate::reaper::{self, Side, Watch};
use crate::user::Identity;
use perform::{State, perform};
use slots::Slots;

/// The code of a child that could not become its program, or was never let: shells and Docker say so too.
pub const NOT_STARTED: i32 = 125;

/// Becomes what the plan says. `descriptors` are the plan, as JSON in a file; the child's end of the handshake; and
/// what the plan names.
///
/// Returns a code to end with if it cannot; the engine has been told why.
pub fn run(descriptors: Vec<OwnedFd>) -> i32 {
    let mut descriptors = descriptors.into_iter();
    let (Some(plan), Some(handshake)) = (descriptors.next(), descriptors.next()) else { return NOT_STARTED };
    let (child, slots) = (Child::new(handshake), Slots::new(descriptors));
    match carry_out(&child, plan, slots) {
        Ok(Ready::Go(ready)) => finish(child, *ready),
        // Not 0: nobody may take it for a program that did its work.
        Ok(Ready::NobodyWaits) => NOT_STARTED,
        Err(failure) => fail(&child, failure),
    }
}

fn fail(child: &Child, failure: Failure) -> i32 {
    let code = match failure.kind {
        FailureKind::CommandNotFound => 127,
        FailureKind::CommandNotExecutable => 126,
        FailureKind::Setup => NOT_STARTED,
    };
    let _ = child.report(&Report::Failed(failure), None);
    code
}

/// What a child has come to before its last steps.
enum Ready {
    /// It was released.
    Go(Box<LastSteps>),
    /// The engine has gone without releasing it.
    NobodyWaits,
}

/// All that the last steps need.
struct LastSteps {
    process: ProcessPlan,
    identity: Identity,
    streams: Streams,
    filter: Option<OwnedFd>,
}

fn carry_out(child: &Child, plan: OwnedFd, mut slots: Slots) -> Result<Ready, Failure> {
    let plan = read_plan(plan).map_err(|error| failed("read the plan", &error))?;
    // Folders and nodes get the modes that they are made with.
    rustix::process::umask(Mode::empty());
    rustix::process::setsid().map_err(|error| failed("begin a session", &error))?;
    // A kernel without keyrings has none to leak.
    let _ = keyring::join_fresh_session();
    let mut state = State::default();
    for operation in &plan.operations {
        perform(operation, &mut state, &mut slots)?;
    }
    rustix::process::umask(Mode::from(0o022));
    let terminal = "open a terminal";
    if plan.process.stdio == Stdio::Terminal {
        let devpts = state.devpts.as_ref().map(AsFd::as_fd);
        let inner = terminal::open(child, devpts).map_err(|error| failed(terminal, &error))?;
        if devpts.is_some() {
            terminal::make_console(inner.as_fd()).map_err(|error| failed(terminal, &error))?;
        }
        state.terminal = Some(inner);
    }
    let streams = streams(&plan.process.stdio, &mut state, &mut slots)?;
    let filter = plan.process.seccomp.map(|slot| slots.take(slot)).transpose()?;
    drop((state, slots));
    let identity = process::identity(&plan.process)?;
    if plan.wait {
        child.report(&Report::Created, None).map_err(|error| failed("report", &error))?;
        if !child.wait().map_err(|error| failed("wait for the start", &error))? {
            return Ok(Ready::NobodyWaits);
        }
    }
    Ok(Ready::Go(Box::new(LastSteps { process: plan.process, identity, streams, filter })))
}

fn read_plan(plan: OwnedFd) -> io::Result<InitPlan> {
    let file = File::from(plan);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn streams(stdio: &Stdio, state: &mut State, slots: &mut Slots) -> Result<Streams, Failure> {
    match stdio {
        Stdio::Terminal => {
            let terminal = state.terminal.take();
            let terminal = terminal.ok_or_else(|| failed_without_errno("there is no terminal".to_owned()))?;
            Ok(Streams::Terminal(terminal))
        }
        Stdio::Streams { stdin, stdout, stderr } => {
            let mut take = |stream: &crate::operation::Stream| Ok((slots.take(stream.slot)?, stream.own));
            Ok(Streams::Three([take(stdin)?, take(stdout)?, take(stderr)?]))
        }
    }
}

/// The last steps, after which there is no way back.
fn finish(child: Child, steps: LastSteps) -> i32 {
    if steps.process.init {
        match reaper::split() {
            Ok(Side::Payload) => {}
            Ok(Side::Init(watch)) => return be_init(child, steps, &watch),
            Err(error) => return fail(&child, failed("make the process below init", &error)),
        }
    }
    let Err(failure) = become_program(steps);
    fail(&child, failure)
}

/// Stays as process 1, with no more rights than its payload and no descriptor but its own.
fn be_init(child: Child, steps: LastSteps, watch: &Watch) -> i32 {
    let LastSteps { process, identity, streams, filter } = steps;
    drop(streams);
    let ready = let_go_of_the_keeper()
        .and_then(|()| process::drop_privileges(&process, &identity, filter.as_ref().map(AsFd::as_fd)));
    if let Err(error) = ready {
        return fail(&child, failed("become init", &error));
    }
    drop(filter);
    // Last: that it hangs up tells the engine that all of the above is done.
    drop(child);
    reaper::watch(watch).unwrap_or(255)
}

/// Stops looking like the keeper that this process was forked from: its streams, and the command line with the host's
/// paths that anybody in the container could read.
fn let_go_of_the_keeper() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    rustix::thread::set_name(c"trice-init")?;
    title::set(&SingleThread::prove()?, "trice-init");
    Ok(())
}

fn become_program(steps: LastSteps) -> Result<Infallible, Failure> {
    let LastSteps { process: plan, identity, streams, filter } = steps;
    process::connect_streams(streams, &identity)
        .map_err(|error| failed("connect the standard streams", &error))?;
    process::limit(&plan).map_err(|(name, error)| failed(&format!("set the limit {name}"), &error))?;
    process::enter_cwd(&plan.cwd)
        .map_err(|error| failed(&format!("enter the working directory {}", plan.cwd), &error))?;
    signals::reset();
    descriptors::close_on_exec_from(3).map_err(|error| failed("close the descriptors", &error))?;
    process::drop_privileges(&plan, &identity, filter.as_ref().map(AsFd::as_fd))
        .map_err(|error| failed("drop privileges", &error))?;
    process::exec(&plan, &identity)
}

fn failed(what: &str, error: &(impl Display + AsErrno)) -> Failure {
    Failure { what: format!("{what}: {error}"), errno: error.as_errno(), kind: FailureKind::Setup }
}

fn failed_without_errno(what: String) -> Failure {
    Failure { what, errno: None, kind: FailureKind::Setup }
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
