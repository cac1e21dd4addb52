//! Brings what a source offers into the store.
//!
//! ```text
//! lease ──► lock what is missing, in one order ──► look again ──► make layers, side by side ──► publish ──► record
//! ```
//!
//! Two who load the same layer meet at its lock: the second waits, and finds it there.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::image::{Descriptor, Digest as SpecDigest, ImageManifest, ImageManifestBuilder, MediaType};
use trice_model::time::Timestamp;

use crate::config::{ConfigError, image_config};
use crate::digest::Digest;
use crate::layer::{self, Expected, LayerError};
use crate::layout::{Layout, LayoutError, StoredBlob, StoredLayer};
use crate::lease::{Lease, Thing};
use crate::lock::Lock;
use crate::manifest::configuration;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::{BlobRecord, ImageRecord, LayerRecord, ManifestRecord};
use crate::source::{Files, Offer, OfferedLayer};
use crate::unpack::Limits;
use crate::workshop::{Finished, Workshop};

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

/// How many layers are made at the same time: while some wait for the registry, others keep the processors busy.
const WORKERS: usize = 4;

/// After so many bytes a caller hears of a layer again.
const REPORT_BYTES: u64 = 1 << 20;

/// An image that is here, but for its record.
pub(crate) struct Loaded {
    /// Its record, which is not yet kept.
    pub(crate) record: ImageRecord,
    /// Keeps what the record speaks of until it is.
    pub(crate) lease: Lease,
}

/// Loads the image that `files` has. `stop` ends it soon.
pub(crate) fn load(
    layout: &Arc<Layout>,
    files: &dyn Files,
    offer: &Offer,
    limits: Limits,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Loaded, LoadError> {
    let config = image_config(&offer.config)?; // before gigabytes are read for nothing
    let platform = platform(&offer.config)?;
    let lease = layout.lease(&things(offer))?; // before it is looked what is here
    let Inventory { mut layers, missing, locks } = take_stock(layout, &offer.layers, progress)?;
    let workshop = layout.begin()?;
    let made = make_all(files, missing, &workshop, limits, stop, progress)?;
    layers.extend(made.iter().map(|layer| (layer.diff_id.clone(), layer.stored.clone())));
    let manifest = match &offer.manifest {
        Some(manifest) => Some(manifest.clone()),
        None => {
            let stored = offer.layers.iter().map(|layer| layers[&layer.diff_id].blob.clone());
            let blobs: Option<Vec<_>> = stored.collect();
            blobs.map(|blobs| (manifest_of(&offer.config, &blobs), MediaType::ImageManifest))
        }
    };
    let documents = manifest.iter().map(|(bytes, _)| bytes).chain(&offer.indexes).chain([&offer.config]);
    let blobs = missing_blobs(layout, &workshop, documents)?;
    if !made.is_empty() || !blobs.is_empty() {
        workshop.publish(&lease, &made, &blobs)?;
    }
    drop(locks); // whoever waits for a layer finds it at its place
    let record = ImageRecord {
        id: Digest::of(&offer.config),
        manifest: manifest.map(|(bytes, media_type)| ManifestRecord {
            digest: Digest::of(&bytes),
            media_type: media_type.to_string(),
        }),
        layers: offer.layers.iter().map(|layer| record_of(&layer.diff_id, &layers[&layer.diff_id])).collect(),
        rootfs: None,
        platform,
        config,
        loaded_at: now(),
        attestations: Vec::new(),
    };
    Ok(Loaded { record, lease })
}

/// Brings one layer that `files` has into the store, where `lease` keeps it. `stop` ends it soon.
pub(crate) fn load_layer(
    layout: &Arc<Layout>,
    files: &dyn Files,
    layer: &OfferedLayer,
    lease: &Lease,
    limits: Limits,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), LoadError> {
    layout.keep(lease, &things_of(layer).collect::<Vec<_>>())?; // before it is looked what is here
    let Inventory { missing, locks, .. } = take_stock(layout, std::slice::from_ref(layer), progress)?;
    let workshop = layout.begin()?;
    let made = make_all(files, missing, &workshop, limits, stop, progress)?;
    if !made.is_empty() {
        workshop.publish(lease, &made, &[])?;
    }
    drop(locks); // whoever waits for it finds it at its place
    Ok(())
}

fn things_of(layer: &OfferedLayer) -> impl Iterator<Item = Thing> + use<> {
    let blob = layer.blob.clone().map(Thing::Blob);
    blob.into_iter().chain([Thing::Layer(layer.diff_id.clone())])
}

/// Returns all that will be an image's, as far as it is known.
fn things(offer: &Offer) -> Vec<Thing> {
    let layers = offer.layers.iter().flat_map(things_of);
    let documents =
        offer.manifest.iter().map(|(bytes, _)| bytes).chain(&offer.indexes).chain([&offer.config]);
    layers.chain(documents.map(|bytes| Thing::Blob(Digest::of(bytes)))).collect()
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
    layers: &'a [OfferedLayer],
    progress: &mut dyn FnMut(Progress),
) -> Result<Inventory<'a>, LoadError> {
    let wanted: BTreeMap<_, _> = layers.iter().map(|layer| (&layer.diff_id, layer)).collect();
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
    let is_other = |blob: &&Digest| stored.blob.as_ref().is_none_or(|own| own.digest != **blob);
    if let Some(digest) = layer.blob.as_ref().filter(is_other) {
        // Another image has the same layer with another compression.
        let Some(compression) = layout.compression_of(digest)? else { return Ok(None) };
        stored.blob = Some(StoredBlob { digest: digest.clone(), size: layer.size, compression });
    }
    let is_whole = stored.blob.as_ref().is_none_or(|blob| layout.has_blob(&blob.digest));
    Ok(is_whole.then_some(stored))
}

/// Makes layers, the largest first, and tells `progress` how it goes. The first failure ends it.
fn make_all(
    files: &dyn Files,
    mut missing: Vec<&OfferedLayer>,
    workshop: &Workshop,
    limits: Limits,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Finished>, LoadError> {
    missing.sort_by_key(|layer| layer.size);
    let workers = WORKERS.min(missing.len());
    let (queue, failed) = (Mutex::new(missing), AtomicBool::new(false));
    let shop = Shop { files, workshop, limits, queue, failed, stop };
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
    workshop: &'a Workshop,
    limits: Limits,
    /// What is to be made; the last is the next.
    queue: Mutex<Vec<&'a OfferedLayer>>,
    failed: AtomicBool,
    /// Nobody wants them any more.
    stop: &'a AtomicBool,
}

impl Shop<'_> {
    /// Makes layers until there are no more. Of several failures only the first is one: the others may be its
    /// doing.
    fn work(&self, tell: &Sender<Progress>) -> Result<Vec<Finished>, LayerError> {
        let mut made = Vec::new();
        while let Some(layer) = self.take() {
            match self.make(layer, tell) {
                Ok(finished) => made.push(finished),
                Err(error) if !self.failed.swap(true, Ordering::Relaxed) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(made)
    }

    fn take(&self) -> Option<&OfferedLayer> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn make(&self, layer: &OfferedLayer, tell: &Sender<Progress>) -> Result<Finished, LayerError> {
        let say = |step| {
            // The one who listens is there for as long as there are workers.
            let _ = tell.send(step);
        };
        let mut next = 0;
        let heard = |bytes| {
            if self.failed.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("another layer has failed, or nobody wants the image any more"));
            }
            if bytes >= next {
                next = bytes + REPORT_BYTES;
                say(Progress::Reading { layer: layer.diff_id.clone(), bytes, of: layer.size });
            }
            Ok(())
        };
        let content = self.open(layer)?;
        let expected = Expected {
            path: layer.path.clone(),
            blob: layer.blob.clone(),
            diff_id: Some(layer.diff_id.clone()),
        };
        let finished = layer::make(content, &expected, self.workshop.bench()?, self.limits, heard)?;
        say(Progress::Unpacked { layer: layer.diff_id.clone() });
        Ok(finished)
    }

    fn open(&self, layer: &OfferedLayer) -> Result<Box<dyn Read + Send + '_>, LayerError> {
        let path = || layer.path.clone();
        let opened =
            self.files.open(&layer.path).map_err(|source| LayerError::Read { path: path(), source })?;
        let opened = opened.ok_or_else(|| LayerError::Missing { path: path() })?;
        if opened.size != layer.size {
            return Err(LayerError::WrongSize { path: path(), expected: layer.size, found: opened.size });
        }
        Ok(opened.content)
    }
}

/// Adds those of `documents` to the workshop that are not yet in the store, and returns their digests.
pub(crate) fn missing_blobs<'a>(
    layout: &Layout,
    workshop: &Workshop,
    documents: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Result<Vec<Digest>, LayoutError> {
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

/// Makes a manifest for an image of this configuration and these archives, the lowest first.
pub(crate) fn manifest_of(config: &[u8], layers: &[StoredBlob]) -> Vec<u8> {
    let descriptor = |media_type, size, digest: &Digest| {
        let digest: SpecDigest =
            digest.as_str().parse().expect("a digest is one in the specification's eyes");
        Descriptor::new(media_type, size, digest)
    };
    let layers = layers.iter().map(|blob| descriptor(blob.compression.layer_type(), blob.size, &blob.digest));
    let manifest: ImageManifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, config.len() as u64, &Digest::of(config)))
        .layers(layers.collect::<Vec<_>>())
        .build()
        .expect("all that a manifest must have is given");
    serde_json::to_vec(&manifest).expect("a manifest is JSON")
}

/// Returns the record of a layer.
pub(crate) fn record_of(diff_id: &Digest, stored: &StoredLayer) -> LayerRecord {
    let blob = stored.blob.as_ref().map(|blob| BlobRecord { digest: blob.digest.clone(), size: blob.size });
    LayerRecord { diff_id: diff_id.clone(), blob, bytes: stored.bytes, opaque: stored.opaque }
}

/// Returns the platform that a configuration is for.
pub(crate) fn platform(config: &[u8]) -> Result<Platform, ConfigError> {
    let config = configuration(config)?;
    Ok(Platform::stated(config.os(), config.architecture(), config.variant().as_ref()))
}

/// Returns the time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
