//! An OCI image layout, in a folder or in a tar file.
//!
//! ```text
//! oci-layout                        says that it is one
//! index.json ──name──► index ──platform──► manifest ──► configuration, layers      all in blobs/sha256/HEX
//!              └──────────────────────────────┘ or at once; an index may hold indexes
//! ```
//!
//! Source: OCI Image Specification, `image-layout.md`.

use oci_spec::image::{Descriptor, ImageManifest};
use trice_model::image::RegistryRef;

use super::index::{self, DEPTH, Step, check, is_attestation, of_platform, step};
use super::names::{self, CONTAINERD_NAME, REF_NAME};
use super::{Files, Offer, SourceError};
use super::{find_document, in_document, read_document};
use crate::manifest::{digest_of, root_index};
use crate::platform::Platform;

const INDEX: &str = "index.json";

/// Returns a name for each image, by which it can be chosen.
pub(crate) fn names(files: &dyn Files) -> Result<Vec<String>, SourceError> {
    if find_document(files, "oci-layout")?.is_none() {
        let hint = "it is neither what `docker save` writes nor an OCI layout";
        return Err(SourceError::OtherKind { missing: "oci-layout", hint });
    }
    let index = root_index(&read_document(files, INDEX)?).map_err(in_document(INDEX))?;
    let images = index.manifests().iter().filter(|descriptor| !is_attestation(descriptor));
    let mut names: Vec<String> = images.map(shown_name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

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
    let config = read_blob(files, manifest.config())?;
    let layers = index::layers(&manifest, &config, blob_path)?;
    Ok(Offer {
        names,
        target: None,
        indexes: Vec::new(),
        manifest: Some((bytes, descriptor.media_type().clone())),
        config,
        layers,
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

/// Follows `descriptor` through indexes to a manifest, and returns its descriptor and its bytes too.
fn manifest(
    files: &dyn Files,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<(Descriptor, Vec<u8>, ImageManifest), SourceError> {
    let mut descriptor = descriptor.clone();
    for _ in 0..=DEPTH {
        let bytes = read_blob(files, &descriptor)?;
        match step(&bytes, descriptor.media_type(), &blob_path(&descriptor)?, platform)? {
            Step::Manifest(manifest) => return Ok((descriptor, bytes, *manifest)),
            Step::Deeper(next) => descriptor = *next,
        }
    }
    Err(SourceError::Nested(DEPTH))
}

/// Reads a document that must be what its descriptor says.
fn read_blob(files: &dyn Files, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
    let path = blob_path(descriptor)?;
    let bytes = read_document(files, &path)?;
    check(&bytes, &path, descriptor)?;
    Ok(bytes)
}

fn blob_path(descriptor: &Descriptor) -> Result<String, SourceError> {
    let digest = digest_of(descriptor).map_err(in_document(INDEX))?;
    Ok(format!("blobs/sha256/{}", digest.hex()))
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
