//! The images of a data folder: which are here, and how others get here.
//!
//! ```text
//! redis:7                     is here under that name, or nowhere yet
//! docker-archive:, oci…:      is here if the file is the one that was read; else it is read again
//! rootfs:FOLDER               is always here: the folder itself
//! ```

use std::path::{Path, PathBuf};

use trice_model::image::{ImageRef, ObservedImage, RegistryRef};
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::{ReadError, Store};

use crate::digest::Digest;
use crate::layout::{Layout, LayoutError};
use crate::load::{LoadError, load};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::{ArchiveRecord, ImageRecord, NameRecord, name_key, repository_key};
use crate::rootfs::{self, RootfsError};
use crate::source::folder::Folder;
use crate::source::tar_file::TarFile;
use crate::source::{Files, Offer, SourceError, Stamp, docker_archive, oci_layout};
use crate::unpack::Limits;

/// The images of a data folder.
pub struct Images {
    layout: Layout,
    store: Store,
    limits: Limits,
    platform: Platform,
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
    /// It is in a registry.
    #[error(
        "`{name}` is not here, and pulling from registries comes with a later release: use \
         `docker-archive:FILE` with what `docker save` writes, `oci:FOLDER`, or `rootfs:/`"
    )]
    Registry {
        /// Its name.
        name: RegistryRef,
    },
    /// The source does not give it.
    #[error("load `{reference}`")]
    Source {
        /// The reference.
        reference: ImageRef,
        /// What is wrong.
        source: Box<SourceError>,
    },
    /// It does not get from the source into the store.
    #[error("load `{reference}`")]
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

impl Images {
    /// Opens the images of the data folder `data`, whose records are in `store`, and throws away what
    /// processes left that were killed while they loaded one.
    ///
    /// # Errors
    /// [`LayoutError`] if its folders cannot be made.
    pub fn open(data: &Path, store: Store) -> Result<Self, LayoutError> {
        let (limits, platform) = (Limits::default(), Platform::host());
        Ok(Self { layout: Layout::open(data)?, store, limits, platform })
    }

    /// Has layers refused that are larger than `limits`.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the image if it is here. Nothing is read but records, and of a file or folder whether it is
    /// the same.
    ///
    /// # Errors
    /// [`ResolveError`] if the store cannot be read.
    pub fn resolve(&self, reference: &ImageRef) -> Result<Option<ObservedImage>, ResolveError> {
        let id = match reference {
            ImageRef::Registry(name) => self.named(name)?.map(|record| record.image),
            ImageRef::DockerArchive { path, .. } | ImageRef::OciArchive { path, .. } => {
                self.archived(reference, path)?
            }
            ImageRef::Oci { path, .. } => self.archived(reference, &index_of(path))?,
            // What keeps a folder from being one is for whoever wants to have it.
            ImageRef::Rootfs { path } => return Ok(rootfs::observe(path).ok()),
        };
        let Some(id) = id else { return Ok(None) };
        let record = self.store.get::<ImageRecord>(id.as_str())?;
        Ok(record.filter(|record| self.is_whole(record)).map(|record| self.observed(record)))
    }

    /// Gets the image here, whatever is here already, and tells `progress` how it goes.
    ///
    /// # Errors
    /// [`FetchError`]; nothing that can be seen has changed then.
    pub fn fetch(
        &self,
        reference: &ImageRef,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ObservedImage, FetchError> {
        let failed = |error| FetchError::Source { reference: reference.clone(), source: Box::new(error) };
        match reference {
            ImageRef::Registry(name) => match self.resolve(reference) {
                Ok(Some(image)) => Ok(image),
                Ok(None) => Err(FetchError::Registry { name: name.clone() }),
                Err(ResolveError::Read(error)) => Err(error.into()),
            },
            ImageRef::DockerArchive { path, name } => {
                let (files, stamp) = TarFile::open(path, &self.layout.tmp(), self.limits).map_err(failed)?;
                let offer = docker_archive::offer(&files, name.as_deref()).map_err(failed)?;
                self.take(reference, &files, &offer, stamp, progress)
            }
            ImageRef::OciArchive { path, name } => {
                let (files, stamp) = TarFile::open(path, &self.layout.tmp(), self.limits).map_err(failed)?;
                let offer = oci_layout::offer(&files, name.as_deref(), &self.platform).map_err(failed)?;
                self.take(reference, &files, &offer, stamp, progress)
            }
            ImageRef::Oci { path, name } => {
                let (files, stamp) = open_layout(path).map_err(failed)?;
                let offer = oci_layout::offer(&files, name.as_deref(), &self.platform).map_err(failed)?;
                self.take(reference, &files, &offer, stamp, progress)
            }
            ImageRef::Rootfs { path } => Ok(rootfs::observe(path)?),
        }
    }

    /// Loads what a source offers, and remembers what it was called.
    fn take(
        &self,
        reference: &ImageRef,
        files: &dyn Files,
        offer: &Offer,
        stamp: Stamp,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ObservedImage, FetchError> {
        let image = load(&self.layout, files, offer, self.limits, progress)
            .map_err(|error| FetchError::Load { reference: reference.clone(), source: Box::new(error) })?;
        let archive = ArchiveRecord { reference: reference.to_string(), stamp, image: image.id.clone() };
        let batch = Batch::new().put(&image).put(&archive);
        let names = offer.names.iter().filter_map(|name| name_record(name, &image));
        self.store.commit(names.fold(batch, |batch, name| batch.put(&name)))?;
        tracing::info!(%reference, id = %image.id, layers = image.layers.len(), "image loaded");
        Ok(self.observed(image))
    }

    /// Finds a name. A digest says more than the tag beside it, and is that of a manifest of the same
    /// repository.
    fn named(&self, name: &RegistryRef) -> Result<Option<NameRecord>, ReadError> {
        if let Some(digest) = &name.digest {
            let names = self.store.scan::<NameRecord>(&format!("{}:", repository_key(name)))?;
            return Ok(names.into_iter().find(|record| record.manifest.as_str() == digest));
        }
        name.tag.as_ref().map_or(Ok(None), |tag| self.store.get(&name_key(name, tag)))
    }

    /// Finds what was read from `file` if it has not changed since.
    fn archived(&self, reference: &ImageRef, file: &Path) -> Result<Option<Digest>, ReadError> {
        let Some(record) = self.store.get::<ArchiveRecord>(&reference.to_string())? else { return Ok(None) };
        let now = std::fs::metadata(file).ok().map(|metadata| Stamp::of(&metadata));
        Ok((now.as_ref() == Some(&record.stamp)).then_some(record.image))
    }

    /// Tells whether all layers are still here. The disk is the truth, whatever the records say.
    fn is_whole(&self, image: &ImageRecord) -> bool {
        image.layers.iter().all(|layer| self.layout.has_layer(&layer.diff_id))
    }

    /// Returns what a container needs of an image. Of a layer that occurs twice the upper one counts, which
    /// overlayfs insists on, and below one that hides everything there is nothing.
    fn observed(&self, image: ImageRecord) -> ObservedImage {
        let mut layers: Vec<PathBuf> = Vec::new();
        for layer in image.layers.iter().rev() {
            let root = self.layout.root_of(&layer.diff_id);
            if !layers.contains(&root) {
                layers.push(root);
            }
            if layer.opaque {
                break;
            }
        }
        ObservedImage { id: image.id.to_string(), layers, config: image.config }
    }
}

/// Returns what a name of an archive stands for from now on. A digest is none that is given.
fn name_record(name: &RegistryRef, image: &ImageRecord) -> Option<NameRecord> {
    let name = name_key(name, name.tag.as_ref()?);
    Some(NameRecord { name, image: image.id.clone(), manifest: image.manifest.clone() })
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
