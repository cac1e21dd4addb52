//! Caches elsewhere: a registry or a folder has layers, and which steps made them.
//!
//! ```text
//! step without a record here ──key──► caches, in their order ──► its layer is fetched ──► as if it had been made here
//! image, or the steps of all stages ──► a bundle of layers, or the image's own configuration
//! ```
//!
//! What says it is a property of a configuration as images have it, so that registries and other programs take it for an
//! image. A cache is believed, as the build names it; what it costs when it cannot be had is time and no more.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trice_dockerfile::document::Document;
use trice_image::digest::Digest;
use trice_image::images::bundle::Shelf;
use trice_image::platform::Platform;
use trice_image::progress::Progress;
use trice_model::build_cache::{CacheStore, CacheTarget};
use trice_model::image::{ImageRef, RegistryRef};
use trice_model::time::Timestamp;

use crate::error::{BuildError, CacheError};
use crate::event::Event;
use crate::execute::Work;

/// The property that names steps. Another version of what steps are has another one.
const PROPERTY: &str = "trice.build-steps.v1";

/// What caches in folders are called, but for the tag.
const BUNDLE: &str = "build-cache";

/// A layer, and the step that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedStep {
    /// What the step depends on.
    pub(crate) key: String,
    /// The layer.
    pub(crate) layer: Digest,
    /// When it was made.
    pub(crate) made_at: Timestamp,
}

/// The caches that a build names. They are asked when a step is missing here, and not before.
pub(crate) struct Caches<'a> {
    stores: &'a [CacheStore],
    opened: OnceLock<Vec<Opened>>,
}

/// A cache that is there.
struct Opened {
    name: String,
    shelf: Shelf,
    steps: Vec<CachedStep>,
}

impl<'a> Caches<'a> {
    pub(crate) fn new(stores: &'a [CacheStore]) -> Self {
        Self { stores, opened: OnceLock::new() }
    }
}

/// Returns the steps that made layers of the image itself.
pub(crate) fn of_image(steps: &[CachedStep], document: &Document) -> Vec<CachedStep> {
    let is_own = |step: &&CachedStep| document.rootfs.diff_ids.iter().any(|id| *id == step.layer.as_str());
    steps.iter().filter(is_own).cloned().collect()
}

/// Returns a configuration that names `steps`.
pub(crate) fn with_steps(config: &[u8], steps: &[CachedStep]) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(config).expect("we have written it");
    config[PROPERTY] = json!(steps);
    serde_json::to_vec(&config).expect("a value is JSON")
}

/// Returns the steps that a configuration names; nothing if it is of somebody who names none.
fn steps_in(config: &[u8]) -> Option<Vec<CachedStep>> {
    let mut config: Value = serde_json::from_slice(config).ok()?;
    serde_json::from_value(config.get_mut(PROPERTY)?.take()).ok()
}

/// Returns the configuration of a bundle of layers, each once. It says that it is for this machine, whatever they are for:
/// nobody runs it.
fn bundled(steps: &[CachedStep]) -> Vec<u8> {
    let mut diff_ids: Vec<&str> = Vec::new();
    for step in steps {
        if !diff_ids.contains(&step.layer.as_str()) {
            diff_ids.push(step.layer.as_str());
        }
    }
    let Platform { os, architecture, .. } = Platform::host();
    let config = json!({
        "architecture": architecture, "os": os, "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        PROPERTY: steps,
    });
    serde_json::to_vec(&config).expect("a value is JSON")
}

fn shown(store: &CacheStore) -> String {
    match store {
        CacheStore::Registry(name) => name.to_string(),
        CacheStore::Folder { path, .. } => path.display().to_string(),
    }
}

fn reference(store: &CacheStore) -> ImageRef {
    match store {
        CacheStore::Registry(name) => ImageRef::Registry(name.clone()),
        CacheStore::Folder { path, tag } => ImageRef::Oci { path: path.clone(), name: Some(tag.clone()) },
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl Work<'_> {
    /// Finds a step in a cache elsewhere, and has its layer here.
    pub(crate) fn found_elsewhere(&self, key: &str) -> Option<CachedStep> {
        for cache in self.caches.opened.get_or_init(|| self.open_caches()) {
            let found = cache.steps.iter().find(|step| step.key == key && cache.shelf.has(&step.layer));
            let Some(step) = found else { continue };
            let tell = |amount| {
                (self.listener)(Event::Fetching { image: cache.name.clone(), amount });
            };
            tell(None);
            let mut progress = |progress| {
                if let Progress::Reading { bytes, of, .. } = progress {
                    tell(Some((bytes, of)));
                }
            };
            let images = &self.tools.images;
            let taken = images.take_layer(&cache.shelf, &step.layer, self.lease, self.stop, &mut progress);
            match taken {
                Ok(true) => return Some(step.clone()),
                Ok(false) => {}
                Err(error) => self.warn(&format!("the cache `{}`: {}", cache.name, chain(&error))),
            }
        }
        None
    }

    fn open_caches(&self) -> Vec<Opened> {
        self.caches.stores.iter().flat_map(|store| self.open_cache(store)).collect()
    }

    /// Opens a cache. One that is an image may have another image for each platform.
    fn open_cache(&self, store: &CacheStore) -> Vec<Opened> {
        let (name, tools) = (shown(store), self.tools);
        let of_steps = self.steps.iter().filter_map(|step| step.platform.parse().ok());
        let platforms: BTreeSet<Platform> = of_steps.chain([Platform::host()]).collect();
        let (mut opened, mut failed): (Vec<Opened>, _) = (Vec::new(), None);
        for platform in platforms {
            let reference = reference(store);
            let shelf = tools.images.shelf(&reference, &platform, &tools.registries);
            match tools.runtime.block_on(shelf) {
                Ok(shelf) if opened.iter().any(|other| other.shelf.config() == shelf.config()) => {}
                Ok(shelf) => {
                    let steps = steps_in(shelf.config()).unwrap_or_default();
                    opened.push(Opened { name: name.clone(), shelf, steps });
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if opened.is_empty() => {
                self.warn(&format!("the cache `{name}` cannot be had: {}", chain(&error)));
            }
            _ if opened.iter().all(|cache| cache.steps.is_empty()) => {
                self.warn(&format!("the cache `{name}` names no steps: build its image with `cache_to`"));
            }
            _ => {}
        }
        opened
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.listener)(Event::Warning(text.to_owned()));
    }

    /// Sends steps with their layers where the build says that they go.
    pub(crate) fn send_steps(&self, documents: &[Document], steps: &[CachedStep]) -> Result<(), BuildError> {
        for target in &self.build.cache_to {
            let CacheTarget::Store { store, all, may_fail } = target else { continue };
            let chosen = match all {
                true => steps.to_vec(),
                false => documents.iter().flat_map(|document| of_image(steps, document)).collect(),
            };
            match self.send(store, &bundled(&chosen)) {
                Err(error) if *may_fail => {
                    self.warn(&format!("the cache `{}` was not written: {}", shown(store), chain(&error)));
                }
                other => other
                    .map_err(|source| BuildError::Cache { name: shown(store), source: Box::new(source) })?,
            }
        }
        Ok(())
    }

    fn send(&self, store: &CacheStore, config: &[u8]) -> Result<(), CacheError> {
        let images = &self.tools.images;
        let bundle = images.bundle(self.lease, config, self.stop)?;
        match store {
            CacheStore::Registry(name) => {
                let mut unheard = |_| {};
                let pushed = images.push_bundle(&bundle, name, &self.tools.registries, &mut unheard);
                Ok(self.tools.runtime.block_on(pushed)?)
            }
            CacheStore::Folder { path, tag } => {
                let name: RegistryRef = format!("{BUNDLE}:{tag}").parse()?;
                Ok(images.save_bundle(&bundle, &name, path)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &str, text: &str) -> CachedStep {
        CachedStep { key: key.to_owned(), layer: Digest::of(text.as_bytes()), made_at: Timestamp(7) }
    }

    #[test]
    fn a_configuration_names_its_steps_and_one_of_others_names_none() {
        let steps = [step("a", "one"), step("b", "two")];
        let document = Document::default();
        let inline = with_steps(&document.written(), &steps);
        assert_eq!(steps_in(&inline).unwrap(), steps);
        assert_eq!(Document::read(&inline).unwrap(), document, "the rest is the same");
        assert_eq!(steps_in(&bundled(&steps)).unwrap(), steps);
        assert_eq!(steps_in(&document.written()), None);
        assert_eq!(steps_in(br#"{"trice.build-steps.v1": [{"key": 1}]}"#), None);
        assert_eq!(steps_in(b"no"), None);
    }

    #[test]
    fn a_layer_that_two_steps_made_is_bundled_once() {
        let bundle: Value = serde_json::from_slice(&bundled(&[step("a", "x"), step("b", "x")])).unwrap();
        assert_eq!(bundle["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    }
}
