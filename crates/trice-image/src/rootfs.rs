//! Folders that are used as root file systems, as they are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use trice_model::image::{ImageConfig, ObservedImage};

/// Why a folder is no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// It cannot be looked at.
    #[error("open the root file system `{path}`")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is none.
    #[error(
        "the root file system `{path}` is not a folder: write `docker-archive:` or `oci-archive:` for a file"
    )]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
}

/// Looks at the folder. Its id is that of the folder, not of its content, which may change at any time.
pub(crate) fn observe(path: &Path) -> Result<ObservedImage, RootfsError> {
    let found = fs::metadata(path).map_err(|source| RootfsError::Open { path: path.to_owned(), source })?;
    if !found.is_dir() {
        return Err(RootfsError::NoFolder { path: path.to_owned() });
    }
    let id = format!("rootfs:{}:{}:{}", path.display(), found.dev(), found.ino());
    Ok(ObservedImage { id, layers: vec![path.to_owned()], config: ImageConfig::default() })
}
