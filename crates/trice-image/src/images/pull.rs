//! Pulls images from registries.
//!
//! ```text
//! tag: does the registry have another digest by now? ──no──► it is here
//!   └─ yes, or it is not here ──► offer ──► load, while the layers come ──► records: tag, digest
//! digest: it is here, or it is not: it never changes
//! ```

use std::error::Error;

use tokio::sync::watch;
use trice_model::image::{ImageRef, ObservedImage, RegistryRef};
use trice_model::time::Timestamp;
use trice_state::batch::Batch;
use trice_state::store::ReadError;

use super::{FetchError, Images, ResolveError};
use crate::load::now;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::{ImageRecord, NameRecord, tag_key};
use crate::registry::{Registries, Repository};
use crate::source::remote;
use crate::transfer::{RemoteFiles, in_thread};

impl Images {
    /// Returns when the tag of `name` was last compared with its registry, or since when its image for `platform` is
    /// here if it never was; `None` if it is not here.
    ///
    /// # Errors
    /// [`ResolveError`] if the store cannot be read.
    pub fn compared_at(
        &self,
        name: &RegistryRef,
        platform: &Platform,
    ) -> Result<Option<Timestamp>, ResolveError> {
        if let Some(checked_at) = self.checked_at(name)? {
            return Ok(Some(checked_at));
        }
        let Some(id) = self.named(name, platform)? else { return Ok(None) };
        Ok(self.store.get::<ImageRecord>(id.as_str())?.map(|image| image.loaded_at))
    }

    /// Returns when the tag of `name` was last compared with its registry, if ever.
    ///
    /// # Errors
    /// [`ResolveError`] if the store cannot be read.
    pub fn checked_at(&self, name: &RegistryRef) -> Result<Option<Timestamp>, ResolveError> {
        Ok(self.tag_record(name)?.and_then(|record| record.checked_at))
    }

    pub(super) async fn pull(
        &self,
        name: &RegistryRef,
        platform: &Platform,
        registries: &Registries,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ObservedImage, FetchError> {
        let reference = ImageRef::Registry(name.clone());
        let repository = registries.repository(name);
        if let Some(image) = self.current(&reference, name, platform, &repository, progress).await? {
            return Ok(image);
        }
        let failed = |error| FetchError::Source { reference: reference.clone(), source: Box::new(error) };
        let offer = remote::offer(&repository, name, platform).await.map_err(failed)?;
        let blobs = offer.layers.iter().filter_map(|layer| Some((layer.blob.clone()?, layer.size)));
        let (_wanted, while_wanted) = watch::channel(());
        let files = RemoteFiles::new(repository, blobs, while_wanted);
        let (images, platform) = (self.clone(), platform.clone());
        in_thread(progress, move |tell, stop| {
            images.take(
                &reference,
                &platform,
                &files,
                &offer,
                |batch: Batch, _: &ImageRecord| batch,
                stop,
                tell,
            )
        })
        .await
    }

    /// Returns the image if it is here and is what the registry has.
    async fn current(
        &self,
        reference: &ImageRef,
        name: &RegistryRef,
        platform: &Platform,
        repository: &Repository,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<ObservedImage>, FetchError> {
        let resolved = self.resolve(reference, platform).map_err(|ResolveError::Read(error)| error)?;
        let Some(image) = resolved else { return Ok(None) };
        if let (None, Some(tag)) = (&name.digest, &name.tag) {
            let Some(record) = self.tag_record(name)? else { return Ok(None) };
            let found = match repository.digest_of_tag(tag).await {
                Ok(digest) => Some(digest),
                Err(error) => {
                    // The whole request says better what is wrong.
                    tracing::debug!(%reference, error = &error as &dyn Error, "the registry does not tell the digest");
                    None
                }
            };
            if found.is_none() || found != record.digest {
                return Ok(None);
            }
            let record = NameRecord { checked_at: Some(now()), ..record };
            self.store.commit(Batch::new().put(&record))?;
        }
        if let Some(record) = self.store.get::<ImageRecord>(&image.id)? {
            record.layers.into_iter().for_each(|layer| progress(Progress::Present { layer: layer.diff_id }));
        }
        Ok(Some(image))
    }

    fn tag_record(&self, name: &RegistryRef) -> Result<Option<NameRecord>, ReadError> {
        name.tag.as_ref().map_or(Ok(None), |tag| self.store.get(&tag_key(name, tag)))
    }
}

#[cfg(test)]
mod tests;
