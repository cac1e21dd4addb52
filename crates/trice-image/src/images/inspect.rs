//! What an image is made of, and how.
//!
//! Sources: OCI Image Specification, `config.md`, "history"; Docker's `image inspect`, whose names are used where
//! programs read them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trice_model::time::Timestamp;
use trice_state::store::ReadError;

use super::Images;
use super::remove::familiar;
use super::seal::SealError;
use crate::digest::Digest;
use crate::manifest::{DocumentError, json};
use crate::record::ImageRecord;

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    /// Its id.
    pub id: Digest,
    /// Its names with tags, as people write them.
    pub repo_tags: Vec<String>,
    /// Its names with digests.
    pub repo_digests: Vec<String>,
    /// When it was made, as it says, or when it came here.
    pub created: Timestamp,
    /// The bytes of all its files.
    pub size: u64,
    /// What it is made for.
    pub platform: String,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// All about an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Details {
    /// Its id.
    pub id: Digest,
    /// Its names with tags, as people write them.
    pub repo_tags: Vec<String>,
    /// Its names with digests.
    pub repo_digests: Vec<String>,
    /// Its manifest, if it has one.
    pub manifest: Option<Digest>,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// Who made it.
    pub author: String,
    /// What somebody said about it.
    pub comment: String,
    /// The processor that it is for.
    pub architecture: String,
    /// Which kind of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system that it is for.
    pub os: String,
    /// The bytes of all its files.
    pub size: u64,
    /// What it says about its containers, as it says it.
    pub config: Value,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Their digests without compression, the lowest first.
    pub layers: Vec<Digest>,
}

/// A step of how an image was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// The image, where it is the last step.
    pub id: Option<Digest>,
    /// When.
    pub created: Option<String>,
    /// By which command.
    pub created_by: String,
    /// The bytes of the files of the layer that came of it.
    pub size: u64,
    /// What somebody said about it.
    pub comment: String,
}

/// Why nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Its configuration is not here.
    #[error(transparent)]
    Config(#[from] SealError),
    /// Its configuration cannot be read.
    #[error("read the configuration of the image {id}")]
    Document {
        /// The image.
        id: Digest,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is read of a configuration beyond what its containers need.
#[derive(Deserialize)]
struct Config {
    created: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    history: Option<Vec<History>>,
}

#[derive(Deserialize)]
struct History {
    created: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

impl Images {
    /// Returns all images, the youngest first.
    ///
    /// # Errors
    /// [`InspectError`].
    pub fn list(&self) -> Result<Vec<Summary>, InspectError> {
        let mut all = self
            .store
            .all::<ImageRecord>()?
            .iter()
            .map(|image| self.summary(image))
            .collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.id.cmp(&other.id)));
        Ok(all)
    }

    /// Returns all about an image.
    ///
    /// # Errors
    /// [`InspectError`].
    pub fn inspect(&self, image: &ImageRecord) -> Result<Details, InspectError> {
        let config = self.read_config(image)?;
        let (repo_tags, repo_digests) = self.tags_and_digests(&image.id)?;
        Ok(Details {
            id: image.id.clone(),
            repo_tags,
            repo_digests,
            manifest: image.manifest.as_ref().map(|manifest| manifest.digest.clone()),
            created: config.created,
            author: config.author.unwrap_or_default(),
            comment: config.comment.unwrap_or_default(),
            architecture: image.platform.architecture.clone(),
            variant: image.platform.variant.clone(),
            os: image.platform.os.clone(),
            size: size(image),
            config: config.config,
            root_fs: RootFs {
                kind: "layers".to_owned(),
                layers: image.layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            },
        })
    }

    /// Returns the configuration of an image, as it is.
    ///
    /// # Errors
    /// [`InspectError::Config`] if it is not here.
    pub fn config(&self, image: &Digest) -> Result<Vec<u8>, InspectError> {
        Ok(self.document(image)?)
    }

    /// Returns how an image was made, the last step first.
    ///
    /// # Errors
    /// [`InspectError`].
    pub fn history(&self, image: &ImageRecord) -> Result<Vec<Step>, InspectError> {
        let history = self.read_config(image)?.history.unwrap_or_default();
        let mut layers = image.layers.iter();
        let step = |history: History| Step {
            id: None,
            size: if history.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.bytes) },
            created: history.created,
            created_by: history.created_by.unwrap_or_default(),
            comment: history.comment.unwrap_or_default(),
        };
        let mut steps: Vec<_> = history.into_iter().map(step).collect();
        steps.reverse();
        if let Some(last) = steps.first_mut() {
            last.id = Some(image.id.clone());
        }
        Ok(steps)
    }

    fn summary(&self, image: &ImageRecord) -> Result<Summary, InspectError> {
        let (repo_tags, repo_digests) = self.tags_and_digests(&image.id)?;
        // What cannot be read is listed all the same: it could not be removed otherwise.
        let created =
            self.read_config(image).ok().and_then(|config| Timestamp::parse_rfc3339(&config.created?));
        Ok(Summary {
            id: image.id.clone(),
            repo_tags,
            repo_digests,
            created: created.unwrap_or(image.loaded_at),
            size: size(image),
            platform: image.platform.to_string(),
            labels: image.config.labels.clone(),
        })
    }

    fn tags_and_digests(&self, image: &Digest) -> Result<(Vec<String>, Vec<String>), ReadError> {
        let names = self.names_of(image)?;
        let of = |digest: bool| {
            let names = names.iter().filter(|name| name.is_digest() == digest);
            names.map(|name| familiar(&name.name)).collect()
        };
        Ok((of(false), of(true)))
    }

    fn read_config(&self, image: &ImageRecord) -> Result<Config, InspectError> {
        let bytes = self.document(&image.id)?;
        json(&bytes).map_err(|source| InspectError::Document { id: image.id.clone(), source })
    }
}

/// Returns the bytes of all files of an image.
fn size(image: &ImageRecord) -> u64 {
    image.layers.iter().map(|layer| layer.bytes).sum()
}
