//! What files are, in one word: the same names, permissions and content have the same digest, wherever and whenever
//! they were made.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use blake3::Hasher;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::select::{Item, Top};
use crate::stamps::{ContentDigest, Stamps};
use trice_image::xattr;

/// How files are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    /// Whose they are matters: they are not given to somebody else.
    pub(crate) owners: bool,
    /// Their permissions matter: they do not get others.
    pub(crate) modes: bool,
    /// The names of the tops matter: those of folders, whose content is copied, do not.
    pub(crate) folder_names: bool,
}

/// Why files cannot be counted.
#[derive(Debug, thiserror::Error)]
#[error("read `{}`", path.display())]
pub(crate) struct CountError {
    path: PathBuf,
    #[source]
    source: Errno,
}

/// Returns the digest of all that is meant.
pub(crate) fn digest(
    tops: &[Top],
    counting: Counting,
    stamps: Option<&Stamps>,
) -> Result<String, CountError> {
    let mut all = Hasher::new();
    for top in tops {
        if !top.is_folder() || counting.folder_names {
            text(&mut all, top.name.as_bytes());
        }
        for item in &top.items {
            add(&mut all, top, item, counting, stamps).map_err(|source| {
                let path = Path::new(&top.name).join(&item.path);
                CountError { path, source }
            })?;
        }
    }
    Ok(all.finalize().to_hex().to_string())
}

fn add(
    all: &mut Hasher,
    top: &Top,
    item: &Item,
    counting: Counting,
    stamps: Option<&Stamps>,
) -> Result<(), Errno> {
    let is_top_folder = item.path.as_os_str().is_empty() && item.kind == FileType::Directory;
    text(all, item.path.as_os_str().as_bytes());
    text(all, format!("{:?}", item.kind).as_bytes());
    // Of a folder whose content is copied only the content counts.
    if is_top_folder {
        return Ok(());
    }
    if counting.modes {
        number(all, u64::from(item.mode()));
    }
    if counting.owners {
        number(all, u64::from(item.stat.st_uid));
        number(all, u64::from(item.stat.st_gid));
    }
    match item.kind {
        FileType::RegularFile => {
            let read = || content(top, item);
            let digest = match stamps {
                Some(stamps) => stamps.digest(&item.stat, read)?,
                None => read()?,
            };
            all.update(&digest);
        }
        FileType::Symlink => {
            text(all, item.target.as_deref().unwrap_or(Path::new("")).as_os_str().as_bytes());
        }
        FileType::CharacterDevice | FileType::BlockDevice => number(all, item.stat.st_rdev),
        FileType::Directory | FileType::Fifo | FileType::Socket | FileType::Unknown => {}
    }
    Ok(())
}

/// Reads a file.
fn content(top: &Top, item: &Item) -> Result<ContentDigest, Errno> {
    let file = File::from(item.open(top)?);
    let mut hasher = Hasher::new();
    for (name, value) in xattr::own(file.as_fd())? {
        text(&mut hasher, &name);
        text(&mut hasher, &value);
    }
    number(&mut hasher, u64::MAX);
    let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    hasher.update_reader(&file).map_err(io)?;
    Ok(*hasher.finalize().as_bytes())
}

fn text(all: &mut Hasher, bytes: &[u8]) {
    number(all, bytes.len() as u64);
    all.update(bytes);
}

fn number(all: &mut Hasher, number: u64) {
    all.update(&number.to_le_bytes());
}
