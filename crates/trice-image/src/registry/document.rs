//! Manifests, and blobs that are small enough to be read whole.
//!
//! Source: OCI Distribution Specification, "Pulling manifests", "Pulling blobs".

use oci_spec::image::MediaType;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::exchange::{Answer, Ask, ExchangeError};
use super::{Repository, Scope};
use crate::digest::Digest;
use crate::manifest::DOCUMENT_BYTES;

/// All that a manifest may be. Schema 1 is asked for by nobody, and sent by registries that have nothing else.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// What registries' names for a manifest's digest are, which is believed only where nothing follows from it.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A manifest or an index as a registry has it.
#[derive(Debug)]
pub(crate) struct FetchedManifest {
    pub(crate) bytes: Vec<u8>,
    /// What the registry calls it, if that says anything.
    pub(crate) media_type: Option<MediaType>,
}

impl Repository {
    /// Fetches what `reference`, a tag or a digest, leads to.
    pub(crate) async fn manifest(&self, reference: &str) -> Result<FetchedManifest, ExchangeError> {
        let answer = self.ask_for_manifest(Method::GET, reference).await?;
        let media_type = media_type(&answer);
        Ok(FetchedManifest { bytes: answer.body, media_type })
    }

    /// Asks which digest `tag` has now, without fetching anything where the registry says it.
    pub(crate) async fn digest_of_tag(&self, tag: &str) -> Result<Digest, ExchangeError> {
        let answer = self.ask_for_manifest(Method::HEAD, tag).await?;
        let stated = answer.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        match stated {
            Some(digest) => Ok(digest),
            None => Ok(Digest::of(&self.manifest(tag).await?.bytes)),
        }
    }

    /// Fetches a blob whole. Nothing about it is checked but that it is not too long.
    pub(crate) async fn small_blob(&self, digest: &Digest) -> Result<Vec<u8>, ExchangeError> {
        let ask = Ask {
            method: Method::GET,
            path: self.blob_path(digest),
            scopes: vec![self.pull_scope()],
            headers: HeaderMap::new(),
            body: None,
            most: Some(DOCUMENT_BYTES),
        };
        Ok(self.registries.ask(&self.host, &ask).await?.body)
    }

    async fn ask_for_manifest(&self, method: Method, reference: &str) -> Result<Answer, ExchangeError> {
        let ask = Ask {
            method,
            path: self.manifest_path(reference),
            scopes: vec![self.pull_scope()],
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES))]),
            body: None,
            most: Some(DOCUMENT_BYTES),
        };
        self.registries.ask(&self.host, &ask).await
    }

    pub(super) fn manifest_path(&self, reference: &str) -> String {
        format!("/v2/{}/manifests/{reference}", self.path)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.path)
    }

    pub(super) fn pull_scope(&self) -> Scope {
        Scope::Pull(self.path.clone())
    }
}

/// Returns what an answer calls itself. Servers of files call everything the same.
fn media_type(answer: &Answer) -> Option<MediaType> {
    let text = answer.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let name = text.split(';').next().unwrap_or_default().trim();
    match name {
        "" | "application/json" | "application/octet-stream" | "text/plain" => None,
        other => Some(MediaType::from(other)),
    }
}
