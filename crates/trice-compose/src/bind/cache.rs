//! Caches of builds: `type=registry,ref=…,mode=max`, or the name of an image alone.
//!
//! Sources: Compose Build Specification, `cache_from` and `cache_to`; buildx `util/buildflags/cache.go`.

use std::collections::BTreeMap;

use trice_model::build_cache::{CacheStore, CacheTarget};

use crate::bind::{BindMistake, Binder};
use crate::tree::node::Node;
use crate::tree::path::Path;

/// What changes the form of what is written, and not what is in it.
const OF_FORM: [&str; 6] =
    ["compression", "compression-level", "force-compression", "oci-mediatypes", "image-manifest", "digest"];

/// One entry of a list, taken apart.
struct Entry<'a> {
    kind: &'a str,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Entry<'a> {
    fn of(text: &'a str) -> Self {
        if !text.contains('=') {
            return Self { kind: "registry", options: [("ref", text)].into() };
        }
        let options: BTreeMap<_, _> =
            text.split(',').map(|part| part.trim().split_once('=').unwrap_or((part.trim(), ""))).collect();
        Self { kind: options.get("type").copied().unwrap_or_default(), options }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.options.get(key).copied().filter(|value| !value.is_empty())
    }
}

impl Binder<'_> {
    /// Reads where steps are looked for.
    pub(super) fn cache_from(&mut self, node: &Node, path: &Path<'_>) -> Vec<CacheStore> {
        let list = path.key("cache_from");
        let mut stores = Vec::new();
        for (index, item) in node.list_at("cache_from").iter().enumerate() {
            let Some(text) = item.as_text().filter(|text| !text.is_empty()) else { continue };
            let (entry, here) = (Entry::of(text), list.index(index));
            stores.extend(self.store(&entry, "src", item, &here));
            self.look_at_rest(&entry, &["type", "ref", "src", "tag"], item, &here);
        }
        stores
    }

    /// Reads where steps go.
    pub(super) fn cache_to(&mut self, node: &Node, path: &Path<'_>) -> Vec<CacheTarget> {
        let list = path.key("cache_to");
        let mut targets = Vec::new();
        for (index, item) in node.list_at("cache_to").iter().enumerate() {
            let Some(text) = item.as_text().filter(|text| !text.is_empty()) else { continue };
            let (entry, here) = (Entry::of(text), list.index(index));
            let all = match entry.get("mode") {
                None | Some("min") => false,
                Some("max") => true,
                Some(other) => {
                    let mistake = BindMistake::NotA { text: other.to_owned(), wanted: "`min` or `max`" };
                    self.mistake(item, &here, mistake);
                    continue;
                }
            };
            let may_fail = entry.get("ignore-error") == Some("true");
            match entry.kind {
                "inline" => targets.push(CacheTarget::Inline),
                _ => {
                    let store = self.store(&entry, "dest", item, &here);
                    targets.extend(store.map(|store| CacheTarget::Store { store, all, may_fail }));
                }
            }
            let known = ["type", "ref", "dest", "tag", "mode", "ignore-error"];
            self.look_at_rest(&entry, &known, item, &here);
        }
        targets
    }

    fn store(
        &mut self,
        entry: &Entry<'_>,
        folder: &'static str,
        item: &Node,
        path: &Path<'_>,
    ) -> Option<CacheStore> {
        match entry.kind {
            "registry" => match entry.get("ref") {
                Some(name) => match name.parse() {
                    Ok(name) => Some(CacheStore::Registry(name)),
                    Err(error) => {
                        self.mistake(item, path, error);
                        None
                    }
                },
                None => self.lacking(item, path, "`type=registry` with `ref=IMAGE`"),
            },
            "local" => match entry.get(folder) {
                Some(place) => Some(CacheStore::Folder {
                    path: self.model.folder.join(place),
                    tag: entry.get("tag").unwrap_or("latest").to_owned(),
                }),
                None if folder == "src" => self.lacking(item, path, "`type=local` with `src=FOLDER`"),
                None => self.lacking(item, path, "`type=local` with `dest=FOLDER`"),
            },
            "" => self.lacking(item, path, "the name of an image, or `type=registry`, `local` or `inline`"),
            other => {
                let why = format!(
                    "a cache of type `{other}` is not honoured yet: the image is the same without it"
                );
                self.report.warning(item.span, path, why);
                None
            }
        }
    }

    fn lacking(&mut self, item: &Node, path: &Path<'_>, wanted: &'static str) -> Option<CacheStore> {
        let text = item.as_text().unwrap_or_default().to_owned();
        self.mistake(item, path, BindMistake::NotA { text, wanted });
        None
    }

    /// Tells of what is not followed. What belongs to a type that is not has been told of with it.
    fn look_at_rest(&mut self, entry: &Entry<'_>, known: &[&str], item: &Node, path: &Path<'_>) {
        if !["registry", "local", "inline"].contains(&entry.kind) {
            return;
        }
        for key in entry.options.keys().filter(|key| !known.contains(key)) {
            let why = if OF_FORM.contains(key) {
                format!("`{key}` of a cache is not honoured yet: it is found without it")
            } else {
                format!("a cache has no `{key}`")
            };
            self.report.warning(item.span, path, why);
        }
    }
}
