//! Where images come from.
//!
//! ```text
//! docker-archive:FILE ─ tar_file ─► files ─ docker_archive ─┐
//! oci-archive:FILE ──── tar_file ─► files ─ oci_layout ─────┼─► offer: names, manifest, config, layers
//! oci:FOLDER ────────── folder ───► files ─ oci_layout ─────┤
//! redis:7 ───────────── registry ─────────── remote ────────┘            index, names: what several need
//! ```
//!
//! A source says what an image consists of, and opens its layers when they are wanted. It is read in place:
//! nothing of it is unpacked to find something else in it, and no path that it states reaches the file
//! system.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use oci_spec::image::MediaType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::image::RegistryRef;

use crate::digest::Digest;
use crate::manifest::{DOCUMENT_BYTES, DocumentError, json};
use crate::members::MemberError;
use crate::platform::Platform;
use crate::registry::exchange::ExchangeError;

pub(crate) mod docker_archive;
pub(crate) mod folder;
mod index;
pub(crate) mod names;
pub(crate) mod oci_layout;
pub(crate) mod remote;
pub(crate) mod tar_file;

/// What an image consists of.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The names that the source gives it.
    pub(crate) names: Vec<RegistryRef>,
    /// What a registry has under these names: an index or the manifest.
    pub(crate) target: Option<Digest>,
    /// The indexes that led to the manifest.
    pub(crate) indexes: Vec<Vec<u8>>,
    /// Its manifest with its media type, where the source has one.
    pub(crate) manifest: Option<(Vec<u8>, MediaType)>,
    /// Its configuration.
    pub(crate) config: Vec<u8>,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<OfferedLayer>,
}

/// A layer that a source has.
#[derive(Debug, Clone)]
pub(crate) struct OfferedLayer {
    /// The digest of the archive when it is not compressed.
    pub(crate) diff_id: Digest,
    /// The digest of the archive as it is, where the source states it.
    pub(crate) blob: Option<Digest>,
    /// Its length as it is.
    pub(crate) size: u64,
    /// Where the source has it.
    pub(crate) path: String,
}

/// A thing with paths to files.
pub(crate) trait Files: Sync {
    /// Opens a file; `None` if there is none.
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>>;
}

/// A file that is open.
pub(crate) struct Opened<'a> {
    pub(crate) content: Box<dyn Read + Send + 'a>,
    pub(crate) size: u64,
}

/// What tells that a file is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

/// Why a source gives no image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The registry does not give it.
    #[error(transparent)]
    Registry(Box<ExchangeError>),
    /// The file or folder cannot be opened.
    #[error("open `{path}`")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is neither a file nor what it should be.
    #[error("`{path}` is not a {wanted}")]
    NotA {
        /// The file or folder.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// It cannot be read.
    #[error("read `{path}`")]
    Read {
        /// What cannot be read.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The archive is wrong.
    #[error(transparent)]
    Archive(#[from] MemberError),
    /// The archive is larger than it may be.
    #[error("it has more than {bytes} bytes when it is not compressed, which is the limit")]
    TooLarge {
        /// The limit.
        bytes: u64,
    },
    /// It is of another kind.
    #[error("there is no `{missing}` in it: {hint}")]
    OtherKind {
        /// What should be there.
        missing: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A part is missing.
    #[error("there is no `{path}` in it")]
    Missing {
        /// The part.
        path: String,
    },
    /// A document is too long.
    #[error("`{path}` has more than {DOCUMENT_BYTES} bytes")]
    TooLong {
        /// The document.
        path: String,
    },
    /// A document is wrong.
    #[error("read `{path}`")]
    Document {
        /// The document.
        path: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// A part is not what its digest says.
    #[error("`{path}` is damaged: it should have the digest {expected}, and has {found}")]
    WrongDigest {
        /// The part.
        path: String,
        /// The digest that is stated.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// A part is not as long as it should be.
    #[error("`{path}` is damaged: it should have {expected} bytes, and has {found}")]
    WrongSize {
        /// The part.
        path: String,
        /// The size that is stated.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// There is nothing in it.
    #[error("there is no image in it")]
    Empty,
    /// There is no image of the wanted name.
    #[error("there is no image `{name}` in it, but {}", names::listed(.names))]
    NoSuchName {
        /// The wanted name.
        name: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// Nobody said which of several is meant.
    #[error("there are several images in it, {}: append `:` and the name of one", names::listed(.names))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// There is nothing for this machine.
    #[error("there is no image for {wanted} in it, but for {}", listed(.offered))]
    Platform {
        /// This machine.
        wanted: Platform,
        /// What there is.
        offered: Vec<Platform>,
    },
    /// Indexes contain each other, or nearly so.
    #[error("its indexes are nested more than {0} deep")]
    Nested(u32),
    /// The configuration has another number of layers than the manifest.
    #[error("the image has {layers} layers, and its configuration speaks of {diff_ids}")]
    Layers {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

/// Writes platforms for people.
fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Stamp {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Reads a small file whole.
fn read_document(files: &dyn Files, path: &str) -> Result<Vec<u8>, SourceError> {
    find_document(files, path)?.ok_or_else(|| SourceError::Missing { path: path.to_owned() })
}

/// Reads a small file whole, if it is there.
fn find_document(files: &dyn Files, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    let read = |source| SourceError::Read { path: path.to_owned(), source };
    let Some(opened) = files.open(path).map_err(read)? else { return Ok(None) };
    if opened.size > DOCUMENT_BYTES {
        return Err(SourceError::TooLong { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    opened.content.take(DOCUMENT_BYTES).read_to_end(&mut bytes).map_err(read)?;
    Ok(Some(bytes))
}

/// Reads a document that no specification describes.
fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], path: &str) -> Result<T, SourceError> {
    json(bytes).map_err(in_document(path))
}

fn in_document(path: &str) -> impl FnOnce(DocumentError) -> SourceError {
    let path = path.to_owned();
    |source| SourceError::Document { path, source }
}

/// Refuses bytes that have another digest than is stated.
fn check_digest(bytes: &[u8], path: &str, expected: &Digest) -> Result<(), SourceError> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(SourceError::WrongDigest { path: path.to_owned(), expected: expected.clone(), found })
}
