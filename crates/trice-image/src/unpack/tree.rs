//! The folder that a layer is unpacked into.
//!
//! No path is ever given to the kernel whole. A folder is resolved beneath the root, once, and kept as a
//! descriptor; what is made in it has a single name, and is made only where nothing is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dev, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, XattrFlags, fchmod, fsetxattr,
    linkat, mkdirat, mknodat, openat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use trice_sys::resolve::open_below;
use trice_sys::writeback;

use super::metadata::{apply, apply_time, apply_to_link, apply_to_node};
use crate::members::Member;
use crate::xattr::OPAQUE;

/// How many folders are kept open.
const OPEN_FOLDERS: usize = 128;

/// How much is copied at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// Files of so many bytes are written back to the disk while the next ones are unpacked.
const WORTH_BEGINNING: u64 = 32 << 10;

/// What is in the way of a member.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something that is no folder is where its folder should be.
    #[error("a part of its path is not a folder")]
    NoFolder,
    /// A link on the way to it leads nowhere inside the layer.
    #[error("a link on its path leads nowhere in this layer")]
    DanglingFolder,
    /// The archive ends, or cannot be read, in the middle of its content.
    #[error("read its content")]
    Content(#[source] io::Error),
    /// The kernel refuses.
    #[error(transparent)]
    Kernel(io::Error),
}

impl From<Errno> for TreeError {
    fn from(error: Errno) -> Self {
        Self::Kernel(error.into())
    }
}

/// A layer that is being unpacked.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    aside: BorrowedFd<'a>,
    /// The next name in `aside`.
    next_aside: u64,
    /// Folders by their paths. It is emptied whenever something that was there goes.
    open: HashMap<PathBuf, Rc<OwnedFd>>,
    /// The times of folders, which what is made in them changes.
    times: BTreeMap<PathBuf, (i64, u32)>,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Begins in the empty folder `root`.
    pub(super) fn new(root: BorrowedFd<'a>, aside: BorrowedFd<'a>) -> Self {
        let (open, times) = (HashMap::new(), BTreeMap::new());
        Self { root, aside, next_aside: 0, open, times, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Gives the root what `member` says.
    pub(super) fn root(&mut self, member: &Member) -> Result<(), TreeError> {
        apply(openat(self.root, ".", READ_FOLDER, Mode::empty())?, member)?;
        self.times.insert(PathBuf::new(), member.mtime);
        Ok(())
    }

    /// Makes a file with the content that follows.
    pub(super) fn file(
        &mut self,
        folder: &Path,
        name: &OsStr,
        member: &Member,
        content: &mut impl Read,
    ) -> Result<(), TreeError> {
        let folder = self.resolve(folder)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.make(&folder, name, || openat(&folder, name, flags, Mode::RUSR | Mode::WUSR))?;
        self.copy(&file, member.size, content)?;
        if member.size >= WORTH_BEGINNING {
            // The whole layer will be waited for; where the kernel does not begin now, that takes longer.
            let _ = writeback::begin(file.as_fd());
        }
        apply(&file, member)?;
        Ok(apply_time(&file, member.mtime)?)
    }

    /// Makes a folder, or changes the one that is there.
    pub(super) fn folder(&mut self, folder: &Path, name: &OsStr, member: &Member) -> Result<(), TreeError> {
        let parent = self.resolve(folder)?;
        let found = stat_of(&parent, name)?;
        if !found.is_some_and(|found| is_folder(&found)) {
            self.make(&parent, name, || mkdirat(&parent, name, Mode::RWXU))?;
        }
        let made = openat(&parent, name, READ_FOLDER, Mode::empty())?;
        if found.is_some_and(|found| is_whiteout(&found)) {
            hide_below(&made)?;
        }
        apply(&made, member)?;
        self.times.insert(folder.join(name), member.mtime);
        Ok(())
    }

    /// Makes a symbolic link, whatever it points to.
    pub(super) fn symlink(
        &mut self,
        folder: &Path,
        name: &OsStr,
        target: &[u8],
        member: &Member,
    ) -> Result<(), TreeError> {
        let folder = self.resolve(folder)?;
        self.make(&folder, name, || symlinkat(target, &folder, name))?;
        Ok(apply_to_link(&folder, name, member)?)
    }

    /// Makes a hard link to `target`, and tells whether there is such a file. A link that is a target is
    /// linked itself.
    pub(super) fn hard_link(
        &mut self,
        folder: &Path,
        name: &OsStr,
        target: &Path,
    ) -> Result<bool, TreeError> {
        let (Some(target_folder), Some(target_name)) = (target.parent(), target.file_name()) else {
            return Ok(false);
        };
        let Some(target_folder) = self.find(target_folder)? else { return Ok(false) };
        let Some(found) = stat_of(&target_folder, target_name)? else { return Ok(false) };
        if is_folder(&found) || is_whiteout(&found) {
            return Ok(false);
        }
        let folder = self.resolve(folder)?;
        if stat_of(&folder, name)?.is_some_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino))
        {
            return Ok(true); // to replace it would be to delete the target
        }
        self.make(&folder, name, || linkat(&target_folder, target_name, &folder, name, AtFlags::empty()))?;
        Ok(true)
    }

    /// Makes a device with its number, or a FIFO.
    pub(super) fn node(
        &mut self,
        folder: &Path,
        name: &OsStr,
        (kind, number): (FileType, Dev),
        member: &Member,
    ) -> Result<(), TreeError> {
        let folder = self.resolve(folder)?;
        self.make(&folder, name, || mknodat(&folder, name, kind, Mode::empty(), number))?;
        Ok(apply_to_node(&folder, name, member)?)
    }

    /// Hides `name` of the layers below. What this layer has of that name stays.
    pub(super) fn whiteout(&mut self, folder: &Path, name: &OsStr) -> Result<(), TreeError> {
        let parent = self.resolve(folder)?;
        match stat_of(&parent, name)? {
            None => Ok(mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)?),
            Some(found) if is_folder(&found) => {
                Ok(hide_below(openat(&parent, name, READ_FOLDER, Mode::empty())?)?)
            }
            Some(_) => Ok(()),
        }
    }

    /// Hides what the layers below have in `folder`.
    pub(super) fn opaque(&mut self, folder: &Path) -> Result<(), TreeError> {
        let folder = self.resolve(folder)?;
        Ok(hide_below(openat(&folder, ".", READ_FOLDER, Mode::empty())?)?)
    }

    /// Gives folders their times, when nothing more is made in them.
    pub(super) fn finish_folders(&mut self) -> Result<(), TreeError> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            // What is no longer a folder was replaced by a later member.
            if let Some(folder) = self.find(&path)? {
                apply_time(openat(&folder, ".", READ_FOLDER, Mode::empty())?, mtime)?;
            }
        }
        Ok(())
    }

    /// Makes something where nothing is, and moves away what is there.
    fn make<T>(
        &mut self,
        folder: &OwnedFd,
        name: &OsStr,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, TreeError> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(folder, name)?;
                Ok(make()?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn clear(&mut self, folder: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        self.open.clear(); // a path may lead elsewhere from now on
        match unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                let free = self.next_aside.to_string();
                self.next_aside += 1;
                renameat_with(folder, name, self.aside, free, RenameFlags::NOREPLACE)
            }
            outcome => outcome,
        }
    }

    /// Copies `size` bytes of `content`.
    fn copy(&mut self, file: &OwnedFd, size: u64, content: &mut impl Read) -> Result<(), TreeError> {
        let mut left = size;
        while left > 0 {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => return Err(TreeError::Content(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TreeError::Content(error)),
            };
            write_all(file, &self.buffer[..read])?;
            left = left.saturating_sub(read as u64);
        }
        Ok(())
    }

    /// Returns the folder at `path`, and makes those on the way that are missing.
    fn resolve(&mut self, path: &Path) -> Result<Rc<OwnedFd>, TreeError> {
        if let Some(folder) = self.find(path)? {
            return Ok(folder);
        }
        let mut at = PathBuf::new();
        let mut folder = self.find(&at)?.ok_or(TreeError::NoFolder)?;
        for name in path {
            at.push(name);
            folder = match self.find(&at)? {
                Some(folder) => folder,
                None => self.invent(&folder, name)?,
            };
        }
        Ok(folder)
    }

    /// Makes a folder of which the layer says nothing, with mode 0755 as Docker does.
    fn invent(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<Rc<OwnedFd>, TreeError> {
        let found = stat_of(parent, name)?;
        match found {
            None => {}
            // Here it is both gone from the layers below and there again with something in it.
            Some(found) if is_whiteout(&found) => self.clear(parent, name)?,
            Some(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                return Err(TreeError::DanglingFolder);
            }
            Some(_) => return Err(TreeError::NoFolder),
        }
        mkdirat(parent, name, Mode::RWXU)?;
        let made = openat(parent, name, READ_FOLDER, Mode::empty())?;
        fchmod(&made, Mode::from_raw_mode(0o755))?; // the umask has no say in it
        if found.is_some() {
            hide_below(&made)?;
        }
        Ok(Rc::new(made))
    }

    /// Returns the folder at `path`, if there is one. Links of this layer are followed as if its root were
    /// `/`.
    fn find(&mut self, path: &Path) -> Result<Option<Rc<OwnedFd>>, TreeError> {
        if let Some(folder) = self.open.get(path) {
            return Ok(Some(Rc::clone(folder)));
        }
        let at = if path == Path::new("") { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |resolve| open_below(self.root, at, flags, resolve | ResolveFlags::NO_MAGICLINKS);
        let found = match open(ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
            Err(Errno::LOOP) => open(ResolveFlags::IN_ROOT),
            outcome => outcome,
        };
        match found {
            Ok(folder) => {
                if self.open.len() >= OPEN_FOLDERS {
                    self.open.clear();
                }
                let folder = Rc::new(folder);
                self.open.insert(path.to_owned(), Rc::clone(&folder));
                Ok(Some(folder))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// How a folder is opened that is changed: itself, never where a link of its name leads.
const READ_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn hide_below(folder: impl AsFd) -> Result<(), Errno> {
    fsetxattr(folder, OPAQUE, b"y", XattrFlags::empty())
}

/// Returns what is known of `name`, itself and not where it leads; `None` if there is nothing.
fn stat_of(folder: &OwnedFd, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

/// Tells whether something is what overlayfs takes for a whiteout: a character device with number 0:0.
fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice && found.st_rdev == 0
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
