//! What a registry has: tags, repositories, and what is found by words.
//!
//! ```text
//! tags      GET /v2/NAME/tags/list                  by pages
//! search    GET /v1/search?q=                       where it is offered
//!           GET /v2/_catalog, filtered              elsewhere, if it is allowed
//! ```
//!
//! Sources: OCI Distribution Specification, "Content Discovery"; Docker Hub's `v1/search`.

use std::error::Error;

use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::{Deserialize, Serialize};
use trice_model::image::RegistryRef;

use super::endpoint::Server;
use super::exchange::{Answer, Ask, ExchangeError};
use super::{Registries, Scope};

/// How many names are asked for at a time, and how many pages are read.
const PAGE: u32 = 1000;
const PAGES: u32 = 1000;

/// The most that a page may have.
const PAGE_BYTES: u64 = 4 << 20;

/// Why nothing can be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The registry does not say.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// What it says is no list.
    #[error("{host} answers with something else than a list")]
    NoList {
        /// The registry.
        host: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It goes on without end.
    #[error("{host} has more than {PAGES} pages")]
    Endless {
        /// The registry.
        host: String,
    },
}

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it says about itself.
    #[serde(default)]
    pub description: String,
    /// How many people like it.
    #[serde(default, alias = "star_count")]
    pub stars: u64,
    /// Whether the registry's owner vouches for it.
    #[serde(default, alias = "is_official")]
    pub official: bool,
}

impl Registries {
    /// Returns the tags of a repository, sorted.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn tags(&self, name: &RegistryRef) -> Result<Vec<String>, ListError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let path = format!("/v2/{}/tags/list?n={PAGE}", name.repository);
        let scope = Scope::Pull(name.repository.clone());
        self.pages(&name.host, path, scope, |page: Page| page.tags.unwrap_or_default()).await
    }

    /// Returns the repositories of a registry, sorted. Few registries say.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn catalog(&self, host: &str) -> Result<Vec<String>, ListError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            repositories: Option<Vec<String>>,
        }
        let path = format!("/v2/_catalog?n={PAGE}");
        self.pages(host, path, Scope::Catalog, |page: Page| page.repositories.unwrap_or_default()).await
    }

    /// Finds at most `most` repositories of a registry by `words`.
    ///
    /// # Errors
    /// [`ListError`] if the registry offers neither a search nor a list of all.
    pub async fn search(&self, host: &str, words: &str, most: u32) -> Result<Vec<Found>, ListError> {
        match self.offered_search(host, words, most).await {
            Ok(found) => Ok(found),
            Err(error) => {
                tracing::debug!(host, error = &error as &dyn Error, "no search is offered");
                let all = self.catalog(host).await?.into_iter().filter(|name| name.contains(words));
                let found = |name| Found { name, description: String::new(), stars: 0, official: false };
                Ok(all.take(usize::try_from(most).unwrap_or(usize::MAX)).map(found).collect())
            }
        }
    }

    async fn offered_search(&self, host: &str, words: &str, most: u32) -> Result<Vec<Found>, ListError> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Found>,
        }
        let mut query: reqwest::Url = "search:".parse().expect("it is one");
        query.query_pairs_mut().append_pair("q", words).append_pair("n", &most.to_string());
        let path = format!("/v1/search?{}", query.query().unwrap_or_default());
        let ask = ask(path, Vec::new());
        let answer = if host == "docker.io" {
            // Docker's own search is not where its images are.
            let mut server: Server = self.servers(host, &[Scope::Catalog]).swap_remove(0);
            server.address = "index.docker.io".to_owned();
            self.insist(&server, &ask).await?
        } else {
            self.ask(host, &ask).await?
        };
        let mut found = read::<Answer>(host, &answer)?.results;
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Reads a list to its end.
    async fn pages<P: for<'de> Deserialize<'de>>(
        &self,
        host: &str,
        path: String,
        scope: Scope,
        names: impl Fn(P) -> Vec<String>,
    ) -> Result<Vec<String>, ListError> {
        let (mut all, mut next) = (Vec::new(), Some(path));
        for _ in 0..PAGES {
            let Some(path) = next else {
                all.sort();
                all.dedup();
                return Ok(all);
            };
            let answer = self.ask(host, &ask(path, vec![scope.clone()])).await?;
            all.extend(names(read(host, &answer)?));
            next = next_page(&answer);
        }
        Err(ListError::Endless { host: host.to_owned() })
    }
}

fn ask(path: String, scopes: Vec<Scope>) -> Ask<'static> {
    Ask { method: Method::GET, path, scopes, headers: HeaderMap::new(), body: None, most: Some(PAGE_BYTES) }
}

fn read<T: for<'de> Deserialize<'de>>(host: &str, answer: &Answer) -> Result<T, ListError> {
    let no_list = |source| ListError::NoList { host: host.to_owned(), source };
    serde_json::from_slice(&answer.body).map_err(no_list)
}

/// Returns the path of the next page, which is on the same server whatever the link says.
fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.headers.get(LINK)?.to_str().ok()?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    if !rest.contains("rel=\"next\"") && !rest.contains("rel=next") {
        return None;
    }
    let url = answer.place.url.join(target).ok()?;
    Some(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
}
