//! Layers and images that are made here: by builds, commits and imports.
//!
//! ```text
//! lease ── what the work is based on stays
//! workshop ── scratch: upper and work folders of overlayfs
//!    │           upper ──pack──► diff ID ──► Finished: a layer that can be mounted already
//!    │   archive ──unpack──────► diff ID ──► Finished
//!    └─ publish: all of them to their places, with one wait for the disk
//! commit ── configuration ──► image, names
//! ```
//!
//! Nothing is compressed: a layer that is built is a folder, and its archive is made when somebody wants one.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use trice_model::image::{ObservedImage, RegistryRef};
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::ReadError;

use super::Images;
use crate::compression::fit_for_a_layer;
use crate::config::{ConfigError, image_config};
use crate::digest::{Digest, Hashing};
use crate::layer::{self, Expected, LayerError};
use crate::layout::{LayoutError, StoredLayer};
use crate::lease::{Lease, Thing};
use crate::load::{missing_blobs, now, platform, record_of};
use crate::manifest::{configuration, diff_ids};
use crate::pack::{PackError, Packing, pack};
use crate::record::{AttestationRecord, ImageRecord, LayerRecord, NameRecord, NamedImage, tag_key};
use crate::workshop::{Finished, Workshop};

/// Why something is not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A folder cannot be packed.
    #[error("make a layer of `{path}`")]
    Pack {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: PackError,
    },
    /// An archive cannot be unpacked.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The configuration cannot be followed.
    #[error("follow the image's configuration")]
    Config(#[from] ConfigError),
    /// The configuration speaks of a layer that is not here.
    #[error("the image's layer {diff_id} is not here")]
    NoLayer {
        /// The layer.
        diff_id: Digest,
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

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its configuration, whose layers are here.
    pub config: Vec<u8>,
    /// The folder of this machine that they lie on.
    pub rootfs: Option<PathBuf>,
    /// What is stated about it.
    pub attestations: Vec<Attestation>,
}

/// A statement about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What kind of statement it is, as in-toto names it.
    pub predicate_type: String,
    /// What it states: JSON.
    pub predicate: Vec<u8>,
    /// What it depends on: with the same it need not be stated anew.
    pub basis: Digest,
}

impl Draft {
    /// Returns one of which nothing is stated.
    pub fn new(config: Vec<u8>, rootfs: Option<PathBuf>) -> Self {
        Self { config, rootfs, attestations: Vec::new() }
    }

    fn attestation_records(&self) -> Vec<AttestationRecord> {
        let record = |attestation: &Attestation| AttestationRecord {
            predicate_type: attestation.predicate_type.clone(),
            predicate: Digest::of(&attestation.predicate),
            basis: attestation.basis.clone(),
        };
        self.attestations.iter().map(record).collect()
    }
}

impl Images {
    /// Begins work whose results, and what [`Self::hold`] adds, nobody sweeps away before the lease is dropped.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn lease(&self) -> Result<Lease, LayoutError> {
        self.layout.lease(&[])
    }

    /// Keeps an image for `lease`, and tells whether it is here whole. It stays so then.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn hold(&self, lease: &Lease, image: &Digest) -> Result<bool, BuildError> {
        let Some(record) = self.store.get::<ImageRecord>(image.as_str())? else { return Ok(false) };
        self.layout.keep(lease, &record.things())?;
        // Whoever removed it before that has removed its record first.
        let is_here = self.store.get::<ImageRecord>(image.as_str())?.is_some();
        Ok(is_here && self.is_whole(&record))
    }

    /// Returns the folder of this machine that lies below the layers of an image, if one does.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn rootfs_of(&self, image: &Digest) -> Result<Option<PathBuf>, ReadError> {
        Ok(self.store.get::<ImageRecord>(image.as_str())?.and_then(|record| record.rootfs))
    }

    /// Keeps layers for `lease`, and tells whether they are all here. They stay so then.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn hold_layers(&self, lease: &Lease, diff_ids: &[Digest]) -> Result<bool, LayoutError> {
        let things: Vec<_> = diff_ids.iter().cloned().map(Thing::Layer).collect();
        self.layout.keep(lease, &things)?;
        Ok(diff_ids.iter().all(|diff_id| self.layout.has_layer(diff_id)))
    }

    /// Begins a workshop.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn workshop(&self) -> Result<Workshop, LayoutError> {
        self.layout.begin()
    }

    /// Returns the folder of a layer that overlayfs can use, if it is here.
    pub fn layer_root(&self, diff_id: &Digest) -> Option<PathBuf> {
        self.layout.has_layer(diff_id).then(|| self.layout.root_of(diff_id))
    }

    /// Makes a layer of `upper`, the upper folder of an overlayfs that is mounted no more, or any other folder in
    /// the workshop. It is gone from its place then. No time in it is later than `latest` in seconds since 1970,
    /// which is what `SOURCE_DATE_EPOCH` means.
    ///
    /// # Errors
    /// [`BuildError::Pack`] if something in it cannot be in a layer; it stays at its place then.
    pub fn layer_of_folder(
        &self,
        workshop: &Workshop,
        upper: &Path,
        latest: Option<i64>,
    ) -> Result<Finished, BuildError> {
        let failed = |source| BuildError::Pack { path: upper.to_owned(), source };
        let packing = Packing { overlay: true, latest, settle: latest.is_some(), ..Packing::default() };
        let opened = std::fs::File::open(upper);
        let root = opened.map_err(|source| failed(PackError::Read { path: PathBuf::new(), source }))?;
        let mut archive = Hashing::new(io::sink());
        let packed = pack(root.as_fd(), &packing, &mut archive).map_err(failed)?;
        let (diff_id, length) = archive.written();
        let opaque = crate::pack::is_opaque(&root)
            .map_err(|error| failed(PackError::Read { path: PathBuf::new(), source: error.into() }))?;
        let stored = StoredLayer { blob: None, plain: Some(length), bytes: packed.bytes, opaque };
        Ok(workshop.adopt(upper)?.finish(diff_id, stored)?)
    }

    /// Makes a layer of an archive, compressed or not, of which nothing is known. `heard` is told how many bytes
    /// have been read, and ends it by an error.
    ///
    /// # Errors
    /// [`BuildError::Layer`] if it cannot be read or unpacked.
    pub fn layer_of_archive(
        &self,
        workshop: &Workshop,
        archive: impl Read + Send,
        name: &str,
        heard: impl FnMut(u64) -> io::Result<()> + Send,
    ) -> Result<Finished, BuildError> {
        let expected = Expected { path: name.to_owned(), blob: None, diff_id: None };
        let reading = |source| LayerError::Read { path: name.to_owned(), source };
        let archive = fit_for_a_layer(archive).map_err(reading)?;
        Ok(layer::make(archive, &expected, workshop.bench()?, self.limits, heard)?)
    }

    /// Brings layers to their places for as long as `lease` or an image keeps them.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn publish(
        &self,
        lease: &Lease,
        workshop: &Workshop,
        layers: &[Finished],
    ) -> Result<(), LayoutError> {
        workshop.publish(lease, layers, &[])
    }

    /// Makes an image of each draft. They get `names`, each of which stands for all of them from now on, each on its own
    /// platform.
    ///
    /// # Errors
    /// [`BuildError`]; no name has changed then.
    pub fn commit(
        &self,
        lease: &Lease,
        drafts: &[Draft],
        names: &[RegistryRef],
    ) -> Result<Vec<ObservedImage>, BuildError> {
        let (mut batch, mut images, mut named) = (Batch::new(), Vec::new(), Vec::new());
        for draft in drafts {
            let image = ImageRecord { rootfs: draft.rootfs.clone(), ..self.unnamed(lease, &draft.config)? };
            // The same image may be here already, with a manifest.
            let before = self.store.get::<ImageRecord>(image.id.as_str())?;
            let before = before.filter(|before| before.rootfs == image.rootfs && self.is_whole(before));
            let attestations = draft.attestation_records();
            let image = ImageRecord { attestations, ..before.unwrap_or(image) };
            if !draft.attestations.is_empty() {
                self.layout.keep(lease, &image.things())?;
                self.add_blobs(lease, draft.attestations.iter().map(|attestation| &attestation.predicate))?;
            }
            batch = batch.put(&image);
            named.push(self.named_image(&image));
            images.push(image);
        }
        for name in names {
            for name in self.name_records(name, &named, None)? {
                batch = batch.put(&name);
            }
        }
        self.store.commit(batch)?;
        Ok(images.into_iter().map(|image| self.observed(image)).collect())
    }

    /// Returns the images of drafts if they are here already, and all of `names` stand for them and for no others: then
    /// nothing has to be written.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn unchanged(
        &self,
        drafts: &[Draft],
        names: &[RegistryRef],
    ) -> Result<Option<Vec<ObservedImage>>, ReadError> {
        let ids: Vec<Digest> = drafts.iter().map(|draft| Digest::of(&draft.config)).collect();
        for name in names {
            let record =
                self.store.get::<NameRecord>(&tag_key(name, name.tag.as_deref().unwrap_or("latest")))?;
            let known: Vec<Digest> =
                record.into_iter().flat_map(|record| record.images).map(|named| named.image).collect();
            if known != ids {
                return Ok(None);
            }
        }
        let mut images = Vec::new();
        for (id, draft) in ids.iter().zip(drafts) {
            let record = self.store.get::<ImageRecord>(id.as_str())?;
            let is_same = |record: &ImageRecord| {
                self.is_whole(record) && record.attestations == draft.attestation_records()
            };
            let Some(record) = record.filter(is_same) else { return Ok(None) };
            images.push(self.observed(record));
        }
        Ok(Some(images))
    }

    /// Makes an image of which nobody hears, and that `lease` keeps.
    pub(super) fn unnamed(&self, lease: &Lease, config: &[u8]) -> Result<ImageRecord, BuildError> {
        let read = configuration(config).map_err(ConfigError::Document)?;
        let diff_ids = diff_ids(&read).map_err(ConfigError::Document)?;
        self.hold_layers(lease, &diff_ids)?; // before it is looked which are here
        let layers =
            diff_ids.iter().map(|diff_id| self.layer_record(diff_id)).collect::<Result<Vec<_>, _>>()?;
        let image = ImageRecord {
            id: Digest::of(config),
            manifest: None,
            layers,
            rootfs: None,
            platform: platform(config)?,
            config: image_config(config)?,
            loaded_at: now(),
            attestations: Vec::new(),
        };
        self.layout.keep(lease, &image.things())?;
        self.add_blobs(lease, [&config.to_vec()])?;
        Ok(image)
    }

    /// Has documents in the store for as long as `lease` or an image keeps them.
    pub(super) fn add_blobs<'a>(
        &self,
        lease: &Lease,
        documents: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> Result<(), LayoutError> {
        let workshop = self.layout.begin()?;
        let blobs = missing_blobs(&self.layout, &workshop, documents)?;
        workshop.publish(lease, &[], &blobs)
    }

    fn layer_record(&self, diff_id: &Digest) -> Result<LayerRecord, BuildError> {
        let stored =
            self.layout.stored(diff_id)?.ok_or_else(|| BuildError::NoLayer { diff_id: diff_id.clone() })?;
        let is_here = stored.blob.as_ref().is_some_and(|blob| self.layout.has_blob(&blob.digest));
        let blob = stored.blob.clone().filter(|_| is_here);
        Ok(record_of(diff_id, &StoredLayer { blob, ..stored }))
    }

    /// Returns an image as names have it that stand for it on the machines that it is made for.
    pub(super) fn named_image(&self, image: &ImageRecord) -> NamedImage {
        NamedImage { platform: image.platform.clone(), image: image.id.clone() }
    }
}
