//! A blob's bytes, whole although connections break.
//!
//! ```text
//! GET ─► 200: bytes … breaks off ─► wait ─► GET Range: bytes=N- ─► 206: the rest
//!                                                              └─► 200: all again, of which N are left out
//! ```
//!
//! A registry can send no byte more than the manifest says, and breaks are counted until there is progress.
//! Whether the bytes are the right ones is for whoever reads them.
//!
//! Source: RFC 9110, section 14.

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc::Sender;

use super::Repository;
use super::exchange::{Answer, Ask, ExchangeError, transport};
use super::retry::Nature;
use crate::digest::Digest;

/// After so much more of a blob, earlier breaks are forgotten.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Why a blob is not here.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The registry does not give it.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// It has another length than the manifest says.
    #[error("{host} has {found} bytes of it, and the manifest says {expected}")]
    WrongSize {
        /// The registry.
        host: String,
        /// What the manifest says.
        expected: u64,
        /// What the registry has, at least.
        found: u64,
    },
    /// It ends before its end.
    #[error("{host} ends after {received} of {expected} bytes")]
    BreaksOff {
        /// The registry.
        host: String,
        /// How much of it came.
        received: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// The registry sends other bytes than those that it was asked for.
    #[error("{host} sends the bytes `{found}`, and was asked for those from {offset} on")]
    WrongRange {
        /// The registry.
        host: String,
        /// Where they should begin.
        offset: u64,
        /// What the registry says.
        found: String,
    },
}

impl DownloadError {
    fn nature(&self) -> Nature {
        match self {
            Self::Exchange(error) => error.nature(true),
            Self::WrongSize { .. } => Nature::Final,
            Self::BreaksOff { .. } | Self::WrongRange { .. } => Nature::Transient(None),
        }
    }
}

/// A blob that is on its way.
struct Download<'a> {
    repository: &'a Repository,
    digest: &'a Digest,
    size: u64,
    received: u64,
    out: &'a Sender<Result<Bytes, DownloadError>>,
}

impl Repository {
    /// Sends the `size` bytes of a blob to `out`, or why they do not come. It ends early if nobody wants them any
    /// more.
    pub(crate) async fn download(
        &self,
        digest: &Digest,
        size: u64,
        out: &Sender<Result<Bytes, DownloadError>>,
    ) {
        let mut download = Download { repository: self, digest, size, received: 0, out };
        let (mut failures, mut failed_at) = (0, 0);
        while let Err(error) = download.go_on().await {
            if download.received >= failed_at + PROGRESS_BYTES {
                failures = 0;
            }
            (failures, failed_at) = (failures + 1, download.received);
            let Some(wait) = self.registries.wait_after(failures, error.nature()) else {
                // Whoever wanted it may have gone meanwhile.
                let _ = out.send(Err(error)).await;
                return;
            };
            tracing::debug!(%digest, error = &error as &dyn std::error::Error, ?wait, "resumed soon");
            tokio::time::sleep(wait).await;
        }
    }
}

impl Download<'_> {
    /// Fetches what is left.
    async fn go_on(&mut self) -> Result<(), DownloadError> {
        if self.received == self.size && self.size > 0 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        if self.received > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.received));
            headers.insert(RANGE, range.expect("digits are a header's value"));
        }
        let ask = Ask {
            method: Method::GET,
            path: self.repository.blob_path(self.digest),
            scopes: vec![self.repository.pull_scope()],
            headers,
            body: None,
            most: None,
        };
        let answer = self.repository.registries.ask(&self.repository.host, &ask).await?;
        let known = self.begin(&answer)?;
        self.copy(answer, known).await
    }

    /// Returns how many of the bytes that will come are known already.
    fn begin(&self, answer: &Answer) -> Result<u64, DownloadError> {
        let left = match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let value = answer.headers.get(CONTENT_RANGE).map(HeaderValue::as_bytes).unwrap_or_default();
                let found = String::from_utf8_lossy(value).into_owned();
                if range(&found) != Some((self.received, self.size)) {
                    let (host, offset) = (self.host(), self.received);
                    return Err(DownloadError::WrongRange { host, offset, found });
                }
                self.size - self.received
            }
            _ => self.size,
        };
        match answer.rest.content_length() {
            Some(length) if length > left => Err(self.wrong_size(self.size - left + length)),
            _ => Ok(self.received - (self.size - left)),
        }
    }

    /// Passes on what comes, but for the first `known` bytes.
    async fn copy(&mut self, mut answer: Answer, mut known: u64) -> Result<(), DownloadError> {
        let broken = |source| DownloadError::Exchange(transport(&self.repository.host, source));
        while let Some(mut chunk) = answer.rest.chunk().await.map_err(broken)? {
            let left_out = known.min(chunk.len() as u64);
            known -= left_out;
            let chunk = chunk.split_off(usize::try_from(left_out).unwrap_or(chunk.len()));
            let received = self.received + chunk.len() as u64;
            if received > self.size {
                return Err(self.wrong_size(received));
            }
            self.received = received;
            if !chunk.is_empty() && self.out.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        if self.received == self.size {
            return Ok(());
        }
        Err(DownloadError::BreaksOff { host: self.host(), received: self.received, expected: self.size })
    }

    fn wrong_size(&self, found: u64) -> DownloadError {
        DownloadError::WrongSize { host: self.host(), expected: self.size, found }
    }

    fn host(&self) -> String {
        self.repository.host.clone()
    }
}

/// Reads `bytes FIRST-LAST/SIZE` where the bytes go to the end, and returns the first and the size.
fn range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last.checked_add(1) == Some(size)).then_some((first, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_goes_to_the_end_or_is_none() {
        assert_eq!(range("bytes 5-9/10"), Some((5, 10)));
        for bad in [
            "",
            "bytes 5-8/10",
            "bytes 5-9/*",
            "bytes 9-5/10",
            "5-9/10",
            "bytes */10",
            "bytes 5-18446744073709551615/0",
        ] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
