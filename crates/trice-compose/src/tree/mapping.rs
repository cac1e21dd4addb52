//! Keys and values in the order of the file.

use std::hash::{BuildHasherDefault, DefaultHasher};

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;

use crate::tree::node::Node;
use crate::tree::span::Span;

/// A mapping. It keeps the order of the file and finds a key in constant time; the hasher has no secret, so that two
/// runs do the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mapping(IndexMap<String, Entry, BuildHasherDefault<DefaultHasher>>);

/// A value and the place of its key.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Span,
    pub(crate) node: Node,
}

/// Equality of what entries say, wherever they say it.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl Mapping {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.get_mut(key).map(|entry| &mut entry.node)
    }

    /// Returns the place of `key`.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.0.get(key).map(|entry| entry.key)
    }

    /// Puts `node` under `key`, in place of what was there.
    pub(crate) fn insert(&mut self, key: impl Into<String>, span: Span, node: Node) {
        self.0.insert(key.into(), Entry { key: span, node });
    }

    /// Puts the value of `make` under `key` if nothing is there.
    pub(crate) fn insert_missing(&mut self, key: &str, span: Span, make: impl FnOnce() -> Node) {
        if let Slot::Vacant(slot) = self.0.entry(key.to_owned()) {
            slot.insert(Entry { key: span, node: make() });
        }
    }

    /// Takes the value under `key` out, leaving the order of the others.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.0.shift_remove(key)
    }

    /// Takes out all for which `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &mut Entry) -> bool) {
        self.0.retain(|key, entry| keep(key, entry));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), &entry.node))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.0.iter_mut().map(|(key, entry)| (key.as_str(), &mut entry.node))
    }

    /// Returns keys and values with the places of the keys.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Entry)> {
        self.0.into_iter()
    }
}
