//! Brings what a source offers into the store.
//!
//! ```text
//! lock what is missing, in one order ──► look again ──► make layers, side by side ──► publish ──► record
//! ```
//!
//! Two who load the same layer meet at its lock: the second waits, and finds it there.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::image::{Descriptor, Digest as SpecDigest, ImageManifest, ImageManifestBuilder, MediaType};
use trice_model::time::Timestamp;

use crate::config::{ConfigError, image_config};
use crate::digest::Digest;
use crate::layer::{self, LayerError};
use crate::layout::{Layout, LayoutError, StoredLayer, Workshop};
use crate::lock::Lock;
use crate::manifest::{DocumentError, configuration};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::{ImageRecord, LayerRecord};
use crate::source::{Files, Offer, OfferedLayer};
use crate::unpack::Limits;

/// Why an image is not here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its configuration cannot be followed.
    #[error("follow its configuration")]
    Config(#[from] ConfigError),
    /// A layer is not here.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store cannot be written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// How many layers are made at the same time; more only wait for each other.
const WORKERS: usize = 4;

/// After so many bytes a caller hears of a layer again.
const REPORT_BYTES: u64 = 1 << 20;

/// Loads the image that `files` has, and returns its record, which is not yet kept.
pub(crate) fn load(
    layout: &Layout,
    files: &dyn Files,
    offer: &Offer,
    limits: Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImageRecord, LoadError> {
    let config = image_config(&offer.config)?; // before gigabytes are read for nothing
    let platform = platform(&offer.config)?;
    let Inventory { mut layers, missing, locks } = take_stock(layout, offer, progress)?;
    let workshop = layout.begin()?;
    let made = make_all(files, missing, &workshop, limits, progress)?;
    layers.extend(made.iter().cloned());
    let (manifest, manifest_type) = match &offer.manifest {
        Some((bytes, media_type)) => (bytes.clone(), media_type.clone()),
        None => (manifest_of(offer, &layers)?, MediaType::ImageManifest),
    };
    let blobs = missing_blobs(layout, &workshop, [&offer.config, &manifest])?;
    if !made.is_empty() || !blobs.is_empty() {
        workshop.publish(&made, &blobs)?;
    }
    drop(locks); // whoever waits for a layer finds it at its place
    Ok(ImageRecord {
        id: Digest::of(&offer.config),
        manifest: Digest::of(&manifest),
        manifest_type: manifest_type.to_string(),
        layers: offer.layers.iter().map(|layer| record_of(&layer.diff_id, &layers[&layer.diff_id])).collect(),
        platform,
        config,
        loaded_at: now(),
    })
}

/// What of an image is here.
struct Inventory<'a> {
    layers: BTreeMap<Digest, StoredLayer>,
    /// What is not, and is nobody else's to make for as long as the locks are held.
    missing: Vec<&'a OfferedLayer>,
    locks: Vec<Lock>,
}

/// Finds out which layers are here, after those have finished who make one of them now.
fn take_stock<'a>(
    layout: &Layout,
    offer: &'a Offer,
    progress: &mut dyn FnMut(Progress),
) -> Result<Inventory<'a>, LoadError> {
    let wanted: BTreeMap<_, _> = offer.layers.iter().map(|layer| (&layer.diff_id, layer)).collect();
    let mut stock = Inventory { layers: BTreeMap::new(), missing: Vec::new(), locks: Vec::new() };
    // The order of the digests is everybody's, so that nobody waits for somebody who waits.
    for (diff_id, layer) in wanted {
        let mut stored = present(layout, layer)?;
        if stored.is_none() {
            stock.locks.push(layout.lock(diff_id)?);
            stored = present(layout, layer)?;
        }
        match stored {
            Some(stored) => {
                progress(Progress::Present { layer: diff_id.clone() });
                stock.layers.insert(diff_id.clone(), stored);
            }
            None => stock.missing.push(layer),
        }
    }
    Ok(stock)
}

/// Returns what is known of a layer, if it is here with the blob that the image wants.
fn present(layout: &Layout, layer: &OfferedLayer) -> Result<Option<StoredLayer>, LoadError> {
    let Some(mut stored) = layout.stored(&layer.diff_id)? else { return Ok(None) };
    if let Some(blob) = layer.blob.as_ref().filter(|blob| **blob != stored.blob) {
        // Another image has the same layer with another compression.
        let Some(compression) = layout.compression_of(blob)? else { return Ok(None) };
        stored = StoredLayer { blob: blob.clone(), size: layer.size, compression, ..stored };
    }
    Ok(layout.has_blob(&stored.blob).then_some(stored))
}

/// Makes layers, the largest first, and tells `progress` how it goes. The first failure ends it.
fn make_all(
    files: &dyn Files,
    mut missing: Vec<&OfferedLayer>,
    workshop: &Workshop<'_>,
    limits: Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<(Digest, StoredLayer)>, LoadError> {
    missing.sort_by_key(|layer| layer.size);
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS).min(missing.len());
    let shop = Shop { files, workshop, limits, queue: Mutex::new(missing), failed: AtomicBool::new(false) };
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let (shop, tell) = (&shop, tell.clone());
                scope.spawn(move || shop.work(&tell))
            })
            .collect();
        drop(tell); // so that the next line ends with the last worker
        told.into_iter().for_each(progress);
        let made = threads.into_iter().map(|thread| thread.join().expect("a worker does not panic"));
        Ok(made.collect::<Result<Vec<_>, LayerError>>()?.concat())
    })
}

/// What the workers share.
struct Shop<'a> {
    files: &'a dyn Files,
    workshop: &'a Workshop<'a>,
    limits: Limits,
    /// What is to be made; the last is the next.
    queue: Mutex<Vec<&'a OfferedLayer>>,
    failed: AtomicBool,
}

impl Shop<'_> {
    /// Makes layers until there are no more. Of several failures only the first is one: the others may be its
    /// doing.
    fn work(&self, tell: &Sender<Progress>) -> Result<Vec<(Digest, StoredLayer)>, LayerError> {
        let mut made = Vec::new();
        while let Some(layer) = self.take() {
            match self.make(layer, tell) {
                Ok(stored) => made.push((layer.diff_id.clone(), stored)),
                Err(error) if !self.failed.swap(true, Ordering::Relaxed) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(made)
    }

    fn take(&self) -> Option<&OfferedLayer> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn make(&self, layer: &OfferedLayer, tell: &Sender<Progress>) -> Result<StoredLayer, LayerError> {
        let say = |step| {
            // The one who listens is there for as long as there are workers.
            let _ = tell.send(step);
        };
        let mut next = 0;
        let heard = |bytes| {
            if self.failed.load(Ordering::Relaxed) {
                return Err(io::Error::other("another layer has failed"));
            }
            if bytes >= next {
                next = bytes + REPORT_BYTES;
                say(Progress::Reading { layer: layer.diff_id.clone(), bytes, of: layer.size });
            }
            Ok(())
        };
        let bench = self.workshop.bench(&layer.diff_id)?;
        let stored = layer::make(self.files, layer, &bench, self.limits, heard)?;
        say(Progress::Unpacked { layer: layer.diff_id.clone() });
        Ok(stored)
    }
}

/// Adds those of `documents` to the workshop that are not yet in the store, and returns their digests.
fn missing_blobs(
    layout: &Layout,
    workshop: &Workshop<'_>,
    documents: [&Vec<u8>; 2],
) -> Result<Vec<Digest>, LoadError> {
    let mut added = Vec::new();
    for bytes in documents {
        let digest = Digest::of(bytes);
        if !layout.has_blob(&digest) {
            workshop.add_blob(bytes)?;
            added.push(digest);
        }
    }
    Ok(added)
}

/// Makes a manifest for an image that came without one.
fn manifest_of(offer: &Offer, layers: &BTreeMap<Digest, StoredLayer>) -> Result<Vec<u8>, LoadError> {
    let descriptor = |media_type, size, digest: &Digest| {
        let digest: SpecDigest =
            digest.as_str().parse().expect("a digest is one in the specification's eyes");
        Descriptor::new(media_type, size, digest)
    };
    let stored = offer.layers.iter().map(|layer| &layers[&layer.diff_id]);
    let manifest: ImageManifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, offer.config.len() as u64, &Digest::of(&offer.config)))
        .layers(
            stored
                .map(|stored| descriptor(stored.compression.layer_type(), stored.size, &stored.blob))
                .collect::<Vec<_>>(),
        )
        .build()
        .expect("all that a manifest must have is given");
    serde_json::to_vec(&manifest).map_err(|error| ConfigError::Document(DocumentError::Json(error)).into())
}

fn record_of(diff_id: &Digest, stored: &StoredLayer) -> LayerRecord {
    LayerRecord {
        diff_id: diff_id.clone(),
        blob: stored.blob.clone(),
        size: stored.size,
        bytes: stored.bytes,
        opaque: stored.opaque,
    }
}

fn platform(config: &[u8]) -> Result<Platform, LoadError> {
    let config = configuration(config).map_err(ConfigError::Document)?;
    Ok(Platform::stated(config.os(), config.architecture(), config.variant().as_ref()))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
