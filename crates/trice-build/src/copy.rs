//! Copies files into a tree.
//!
//! ```text
//! source is      destination is      it becomes
//! a file         a folder            a file in it
//! a file         anything else       the file itself
//! a folder       a folder, nothing   what is in it goes there
//! ```
//!
//! A link at the destination is followed inside the tree; below it, none is.
//!
//! Sources: Dockerfile reference, "COPY"; fsutil `copy/copy.go` for what it leaves open.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, fchmod, fchown, futimens,
    utimensat,
};
use rustix::io::Errno;
use trice_dockerfile::chmod::Chmod;

use crate::select::{Item, Top};
use crate::tree::{FolderLike, Place, Tree, make_folder, open_folder, own};
use trice_image::xattr;

/// What copies are like.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// Whose they are; `None` leaves them whose they were.
    pub(crate) owner: Option<(u32, u32)>,
    /// Their permissions; `None` leaves them.
    pub(crate) chmod: Option<Chmod>,
}

/// Why something is not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// A file would take the place of a folder.
    #[error("`{}` is a folder, and a file cannot take its place", .0.display())]
    IsFolder(PathBuf),
    /// A folder would take the place of something else.
    #[error("`{}` is no folder", .0.display())]
    NoFolder(PathBuf),
    /// The kernel does not do it.
    #[error("copy to `{}`", path.display())]
    Kernel {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Copies into a tree.
pub(crate) struct Copier<'a> {
    tree: &'a Tree,
    style: &'a Style,
    /// Files that have several names, with the first copy.
    links: HashMap<(u64, u64), (OwnedFd, OsString)>,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(tree: &'a Tree, style: &'a Style) -> Self {
        Self { tree, style, links: HashMap::new() }
    }

    /// What folders that are made on the way are like: as BuildKit makes them, with its umask.
    fn made(&self) -> FolderLike {
        let mode = match &self.style.chmod {
            Some(Chmod::Exactly(mode)) => *mode & 0o755,
            Some(Chmod::Changes(_)) | None => 0o755,
        };
        FolderLike { mode, owner: self.style.owner.unwrap_or((0, 0)) }
    }

    /// Copies what a source means to `destination`, which is a folder if it ends in a slash.
    pub(crate) fn copy(&mut self, top: &Top, destination: &str) -> Result<(), CopyError> {
        let target = Path::new(destination);
        let failed = |source: Errno| CopyError::Kernel { path: target.to_owned(), source: source.into() };
        self.links.clear();
        if top.is_folder() {
            let folder = self.tree.make_folders(target, self.made());
            let folder = folder.map_err(|error| not_a_folder(error, target))?;
            // The place was only a place.
            let folder = open_folder(folder.as_fd(), OsStr::new(".")).map_err(failed)?;
            return self.content(top, folder, target);
        }
        let place = self.place(target, destination.ends_with('/'), &top.name).map_err(failed)?;
        let item = &top.items[0];
        self.item(top, item, place.folder.as_fd(), &place.name, target)
    }

    /// Makes a file with this content.
    pub(crate) fn write(&mut self, name: &str, content: &[u8], destination: &str) -> Result<(), CopyError> {
        let target = Path::new(destination);
        let failed = |source: io::Error| CopyError::Kernel { path: target.to_owned(), source };
        let place = self.place(target, destination.ends_with('/'), OsStr::new(name));
        let place = place.map_err(|error| failed(error.into()))?;
        let folder = place.folder.as_fd();
        make_room(folder, &place.name, target)?;
        let mut file = File::from(create(folder, &place.name).map_err(|error| failed(error.into()))?);
        io::Write::write_all(&mut file, content).map_err(failed)?;
        let mode = self.style.chmod.as_ref().map_or(0o644, |chmod| chmod.applied(0o644, false));
        let (user, group) = self.style.owner.unwrap_or((0, 0));
        fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
            .and_then(|()| fchmod(&file, Mode::from(mode)))
            .map_err(|error| failed(error.into()))
    }

    /// Finds where a file goes.
    fn place(&self, target: &Path, is_folder: bool, name: &OsStr) -> Result<Place, Errno> {
        let inside = |folder: OwnedFd| Place { folder, name: name.to_owned() };
        if is_folder {
            return self.tree.make_folders(target, self.made()).map(inside);
        }
        let there = self.tree.stat(target)?;
        if there.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
            return self.tree.open(target).map(inside);
        }
        self.tree.make_place(target, self.made())
    }

    /// Copies what is in a folder to the folder `root`.
    fn content(&mut self, top: &Top, root: OwnedFd, target: &Path) -> Result<(), CopyError> {
        let times = times_of(&top.items[0].stat);
        // The folders on the way to the item at hand, with those that are not made yet.
        let mut way: Vec<(PathBuf, Made)> = vec![(PathBuf::new(), Made::Open(root, None))];
        let end = top.items.len();
        for index in 1..=end {
            let item = top.items.get(index);
            let above = item.map(|item| item.path.parent().unwrap_or(Path::new("")).to_owned());
            // Folders that are done get their times: what was made in them has changed them.
            while way.len() > 1
                && above.as_ref().is_none_or(|above| !above.starts_with(&way[way.len() - 1].0))
            {
                if let Some((_, Made::Open(folder, Some(times)))) = way.pop() {
                    let _ = futimens(&folder, &times);
                }
            }
            let Some(item) = item else { break };
            if item.kind == FileType::Directory && !item.meant {
                way.push((item.path.clone(), Made::Later(index)));
                continue;
            }
            self.make_way(top, &mut way, target)?;
            let Some((_, Made::Open(folder, _))) = way.last() else { continue };
            let name = item.path.file_name().unwrap_or_default();
            if item.kind == FileType::Directory {
                let made = self.folder(top, item, folder.as_fd(), name, target)?;
                way.push((item.path.clone(), made));
            } else {
                self.item(top, item, folder.as_fd(), name, &target.join(&item.path))?;
            }
        }
        if let Some((_, Made::Open(root, _))) = way.first() {
            let _ = futimens(root, &times);
        }
        Ok(())
    }

    /// Makes the folders on the way that were not made because nothing in them was copied yet.
    fn make_way(&mut self, top: &Top, way: &mut [(PathBuf, Made)], target: &Path) -> Result<(), CopyError> {
        for at in 1..way.len() {
            let Made::Later(index) = way[at].1 else { continue };
            let item = &top.items[index];
            let Made::Open(above, _) = &way[at - 1].1 else { continue };
            let name = item.path.file_name().unwrap_or_default();
            way[at].1 = self.folder(top, item, above.as_fd(), name, target)?;
        }
        Ok(())
    }

    /// Makes a folder as its source is, or makes the one that is there like it.
    fn folder(
        &self,
        top: &Top,
        item: &Item,
        above: BorrowedFd<'_>,
        name: &OsStr,
        target: &Path,
    ) -> Result<Made, CopyError> {
        let path = target.join(&item.path);
        let failed = |source: Errno| CopyError::Kernel { path: path.clone(), source: source.into() };
        let like = FolderLike { mode: 0o700, owner: (0, 0) };
        let folder = make_folder(above, name, like).map_err(|error| not_a_folder(error, &path))?;
        let source = item.open(top).map_err(failed)?;
        let style = || {
            let attributes = xattr::own(source.as_fd())?;
            self.finish(folder.as_fd(), item, true)?;
            xattr::give(folder.as_fd(), &attributes)
        };
        style().map_err(failed)?;
        Ok(Made::Open(folder, Some(times_of(&item.stat))))
    }

    /// Copies a file, a link or something else that is no folder.
    fn item(
        &mut self,
        top: &Top,
        item: &Item,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), CopyError> {
        make_room(folder, name, path)?;
        let failed = |source: io::Error| CopyError::Kernel { path: path.to_owned(), source };
        self.make(top, item, folder, name).map_err(failed)
    }

    fn make(&mut self, top: &Top, item: &Item, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = &item.stat;
        match item.kind {
            FileType::RegularFile => {
                let inode = (stat.st_dev, stat.st_ino);
                if let Some((there, first)) = self.links.get(&inode).filter(|_| stat.st_nlink > 1) {
                    rustix::fs::linkat(there, first, folder, name, AtFlags::empty())?;
                    return Ok(());
                }
                let source = item.open(top)?;
                let copy = create(folder, name)?;
                let attributes = xattr::own(source.as_fd())?;
                fill(&File::from(source), &File::from(copy.try_clone()?))?;
                self.finish(copy.as_fd(), item, false)?;
                xattr::give(copy.as_fd(), &attributes)?;
                futimens(&copy, &times_of(stat))?;
                if stat.st_nlink > 1 {
                    self.links.insert(inode, (folder.try_clone_to_owned()?, name.to_owned()));
                }
                return Ok(());
            }
            FileType::Symlink => {
                let target = item.target.as_deref().unwrap_or(Path::new(""));
                rustix::fs::symlinkat(target, folder, name)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                rustix::fs::mknodat(folder, name, item.kind, Mode::from(0o600), stat.st_rdev)?;
            }
            FileType::Directory | FileType::Unknown => return Err(Errno::INVAL.into()),
        }
        own(folder, name, self.owner(item))?;
        if item.kind != FileType::Symlink {
            let mode = self.mode(item, false);
            rustix::fs::chmodat(folder, name, Mode::from(mode), AtFlags::empty())?;
        }
        utimensat(folder, name, &times_of(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn owner(&self, item: &Item) -> (u32, u32) {
        self.style.owner.unwrap_or((item.stat.st_uid, item.stat.st_gid))
    }

    fn mode(&self, item: &Item, is_folder: bool) -> u32 {
        let mode = item.mode();
        self.style.chmod.as_ref().map_or(mode, |chmod| chmod.applied(mode, is_folder))
    }

    /// Gives a copy its owner, then its permissions: a new owner takes away bits of those.
    fn finish(&self, file: BorrowedFd<'_>, item: &Item, is_folder: bool) -> Result<(), Errno> {
        let (user, group) = self.owner(item);
        fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
        fchmod(file, Mode::from(self.mode(item, is_folder)))
    }
}

/// A folder on the way.
enum Made {
    /// It is there, with the times that it gets at the end.
    Open(OwnedFd, Option<Timestamps>),
    /// It is made when something in it is copied; the number of its item.
    Later(usize),
}

fn not_a_folder(error: Errno, path: &Path) -> CopyError {
    match error {
        Errno::NOTDIR | Errno::LOOP => CopyError::NoFolder(path.to_owned()),
        error => CopyError::Kernel { path: path.to_owned(), source: error.into() },
    }
}

/// Takes away what is in the way of a file.
fn make_room(folder: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), CopyError> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM | Errno::INVAL) => Err(CopyError::IsFolder(path.to_owned())),
        Err(error) => Err(CopyError::Kernel { path: path.to_owned(), source: error.into() }),
    }
}

fn create(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::from(0o600))
}

/// Copies the content of a file; where the file system can share it, nothing is copied at all.
fn fill(mut source: &File, mut copy: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(copy, source).is_ok() {
        return Ok(());
    }
    // The standard library has the kernel do it.
    io::copy(&mut source, &mut copy)?;
    Ok(())
}

fn times_of(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_all(tree: &Tree, path: &Path, owner: (u32, u32)) -> Result<(), CopyError> {
    let made = tree.make_folders(path, FolderLike { mode: 0o755, owner });
    made.map(drop).map_err(|error| not_a_folder(error, path))
}
