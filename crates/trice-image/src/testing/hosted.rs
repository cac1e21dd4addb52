//! Images as a registry offers them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::image::{Packing, TestFiles, TestImage};
use super::server::{Reply, Request};
use crate::digest::Digest;

/// What a registry has: documents and blobs by their paths below `/v2/`, with their types.
#[derive(Clone, Default)]
pub(crate) struct Hosted(pub(crate) BTreeMap<String, (String, Vec<u8>)>);

impl Hosted {
    /// Offers an image as `repository:tag`.
    pub(crate) fn image(self, repository: &str, tag: &str, image: &TestImage, packing: Packing) -> Self {
        let mut files = TestFiles::default();
        let descriptor = image.add_to(&mut files, packing);
        self.files(repository, tag, &files, &descriptor)
    }

    /// Offers what `descriptor` describes as `repository:tag`, and all that `files` has.
    pub(crate) fn files(
        mut self,
        repository: &str,
        tag: &str,
        files: &TestFiles,
        descriptor: &Value,
    ) -> Self {
        for (path, content) in &files.files {
            let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
            let media_type = serde_json::from_slice::<Value>(content).ok().and_then(|document| {
                let kind = if document.get("manifests").is_some() { "index" } else { "manifest" };
                document.get("schemaVersion").map(|_| format!("application/vnd.oci.image.{kind}.v1+json"))
            });
            let bytes = (
                media_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned()),
                content.clone(),
            );
            self.0.insert(format!("{repository}/blobs/sha256:{hex}"), bytes.clone());
            if media_type.is_some() {
                self.0.insert(format!("{repository}/manifests/sha256:{hex}"), bytes);
            }
        }
        let named = descriptor["digest"].as_str().unwrap();
        let document = self.0[&format!("{repository}/manifests/{named}")].clone();
        self.0.insert(format!("{repository}/manifests/{tag}"), document);
        self
    }

    /// Answers as a registry does, that knows ranges.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap().trim_start_matches("/v2/");
        let Some((media_type, content)) = self.0.get(path) else { return Reply::new(404, "") };
        let range = request.header("range").map(|range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
        });
        let reply = match range {
            None => Reply::new(200, content.clone()),
            Some(begin) => {
                let (last, size) = (content.len() - 1, content.len());
                Reply::new(206, &content[begin..])
                    .with("Content-Range", format!("bytes {begin}-{last}/{size}"))
            }
        };
        let digest = Digest::of(content).to_string();
        reply.with("Content-Type", media_type).with("Docker-Content-Digest", digest)
    }
}
