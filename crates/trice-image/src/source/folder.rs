//! The files in a folder.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open};
use rustix::io::Errno;
use trice_sys::resolve::open_below;

use super::{Files, Opened, SourceError};

/// A folder, out of which no path and no link leads.
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        match open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::NOTDIR) => Err(SourceError::NotA { path: path.to_owned(), wanted: "folder" }),
            Err(error) => Err(SourceError::Open { path: path.to_owned(), source: error.into() }),
        }
    }

    /// Opens a file in it; `None` if there is none.
    pub(crate) fn file(&self, path: &str) -> io::Result<Option<File>> {
        // A FIFO without a writer would wait for one.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match open_below(&self.0, path, flags, resolve) {
            Ok(file) => {
                let file = File::from(file);
                Ok(file.metadata()?.is_file().then_some(file))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Files for Folder {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        let Some(file) = self.file(path)? else { return Ok(None) };
        let size = file.metadata()?.len();
        Ok(Some(Opened { content: Box::new(file), size }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_inside_are_found() {
        let place = crate::testing::Folder::new();
        fs::create_dir_all(place.path("layout/blobs")).unwrap();
        fs::write(place.path("outside"), "x").unwrap();
        fs::write(place.path("layout/blobs/inside"), "x").unwrap();
        symlink("blobs/inside", place.path("layout/near")).unwrap();
        symlink("../outside", place.path("layout/far")).unwrap();
        symlink("/etc/passwd", place.path("layout/absolute")).unwrap();
        let folder = Folder::open(&place.path("layout")).unwrap();
        let found = |path| folder.file(path).unwrap().is_some();
        assert!(found("blobs/inside") && found("near"));
        for path in ["far", "absolute", "../outside", "/etc/passwd", "blobs", "none", "near/below"] {
            assert!(!found(path), "{path}");
        }
        assert!(matches!(Folder::open(&place.path("outside")).map(drop), Err(SourceError::NotA { .. })));
    }
}
