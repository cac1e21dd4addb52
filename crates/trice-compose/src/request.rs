//! What the loader is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which project to load, and under which circumstances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The files of `-f`; `-` is [`Request::stdin`]. None: the file is searched for.
    pub files: Vec<String>,
    /// What stands on the standard input, where a file is `-`.
    pub stdin: Vec<u8>,
    /// The name of `-p`.
    pub project_name: Option<String>,
    /// The folder of `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// The files of `--env-file`. None: `.env` if it is there.
    pub env_files: Vec<PathBuf>,
    /// The profiles of `--profile`.
    pub profiles: Vec<String>,
    /// The services that are asked for, dependencies follow. None: all.
    pub services: Vec<String>,
    /// Networks, volumes, secrets and configs that no service uses are kept.
    pub all_resources: bool,
    /// The absolute current directory.
    pub current_dir: PathBuf,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Steps that are left out.
    pub skip: Skip,
}

/// Steps that `config` can leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    /// Variables stay as they are written. What cannot be done without their values is left out too.
    pub interpolation: bool,
    /// Implied networks, dependencies and names stay unsaid.
    pub normalisation: bool,
    /// Relative paths stay relative.
    pub paths: bool,
    /// Nothing is checked that takes more than one attribute to see.
    pub consistency: bool,
    /// Env files stay unread; label files do not.
    pub env_files: bool,
}
