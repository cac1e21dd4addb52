//! Layers that are kept elsewhere for whoever may need some of them: the form is an image, and nobody runs it.
//!
//! ```text
//! Shelf ◄── registry, layout: the configuration at once, each layer when it is wanted
//! Bundle ──► registry, layout: sealed, and forgotten here
//! ```

use std::path::Path;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;
use trice_model::image::{ImageRef, RegistryRef};

use super::build::BuildError;
use super::push::PushError;
use super::save::{SaveError, SavedImage};
use super::seal::SealError;
use super::{FetchError, Images, open_layout};
use crate::digest::Digest;
use crate::lease::Lease;
use crate::load::{LoadError, load_layer};
use crate::platform::Platform;
use crate::progress::{Progress, PushProgress};
use crate::record::ImageRecord;
use crate::registry::Registries;
use crate::source::{Files, Offer, SourceError, oci_layout, remote};
use crate::transfer::RemoteFiles;

/// Layers that are elsewhere.
pub struct Shelf {
    offer: Offer,
    files: Box<dyn Files + Send>,
    /// Ends what is being fetched when it is dropped.
    _wanted: Option<watch::Sender<()>>,
}

/// Layers that are about to go elsewhere. A lease keeps them until then.
#[derive(Debug, Clone)]
pub struct Bundle(ImageRecord);

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be put together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its archives cannot be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Shelf {
    /// Returns the configuration, which says what the layers are.
    pub fn config(&self) -> &[u8] {
        &self.offer.config
    }

    /// Tells whether it has a layer.
    pub fn has(&self, diff_id: &Digest) -> bool {
        self.offer.layers.iter().any(|layer| layer.diff_id == *diff_id)
    }
}

impl Images {
    /// Looks what a registry or a layout has under `reference`. No layer is read.
    ///
    /// # Errors
    /// [`FetchError::Source`].
    pub async fn shelf(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        registries: &Registries,
    ) -> Result<Shelf, FetchError> {
        let failed = |error| FetchError::Source { reference: reference.clone(), source: Box::new(error) };
        match reference {
            ImageRef::Registry(name) => {
                let repository = registries.repository(name);
                let offer = remote::offer(&repository, name, platform).await.map_err(failed)?;
                let blobs = offer.layers.iter().filter_map(|layer| Some((layer.blob.clone()?, layer.size)));
                let (wanted, while_wanted) = watch::channel(());
                let files = RemoteFiles::new(repository, blobs, while_wanted);
                Ok(Shelf { offer, files: Box::new(files), _wanted: Some(wanted) })
            }
            ImageRef::Oci { path, name } => {
                let (files, _) = open_layout(path).map_err(failed)?;
                let offer = oci_layout::offer(&files, name.as_deref(), platform).map_err(failed)?;
                Ok(Shelf { offer, files: Box::new(files), _wanted: None })
            }
            ImageRef::DockerArchive { .. } | ImageRef::OciArchive { .. } | ImageRef::Rootfs { .. } => {
                Err(failed(SourceError::Empty))
            }
        }
    }

    /// Brings a layer of `shelf` here, where `lease` keeps it; `false` if the shelf does not have it. It must be called
    /// by a thread that waits for the disk.
    ///
    /// # Errors
    /// [`LoadError`], or that `stop` ended it.
    pub fn take_layer(
        &self,
        shelf: &Shelf,
        diff_id: &Digest,
        lease: &Lease,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bool, LoadError> {
        let Some(layer) = shelf.offer.layers.iter().find(|layer| layer.diff_id == *diff_id) else {
            return Ok(false);
        };
        load_layer(&self.layout, &*shelf.files, layer, lease, self.limits, stop, progress)?;
        Ok(true)
    }

    /// Puts the layers that the configuration `config` names together, with their archives.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn bundle(&self, lease: &Lease, config: &[u8], stop: &AtomicBool) -> Result<Bundle, BundleError> {
        let image = self.unnamed(lease, config)?;
        Ok(Bundle(self.sealed(image, lease, stop)?))
    }

    /// Sends a bundle to a registry under `name`.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn push_bundle(
        &self,
        bundle: &Bundle,
        name: &RegistryRef,
        registries: &Registries,
        progress: &mut (dyn FnMut(PushProgress) + Send),
    ) -> Result<(), PushError> {
        self.push_unnamed(&bundle.0, name, registries, progress).await
    }

    /// Writes a bundle to the layout in `folder`, which is made, under `name`.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn save_bundle(&self, bundle: &Bundle, name: &RegistryRef, folder: &Path) -> Result<(), SaveError> {
        let saved = SavedImage { images: vec![bundle.0.clone()], names: vec![name.clone()] };
        self.save_layout(&[saved], folder)
    }
}
