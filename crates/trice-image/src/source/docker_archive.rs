//! What `docker save` and its like write.
//!
//! ```text
//! manifest.json                     which configuration and layers make which image, under which names
//! HEX.json, ID/layer.tar            until Docker 24; a layer that occurs twice is a link
//! blobs/sha256/HEX                  since Docker 25, beside an OCI layout
//! HEX.json, HEX.tar                 skopeo, podman
//! ```
//!
//! Source: moby `image/tarexport/load.go`, `save.go`.

use serde::Deserialize;

use super::{Files, Offer, OfferedLayer, SourceError, names};
use super::{check_digest, find_document, in_document, parse, read_document};
use crate::digest::Digest;
use crate::manifest::{configuration, diff_ids};

const MANIFEST: &str = "manifest.json";

/// One image of the archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Returns a name for each image, by which it can be chosen; `None` if it is no such archive.
pub(crate) fn names(files: &dyn Files) -> Result<Option<Vec<String>>, SourceError> {
    let Some(manifest) = find_document(files, MANIFEST)? else { return Ok(None) };
    let entries: Vec<Entry> = parse(&manifest, MANIFEST)?;
    Ok(Some(entries.iter().filter_map(|entry| entry.names().into_iter().next()).collect()))
}

/// Finds the image `name`, or the only one.
pub(crate) fn offer(files: &dyn Files, name: Option<&str>) -> Result<Offer, SourceError> {
    let manifest = find_document(files, MANIFEST)?.ok_or(SourceError::OtherKind {
        missing: MANIFEST,
        hint: "if it is an OCI layout, write `oci-archive:` instead of `docker-archive:`",
    })?;
    let entry = choose(parse(&manifest, MANIFEST)?, name)?;
    let config = read_document(files, &entry.config)?;
    if let Some(expected) = digest_in(&entry.config) {
        check_digest(&config, &entry.config, &expected)?;
    }
    let diff_ids =
        configuration(&config).and_then(|read| diff_ids(&read)).map_err(in_document(&entry.config))?;
    let paths = entry.layers.unwrap_or_default();
    if paths.len() != diff_ids.len() {
        return Err(SourceError::Layers { layers: paths.len(), diff_ids: diff_ids.len() });
    }
    let layers = paths.into_iter().zip(diff_ids).map(|(path, diff_id)| layer(files, path, diff_id));
    Ok(Offer {
        names: entry.repo_tags.iter().flatten().filter_map(|tag| names::whole(tag)).collect(),
        target: None,
        indexes: Vec::new(),
        manifest: None,
        layers: layers.collect::<Result<_, _>>()?,
        config,
    })
}

fn choose(entries: Vec<Entry>, name: Option<&str>) -> Result<Entry, SourceError> {
    let all: Vec<String> = entries.iter().flat_map(Entry::names).collect();
    let is_wanted =
        |entry: &Entry| name.is_none_or(|name| entry.names().iter().any(|own| names::is_meant(name, own)));
    let mut wanted: Vec<_> = entries.into_iter().filter(is_wanted).collect();
    if wanted.len() > 1 && name.is_none() {
        return Err(SourceError::Several { names: all });
    }
    match (wanted.pop(), name) {
        // Of two with one name the later one has it, as with `docker load`.
        (Some(entry), _) => Ok(entry),
        (None, Some(name)) if !all.is_empty() => {
            Err(SourceError::NoSuchName { name: name.to_owned(), names: all })
        }
        (None, _) => Err(SourceError::Empty),
    }
}

impl Entry {
    /// Returns the names that the image can be chosen by: its tags or, without one, its id.
    fn names(&self) -> Vec<String> {
        let tags = self.repo_tags.clone().unwrap_or_default();
        match digest_in(&self.config) {
            Some(id) if tags.is_empty() => vec![id.to_string()],
            Some(_) | None => tags,
        }
    }
}

fn layer(files: &dyn Files, path: String, diff_id: Digest) -> Result<OfferedLayer, SourceError> {
    let opened = files.open(&path).map_err(|source| SourceError::Read { path: path.clone(), source })?;
    let Some(opened) = opened else { return Err(SourceError::Missing { path }) };
    let size = opened.size;
    drop(opened);
    let blob = path.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok());
    Ok(OfferedLayer { diff_id, blob, size, path })
}

/// Returns the digest that a path is made of: `HEX.json`, `blobs/sha256/HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}
