//! The requests about images that belong to no project.
//!
//! What only reads or changes what is here has one answer. What asks a registry tells how it does, like an operation,
//! and ends when the client goes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trice_model::image::{ImageRef, PlatformImage, RegistryRef};
use trice_model::registry::RegistryAccess;
use trice_model::time::Timestamp;

use crate::call::Call;
use crate::event::OperationEvent;
use crate::fault::Fault;

/// Have images here, as their sources have them now. Answer: lines until it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullImages {
    /// Which.
    pub images: Vec<ImageRef>,
    /// For this platform; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
    /// How registries are reached.
    pub access: RegistryAccess,
}

impl Call for PullImages {
    const PATH: &'static str = "images/pull";
    type Answer = OperationEvent;
}

/// Send images to the registries that their names say. Answer: lines until it is done; the last one of an image has its
/// digest there as detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushImages {
    /// Which.
    pub images: Vec<RegistryRef>,
    /// For this platform; `None` is all that the names stand for.
    #[serde(default)]
    pub platform: Option<String>,
    /// How registries are reached.
    pub access: RegistryAccess,
}

impl Call for PushImages {
    const PATH: &'static str = "images/push";
    type Answer = OperationEvent;
}

/// Tell which of these images are not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingImages {
    /// Which.
    pub images: Vec<PlatformImage>,
}

impl Call for MissingImages {
    const PATH: &'static str = "images/missing";
    type Answer = Vec<PlatformImage>;
}

/// List the tags that a repository has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTags {
    /// The repository; its tag and its digest mean nothing.
    pub repository: RegistryRef,
    /// How registries are reached.
    pub access: RegistryAccess,
}

impl Call for ListTags {
    const PATH: &'static str = "images/tags";
    type Answer = Vec<String>;
}

/// Look for repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchImages {
    /// In this registry.
    pub host: String,
    /// By these words.
    pub words: String,
    /// At most so many.
    pub most: u32,
    /// How registries are reached.
    pub access: RegistryAccess,
}

impl Call for SearchImages {
    const PATH: &'static str = "images/search";
    type Answer = Vec<RepositoryView>;
}

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// What it says about itself.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// The registry's owner vouches for it.
    pub official: bool,
}

/// Find out whether a registry lets us in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnterRegistry {
    /// The registry.
    pub host: String,
    /// How it is reached, and what is shown to it.
    pub access: RegistryAccess,
}

impl Call for EnterRegistry {
    const PATH: &'static str = "images/login";
    type Answer = ();
}

/// List images, the youngest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListImages {}

impl Call for ListImages {
    const PATH: &'static str = "images/list";
    type Answer = Vec<ImageView>;
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageView {
    /// Its id.
    pub id: String,
    /// Its names with tags, as people write them.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// When it was made, as it says, or when it came here.
    pub created: Timestamp,
    /// The bytes of all its files.
    pub bytes: u64,
    /// Those that it shares with other images.
    pub shared: u64,
    /// What it is made for.
    pub platform: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers are of it.
    pub containers: usize,
}

/// Tell all about images. Answer: an object each, as Docker's tools know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InspectImages {
    /// By name, id, or the beginning of one.
    pub images: Vec<String>,
    /// For this platform, where a name has several; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for InspectImages {
    const PATH: &'static str = "images/inspect";
    type Answer = Inspected;
}

/// What is known of several images, and what went wrong with others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Inspected {
    /// All about those that are here.
    pub images: Vec<Value>,
    /// What went wrong.
    pub faults: Vec<Fault>,
}

/// Tell how an image was made, the last step first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageHistory {
    /// By name, id, or the beginning of one.
    pub image: String,
    /// For this platform, where a name has several; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for ImageHistory {
    const PATH: &'static str = "images/history";
    type Answer = Vec<HistoryView>;
}

/// A step of how an image was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryView {
    /// The image, where it is the last step.
    pub id: Option<String>,
    /// When.
    pub created: Option<Timestamp>,
    /// By which command.
    pub created_by: String,
    /// The bytes of the layer that came of it.
    pub bytes: u64,
    /// What somebody said about it.
    pub comment: String,
}

/// Give an image another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TagImage {
    /// By name, id, or the beginning of one.
    pub image: String,
    /// The name.
    pub name: RegistryRef,
}

impl Call for TagImage {
    const PATH: &'static str = "images/tag";
    type Answer = ();
}

/// Remove names, and images with the last of them. What cannot go stays, and the others go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoveImages {
    /// By name, id, or the beginning of one.
    pub images: Vec<String>,
    /// Several names go at once, and those of images that are in use.
    pub force: bool,
    /// For this platform, where a name has several; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for RemoveImages {
    const PATH: &'static str = "images/remove";
    type Answer = RemovedView;
}

/// Remove images that nobody uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PruneImages {
    /// Those with a name too.
    pub named: bool,
    /// Only those that came here before.
    pub before: Option<Timestamp>,
    /// Only those with all of these labels, and these values where there is one.
    pub labels: Vec<(String, Option<String>)>,
    /// Only those with none of these.
    pub without_labels: Vec<(String, Option<String>)>,
}

impl Call for PruneImages {
    const PATH: &'static str = "images/prune";
    type Answer = RemovedView;
}

/// What has gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RemovedView {
    /// Names, as people write them.
    pub untagged: Vec<String>,
    /// Images, by their ids.
    pub deleted: Vec<String>,
    /// How many layers.
    pub layers: u64,
    /// The bytes that are free now.
    pub bytes: u64,
    /// What stays, and why.
    pub faults: Vec<Fault>,
}

/// Write images to an archive: that of the first descriptor that comes along. The connection leaves HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SaveImages {
    /// By name, id, or the beginning of one.
    pub images: Vec<String>,
    /// The archive is an OCI layout, and nothing for Docker beside it.
    #[serde(default)]
    pub oci: bool,
    /// For this platform, where a name has several; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for SaveImages {
    const PATH: &'static str = "images/save";
    type Answer = crate::stream::StreamNotice;
}

/// Take in all images of an archive: that of the first descriptor that comes along. The connection leaves HTTP; each
/// image is told as a step whose name is the image's, or its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadImages {
    /// What messages call the archive.
    pub name: String,
    /// Of images for several platforms, that for this one; `None` is this machine's.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for LoadImages {
    const PATH: &'static str = "images/load";
    type Answer = crate::stream::StreamNotice;
}

/// Make an image of one layer of an archive of files: that of the first descriptor that comes along. The connection
/// leaves HTTP; the image's id is told as a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportImage {
    /// What messages call the archive.
    pub source: String,
    /// The image's name, if it gets one.
    #[serde(default)]
    pub name: Option<RegistryRef>,
    /// What its history says about it.
    #[serde(default)]
    pub message: String,
    /// Instructions of a Dockerfile that change what it says.
    #[serde(default)]
    pub changes: Vec<String>,
    /// What it is made for; `None` is this machine.
    #[serde(default)]
    pub platform: Option<String>,
}

impl Call for ImportImage {
    const PATH: &'static str = "images/import";
    type Answer = crate::stream::StreamNotice;
}
