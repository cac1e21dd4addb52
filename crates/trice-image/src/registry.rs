//! Registries, asked over HTTP.
//!
//! ```text
//! Registries      settings, keyring, patience; what was learnt on the way: tokens, who answers
//!   endpoint      which servers stand for a host, in which order, how they are spoken to
//!   web, trust    the HTTP clients that speak to them, and whose certificates they believe
//!   exchange      one request to its answer ── retry ── redirects ── challenge ── token
//! Repository
//!   document      manifests and other small things       download    a blob, resumed where it breaks
//!   upload        blobs and manifests                    listing     tags, repositories, search
//! ping            does it let us in?
//! ```
//!
//! What a registry says is believed of nothing but its own words: a manifest and a blob have the digest and
//! the size that lead to them, or are none. Credentials are for the host that they were given for.
//!
//! All of it waits for sockets and is `async`; it neither reads nor writes a file but certificates. What comes
//! is handed over to threads, in `transfer`.
//!
//! Source: OCI Distribution Specification; distribution `docs/spec/auth`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trice_model::image::RegistryRef;
use trice_model::registry::{Keyring, RegistrySettings};

mod challenge;
pub(crate) mod document;
pub mod download;
pub mod download_file;
pub(crate) mod endpoint;
pub mod exchange;
pub mod listing;
mod ping;
pub mod retry;
pub mod token;
pub mod trust;
pub(crate) mod upload;
mod web;

use endpoint::{Server, servers};
use retry::Patience;
use token::Tokens;
use web::Web;

/// The registries as one caller may see them. Clones share what they have learnt.
#[derive(Clone)]
pub struct Registries {
    shared: Arc<Shared>,
}

struct Shared {
    settings: RegistrySettings,
    keyring: Keyring,
    patience: Patience,
    web: Web,
    tokens: Tokens,
    contacts: Mutex<HashMap<String, Contact>>,
}

/// What is known of a server.
#[derive(Debug, Clone, Copy, Default)]
struct Contact {
    /// Which way of speaking to it works.
    way: Option<usize>,
    /// Nobody answered.
    dead: bool,
}

impl Registries {
    /// Begins with nothing learnt. `keyring` is for this caller's requests.
    pub fn new(settings: RegistrySettings, keyring: Keyring) -> Self {
        Self::with_patience(settings, keyring, Patience::default())
    }

    /// The same with another patience.
    pub fn with_patience(settings: RegistrySettings, keyring: Keyring, patience: Patience) -> Self {
        let web = Web::new(&settings, patience);
        let (tokens, contacts) = (Tokens::default(), Mutex::default());
        Self { shared: Arc::new(Shared { settings, keyring, patience, web, tokens, contacts }) }
    }

    /// Returns the repository that `name` is in.
    pub(crate) fn repository(&self, name: &RegistryRef) -> Repository {
        Repository { registries: self.clone(), host: name.host.clone(), path: name.repository.clone() }
    }

    /// Returns who is asked for `host`; mirrors only give.
    fn servers(&self, host: &str, scopes: &[Scope]) -> Vec<Server> {
        let mirrors = !scopes.is_empty() && scopes.iter().all(|scope| matches!(scope, Scope::Pull(_)));
        let all = servers(host, &self.shared.settings, mirrors);
        let contacts = self.contacts();
        let is_alive = |server: &Server| contacts.get(&server.host).is_none_or(|contact| !contact.dead);
        let alive: Vec<_> = all.iter().filter(|server| is_alive(server)).cloned().collect();
        if alive.is_empty() { all } else { alive }
    }

    fn contact(&self, server: &Server) -> Contact {
        self.contacts().get(&server.host).copied().unwrap_or_default()
    }

    fn remember(&self, server: &Server, contact: Contact) {
        self.contacts().insert(server.host.clone(), contact);
    }

    fn contacts(&self) -> MutexGuard<'_, HashMap<String, Contact>> {
        // What was learnt is whole at any time.
        self.shared.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One repository of a registry.
#[derive(Clone)]
pub(crate) struct Repository {
    registries: Registries,
    host: String,
    path: String,
}

/// What a token is to allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To read a repository.
    Pull(String),
    /// To read and to write one.
    Push(String),
    /// To list all repositories.
    Catalog,
}

impl Scope {
    /// Writes it as token servers want it.
    fn text(&self) -> String {
        match self {
            Self::Pull(path) => format!("repository:{path}:pull"),
            Self::Push(path) => format!("repository:{path}:pull,push"),
            Self::Catalog => "registry:catalog:*".to_owned(),
        }
    }

    fn texts(scopes: &[Self]) -> BTreeSet<String> {
        scopes.iter().map(Self::text).collect()
    }
}
