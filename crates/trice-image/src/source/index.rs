//! From an index to the manifest for a platform, and from that to the layers.
//!
//! ```text
//! index ──platform──► index ──► … ──► manifest ──► configuration, layers
//! ```
//!
//! Whoever has the documents fetches them; what they mean is decided here.
//!
//! Sources: OCI Image Specification, `image-index.md`, `manifest.md`; BuildKit's attestations, which are
//! manifests for the platform `unknown/unknown`.

use oci_spec::image::{Descriptor, ImageManifest, MediaType};

use super::{OfferedLayer, SourceError, check_digest, in_document};
use crate::manifest::{Document, DocumentError, configuration, diff_ids, digest_of, document};
use crate::platform::Platform;

/// How deep indexes may be nested.
pub(super) const DEPTH: u32 = 4;

/// What a document leads to.
pub(super) enum Step {
    /// It is an index, and this is what is best in it.
    Deeper(Box<Descriptor>),
    /// It is the manifest.
    Manifest(Box<ImageManifest>),
}

/// Returns what the document `bytes` at `path`, which is called `called`, leads to for `platform`.
pub(super) fn step(
    bytes: &[u8],
    called: &MediaType,
    path: &str,
    platform: &Platform,
) -> Result<Step, SourceError> {
    match document(bytes, called).map_err(in_document(path))? {
        Document::Manifest(manifest) => Ok(Step::Manifest(manifest)),
        Document::Index(index) => {
            let inner: Vec<_> = index.manifests().iter().collect();
            Ok(Step::Deeper(Box::new(of_platform(&inner, platform)?.clone())))
        }
    }
}

/// Returns what is best for `platform`. What states no platform is taken if nothing else fits.
pub(super) fn of_platform<'a>(
    descriptors: &[&'a Descriptor],
    platform: &Platform,
) -> Result<&'a Descriptor, SourceError> {
    let images = || descriptors.iter().copied().filter(|descriptor| !is_attestation(descriptor));
    let stated = |descriptor: &Descriptor| {
        let platform = descriptor.platform().as_ref()?;
        Some(Platform::stated(platform.os(), platform.architecture(), platform.variant().as_ref()))
    };
    let distance = |descriptor: &Descriptor| match stated(descriptor) {
        Some(image) => platform.distance(&image),
        None => Some(u32::MAX),
    };
    let best = images()
        .filter_map(|descriptor| Some((distance(descriptor)?, descriptor)))
        .min_by_key(|(far, _)| *far);
    best.map(|(_, descriptor)| descriptor).ok_or_else(|| match images().next() {
        None => SourceError::Empty,
        Some(_) => {
            SourceError::Platform { wanted: platform.clone(), offered: images().filter_map(stated).collect() }
        }
    })
}

/// Returns the layers of an image. `path` tells where one is.
pub(super) fn layers(
    manifest: &ImageManifest,
    config: &[u8],
    path: impl Fn(&Descriptor) -> Result<String, SourceError>,
) -> Result<Vec<OfferedLayer>, SourceError> {
    let config_path = path(manifest.config())?;
    if !is_image_config(manifest.config().media_type()) {
        let source = DocumentError::NoImage(manifest.config().media_type().to_string());
        return Err(in_document(&config_path)(source));
    }
    let diff_ids =
        configuration(config).and_then(|read| diff_ids(&read)).map_err(in_document(&config_path))?;
    if manifest.layers().len() != diff_ids.len() {
        return Err(SourceError::Layers { layers: manifest.layers().len(), diff_ids: diff_ids.len() });
    }
    let offered = manifest.layers().iter().zip(diff_ids).map(|(descriptor, diff_id)| {
        let path = path(descriptor)?;
        let blob = digest_of(descriptor).map_err(in_document(&path))?;
        Ok(OfferedLayer { diff_id, blob: Some(blob), size: descriptor.size(), path })
    });
    offered.collect()
}

/// Refuses bytes at `path` that are not what the descriptor says.
pub(super) fn check(bytes: &[u8], path: &str, descriptor: &Descriptor) -> Result<(), SourceError> {
    let found = bytes.len() as u64;
    if found != descriptor.size() {
        let (path, expected) = (path.to_owned(), descriptor.size());
        return Err(SourceError::WrongSize { path, expected, found });
    }
    check_digest(bytes, path, &digest_of(descriptor).map_err(in_document(path))?)
}

fn is_image_config(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageConfig
        || media_type.as_ref() == "application/vnd.docker.container.image.v1+json"
}

/// Tells whether a manifest is about another one, and no image.
pub(super) fn is_attestation(descriptor: &Descriptor) -> bool {
    let unknown = descriptor.platform().as_ref().is_some_and(|platform| {
        platform.os().to_string() == "unknown" && platform.architecture().to_string() == "unknown"
    });
    let annotations = descriptor.annotations().as_ref();
    unknown || annotations.is_some_and(|annotations| annotations.contains_key("vnd.docker.reference.type"))
}
