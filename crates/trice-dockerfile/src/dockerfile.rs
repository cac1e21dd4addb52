//! A Dockerfile: stages of instructions.

use crate::instruction::{ArgForm, Placed};
use crate::mistake::Lines;

/// A Dockerfile that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What makes the next character itself.
    pub escape: char,
    /// What `ARG` says before the first stage.
    pub globals: Vec<(Lines, ArgForm)>,
    /// The stages; there is one at least.
    pub stages: Vec<Stage>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The lines of `FROM`.
    pub lines: Lines,
    /// The text of `FROM`, as it is written.
    pub code: String,
    /// What it is based on, before variables are filled in.
    pub base: String,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// `--platform`, before variables are filled in.
    pub platform: Option<String>,
    /// What it does.
    pub instructions: Vec<Placed>,
}
