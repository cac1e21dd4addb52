//! The HTTP clients, one for each way of trusting.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy, Url};
use trice_model::registry::{Proxies, RegistrySettings};

use super::endpoint::certificates_name;
use super::exchange::ExchangeError;
use super::retry::Patience;
use super::trust::{Trust, tls};

/// What this program calls itself.
const USER_AGENT: &str = concat!("trice/", env!("CARGO_PKG_VERSION"));

/// Makes clients where they are first needed: to read a machine's certificates takes longer than many a
/// request to a registry beside it.
pub(super) struct Web {
    certificates: Vec<PathBuf>,
    proxies: Proxies,
    patience: Patience,
    clients: Mutex<HashMap<(Trust, String), Client>>,
}

impl Web {
    pub(super) fn new(settings: &RegistrySettings, patience: Patience) -> Self {
        let (certificates, proxies) = (settings.certificates.clone(), settings.proxies.clone());
        Self { certificates, proxies, patience, clients: Mutex::default() }
    }

    /// Returns the client for `url`.
    pub(super) fn client(&self, url: &Url, trust: Trust) -> Result<Client, ExchangeError> {
        let host = certificates_name(url);
        // Hosts that have no folder of their own share a client and its connections.
        let has_folder = |host: &String| self.certificates.iter().any(|folder| folder.join(host).is_dir());
        let key = (trust, Some(host).filter(has_folder).unwrap_or_default());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.make(trust, &key.1)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn make(&self, trust: Trust, host: &str) -> Result<Client, ExchangeError> {
        let folders: &[PathBuf] = if host.is_empty() { &[] } else { &self.certificates };
        let builder = Client::builder()
            .tls_backend_preconfigured(tls(trust, host, folders)?)
            .user_agent(USER_AGENT)
            .redirect(Policy::none()) // who may see what is decided anew at each step
            .referer(false)
            .http1_only()
            .connect_timeout(self.patience.silence)
            .read_timeout(self.patience.silence)
            .no_proxy(); // the environment is not ours to read
        let builder = self.proxied(builder)?;
        builder.build().map_err(|source| ExchangeError::Client { source: source.without_url() })
    }

    fn proxied(&self, mut builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, ExchangeError> {
        let except = self.proxies.except.as_deref().and_then(NoProxy::from_string);
        let proxies =
            [self.proxies.http.as_deref().map(Proxy::http), self.proxies.https.as_deref().map(Proxy::https)];
        for proxy in proxies.into_iter().flatten() {
            let proxy = proxy.map_err(|source| ExchangeError::Client { source: source.without_url() })?;
            builder = builder.proxy(proxy.no_proxy(except.clone()));
        }
        Ok(builder)
    }
}
