//! An OCI image layout, in a folder or in a tar file.
//!
//! ```text
//! oci-layout                        says that it is one
//! index.json ──name──► index ──platform──► manifest ──► configuration, layers      all in blobs/sha256/HEX
//!              └──────────────────────────────┘ or at once; an index may hold indexes
//! ```
//!
//! Sources: OCI Image Specification, `image-layout.md`, `image-index.md`; BuildKit's attestations, which are
//! manifests for the platform `unknown/unknown`.

use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use trice_model::image::RegistryRef;

use super::{Files, Offer, OfferedLayer, SourceError, names};
use super::{check_digest, find_document, in_document, read_document};
use crate::digest::Digest;
use crate::manifest::{Document, DocumentError, configuration, diff_ids, digest_of, document, root_index};
use crate::platform::Platform;

const INDEX: &str = "index.json";

/// What containerd and Docker call an image, whole.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A tag, or a whole name; who wrote it decides.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How deep indexes may be nested.
const DEPTH: u32 = 4;

/// Finds the image `name`, or the only one, for `platform`.
pub(crate) fn offer(
    files: &dyn Files,
    name: Option<&str>,
    platform: &Platform,
) -> Result<Offer, SourceError> {
    if find_document(files, "oci-layout")?.is_none() {
        return Err(SourceError::OtherKind {
            missing: "oci-layout",
            hint: "if `docker save` wrote it, write `docker-archive:` instead of `oci-archive:`",
        });
    }
    let index = root_index(&read_document(files, INDEX)?).map_err(in_document(INDEX))?;
    let named = of_name(index.manifests(), name)?;
    let names = named.iter().flat_map(|descriptor| whole_names(descriptor)).collect();
    let chosen = of_platform(&named, platform)?;
    let (descriptor, bytes, manifest) = manifest(files, chosen, platform)?;
    let config_path = blob_path(manifest.config())?;
    let config = read_blob(files, manifest.config())?;
    if !is_image_config(manifest.config().media_type()) {
        let source = DocumentError::NoImage(manifest.config().media_type().to_string());
        return Err(in_document(&config_path)(source));
    }
    let diff_ids =
        configuration(&config).and_then(|read| diff_ids(&read)).map_err(in_document(&config_path))?;
    Ok(Offer {
        layers: layers(&manifest, diff_ids)?,
        names,
        manifest: Some((bytes, descriptor.media_type().clone())),
        config,
    })
}

/// Returns the descriptors that bear `name`, or all if there is only one name. They differ in their
/// platforms.
fn of_name<'a>(
    descriptors: &'a [Descriptor],
    name: Option<&str>,
) -> Result<Vec<&'a Descriptor>, SourceError> {
    let images: Vec<_> = descriptors.iter().filter(|descriptor| !is_attestation(descriptor)).collect();
    let mut all: Vec<String> = images.iter().map(|descriptor| shown_name(descriptor)).collect();
    all.sort();
    all.dedup();
    let Some(name) = name else {
        let is_unnamed = images.iter().all(|descriptor| own_names(descriptor).is_empty());
        let has_platforms = images.iter().all(|descriptor| descriptor.platform().is_some());
        return match all.len() {
            0 => Err(SourceError::Empty),
            1 => Ok(images),
            _ if is_unnamed && has_platforms => Ok(images),
            _ => Err(SourceError::Several { names: all }),
        };
    };
    let is_wanted = |descriptor: &&Descriptor| {
        let own = own_names(descriptor);
        own.iter().any(|own| names::is_meant(name, own)) || descriptor.digest().as_ref() == name
    };
    let wanted: Vec<_> = images.into_iter().filter(is_wanted).collect();
    match (wanted.is_empty(), all.is_empty()) {
        (false, _) => Ok(wanted),
        (true, false) => Err(SourceError::NoSuchName { name: name.to_owned(), names: all }),
        (true, true) => Err(SourceError::Empty),
    }
}

/// Returns what is best for `platform`. What states no platform is taken if nothing else fits.
fn of_platform<'a>(
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
        Some(_) => SourceError::Platform {
            wanted: platform.clone(),
            offered: images().filter_map(stated).map(|image| image.to_string()).collect(),
        },
    })
}

/// Follows `descriptor` through indexes to a manifest, and returns its descriptor and its bytes too.
fn manifest(
    files: &dyn Files,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<(Descriptor, Vec<u8>, ImageManifest), SourceError> {
    let mut descriptor = descriptor.clone();
    for _ in 0..=DEPTH {
        let bytes = read_blob(files, &descriptor)?;
        match document(&bytes, descriptor.media_type()).map_err(in_document(&blob_path(&descriptor)?))? {
            Document::Manifest(manifest) => return Ok((descriptor, bytes, *manifest)),
            Document::Index(index) => {
                let inner: Vec<_> = index.manifests().iter().collect();
                descriptor = of_platform(&inner, platform)?.clone();
            }
        }
    }
    Err(SourceError::Nested(DEPTH))
}

fn layers(manifest: &ImageManifest, diff_ids: Vec<Digest>) -> Result<Vec<OfferedLayer>, SourceError> {
    if manifest.layers().len() != diff_ids.len() {
        return Err(SourceError::Layers { layers: manifest.layers().len(), diff_ids: diff_ids.len() });
    }
    let offered = manifest.layers().iter().zip(diff_ids).map(|(descriptor, diff_id)| {
        Ok(OfferedLayer {
            diff_id,
            blob: Some(digest_of(descriptor).map_err(in_document(INDEX))?),
            size: descriptor.size(),
            path: blob_path(descriptor)?,
        })
    });
    offered.collect()
}

/// Reads a document that must be what its descriptor says.
fn read_blob(files: &dyn Files, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
    let path = blob_path(descriptor)?;
    let bytes = read_document(files, &path)?;
    if bytes.len() as u64 != descriptor.size() {
        let found = bytes.len() as u64;
        return Err(SourceError::WrongSize { path, expected: descriptor.size(), found });
    }
    check_digest(&bytes, &path, &digest_of(descriptor).map_err(in_document(INDEX))?)?;
    Ok(bytes)
}

fn blob_path(descriptor: &Descriptor) -> Result<String, SourceError> {
    let digest = digest_of(descriptor).map_err(in_document(INDEX))?;
    Ok(format!("blobs/sha256/{}", digest.hex()))
}

fn is_image_config(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageConfig
        || media_type.as_ref() == "application/vnd.docker.container.image.v1+json"
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    let unknown = descriptor.platform().as_ref().is_some_and(|platform| {
        platform.os().to_string() == "unknown" && platform.architecture().to_string() == "unknown"
    });
    unknown || annotation(descriptor, "vnd.docker.reference.type").is_some()
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a String> {
    descriptor.annotations().as_ref()?.get(key)
}

/// Returns the names that a descriptor bears, the whole one first.
fn own_names(descriptor: &Descriptor) -> Vec<&str> {
    let annotations = [CONTAINERD_NAME, REF_NAME].into_iter();
    annotations.filter_map(|key| annotation(descriptor, key)).map(String::as_str).collect()
}

/// Returns what people can choose the image by.
fn shown_name(descriptor: &Descriptor) -> String {
    own_names(descriptor).first().map_or_else(|| descriptor.digest().to_string(), |name| (*name).to_owned())
}

/// Returns the names by which the image is known from now on. A tag alone is the name of nothing.
fn whole_names(descriptor: &Descriptor) -> Vec<RegistryRef> {
    let of = |key| annotation(descriptor, key).map(String::as_str);
    let reference = of(REF_NAME).filter(|name| name.contains([':', '/']));
    of(CONTAINERD_NAME).or(reference).and_then(names::whole).into_iter().collect()
}
