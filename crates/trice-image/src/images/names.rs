//! Gives images names, and takes them away.

use trice_model::image::RegistryRef;
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::ReadError;

use super::Images;
use crate::digest::Digest;
use crate::record::{ImageRecord, NameRecord, tag_key};

/// Why an image is not called so.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// A digest is the image's own, and not given.
    #[error("`{name}` has a digest, which no name that is given can have: write a tag")]
    Digest {
        /// The name.
        name: RegistryRef,
    },
    /// The image is gone.
    #[error("there is no image {id} here")]
    NoSuchImage {
        /// Its id.
        id: Digest,
    },
    /// There is no such name.
    #[error("there is no image `{name}` here")]
    NoSuchName {
        /// The name.
        name: RegistryRef,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Images {
    /// Calls images by `name` from now on, each on its own platform, whatever had that name before.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn tag(&self, ids: &[Digest], name: &RegistryRef) -> Result<(), NameError> {
        if name.digest.is_some() {
            return Err(NameError::Digest { name: name.clone() });
        }
        let named = ids.iter().map(|id| {
            let image = self.store.get::<ImageRecord>(id.as_str())?;
            Ok(self.named_image(&image.ok_or_else(|| NameError::NoSuchImage { id: id.clone() })?))
        });
        let named = named.collect::<Result<Vec<_>, NameError>>()?;
        let records = self.name_records(name, &named, None)?;
        Ok(self.store.commit(records.iter().fold(Batch::new(), |batch, record| batch.put(record)))?)
    }

    /// Returns the digest that the registry of `name` has for the image `id`, as far as it is known: that of an index, or
    /// its own manifest's.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn registry_digest(&self, name: &RegistryRef, id: &Digest) -> Result<Option<Digest>, ReadError> {
        if let Some(digest) = name.digest.as_ref().and_then(|digest| digest.parse().ok()) {
            return Ok(Some(digest));
        }
        let named = self.store.get::<NameRecord>(&tag_key(name, name.tag.as_deref().unwrap_or("latest")))?;
        if let Some(digest) = named.and_then(|named| named.digest) {
            return Ok(Some(digest));
        }
        let image = self.store.get::<ImageRecord>(id.as_str())?;
        Ok(image.and_then(|image| image.manifest).map(|manifest| manifest.digest))
    }

    /// Calls nothing by `name` any more. The images stay.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn untag(&self, name: &RegistryRef) -> Result<(), NameError> {
        let key = match (&name.digest, &name.tag) {
            (Some(digest), _) => format!("{}@{digest}", name.whole_repository()),
            (None, tag) => tag_key(name, tag.as_deref().unwrap_or("latest")),
        };
        if self.store.get::<NameRecord>(&key)?.is_none() {
            return Err(NameError::NoSuchName { name: name.clone() });
        }
        Ok(self.store.commit(Batch::new().remove::<NameRecord>(&key))?)
    }
}
