//! How much room images take, and how much of it could be had back.
//!
//! ```text
//! layers     the bytes of all files, unpacked, once          archives   the bytes of all blobs
//! image      its layers; of these, those that it shares with others, and those that are its own
//! ```

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use trice_state::store::ReadError;

use super::Images;
use super::remove::{Roots, familiar};
use crate::digest::Digest;
use crate::layout::LayoutError;
use crate::lease::Thing;
use crate::record::ImageRecord;

/// The room that all images take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// How many layers there are.
    pub layer_count: u64,
    /// The bytes of all files of all layers.
    pub layer_bytes: u64,
    /// How many blobs there are: archives, manifests, configurations.
    pub blob_count: u64,
    /// The bytes of all blobs.
    pub blob_bytes: u64,
    /// What a removal of all images that nobody uses would free, and a sweep of what nothing leads to.
    pub reclaimable: u64,
}

/// The room that an image takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUsage {
    /// Its id.
    pub id: Digest,
    /// Its names, as people write them.
    pub names: Vec<String>,
    /// The bytes of all its files.
    pub bytes: u64,
    /// Those that it shares with other images.
    pub shared: u64,
    /// Whether somebody uses it.
    pub in_use: bool,
}

/// A layer that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerUse {
    /// The bytes of its files.
    pub bytes: u64,
    /// An image has it, or somebody uses it.
    pub is_needed: bool,
}

/// Why nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The store of images cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Images {
    /// Returns all layers. `roots` are those that somebody uses.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn layer_uses(&self, roots: &Roots) -> Result<BTreeMap<Digest, LayerUse>, UsageError> {
        let needed = self.needed(roots)?;
        let layers = self.sizes()?.into_iter().filter_map(|(thing, bytes)| {
            let is_needed = needed.contains(&thing);
            match thing {
                Thing::Layer(diff_id) => Some((diff_id, LayerUse { bytes, is_needed })),
                Thing::Blob(_) => None,
            }
        });
        Ok(layers.collect())
    }

    /// Adds up the room that images take. `roots` are those that somebody uses.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn usage(&self, roots: &Roots) -> Result<Usage, UsageError> {
        let sizes = self.sizes()?;
        let records = self.store.all::<ImageRecord>()?;
        let mut users: BTreeMap<&Digest, u32> = BTreeMap::new();
        for record in &records {
            let own: HashSet<_> = record.layers.iter().map(|layer| &layer.diff_id).collect();
            own.into_iter().for_each(|diff_id| *users.entry(diff_id).or_default() += 1);
        }
        let mut usage = Usage::default();
        for (thing, size) in &sizes {
            match thing {
                Thing::Layer(_) => {
                    (usage.layer_count, usage.layer_bytes) = (usage.layer_count + 1, usage.layer_bytes + size)
                }
                Thing::Blob(_) => {
                    (usage.blob_count, usage.blob_bytes) = (usage.blob_count + 1, usage.blob_bytes + size)
                }
            }
        }
        for record in &records {
            let own: BTreeMap<_, _> =
                record.layers.iter().map(|layer| (&layer.diff_id, layer.bytes)).collect();
            let shared =
                own.iter().filter(|(diff_id, _)| users.get(*diff_id).is_some_and(|count| *count > 1));
            let names = self.names_of(&record.id)?;
            usage.images.push(ImageUsage {
                id: record.id.clone(),
                names: names.iter().map(|name| familiar(&name.name)).collect(),
                bytes: own.values().sum(),
                shared: shared.map(|(_, bytes)| bytes).sum(),
                in_use: roots.has(&record.id),
            });
        }
        let used: HashSet<Thing> = records
            .iter()
            .filter(|record| roots.has(&record.id))
            .flat_map(ImageRecord::things)
            .chain(roots.things())
            .collect();
        usage.reclaimable =
            sizes.iter().filter(|(thing, _)| !used.contains(thing)).map(|(_, size)| size).sum();
        Ok(usage)
    }
}
