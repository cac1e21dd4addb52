//! Whether a registry is one, and lets us in.
//!
//! Source: OCI Distribution Specification, "Determining Support".

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::Registries;
use super::exchange::{Ask, ExchangeError};

/// The most that a registry may say about itself.
const PING_BYTES: u64 = 1 << 20;

impl Registries {
    /// Asks `host` for no more than to let us in with the credentials that the keyring has for it.
    ///
    /// # Errors
    /// [`ExchangeError`] if it is no registry, or does not.
    pub async fn ping(&self, host: &str) -> Result<(), ExchangeError> {
        let ask = Ask {
            method: Method::GET,
            path: "/v2/".to_owned(),
            scopes: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            most: Some(PING_BYTES),
        };
        self.ask(host, &ask).await.map(drop)
    }
}
