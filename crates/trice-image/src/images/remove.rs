//! What goes: names, images that nobody needs, and what nothing leads to.
//!
//! ```text
//! remove   a name, or an image with all its names        prune   what nobody uses
//!   └────────────► gate closed: records ──► what do they lead to? ──► the rest to the trash ◄────────┘
//! ```
//!
//! While the gate is closed nobody can begin to need what is looked at. What a lease keeps, and what the caller
//! says that containers and builds use, stays. A kill between the two steps leaves layers that nothing leads to:
//! the next sweep finds them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use trice_model::image::RegistryRef;
use trice_model::time::Timestamp;
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::record::Record;
use trice_state::store::ReadError;

use super::Images;
use super::find::FoundImage;
use crate::digest::Digest;
use crate::layout::LayoutError;
use crate::lease::Thing;
use crate::record::{ArchiveRecord, ImageRecord, NameRecord, digest_key, tag_key};

/// What must stay, whatever the records say.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    images: BTreeSet<String>,
    layers: HashSet<Digest>,
}

/// Which images [`Images::prune`] removes.
#[derive(Debug, Clone, Default)]
pub struct PruneFilter {
    /// Those with a name too. Without it, only those that no tag leads to.
    pub named: bool,
    /// Only those that came here before.
    pub before: Option<Timestamp>,
    /// Only those with all of these labels, and these values where there is one.
    pub labels: Vec<(String, Option<String>)>,
    /// Only those with none of these labels.
    pub without_labels: Vec<(String, Option<String>)>,
}

/// What has gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removed {
    /// Names, as people write them.
    pub untagged: Vec<String>,
    /// Images, by their ids.
    pub deleted: Vec<Digest>,
    /// How many layers.
    pub layers: u64,
    /// How many bytes of files and archives.
    pub bytes: u64,
}

/// Why something stays.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Somebody uses it.
    #[error("the image {id} is in use by a container: remove that first, or force it to lose its name only")]
    InUse {
        /// The image.
        id: Digest,
    },
    /// It has more names than the one that was meant.
    #[error("the image {id} has several names, {}: say which, or force all of them to go", names.join(", "))]
    SeveralNames {
        /// The image.
        id: Digest,
        /// Its names.
        names: Vec<String>,
    },
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Roots {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image that a container or a build uses.
    #[must_use]
    pub fn image(mut self, id: &str) -> Self {
        self.images.insert(id.to_owned());
        self
    }

    /// Tells whether an image is in use.
    pub(super) fn has(&self, id: &Digest) -> bool {
        self.images.contains(id.as_str())
    }

    /// Returns what is in use of layers alone.
    pub(super) fn things(&self) -> impl Iterator<Item = Thing> {
        self.layers.iter().cloned().map(Thing::Layer)
    }

    /// Adds layers by the folders that overlayfs uses. Other folders are left out.
    #[must_use]
    pub fn layers<'a>(mut self, folders: impl IntoIterator<Item = &'a Path>) -> Self {
        let name = |folder: &'a Path| folder.parent()?.file_name()?.to_str();
        self.layers.extend(folders.into_iter().filter_map(|folder| Digest::from_hex(name(folder)?).ok()));
        self
    }

    /// Adds layers that a build may use again.
    #[must_use]
    pub fn built(mut self, diff_ids: impl IntoIterator<Item = Digest>) -> Self {
        self.layers.extend(diff_ids);
        self
    }
}

impl Images {
    /// Removes an image: the name that it was found by and, with the last tag, the image; and those of other platforms that
    /// were found with it. One that was found by its id goes with its names, if there are not several. `force` removes
    /// several names, and those of an image that is in use, which then stays without one.
    ///
    /// # Errors
    /// [`RemoveError`]; nothing has changed then.
    pub fn remove(&self, found: &FoundImage, force: bool, roots: &Roots) -> Result<Removed, RemoveError> {
        let mut removal = Removal::default();
        for ImageRecord { id, .. } in found.all() {
            let names = self.names_of(id)?;
            let tags: Vec<_> =
                names.iter().filter(|name| !name.is_digest()).map(|name| familiar(&name.name)).collect();
            let going: Vec<String> = match &found.name {
                Some(name) => vec![key_of(name, &names)],
                None if tags.len() > 1 && !force => {
                    return Err(RemoveError::SeveralNames { id: id.clone(), names: tags });
                }
                None => names.iter().map(|name| name.name.clone()).collect(),
            };
            let is_in_use = roots.has(id);
            let is_last = names.iter().all(|name| name.is_digest() || going.contains(&name.name));
            if is_last && is_in_use && !force {
                return Err(RemoveError::InUse { id: id.clone() });
            }
            for key in going {
                removal.name(key, id);
            }
            if is_last && !is_in_use {
                names.iter().for_each(|name| removal.name(name.name.clone(), id));
                removal.images.insert(id.clone());
            }
        }
        self.carry_out(removal, roots)
    }

    /// Removes the images that nobody uses and that `filter` means, and then all that nothing leads to.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub fn prune(&self, filter: &PruneFilter, roots: &Roots) -> Result<Removed, RemoveError> {
        let mut removal = Removal::default();
        let names = self.store.all::<NameRecord>()?;
        let archives: BTreeSet<Digest> =
            self.store.all::<ArchiveRecord>()?.into_iter().map(|archive| archive.image).collect();
        for image in self.store.all::<ImageRecord>()? {
            let own = names.iter().filter(|name| name.images.iter().any(|named| named.image == image.id));
            let own: Vec<_> = own.collect();
            let has_name = own.iter().any(|name| !name.is_digest()) || archives.contains(&image.id);
            if roots.has(&image.id) || has_name && !filter.named || !filter.means(&image) {
                continue;
            }
            own.iter().for_each(|name| removal.name(name.name.clone(), &image.id));
            removal.images.insert(image.id);
        }
        self.carry_out(removal, roots)
    }

    /// Throws away what nothing leads to: what was left by somebody who was killed while he removed or built.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub fn sweep(&self, roots: &Roots) -> Result<Removed, RemoveError> {
        self.carry_out(Removal::default(), roots)
    }

    fn carry_out(&self, removal: Removal, roots: &Roots) -> Result<Removed, RemoveError> {
        let gate = self.layout.close()?;
        let leased = self.layout.leased(&gate)?;
        let Removal { names, images } = removal;
        let mut batch = Batch::new();
        let mut removed = Removed::default();
        for (key, lost) in &names {
            let Some(mut name) = self.store.get::<NameRecord>(key)? else { continue };
            // On other platforms it may stand for others.
            name.images.retain(|named| !lost.contains(&named.image));
            if name.images.is_empty() {
                batch = batch.remove::<NameRecord>(key);
                removed.untagged.push(familiar(key));
            } else {
                batch = batch.put(&name);
            }
        }
        for archive in self.store.all::<ArchiveRecord>()? {
            if images.contains(&archive.image) {
                batch = batch.remove::<ArchiveRecord>(&archive.key());
            }
        }
        batch = images.iter().fold(batch, |batch, id| batch.remove::<ImageRecord>(id.as_str()));
        self.store.commit(batch)?;
        removed.deleted = images.into_iter().collect();
        let mut needed = self.needed(roots)?;
        needed.extend(leased);
        let sizes = self.sizes()?;
        for thing in self.layout.sweep(&gate, &needed)? {
            removed.bytes += sizes.get(&thing).copied().unwrap_or_default();
            removed.layers += u64::from(matches!(thing, Thing::Layer(_)));
        }
        tracing::info!(
            images = removed.deleted.len(),
            layers = removed.layers,
            bytes = removed.bytes,
            "images removed"
        );
        Ok(removed)
    }

    /// Returns all that records and `roots` lead to.
    pub(super) fn needed(&self, roots: &Roots) -> Result<HashSet<Thing>, ReadError> {
        let mut needed: HashSet<Thing> = roots.things().collect();
        needed.extend(self.store.all::<ImageRecord>()?.iter().flat_map(ImageRecord::things));
        let indexes = self.store.all::<NameRecord>()?.into_iter().filter_map(|name| name.digest);
        needed.extend(indexes.map(Thing::Blob));
        Ok(needed)
    }

    /// Returns the sizes of all that is here.
    pub(super) fn sizes(&self) -> Result<BTreeMap<Thing, u64>, LayoutError> {
        let things = self.layout.things()?.into_iter().map(|thing| {
            let size = match &thing {
                // A damaged layer is of unknown size, and goes like others.
                Thing::Layer(diff_id) => {
                    self.layout.stored(diff_id).ok().flatten().map_or(0, |stored| stored.bytes)
                }
                Thing::Blob(digest) => self.layout.size_of(digest),
            };
            (thing, size)
        });
        Ok(things.collect())
    }
}

/// What is to go.
#[derive(Default)]
struct Removal {
    /// Names, and the images that they lose.
    names: BTreeMap<String, BTreeSet<Digest>>,
    images: BTreeSet<Digest>,
}

impl Removal {
    fn name(&mut self, key: String, image: &Digest) {
        self.names.entry(key).or_default().insert(image.clone());
    }
}

impl PruneFilter {
    fn means(&self, image: &ImageRecord) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            let own = image.config.labels.get(key);
            own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
        };
        self.before.is_none_or(|before| image.loaded_at < before)
            && self.labels.iter().all(has)
            && !self.without_labels.iter().any(has)
    }
}

/// Returns the key of the record of a name that led to an image. A digest may be that of its manifest.
fn key_of(name: &RegistryRef, names: &[NameRecord]) -> String {
    match name.digest.as_ref().and_then(|digest| digest.parse().ok()) {
        None => tag_key(name, name.tag.as_deref().unwrap_or("latest")),
        Some(digest) => {
            let key = digest_key(name, &digest);
            let own = || names.iter().find(|own| own.is_digest()).map(|own| own.name.clone());
            if names.iter().any(|own| own.name == key) { key } else { own().unwrap_or(key) }
        }
    }
}

/// Writes a name that is kept whole as people write it.
pub(super) fn familiar(key: &str) -> String {
    key.parse::<RegistryRef>().map_or_else(|_| key.to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests;
