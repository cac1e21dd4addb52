//! The instructions of a Dockerfile, before variables are filled in.
//!
//! Source: Dockerfile reference.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mistake::Lines;

/// An instruction and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its lines.
    pub lines: Lines,
    /// Its text on one line, as it is written.
    pub code: String,
    /// What it says.
    pub instruction: Instruction,
}

/// An instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD`.
    Add(AddForm),
    /// `ARG`.
    Arg(Vec<ArgForm>),
    /// `CMD`.
    Cmd(CommandForm),
    /// `COPY`.
    Copy(CopyForm),
    /// `ENTRYPOINT`.
    Entrypoint(CommandForm),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `EXPOSE`.
    Expose(Vec<String>),
    /// `HEALTHCHECK`.
    Healthcheck(HealthForm),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`, with the text of the instruction that is meant for later.
    Onbuild(String),
    /// `RUN`.
    Run(RunForm),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// A document that follows an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Its lines with their ends.
    pub content: String,
    /// Variables in it are filled in.
    pub expand: bool,
    /// Tabs at the beginning of its lines are none of it.
    pub without_tabs: bool,
}

impl Heredoc {
    /// Returns what the document says.
    pub fn document(&self) -> String {
        if !self.without_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// One name of `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgForm {
    /// The name.
    pub name: String,
    /// Its value where nobody gives another one.
    pub default: Option<String>,
}

/// A name and a value of `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunForm {
    /// What is executed.
    pub command: CommandForm,
    /// The documents of its text.
    pub heredocs: Vec<Heredoc>,
    /// The texts of `--mount`.
    pub mounts: Vec<String>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--security=insecure`.
    pub insecure: bool,
    /// The names of `--device`.
    pub devices: Vec<String>,
}

/// The network of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The usual one.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// Where files come from and go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Paths, and URLs of `ADD`.
    pub sources: Vec<String>,
    /// Files whose content is in the Dockerfile.
    pub documents: Vec<Heredoc>,
    /// Where they go.
    pub destination: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// The patterns of `--exclude`.
    pub exclude: Vec<String>,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyForm {
    /// What is copied.
    pub files: Files,
    /// `--from`.
    pub from: Option<String>,
    /// `--parents`.
    pub parents: bool,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddForm {
    /// What is added.
    pub files: Files,
    /// `--checksum`.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`; without it, local archives are unpacked and others not.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthForm {
    /// What is executed; `None` for no probe at all.
    pub command: Option<CommandForm>,
    /// `--interval`.
    pub interval: Duration,
    /// `--timeout`.
    pub timeout: Duration,
    /// `--start-period`.
    pub start_period: Duration,
    /// `--start-interval`.
    pub start_interval: Duration,
    /// `--retries`.
    pub retries: u32,
}
