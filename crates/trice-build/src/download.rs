//! Files of servers.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::builder::Tools;
use crate::error::StepError;
use crate::step::disk;

/// What a file that was fetched is called until it is copied: the name in its address may be anything.
pub(crate) const FETCHED: &str = "fetched";

impl Tools {
    /// Fetches a file into `folder`, and returns its digest. It is the reader's own, and as old as the server says.
    pub(crate) fn download(&self, url: &str, folder: &Path, stop: &AtomicBool) -> Result<String, StepError> {
        const MOST: u64 = 64 << 30;
        let failed = |source| disk("keep what was fetched", source);
        let mut options = File::options();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(folder.join(FETCHED)).map_err(failed)?;
        let mut hasher = Sha256::new();
        let take = |part: &[u8]| {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the build was cancelled"));
            }
            hasher.update(part);
            file.write_all(part)
        };
        let fetching = self.registries.download_file(url, MOST, take);
        let changed = self.runtime.block_on(fetching).map_err(|error| StepError::files(&error))?;
        // Without a word on it, it is of no time at all: the same file makes the same layer.
        file.set_modified(changed.unwrap_or(SystemTime::UNIX_EPOCH)).map_err(failed)?;
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{hex}"))
    }
}
