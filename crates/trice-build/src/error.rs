//! Why there is no image.

use std::io;
use std::path::PathBuf;

use trice_dockerfile::mistake::{Excerpt, Lines};
use trice_image::images::FetchError;
use trice_image::images::build::BuildError as StoreError;
use trice_image::images::bundle::BundleError;
use trice_image::images::push::PushError;
use trice_image::images::save::SaveError;
use trice_image::images::seal::SealError;
use trice_image::layout::LayoutError;
use trice_image::platform::Platform;
use trice_model::image::ImageRefError;
use trice_state::commit::CommitError;
use trice_state::store::ReadError;

use crate::sandbox::SandboxError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile cannot be read.
    #[error("read the Dockerfile `{}`", path.display())]
    Dockerfile {
        /// Its path.
        path: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
    /// The Dockerfile has mistakes, which are shown with their lines.
    #[error("{0}")]
    Mistakes(String),
    /// A context cannot be opened.
    #[error("open the build context `{name}`")]
    Context {
        /// What it is called.
        name: String,
        /// The kernel's word.
        source: io::Error,
    },
    /// Contexts of that kind are not for this.
    #[error("the build context `{name}`: {reason}")]
    ContextKind {
        /// What it is called.
        name: String,
        /// Why not.
        reason: String,
    },
    /// `.dockerignore` cannot be followed.
    #[error("`{}`: {reason}", path.display())]
    Ignore {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What the image is based on is not to be had.
    #[error("{file}:{}: {}{}", lines.first, source, Excerpt { source: text, lines: *lines })]
    Base {
        /// The Dockerfile's name.
        file: String,
        /// Its text.
        text: String,
        /// The lines that name it.
        lines: Lines,
        /// Why not.
        source: Box<BaseError>,
    },
    /// A step failed.
    #[error("{file}:{}: {}{}{}", lines.first, source, Excerpt { source: text, lines: *lines }, last(.output))]
    Step {
        /// The Dockerfile's name.
        file: String,
        /// Its text.
        text: String,
        /// The lines of the step.
        lines: Lines,
        /// Why.
        source: Box<StepError>,
        /// What its command wrote last.
        output: Vec<String>,
    },
    /// The steps do not get where others are to find them.
    #[error("write the cache `{name}`")]
    Cache {
        /// Where.
        name: String,
        /// Why not.
        source: Box<CacheError>,
    },
    /// Its software is not listed.
    #[error("list the software of the image by `{generator}`: {source}{}", last(.output))]
    Sbom {
        /// Who should have done it.
        generator: String,
        /// Why not.
        source: Box<StepError>,
        /// What it wrote last.
        output: Vec<String>,
    },
    /// What was stated about an image before cannot be read.
    #[error(transparent)]
    Stated(#[from] SealError),
    /// The image cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A name for the image is none.
    #[error(transparent)]
    Name(#[from] ImageRefError),
    /// Somebody asked for the end.
    #[error("the build was cancelled")]
    Cancelled,
}

fn last(output: &[String]) -> String {
    if output.is_empty() {
        return String::new();
    }
    format!(
        "\nthe last it wrote:\n{}",
        output.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    )
}

/// Why a cache elsewhere is not written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Its layers cannot be put together.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The registry does not take it.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The folder cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] ImageRefError),
}

/// Why what an image is based on is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] ImageRefError),
    /// Its platform is none.
    #[error(transparent)]
    Platform(#[from] trice_image::platform::PlatformError),
    /// It cannot be fetched.
    #[error("{}", chain(.0))]
    Fetch(#[from] Box<FetchError>),
    /// What it says about itself cannot be read.
    #[error("the configuration of `{image}` cannot be read: {reason}")]
    Config {
        /// The image.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A context is not there.
    #[error("{0}")]
    Context(String),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its command did.
    #[error("`{command}` ended with code {code}{}", if *.code == 127 { ": command not found" } else { "" })]
    Code {
        /// The command.
        command: String,
        /// Its code.
        code: i32,
    },
    /// Its command could not be executed.
    #[error("{}", chain(.0))]
    Sandbox(#[source] SandboxError),
    /// Its command could not be executed, which is for machines of another kind.
    #[error(
        "{}\nIt is for {platform}, and this machine is {}: programs of other processors need an emulator that is \
         registered in the kernel, which Debian's `qemu-user-static` does",
        chain(.source), Platform::host()
    )]
    Foreign {
        /// For which.
        platform: Platform,
        /// Why not.
        #[source]
        source: SandboxError,
    },
    /// A user or group is not there.
    #[error(transparent)]
    User(#[from] trice_runtime::user::UserError),
    /// Files cannot be had, counted or copied.
    #[error("{0}")]
    Files(String),
    /// A repository cannot be had.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It needs a right that it was not given.
    #[error("{what} needs a right: allow `{right}` with `build.entitlements` or `--allow {right}`")]
    Right {
        /// What.
        what: &'static str,
        /// The right.
        right: &'static str,
    },
    /// A secret or an agent that it needs is not there.
    #[error("there is no {what} `{id}`")]
    Secret {
        /// What.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// It is not known how to do it.
    #[error("{0}")]
    Unsupported(String),
    /// Something on the disk is in the way.
    #[error("{what}: {source}")]
    Disk {
        /// What was tried.
        what: String,
        /// The kernel's word.
        source: io::Error,
    },
    /// A layer cannot be made.
    #[error("{}", chain(.0))]
    Store(#[from] StoreError),
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Another step failed, or somebody asked for the end.
    #[error("the build was cancelled")]
    Cancelled,
}

/// Why a repository is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// This machine has no git.
    #[error("`git` is not installed on this machine, and fetches repositories: apt-get install git")]
    NoGit,
    /// The repository does not have what is meant.
    #[error("`{remote}` has no branch and no tag `{reference}`; a commit is named by all of its digits")]
    Missing {
        /// The repository.
        remote: String,
        /// What is meant.
        reference: String,
    },
    /// It is another commit than it should be.
    #[error("`{remote}` should be at a commit that begins with {wanted}, and is at {found}")]
    Checksum {
        /// The repository.
        remote: String,
        /// How the commit should begin.
        wanted: String,
        /// The commit.
        found: String,
    },
    /// The name stands for another commit since this moment.
    #[error("`{name}` of `{remote}` has just changed: build again")]
    Changed {
        /// The repository.
        remote: String,
        /// The name.
        name: String,
    },
    /// git did not do it.
    #[error("`git {what}` with `{remote}`: {said}")]
    Failed {
        /// The repository.
        remote: String,
        /// The command.
        what: String,
        /// The last that it said.
        said: String,
    },
}

impl StepError {
    pub(crate) fn files(error: &dyn std::error::Error) -> Self {
        Self::Files(chain(error))
    }
}

/// Writes an error with its causes, where it is part of a message of several lines.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
