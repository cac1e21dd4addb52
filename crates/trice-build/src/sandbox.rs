//! Where commands are executed: containers, which are the engine's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use trice_model::build::BuildNetwork;
use trice_model::container::ExitStatus;
use trice_model::mount::MountSpec;
use trice_model::service::{ExtraHost, Ulimit};
use trice_model::units::Bytes;

/// A command with all that it needs.
#[derive(Debug, Clone)]
pub struct Command {
    /// The folders of the layers that it sees, the topmost first.
    pub layers: Vec<PathBuf>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: String,
    /// The user; nothing is root.
    pub user: String,
    /// Mounts.
    pub mounts: Vec<MountSpec>,
    /// The network.
    pub network: BuildNetwork,
    /// It may do all that the engine may.
    pub privileged: bool,
    /// Lines for `/etc/hosts`.
    pub hosts: Vec<(String, ExtraHost)>,
    /// The size of `/dev/shm`.
    pub shm_size: Option<Bytes>,
    /// Limits of each process.
    pub ulimits: BTreeMap<String, Ulimit>,
}

/// A line that a command has written.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// It was told as an error.
    pub is_error: bool,
    /// The line, without its end.
    pub line: &'a [u8],
}

/// Why a command could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Something is wrong.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// Somebody asked for the end.
    #[error("the build was cancelled")]
    Cancelled,
}

/// Executes commands.
pub trait Sandbox: Send + Sync {
    /// Executes a command to its end, unless `stop` says that nobody wants it any more. What it changes is then in the
    /// folder that comes back, which is the caller's: the upper one of an overlayfs.
    ///
    /// # Errors
    /// [`SandboxError`] if it has not been executed to its end; nothing of it is left then.
    fn execute(
        &self,
        command: &Command,
        written: &mut dyn FnMut(Written<'_>),
        stop: &AtomicBool,
    ) -> Result<Executed, SandboxError>;
}

/// A command that has ended.
#[derive(Debug)]
pub struct Executed {
    /// How.
    pub exit: ExitStatus,
    /// What it changed.
    pub upper: PathBuf,
    /// What belongs to it and is deleted when this is dropped.
    pub rest: Rest,
}

/// Deletes what is left of a command when it is dropped.
pub struct Rest(pub Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(delete) = self.0.take() {
            delete();
        }
    }
}

/// The files that are mounted into every command, and that the runtime makes where an image has none. What it makes for
/// the kernel's own file systems stays, as Docker has it.
pub(crate) const MADE: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
