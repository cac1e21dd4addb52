//! The images of a data folder: which are here, and how others get here.
//!
//! ```text
//! redis:7                     is here under that name, or in its registry        pull, push
//! docker-archive:, oci…:      is here if the file is the one that was read; else it is read again
//! rootfs:FOLDER               is always here: the folder itself, also below the layers of what is built on it
//!
//! names, find, inspect        what is here            usage     how much room it takes
//! remove                      what goes               build     how layers and images are made here
//! bundle                      layers of builds that others may find, elsewhere
//! read                          what comes out of archives      seal, save, attest   how they leave
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use trice_model::image::{ImageRef, ObservedImage, RegistryRef};
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::{ReadError, Store};

use crate::digest::Digest;
use crate::layout::{Layout, LayoutError};
use crate::load::{LoadError, Loaded, load, now};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::{ArchiveRecord, ImageRecord, NameRecord, NamedImage, digest_key, tag_key};
use crate::registry::Registries;
use crate::rootfs::{self, RootfsError};
use crate::source::folder::Folder;
use crate::source::tar_file::TarFile;
use crate::source::{Files, Offer, SourceError, Stamp, docker_archive, oci_layout};
use crate::transfer::in_thread;
use crate::unpack::Limits;

pub mod attest;
pub mod build;
pub mod bundle;
pub mod find;
mod index;
pub mod inspect;
pub mod names;
mod pull;
pub mod push;
pub mod read;
pub mod remove;
pub mod save;
pub mod seal;
pub mod usage;

/// The images of a data folder. Clones are of the same folder.
#[derive(Clone)]
pub struct Images {
    layout: Arc<Layout>,
    store: Store,
    limits: Limits,
}

/// Why it is not known whether an image is here.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why an image is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The source does not give it.
    #[error("{} `{reference}`", verb(.reference))]
    Source {
        /// The reference.
        reference: ImageRef,
        /// What is wrong.
        source: Box<SourceError>,
    },
    /// It does not get from the source into the store.
    #[error("{} `{reference}`", verb(.reference))]
    Load {
        /// The reference.
        reference: ImageRef,
        /// What is wrong.
        source: Box<LoadError>,
    },
    /// It is a folder that is none.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Says what is done to have an image.
fn verb(reference: &ImageRef) -> &'static str {
    match reference {
        ImageRef::Registry(_) => "pull",
        ImageRef::DockerArchive { .. }
        | ImageRef::OciArchive { .. }
        | ImageRef::Oci { .. }
        | ImageRef::Rootfs { .. } => "load",
    }
}

impl Images {
    /// Opens the images of the data folder `data`, whose records are in `store`, and throws away what
    /// processes left that were killed while they loaded one.
    ///
    /// # Errors
    /// [`LayoutError`] if its folders cannot be made.
    pub fn open(data: &Path, store: Store) -> Result<Self, LayoutError> {
        Ok(Self { layout: Arc::new(Layout::open(data)?), store, limits: Limits::default() })
    }

    /// Has layers refused that are larger than `limits`.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the image for `platform` if it is here. Nothing is read but records, and of a file or folder whether
    /// it is the same.
    ///
    /// # Errors
    /// [`ResolveError`] if the store cannot be read.
    pub fn resolve(
        &self,
        reference: &ImageRef,
        platform: &Platform,
    ) -> Result<Option<ObservedImage>, ResolveError> {
        let id = match reference {
            ImageRef::Registry(name) => self.named(name, platform)?,
            ImageRef::DockerArchive { path, .. } | ImageRef::OciArchive { path, .. } => {
                self.archived(reference, platform, path)?
            }
            ImageRef::Oci { path, .. } => self.archived(reference, platform, &index_of(path))?,
            // What keeps a folder from being one is for whoever wants to have it.
            ImageRef::Rootfs { path } => return Ok(rootfs::observe(path).ok()),
        };
        let Some(id) = id else { return Ok(None) };
        let record = self.store.get::<ImageRecord>(id.as_str())?;
        Ok(record.filter(|record| self.is_whole(record)).map(|record| self.observed(record)))
    }

    /// Gets the image for `platform` here, and tells `progress` how it goes. A file is read again, and a registry
    /// asked whether it has another image under that tag by now.
    ///
    /// # Errors
    /// [`FetchError`]; nothing that can be seen has changed then. It is the same if the caller leaves before the
    /// end.
    pub async fn fetch(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        registries: &Registries,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ObservedImage, FetchError> {
        match reference {
            ImageRef::Registry(name) => self.pull(name, platform, registries, progress).await,
            ImageRef::Rootfs { path } => Ok(rootfs::observe(path)?),
            ImageRef::DockerArchive { .. } | ImageRef::OciArchive { .. } | ImageRef::Oci { .. } => {
                let (images, reference, platform) = (self.clone(), reference.clone(), platform.clone());
                in_thread(progress, move |tell, stop| images.load(&reference, &platform, stop, tell)).await
            }
        }
    }

    /// Loads an image from a file or a layout.
    fn load(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ObservedImage, FetchError> {
        let failed = |error| FetchError::Source { reference: reference.clone(), source: Box::new(error) };
        let open = |path: &Path| TarFile::open(path, &self.layout.tmp(), self.limits);
        let found = || -> Result<(Box<dyn Files>, Offer, Stamp), SourceError> {
            match reference {
                ImageRef::DockerArchive { path, name } => {
                    let (files, stamp) = open(path)?;
                    let offer = docker_archive::offer(&files, name.as_deref())?;
                    Ok((Box::new(files), offer, stamp))
                }
                ImageRef::OciArchive { path, name } => {
                    let (files, stamp) = open(path)?;
                    let offer = oci_layout::offer(&files, name.as_deref(), platform)?;
                    Ok((Box::new(files), offer, stamp))
                }
                ImageRef::Oci { path, name } => {
                    let (files, stamp) = open_layout(path)?;
                    let offer = oci_layout::offer(&files, name.as_deref(), platform)?;
                    Ok((Box::new(files), offer, stamp))
                }
                ImageRef::Registry(_) | ImageRef::Rootfs { .. } => Err(SourceError::Empty),
            }
        };
        let (files, offer, stamp) = found().map_err(failed)?;
        let archive = |image: &ImageRecord| ArchiveRecord {
            reference: reference.to_string(),
            platform: (*platform != Platform::host()).then(|| platform.clone()),
            stamp,
            image: image.id.clone(),
        };
        let record = |batch: Batch, image: &ImageRecord| batch.put(&archive(image));
        self.take(reference, platform, &*files, &offer, record, stop, progress)
    }

    /// Loads what a source offers, and remembers what it is called from now on, and what `record` adds to that.
    #[expect(clippy::too_many_arguments, reason = "the one place where source, store and caller meet")]
    fn take(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        files: &dyn Files,
        offer: &Offer,
        record: impl FnOnce(Batch, &ImageRecord) -> Batch,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ObservedImage, FetchError> {
        let failed = |error| FetchError::Load { reference: reference.clone(), source: Box::new(error) };
        let loaded = load(&self.layout, files, offer, self.limits, stop, progress).map_err(failed)?;
        let Loaded { record: image, lease } = loaded;
        // The same image may have been built here.
        let before = self.store.get::<ImageRecord>(image.id.as_str())?;
        let attestations = before.map(|before| before.attestations).unwrap_or_default();
        let image = ImageRecord { attestations, ..image };
        self.layout.keep(&lease, &image.things()).map_err(LoadError::from).map_err(failed)?;
        let mut batch = record(Batch::new().put(&image), &image);
        for name in &offer.names {
            let named = NamedImage { platform: platform.clone(), image: image.id.clone() };
            for name in self.name_records(name, &[named], offer.target.as_ref())? {
                batch = batch.put(&name);
            }
        }
        self.store.commit(batch)?;
        drop(lease); // from now on the records keep it
        tracing::info!(%reference, id = %image.id, layers = image.layers.len(), "image loaded");
        Ok(self.observed(image))
    }

    /// Returns what `name` stands for from now on: `new`, and what it has for other platforms, unless it has another
    /// digest than before, or none.
    fn name_records(
        &self,
        name: &RegistryRef,
        new: &[NamedImage],
        target: Option<&Digest>,
    ) -> Result<Vec<NameRecord>, ReadError> {
        let by_tag = name.tag.as_ref().filter(|_| name.digest.is_none()).map(|tag| tag_key(name, tag));
        let by_digest = target.map(|target| digest_key(name, target));
        let mut records = Vec::new();
        for key in by_tag.into_iter().chain(by_digest) {
            let before = self.store.get::<NameRecord>(&key)?;
            let same = before.filter(|before| target.is_some() && before.digest.as_ref() == target);
            let mut images = same.map(|same| same.images).unwrap_or_default();
            images.retain(|named| new.iter().all(|new| new.platform != named.platform));
            images.extend_from_slice(new);
            let checked_at = target.map(|_| now());
            records.push(NameRecord { name: key, digest: target.cloned(), images, checked_at });
        }
        Ok(records)
    }

    /// Finds a name. A digest says more than the tag beside it, and is that of a manifest or an index of the same
    /// repository.
    fn named(&self, name: &RegistryRef, platform: &Platform) -> Result<Option<Digest>, ReadError> {
        if let Some(digest) = name.digest.as_ref().and_then(|digest| digest.parse().ok()) {
            return self.by_digest(name, &digest, platform);
        }
        let Some(tag) = &name.tag else { return Ok(None) };
        let record = self.store.get::<NameRecord>(&tag_key(name, tag))?;
        Ok(record.and_then(|record| record.image_for(platform).cloned()))
    }

    fn by_digest(
        &self,
        name: &RegistryRef,
        digest: &Digest,
        platform: &Platform,
    ) -> Result<Option<Digest>, ReadError> {
        if let Some(record) = self.store.get::<NameRecord>(&digest_key(name, digest))? {
            return Ok(record.image_for(platform).cloned());
        }
        // What came from an archive, or through an index, is known by its manifest too.
        for separator in [':', '@'] {
            let names = self.store.scan::<NameRecord>(&format!("{}{separator}", name.whole_repository()))?;
            for named in names.into_iter().flat_map(|record| record.images) {
                let image = self.store.get::<ImageRecord>(named.image.as_str())?;
                let manifest = image.and_then(|image| image.manifest);
                if manifest.is_some_and(|manifest| manifest.digest == *digest) {
                    return Ok(Some(named.image));
                }
            }
        }
        Ok(None)
    }

    /// Finds what was read from `file` if it has not changed since.
    fn archived(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        file: &Path,
    ) -> Result<Option<Digest>, ReadError> {
        let platform = (*platform != Platform::host()).then_some(platform);
        let key = ArchiveRecord::key_of(&reference.to_string(), platform);
        let Some(record) = self.store.get::<ArchiveRecord>(&key)? else { return Ok(None) };
        let now = std::fs::metadata(file).ok().map(|metadata| Stamp::of(&metadata));
        Ok((now.as_ref() == Some(&record.stamp)).then_some(record.image))
    }

    /// Tells whether all layers are still here. The disk is the truth, whatever the records say.
    fn is_whole(&self, image: &ImageRecord) -> bool {
        image.layers.iter().all(|layer| self.layout.has_layer(&layer.diff_id))
            && image.rootfs.as_ref().is_none_or(|rootfs| rootfs.is_dir())
    }

    /// Returns what a container needs of an image. Of a layer that occurs twice the upper one counts, which
    /// overlayfs insists on, and below one that hides everything there is nothing.
    fn observed(&self, image: ImageRecord) -> ObservedImage {
        let (mut layers, mut rootfs) = (Vec::new(), image.rootfs);
        for layer in image.layers.iter().rev() {
            let root = self.layout.root_of(&layer.diff_id);
            if !layers.contains(&root) {
                layers.push(root);
            }
            if layer.opaque {
                rootfs = None;
                break;
            }
        }
        layers.extend(rootfs);
        ObservedImage { id: image.id.to_string(), layers, config: image.config }
    }
}

/// Opens a layout. It changes with its index.
fn open_layout(path: &Path) -> Result<(Folder, Stamp), SourceError> {
    let folder = Folder::open(path)?;
    let open = |source| SourceError::Open { path: index_of(path), source };
    let Some(index) = folder.file("index.json").map_err(open)? else {
        return Err(SourceError::NotA { path: path.to_owned(), wanted: "OCI image layout" });
    };
    let stamp = Stamp::of(&index.metadata().map_err(open)?);
    Ok((folder, stamp))
}

fn index_of(layout: &Path) -> PathBuf {
    layout.join("index.json")
}

#[cfg(test)]
mod tests;
