//! The requests about the files of a container.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::image::RegistryRef;
use trice_model::name::ContainerName;

use crate::call::Call;
use crate::stream::StreamNotice;

/// Copy files into a container or out of it. The connection leaves HTTP. The descriptor that comes along is the root
/// directory of the client, or, where the local end is a stream, that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyFiles {
    /// The container.
    pub container: ContainerName,
    /// The path in it.
    pub path: String,
    /// Into the container, and not out of it.
    pub into: bool,
    /// The absolute path of the client; `None` is a stream of an archive.
    pub local: Option<String>,
    /// Owners stay as they are.
    pub archive: bool,
    /// A link at the end of the source is followed.
    pub follow: bool,
}

impl Call for CopyFiles {
    const PATH: &'static str = "inside/copy";
    type Answer = StreamNotice;
}

/// Tell what a container has changed of its image's files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// The container.
    pub container: ContainerName,
}

impl Call for Changes {
    const PATH: &'static str = "inside/changes";
    type Answer = Vec<Change>;
}

/// Something that a container has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Its absolute path.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is another one, or something in it is.
    Changed,
    /// It is gone.
    Deleted,
}

/// Write the files of a container to an archive: that of the descriptor that comes along. The connection leaves HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportFiles {
    /// The container.
    pub container: ContainerName,
}

impl Call for ExportFiles {
    const PATH: &'static str = "inside/export";
    type Answer = StreamNotice;
}

/// Make an image of a container. Answer: the image's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commit {
    /// The container.
    pub container: ContainerName,
    /// The image's name, if it gets one.
    pub name: Option<RegistryRef>,
    /// Who makes it.
    pub author: String,
    /// What its history says about it.
    pub message: String,
    /// Instructions of a Dockerfile that change what it says.
    #[serde(default)]
    pub changes: Vec<String>,
    /// The container stands still meanwhile.
    #[serde(default)]
    pub pause: bool,
}

impl Call for Commit {
    const PATH: &'static str = "inside/commit";
    type Answer = String;
}
