//! Starting a keeper, from the command line or from an engine.
//!
//! The binary runs from a read-only mount of itself that nobody else can reach: a container that gets hold of
//! `/proc/PID/exe` of one of our processes cannot write to it (CVE-2019-5736).

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, statvfs};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::Signal;
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
    /// Somebody killed it before it was ready.
    Killed,
}

/// Starts a keeper that founds everything, and waits until its socket is there. `errors` takes what it and its
/// engines write to their standard error.
pub fn found(directories: &Directories, errors: OwnedFd) -> Result<Founded, LaunchError> {
    let arguments = arguments(KEEPER_ARGUMENT, directories, &[]).map_err(LaunchError::Start)?;
    let (mut child, word) = run(arguments, errors)?;
    if word == "ready" {
        return Ok(Founded::Ready);
    }
    // It has nothing more to do.
    founded(word, child.wait().map_err(LaunchError::Start)?)
}

/// Returns what has become of a founder that has ended after its last word.
fn founded(word: String, status: ExitStatus) -> Result<Founded, LaunchError> {
    match word.as_str() {
        "taken" => Ok(Founded::Taken),
        "" if status.signal() == Some(Signal::KILL.as_raw()) => Ok(Founded::Killed),
        _ => Err(not_ready(word)),
    }
}

fn not_ready(word: String) -> LaunchError {
    LaunchError::NotReady(if word.is_empty() { "it ended without a word".to_owned() } else { word })
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
    if word == "ready" { Ok((child, ours)) } else { Err(not_ready(word)) }
}

/// The variables that keeper and engine inherit from whoever starts them, by their names or, with an underscore at the
/// end, by the beginnings of their names: where things are, how registries are reached, how to talk. Others may be
/// secrets, and both live long.
const INHERITED: [&str; 14] = [
    "DOCKER_CONFIG",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_",
    "NO_PROXY",
    "PATH",
    "RUST_",
    "SSL_CERT_",
    "TRICE_",
    "TZ",
    "XDG_",
    "USER",
];

fn is_inherited(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes().to_ascii_uppercase();
    let matches = |known: &&str| match known.ends_with('_') {
        true => name.starts_with(known.as_bytes()),
        false => name == known.as_bytes(),
    };
    INHERITED.iter().any(matches)
}

/// Runs this binary and returns the line that it says; an empty one if it ends without.
fn run(arguments: Vec<OsString>, errors: OwnedFd) -> Result<(Child, String), LaunchError> {
    let binary = read_only_binary().map_err(LaunchError::Start)?;
    let mut child = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()))
        .arg0("trice")
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_inherited(name)))
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
    Ok((child, word.trim_end().to_owned()))
}

/// Opens this binary on a detached, read-only mount.
fn read_only_binary() -> io::Result<OwnedFd> {
    let itself = "/proc/self/exe";
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = match open_tree(CWD, itself, flags) {
        Ok(tree) => tree,
        // A binary that runs from such a mount is out of reach of open_tree(2), and as good as it is.
        Err(_) if statvfs(itself)?.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            return Ok(rustix::fs::open(itself, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
        }
        Err(error) => return Err(error.into()),
    };
    set_attributes(tree.as_fd(), MountAttributes { read_only: true, ..MountAttributes::default() }, false)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founder_that_was_killed_is_told_from_one_that_cannot_go_on() {
        let (killed, crashed) = (ExitStatus::from_raw(9), ExitStatus::from_raw(11));
        let of = |word: &str, status| founded(word.to_owned(), status).map_err(|error| error.to_string());
        assert_eq!(of("", killed), Ok(Founded::Killed));
        assert_eq!(of("taken", ExitStatus::from_raw(0)), Ok(Founded::Taken));
        let without = "the keeper could not start: it ended without a word".to_owned();
        assert_eq!(
            (of("", crashed), of("", ExitStatus::from_raw(1 << 8))),
            (Err(without.clone()), Err(without))
        );
        assert_eq!(of("no room", killed), Err("the keeper could not start: no room".to_owned()));
    }

    #[test]
    fn what_may_be_a_secret_is_not_inherited() {
        for name in ["PATH", "https_proxy", "TRICE_DATA", "XDG_RUNTIME_DIR", "LC_ALL"] {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "MY_PATH", "LD_PRELOAD", "COMPOSE_FILE"] {
            assert!(!is_inherited(OsStr::new(name)), "{name}");
        }
    }
}
