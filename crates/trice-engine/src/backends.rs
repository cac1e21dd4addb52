//! The back ends, side by side: the only ones who touch kernel and disk.

use std::path::PathBuf;
use std::sync::Mutex;

use trice_dns::server::Server;
use trice_image::images::Images;
use trice_plan::realm::Realm;
use trice_runtime::container::Containers;
use trice_runtime::keeper::start::{Directories, Shared};
use trice_state::store::Store;
use trice_volume::volumes::Volumes;

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
    /// The host's resolver settings.
    pub(crate) resolv_conf: PathBuf,
}
