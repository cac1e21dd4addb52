//! Starting a keeper, from the command line or from an engine.
//!
//! The binary runs from a read-only mount of itself that nobody else can reach: a container that gets hold of
//! `/proc/PID/exe` of one of our processes cannot write to it (CVE-2019-5736).

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use trice_sys::mount::{MountAttributes, set_attributes};

use super::start::{Directories, KEEPER_ARGUMENT, Shared, arguments};

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The binary could not be made read-only, or not be run.
    #[error("start the keeper")]
    Start(#[source] io::Error),
    /// It ran, and could not get ready.
    #[error("the keeper could not start: {0}")]
    NotReady(String),
}

/// How a founder found things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founded {
    /// It keeps now.
    Ready,
    /// Another keeper or an engine was there already.
    Taken,
}

/// Starts a keeper that founds everything, and waits until its socket is there. `errors` takes what it and its
/// engines write to their standard error.
pub fn found(directories: &Directories, errors: OwnedFd) -> Result<Founded, LaunchError> {
    let arguments = arguments(KEEPER_ARGUMENT, directories, &[]).map_err(LaunchError::Start)?;
    let (_child, word) = run(arguments, errors)?;
    match word.as_str() {
        "ready" => Ok(Founded::Ready),
        "taken" => Ok(Founded::Taken),
        other => Err(LaunchError::NotReady(other.to_owned())),
    }
}

/// Starts a keeper in place of one that died, for this engine, and returns it with the engine's end of the new link.
pub fn succeed(
    directories: &Directories,
    listener: BorrowedFd<'_>,
    lock: BorrowedFd<'_>,
) -> Result<(Child, OwnedFd), LaunchError> {
    let start = |error: io::Error| LaunchError::Start(error);
    let (ours, theirs) = crate::handshake::pair().map_err(start)?;
    let itself = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())
        .map_err(|error| start(error.into()))?;
    // Copies, since what is passed on loses its close-on-exec mark.
    let shared = Shared {
        link: theirs,
        listener: listener.try_clone_to_owned().map_err(start)?,
        lock: lock.try_clone_to_owned().map_err(start)?,
    };
    let passed = [shared.link.as_fd(), shared.listener.as_fd(), shared.lock.as_fd(), itself.as_fd()];
    let arguments = arguments(KEEPER_ARGUMENT, directories, &passed).map_err(start)?;
    let errors = io::stderr().as_fd().try_clone_to_owned().map_err(start)?;
    let (child, word) = run(arguments, errors)?;
    if word == "ready" { Ok((child, ours)) } else { Err(LaunchError::NotReady(word)) }
}

/// Runs this binary and returns the line that it says.
fn run(arguments: Vec<OsString>, errors: OwnedFd) -> Result<(Child, String), LaunchError> {
    let binary = read_only_binary().map_err(LaunchError::Start)?;
    let mut child = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()))
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(LaunchError::Start)?;
    let mut word = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut word).map_err(LaunchError::Start)?;
    }
    let word = word.trim_end();
    let word = if word.is_empty() { "it ended without a word" } else { word };
    Ok((child, word.to_owned()))
}

/// Opens this binary on a detached, read-only mount.
fn read_only_binary() -> io::Result<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    // A binary that runs from such a mount already has no path any more that leads there.
    let tree = match open_tree(CWD, &path, flags) {
        Ok(tree) => tree,
        Err(_) => open_tree(CWD, "/proc/self/exe", flags)?,
    };
    set_attributes(tree.as_fd(), MountAttributes { read_only: true, ..MountAttributes::default() }, false)?;
    Ok(tree)
}
