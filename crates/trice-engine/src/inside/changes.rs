//! What a container has changed of its image's files: a look at what it has written, and at what was there before.
//!
//! ```text
//! whiteout                       deleted
//! in a layer of the image too    changed; a folder only if it differs itself, or something in it is told
//! otherwise                      added
//! ```
//!
//! Where something is mounted, there is a place for it that the container has not made.
//!
//! Source: Linux `Documentation/filesystems/overlayfs.rst`, "whiteouts and opaque directories".

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use trice_api::inside::{Change, ChangeKind};
use trice_model::container::ContainerSpec;
use trice_runtime::lower::MadeFile;

/// Returns the changes in `upper`, sorted by path.
pub(super) fn of(upper: &Path, spec: &ContainerSpec) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    Looking { upper, layers: &spec.layers, places: places(spec) }.folder(Path::new(""), &mut changes)?;
    changes.sort();
    Ok(changes)
}

/// Returns the paths, without their slash at the beginning, at which something is mounted.
pub(super) fn places(spec: &ContainerSpec) -> BTreeSet<PathBuf> {
    let mounts = spec.mounts.iter().map(|mount| mount.target.clone());
    let own = ["/dev", "/proc", "/sys", "/sbin/docker-init"].map(PathBuf::from);
    let files = MadeFile::ALL.map(|file| Path::new("/etc").join(file.name()));
    let all = mounts.chain(own).chain(files);
    all.map(|path| path.strip_prefix("/").map_or_else(|_| path.clone(), Path::to_owned)).collect()
}

struct Looking<'a> {
    upper: &'a Path,
    layers: &'a [PathBuf],
    places: BTreeSet<PathBuf>,
}

impl Looking<'_> {
    /// Looks at what is in a folder; returns whether anything was told.
    fn folder(&self, folder: &Path, changes: &mut Vec<Change>) -> io::Result<bool> {
        let before = changes.len();
        for entry in fs::read_dir(self.upper.join(folder))? {
            let path = folder.join(entry?.file_name());
            match fs::symlink_metadata(self.upper.join(&path)) {
                // It has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => self.item(&path, &other?, changes)?,
            }
        }
        Ok(changes.len() > before)
    }

    fn item(&self, path: &Path, found: &fs::Metadata, changes: &mut Vec<Change>) -> io::Result<()> {
        let tell = |changes: &mut Vec<Change>, kind| {
            changes.push(Change { path: format!("/{}", path.display()), kind });
        };
        if found.file_type().is_char_device() && found.rdev() == 0 {
            tell(changes, ChangeKind::Deleted);
            return Ok(());
        }
        let below = self.below(path);
        if !found.is_dir() {
            match below {
                _ if self.places.contains(path) && found.len() == 0 => {}
                Some(_) => tell(changes, ChangeKind::Changed),
                None => tell(changes, ChangeKind::Added),
            }
            return Ok(());
        }
        let has_changes = self.folder(path, changes)?;
        let is_place = self.places.iter().any(|place| place.starts_with(path));
        match below {
            Some(below) if below.is_dir() => {
                let same = |one: &fs::Metadata, other: &fs::Metadata| {
                    (one.mode(), one.uid(), one.gid()) == (other.mode(), other.uid(), other.gid())
                };
                if has_changes || !same(found, &below) {
                    tell(changes, ChangeKind::Changed);
                }
            }
            Some(_) => tell(changes, ChangeKind::Changed),
            None if is_place && !has_changes => {}
            None => tell(changes, ChangeKind::Added),
        }
        Ok(())
    }

    /// Returns what the image has at a path.
    fn below(&self, path: &Path) -> Option<fs::Metadata> {
        for layer in self.layers {
            // A layer above may have taken a folder on the way away.
            let mut way = PathBuf::new();
            for part in path.components() {
                way.push(part);
                let found = fs::symlink_metadata(layer.join(&way)).ok();
                if found.as_ref().is_some_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
                {
                    return None;
                }
                if found.is_none() {
                    break;
                }
            }
            if let Ok(found) = fs::symlink_metadata(layer.join(path)) {
                return Some(found);
            }
        }
        None
    }
}
