//! Sends images to registries.
//!
//! ```text
//! name ──► images ── seal: archives and a manifest, where they have none
//!            └─► layers, side by side ──► configurations ──► manifests ──► index, if there are several
//! ```
//!
//! What the registry has already is not sent, and what it has in another repository is mounted from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use oci_spec::image::MediaType;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use trice_model::image::RegistryRef;
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::ReadError;

use super::Images;
use super::index::{descriptor, index_of};
use super::seal::SealError;
use crate::digest::Digest;
use crate::layout::LayoutError;
use crate::lease::Lease;
use crate::load::now;
use crate::manifest::{Document, document, type_of};
use crate::platform::Platform;
use crate::progress::PushProgress;
use crate::record::{BlobRecord, ImageRecord, NameRecord, NamedImage, digest_key, tag_key};
use crate::registry::exchange::ExchangeError;
use crate::registry::upload::{OutgoingBlob, Upload};
use crate::registry::{Registries, Repository};
use crate::transfer::in_thread;

/// How many blobs are sent at the same time.
const SENDERS: usize = 4;

/// Why an image is not sent.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is none.
    #[error("there is no image `{name}` here")]
    NoSuchImage {
        /// The name.
        name: RegistryRef,
    },
    /// What has a digest is not given one.
    #[error("`{name}` has a digest: push a tag")]
    Digest {
        /// The name.
        name: RegistryRef,
    },
    /// Its archives cannot be made.
    #[error("push `{name}`")]
    Seal {
        /// The name.
        name: RegistryRef,
        /// Why not.
        source: Box<SealError>,
    },
    /// The registry does not take it.
    #[error("push `{name}`")]
    Registry {
        /// The name.
        name: RegistryRef,
        /// Why not.
        source: Box<ExchangeError>,
    },
    /// A part of it is not here.
    #[error(transparent)]
    Missing {
        /// Which.
        source: Box<SealError>,
    },
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A document that is sent when all that it speaks of is there.
struct Outgoing {
    digest: Digest,
    media_type: MediaType,
    bytes: Vec<u8>,
}

impl Images {
    /// Sends the image that `name` has for `platform` to its registry, or all that it stands for, and tells `progress`
    /// how it goes. Returns the digest that the registry has under the name then.
    ///
    /// # Errors
    /// [`PushError`]; what was sent by then is of use the next time.
    pub async fn push(
        &self,
        name: &RegistryRef,
        platform: Option<&Platform>,
        registries: &Registries,
        progress: &mut (dyn FnMut(PushProgress) + Send),
    ) -> Result<Digest, PushError> {
        let Some(tag) = name.tag.as_ref().filter(|_| name.digest.is_none()) else {
            return Err(PushError::Digest { name: name.clone() });
        };
        let none = || PushError::NoSuchImage { name: name.clone() };
        let record = self.store.get::<NameRecord>(&tag_key(name, tag))?.ok_or_else(none)?;
        let mut named = record.images.clone();
        if let Some(platform) = platform {
            let id = record.image_for(platform).ok_or_else(none)?;
            named.retain(|named| named.image == *id);
        }
        let meant =
            named.iter().map(|named| self.store.get::<ImageRecord>(named.image.as_str())?.ok_or_else(none));
        let meant = meant.collect::<Result<Vec<_>, _>>()?;
        let things: Vec<_> = meant.iter().flat_map(ImageRecord::things).collect();
        let lease = Arc::new(self.layout.lease(&things)?);
        let (images, held) = (self.clone(), Arc::clone(&lease));
        let seal = move |_: &mut dyn FnMut(PushProgress), stop: &AtomicBool| {
            meant.into_iter().map(|image| images.seal(image, &held, stop)).collect::<Result<Vec<_>, _>>()
        };
        let sealed = in_thread(progress, seal).await;
        let sealed =
            sealed.map_err(|source| PushError::Seal { name: name.clone(), source: Box::new(source) })?;
        let from_registry = record.digest.as_ref().filter(|_| platform.is_none());
        let mut all = match from_registry.map(|index| self.whole_index(index)).transpose()?.flatten() {
            Some(all) => all,
            None => self.documents_of_images(name, &sealed, &lease)?,
        };
        let main = all.pop().ok_or_else(none)?;
        self.send(name, tag, &all, &main, registries, progress).await?;
        self.remember_push(name, tag, &record, named, &main.digest)?;
        Ok(main.digest)
    }

    /// Sends an image that has no record to a registry, under `name`.
    pub(super) async fn push_unnamed(
        &self,
        image: &ImageRecord,
        name: &RegistryRef,
        registries: &Registries,
        progress: &mut (dyn FnMut(PushProgress) + Send),
    ) -> Result<(), PushError> {
        let Some(tag) = name.tag.as_ref().filter(|_| name.digest.is_none()) else {
            return Err(PushError::Digest { name: name.clone() });
        };
        let main = self.manifest_of_image(name, image)?;
        self.send(name, tag, &[], &main, registries, progress).await
    }

    /// Sends documents with all that they speak of, `main` last and under the tag.
    async fn send(
        &self,
        name: &RegistryRef,
        tag: &str,
        others: &[Outgoing],
        main: &Outgoing,
        registries: &Registries,
        progress: &mut (dyn FnMut(PushProgress) + Send),
    ) -> Result<(), PushError> {
        let repository = registries.repository(name);
        let parts = parts(others.iter().chain([main]));
        let mounts = self.mounts(name)?;
        let failed = |source| PushError::Registry { name: name.clone(), source: Box::new(source) };
        self.send_blobs(&repository, parts, &mounts, progress).await?.map_err(failed)?;
        for outgoing in others {
            let bytes = outgoing.bytes.clone().into();
            let reference = outgoing.digest.as_str();
            repository.put_manifest(reference, &outgoing.media_type, &bytes).await.map_err(failed)?;
        }
        let bytes = main.bytes.clone().into();
        repository.put_manifest(tag, &main.media_type, &bytes).await.map_err(failed)?;
        Ok(())
    }

    /// Returns the manifests of images and of what is stated about them, and last what has the name: the only one, or an
    /// index of all.
    fn documents_of_images(
        &self,
        name: &RegistryRef,
        images: &[ImageRecord],
        lease: &Lease,
    ) -> Result<Vec<Outgoing>, PushError> {
        let manifests = images.iter().map(|image| self.manifest_of_image(name, image));
        let mut all = manifests.collect::<Result<Vec<_>, _>>()?;
        let described = images.iter().zip(&all).map(|(image, manifest)| {
            descriptor(&image.platform, &manifest.media_type, &manifest.digest, manifest.bytes.len())
        });
        let mut described: Vec<_> = described.collect();
        let seal = |source| PushError::Seal { name: name.clone(), source: Box::new(source) };
        for image in images {
            let Some(manifest) = &image.manifest else { continue };
            let attested = self.attested(image, std::slice::from_ref(name), &manifest.digest);
            let Some(attested) = attested.map_err(seal)? else { continue };
            self.add_blobs(lease, &attested.blobs)?;
            described.push(attested.descriptor);
            let digest = Digest::of(&attested.manifest);
            let media_type = MediaType::ImageManifest;
            all.push(Outgoing { digest, media_type, bytes: attested.manifest });
        }
        if all.len() > 1 {
            let bytes = index_of(&described);
            all.push(Outgoing { digest: Digest::of(&bytes), media_type: MediaType::ImageIndex, bytes });
        }
        Ok(all)
    }

    /// Returns the image's own manifest.
    fn manifest_of_image(&self, name: &RegistryRef, image: &ImageRecord) -> Result<Outgoing, PushError> {
        let seal = |source| PushError::Seal { name: name.clone(), source: Box::new(source) };
        let missing = || SealError::Missing { part: image.id.to_string() };
        let own = image.manifest.as_ref().ok_or_else(missing).map_err(seal)?;
        Ok(Outgoing {
            digest: own.digest.clone(),
            media_type: MediaType::from(own.media_type.as_str()),
            bytes: self.document(&own.digest).map_err(seal)?,
        })
    }

    /// Returns an index with all its manifests before it, if all of them and what they speak of is here.
    fn whole_index(&self, digest: &Digest) -> Result<Option<Vec<Outgoing>>, PushError> {
        let Some(bytes) = self.layout.read_blob(digest)? else { return Ok(None) };
        let Ok(media_type) = type_of(&bytes, None) else { return Ok(None) };
        let Ok(Document::Index(index)) = document(&bytes, &media_type) else { return Ok(None) };
        let mut all = Vec::new();
        for descriptor in index.manifests() {
            let Ok(digest) = descriptor.digest().as_ref().parse::<Digest>() else { return Ok(None) };
            let Some(bytes) = self.layout.read_blob(&digest)? else { return Ok(None) };
            let Some(blobs) = blobs_of(&bytes, descriptor.media_type()) else { return Ok(None) };
            if !blobs.iter().all(|blob| self.layout.has_blob(&blob.digest)) {
                return Ok(None);
            }
            all.push(Outgoing { digest, media_type: descriptor.media_type().clone(), bytes });
        }
        all.push(Outgoing { digest: digest.clone(), media_type, bytes });
        Ok(Some(all))
    }

    /// Returns in which other repositories of the same registry blobs are, as far as is known here.
    fn mounts(&self, name: &RegistryRef) -> Result<BTreeMap<Digest, String>, ReadError> {
        let mut mounts = BTreeMap::new();
        for record in self.store.scan::<NameRecord>(&format!("{}/", name.host))? {
            let Ok(other) = record.name.parse::<RegistryRef>() else { continue };
            // Only what came from there, or was sent there, is there.
            if record.digest.is_none() || other.host != name.host || other.repository == name.repository {
                continue;
            }
            for named in &record.images {
                let image = self.store.get::<ImageRecord>(named.image.as_str())?;
                let blobs = image.into_iter().flat_map(|image| image.layers).filter_map(|layer| layer.blob);
                mounts.extend(blobs.map(|blob| (blob.digest, other.repository.clone())));
            }
        }
        Ok(mounts)
    }

    /// Sends blobs side by side. The first failure ends it.
    async fn send_blobs(
        &self,
        repository: &Repository,
        parts: Vec<BlobRecord>,
        mounts: &BTreeMap<Digest, String>,
        progress: &mut (dyn FnMut(PushProgress) + Send),
    ) -> Result<Result<(), ExchangeError>, PushError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let (turns, mut tasks) = (Arc::new(Semaphore::new(SENDERS)), JoinSet::new());
        for BlobRecord { digest, size } in parts {
            let missing = || SealError::Missing { part: digest.to_string() };
            let opened = self.layout.open_blob(&digest)?;
            let file = opened.ok_or_else(|| PushError::Missing { source: Box::new(missing()) })?;
            let (repository, turns, tell) = (repository.clone(), Arc::clone(&turns), tell.clone());
            let (other, heard) = (mounts.get(&digest).cloned(), tell.clone());
            let sent = digest.clone();
            let heard = move |bytes| {
                // Who does not listen any more has ended the task too.
                let _ = heard.send(PushProgress::Sending { blob: sent.clone(), bytes, of: size });
            };
            let blob = OutgoingBlob { digest, size, file: Arc::new(file), heard: Arc::new(heard) };
            tasks.spawn(async move {
                let _turn = turns.acquire().await;
                let upload = repository.upload(&blob, other.as_deref()).await?;
                let step = match upload {
                    Upload::Present => PushProgress::Present { blob: blob.digest },
                    Upload::Mounted => PushProgress::Mounted { blob: blob.digest },
                    Upload::Sent => PushProgress::Sent { blob: blob.digest },
                };
                let _ = tell.send(step);
                Ok(())
            });
        }
        drop(tell);
        loop {
            tokio::select! {
                Some(step) = told.recv() => progress(step),
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => return Ok(Err(error)),
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }
        while let Ok(step) = told.try_recv() {
            progress(step);
        }
        Ok(Ok(()))
    }

    /// Writes down what the registry has under the name, unless it stands for something else than `before` by now. A digest
    /// stands for what was `sent` alone.
    fn remember_push(
        &self,
        name: &RegistryRef,
        tag: &str,
        before: &NameRecord,
        sent: Vec<NamedImage>,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let by_tag = self.store.get::<NameRecord>(&tag_key(name, tag))?;
        let mut batch = Batch::new();
        if let Some(record) = by_tag.filter(|record| record.images == before.images) {
            let record = NameRecord { digest: Some(digest.clone()), checked_at: Some(now()), ..record };
            let by_digest = NameRecord { name: digest_key(name, digest), images: sent, ..record.clone() };
            batch = batch.put(&by_digest).put(&record);
        }
        Ok(self.store.commit(batch)?)
    }
}

/// Returns all blobs that documents speak of, the largest, which takes longest, first.
fn parts<'a>(documents: impl Iterator<Item = &'a Outgoing>) -> Vec<BlobRecord> {
    let blobs = documents.filter_map(|outgoing| blobs_of(&outgoing.bytes, &outgoing.media_type)).flatten();
    let parts: BTreeMap<Digest, u64> = blobs.map(|blob| (blob.digest, blob.size)).collect();
    let mut parts: Vec<_> = parts.into_iter().map(|(digest, size)| BlobRecord { digest, size }).collect();
    parts.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    parts
}

/// Returns the blobs that a manifest speaks of; none if it is no manifest.
fn blobs_of(bytes: &[u8], media_type: &MediaType) -> Option<Vec<BlobRecord>> {
    let manifest = match document(bytes, media_type).ok()? {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => return Some(Vec::new()),
    };
    let descriptors = manifest.layers().iter().chain([manifest.config()]);
    let blob = |descriptor: &oci_spec::image::Descriptor| {
        Some(BlobRecord { digest: descriptor.digest().as_ref().parse().ok()?, size: descriptor.size() })
    };
    descriptors.map(blob).collect()
}
