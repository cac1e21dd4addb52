//! Blobs and manifests on their way to a registry.
//!
//! ```text
//! HEAD ── there ─────────────────────────────────────────────────────────────► done
//!   └─ POST ?mount=DIGEST&from=OTHER ── 201 ─────────────────────────────────► done
//!        └─ 202 Location ── small: PUT ?digest= with all of it ──────────────► done
//!                       └── large: PATCH 0-N, Location ─► … ─► PUT ?digest= ─► done
//!                                    └─ breaks: GET Location says how far it is
//! ```
//!
//! The `Location` may be relative, may change with each answer, and keeps its query.
//!
//! Source: OCI Distribution Specification, "Pushing blobs", "Pushing manifests".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::channel::Channel;
use oci_spec::image::MediaType;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Body, Method, StatusCode, Url};
use tokio::runtime::Handle;

use super::exchange::{Answer, Ask, ExchangeError, Place};
use super::{Repository, Scope};
use crate::digest::Digest;

/// What is larger is sent in parts of this size, of which one at most is sent in vain.
const PART_BYTES: u64 = 32 << 20;

/// How much of a file is read at a time, and how many such pieces may wait for the registry.
const PIECE_BYTES: usize = 128 << 10;
const PIECES: usize = 4;

/// A blob that is to be sent.
#[derive(Clone)]
pub(crate) struct OutgoingBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) file: Arc<File>,
    /// Is told how much of it was sent.
    pub(crate) heard: Arc<dyn Fn(u64) + Send + Sync>,
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    /// It was there.
    Present,
    /// The registry had it in another repository.
    Mounted,
    /// It was sent.
    Sent,
}

impl Repository {
    /// Tells whether the registry has a blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, ExchangeError> {
        match self.ask_to_write(Method::HEAD, self.blob_path(digest), None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has the registry have a blob, which another of its repositories may have.
    pub(crate) async fn upload(
        &self,
        blob: &OutgoingBlob,
        other: Option<&str>,
    ) -> Result<Upload, ExchangeError> {
        if self.has_blob(&blob.digest).await? {
            return Ok(Upload::Present);
        }
        let mut failures = 0;
        let mut begun = Begun::default();
        loop {
            let error = match self.try_upload(blob, other.filter(|_| failures == 0), &mut begun).await {
                Ok(upload) => return Ok(upload),
                Err(error) => error,
            };
            failures += 1;
            let Some(wait) = self.registries.wait_after(failures, error.nature(true)) else {
                return Err(error);
            };
            tracing::debug!(digest = %blob.digest, error = &error as &dyn std::error::Error, ?wait, "sent again soon");
            tokio::time::sleep(wait).await;
        }
    }

    /// Has the registry call a manifest `reference`, a tag or its digest.
    pub(crate) async fn put_manifest(
        &self,
        reference: &str,
        media_type: &MediaType,
        bytes: &Bytes,
    ) -> Result<(), ExchangeError> {
        let body = || Body::from(bytes.clone());
        let value = HeaderValue::from_str(media_type.as_ref());
        let headers = HeaderMap::from_iter(value.ok().map(|value| (CONTENT_TYPE, value)));
        let ask =
            Ask { headers, body: Some(&body), ..self.to_write(Method::PUT, self.manifest_path(reference)) };
        self.registries.ask(&self.host, &ask).await.map(drop)
    }

    async fn try_upload(
        &self,
        blob: &OutgoingBlob,
        other: Option<&str>,
        begun: &mut Begun,
    ) -> Result<Upload, ExchangeError> {
        if begun.place.is_none() && self.begin(blob, other, begun).await? {
            return Ok(Upload::Mounted);
        }
        if let Err(error) = self.finish(blob, begun).await {
            // What was sent of it counts only if the registry can say how much that was.
            if begun.sent == 0 || self.look(begun).await.is_err() {
                *begun = Begun::default();
            }
            return Err(error);
        }
        Ok(Upload::Sent)
    }

    /// Begins an upload, and tells whether there is nothing to be sent.
    async fn begin(
        &self,
        blob: &OutgoingBlob,
        other: Option<&str>,
        begun: &mut Begun,
    ) -> Result<bool, ExchangeError> {
        let path = format!("/v2/{}/blobs/uploads/", self.path);
        let mut answer = None;
        if let Some(other) = other {
            let asked = format!("{path}?mount={}&from={other}", blob.digest);
            // A registry that does not let us read the other repository gets the blob from us.
            answer = self.ask_to_write(Method::POST, asked, Some(other)).await.ok();
        }
        let answer = match answer {
            Some(answer) => answer,
            None => self.ask_to_write(Method::POST, path, None).await?,
        };
        if answer.status == StatusCode::CREATED {
            return Ok(true);
        }
        begun.go_on(self, &answer)?;
        Ok(false)
    }

    /// Sends what is left of a blob.
    async fn finish(&self, blob: &OutgoingBlob, begun: &mut Begun) -> Result<(), ExchangeError> {
        if begun.sent == 0 && blob.size <= PART_BYTES {
            return self.close(blob, begun, 0).await;
        }
        while begun.sent < blob.size {
            let end = blob.size.min(begun.sent + PART_BYTES);
            let mut headers = stream_headers(end - begun.sent);
            insert(&mut headers, CONTENT_RANGE, &format!("{}-{}", begun.sent, end - 1));
            let answer = self
                .send_part(Method::PATCH, begun.url(self)?, headers, Some((blob, begun.sent, end)))
                .await?;
            begun.go_on(self, &answer)?;
            begun.sent = end;
        }
        self.close(blob, begun, blob.size).await
    }

    /// Sends the rest from `from` on, and says what all of it is.
    async fn close(&self, blob: &OutgoingBlob, begun: &Begun, from: u64) -> Result<(), ExchangeError> {
        let mut place = begun.url(self)?;
        place.url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let headers = stream_headers(blob.size - from);
        self.send_part(Method::PUT, place, headers, Some((blob, from, blob.size))).await.map(drop)
    }

    /// Asks how much of an upload has arrived.
    async fn look(&self, begun: &mut Begun) -> Result<(), ExchangeError> {
        let answer = self.send_part(Method::GET, begun.url(self)?, HeaderMap::new(), None).await?;
        begun.go_on(self, &answer)?;
        let last =
            answer.headers.get(RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("0-")?.parse().ok());
        begun.sent = last.map_or(0, |last: u64| last + 1);
        Ok(())
    }

    async fn send_part(
        &self,
        method: Method,
        place: Place,
        headers: HeaderMap,
        part: Option<(&OutgoingBlob, u64, u64)>,
    ) -> Result<Answer, ExchangeError> {
        let content = part.map(|(blob, begin, end)| move || stream(blob, begin, end));
        let body = content.as_ref().map(|content| content as &(dyn Fn() -> Body + Sync));
        let ask = Ask { headers, body, ..self.to_write(method, String::new()) };
        self.registries.send(&place, &ask).await
    }

    async fn ask_to_write(
        &self,
        method: Method,
        path: String,
        other: Option<&str>,
    ) -> Result<Answer, ExchangeError> {
        let mut ask = self.to_write(method, path);
        ask.scopes.extend(other.map(|other| Scope::Pull(other.to_owned())));
        self.registries.ask(&self.host, &ask).await
    }

    fn to_write(&self, method: Method, path: String) -> Ask<'static> {
        let scopes = vec![Scope::Push(self.path.clone())];
        Ask { method, path, scopes, headers: HeaderMap::new(), body: None, most: Some(ANSWER_BYTES) }
    }
}

/// The most that a registry may say about an upload.
const ANSWER_BYTES: u64 = 64 << 10;

/// An upload that has begun, or none.
#[derive(Default)]
struct Begun {
    place: Option<Place>,
    sent: u64,
}

impl Begun {
    /// Takes in where the upload goes on.
    fn go_on(&mut self, repository: &Repository, answer: &Answer) -> Result<(), ExchangeError> {
        let Some(location) = answer.headers.get(LOCATION) else {
            // Some say it once.
            return if self.place.is_some() { Ok(()) } else { Err(no_location(repository)) };
        };
        let from: &Url = &answer.place.url;
        let url = repository.registries.next_place(&repository.host, from, location)?;
        self.place = Some(Place { url, ..answer.place.clone() });
        Ok(())
    }

    fn url(&self, repository: &Repository) -> Result<Place, ExchangeError> {
        self.place.clone().ok_or_else(|| no_location(repository))
    }
}

fn no_location(repository: &Repository) -> ExchangeError {
    let (host, to) = (repository.host.clone(), String::new());
    ExchangeError::Redirect { host, to, rule: "which is no place to send a blob to" }
}

fn stream_headers(length: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    insert(&mut headers, CONTENT_LENGTH, &length.to_string());
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, digits: &str) {
    headers.insert(name, HeaderValue::from_str(digits).expect("digits are a header's value"));
}

/// Reads the bytes from `begin` to `end` of a blob in a thread, as they are wanted.
fn stream(blob: &OutgoingBlob, begin: u64, end: u64) -> Body {
    let (mut sender, channel) = Channel::<Bytes, io::Error>::new(PIECES);
    let (file, heard, tasks) = (Arc::clone(&blob.file), Arc::clone(&blob.heard), Handle::current());
    tokio::task::spawn_blocking(move || {
        let mut at = begin;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let mut piece = vec![0; length];
            if let Err(error) = file.read_exact_at(&mut piece, at) {
                return sender.abort(error);
            }
            at += length as u64;
            // Nobody wants the rest: the registry has refused.
            if tasks.block_on(sender.send_data(piece.into())).is_err() {
                return;
            }
            heard(at);
        }
    });
    Body::wrap(channel)
}
