//! An image in a registry.
//!
//! ```text
//! tag or digest ──► index ──platform──► manifest ──► configuration          documents, fetched whole
//!                                          └──────► layers                  fetched when they are wanted
//! ```

use oci_spec::image::{Descriptor, ImageManifest};
use trice_model::image::RegistryRef;

use super::index::{self, DEPTH, Step, check, step};
use super::{Offer, SourceError, check_digest, in_document};
use crate::digest::Digest;
use crate::manifest::{digest_of, type_of};
use crate::platform::Platform;
use crate::registry::Repository;
use crate::registry::exchange::ExchangeError;

/// Finds the image that `name` has in its repository, for `platform`. A digest says more than a tag beside it.
pub(crate) async fn offer(
    repository: &Repository,
    name: &RegistryRef,
    platform: &Platform,
) -> Result<Offer, SourceError> {
    let reference = name.digest.as_ref().or(name.tag.as_ref()).map_or("latest", String::as_str);
    let fetched = repository.manifest(reference).await.map_err(registry)?;
    let target = Digest::of(&fetched.bytes);
    if let Some(expected) = name.digest.as_ref().and_then(|digest| digest.parse().ok()) {
        check_digest(&fetched.bytes, reference, &expected)?;
    }
    let mut called = type_of(&fetched.bytes, fetched.media_type).map_err(in_document(reference))?;
    let (mut bytes, mut path, mut indexes) = (fetched.bytes, reference.to_owned(), Vec::new());
    let manifest = loop {
        match step(&bytes, &called, &path, platform)? {
            Step::Manifest(manifest) => break manifest,
            Step::Deeper(_) if indexes.len() >= DEPTH as usize => return Err(SourceError::Nested(DEPTH)),
            Step::Deeper(next) => {
                indexes.push(bytes);
                path = path_of(&next)?;
                bytes = repository.manifest(&path).await.map_err(registry)?.bytes;
                check(&bytes, &path, &next)?;
                called = next.media_type().clone();
            }
        }
    };
    let config = config(repository, &manifest).await?;
    let layers = index::layers(&manifest, &config, path_of)?;
    let manifest = Some((bytes, called));
    Ok(Offer { names: vec![name.clone()], target: Some(target), indexes, manifest, config, layers })
}

async fn config(repository: &Repository, manifest: &ImageManifest) -> Result<Vec<u8>, SourceError> {
    let path = path_of(manifest.config())?;
    let digest = digest_of(manifest.config()).map_err(in_document(&path))?;
    let bytes = repository.small_blob(&digest).await.map_err(registry)?;
    check(&bytes, &path, manifest.config())?;
    Ok(bytes)
}

/// A registry has everything under its digest.
fn path_of(descriptor: &Descriptor) -> Result<String, SourceError> {
    let digest = digest_of(descriptor).map_err(in_document(descriptor.digest().as_ref()))?;
    Ok(digest.to_string())
}

fn registry(error: ExchangeError) -> SourceError {
    SourceError::Registry(Box::new(error))
}
