//! The back ends, side by side: the only ones who touch kernel and disk.

use std::path::PathBuf;
use std::sync::Mutex;

use trice_api::fault::Fault;
use trice_build::budget::Reusable;
use trice_dns::server::Server;
use trice_image::images::Images;
use trice_image::images::remove::Roots;
use trice_plan::realm::Realm;
use trice_runtime::container::Containers;
use trice_runtime::keeper::start::{Directories, Shared};
use trice_state::store::Store;
use trice_volume::volumes::Volumes;

use crate::failure;
use crate::sockets::InNamespaces;

/// All of them. They are called from many threads; each takes care of itself.
pub(crate) struct Backends {
    /// Containers and what runs in them.
    pub(crate) containers: Containers,
    /// Images.
    pub(crate) images: Images,
    /// Volumes.
    pub(crate) volumes: Volumes,
    /// One fills volumes at a time.
    pub(crate) seeding: Mutex<()>,
    /// Names.
    pub(crate) names: Server,
    /// From where an instance's own resolvers are asked.
    pub(crate) sockets: InNamespaces,
    /// Records.
    pub(crate) store: Store,
    /// How this engine's things are called.
    pub(crate) realm: Realm,
    /// Where things lie.
    pub(crate) directories: Directories,
    /// What this engine shares with its keeper.
    pub(crate) shared: Shared,
    /// Where builds keep what they may use again, beside layers.
    pub(crate) build_folder: PathBuf,
    /// The host's resolver settings.
    pub(crate) resolv_conf: PathBuf,
}

impl Backends {
    /// Returns what builds may use again.
    pub(crate) fn reusable(&self) -> Reusable<'_> {
        Reusable { images: &self.images, store: &self.store, folder: &self.build_folder }
    }

    /// Adds to `roots` the layers that builds may use again.
    pub(crate) fn with_reusable(&self, roots: Roots) -> Result<Roots, Fault> {
        let layers = self.reusable().layers();
        Ok(roots.built(layers.map_err(|error| failure::of("look at the builds", &error))?))
    }
}
