//! Packs a folder into a layer, which unpacks to the same folder.
//!
//! ```text
//! folder ── its own member ── .wh..wh..opq, if it hides what is below ── .wh.NAME for what is gone ── the rest, by name
//! ```
//!
//! The same folder always gives the same bytes: the order is that of the names' bytes, times are whole seconds,
//! owners are numbers. A folder that is being written to is read without ever following a link out of it.
//!
//! Sources: OCI Image Specification, `layer.md`; Linux `Documentation/filesystems/overlayfs.rst`.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, major, minor, openat,
    readlinkat, statat, utimensat,
};
use rustix::io::Errno;
use trice_sys::resolve::open_below;

use crate::archive::Archive;
use crate::members::{Kind, Member};
use crate::xattr::{self, Xattr};

/// How a folder is packed.
#[derive(Debug, Clone, Default)]
pub struct Packing {
    /// The folder is one of overlayfs: whiteouts are what hides things, and not devices.
    pub overlay: bool,
    /// No time is later than this, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    pub latest: Option<i64>,
    /// Files and folders give their times up for those that are packed, so that both are the same.
    pub settle: bool,
    /// Paths that are left out, with all that is below.
    pub skip: BTreeSet<PathBuf>,
    /// Folders of which nothing that is in them is packed.
    pub hollow: BTreeSet<PathBuf>,
}

/// What was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// How many members there are.
    pub members: u64,
    /// The bytes of all files.
    pub bytes: u64,
}

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something in it cannot be read.
    #[error("read `{path}`")]
    Read {
        /// Its path in the folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// A file got shorter while it was read.
    #[error("`{path}` was changed while it was packed")]
    Changed {
        /// Its path in the folder.
        path: PathBuf,
    },
    /// A name means something else in a layer.
    #[error("`{path}` cannot be in a layer: there, names that begin with `.wh.` say what is deleted")]
    Whiteout {
        /// Its path in the folder.
        path: PathBuf,
    },
    /// The folder is only half of what it shows.
    #[error("`{path}` is a part of the layers below: mount them with `redirect_dir=off,metacopy=off`")]
    Half {
        /// Its path in the folder.
        path: PathBuf,
    },
}

/// Writes the content of the folder `root` to `output`.
///
/// # Errors
/// [`PackError`] at the first thing that does not go.
pub fn pack(root: BorrowedFd<'_>, packing: &Packing, output: impl Write) -> Result<Packed, PackError> {
    let output = io::BufWriter::with_capacity(BUFFER_BYTES, output);
    let (archive, links) = (Archive::new(output), HashMap::new());
    let prefix = PathBuf::new();
    let mut packer = Packer { root, packing, archive, links, packed: Packed::default(), prefix };
    packer.folder(Path::new(""))?;
    packer.archive.finish().map_err(PackError::Write)?;
    Ok(packer.packed)
}

/// The same, with the folder's own member `name` before it and in front of all paths; without a name it is left out.
///
/// # Errors
/// [`PackError`] at the first thing that does not go.
pub fn pack_below(
    name: &Path,
    root: BorrowedFd<'_>,
    packing: &Packing,
    output: impl Write,
) -> Result<Packed, PackError> {
    if name.as_os_str().is_empty() {
        return pack(root, packing, output);
    }
    let output = io::BufWriter::with_capacity(BUFFER_BYTES, output);
    let (archive, links) = (Archive::new(output), HashMap::new());
    let mut packer =
        Packer { root, packing, archive, links, packed: Packed::default(), prefix: name.to_owned() };
    let failed = |source: Errno| PackError::Read { path: name.to_owned(), source: source.into() };
    let stat = rustix::fs::fstat(root).map_err(failed)?;
    let own = Found { name: OsString::new(), stat, file: None, xattrs: Vec::new() };
    let member = packer.describe(Path::new(""), Kind::Folder, &own);
    packer.archive.begin(&member).map_err(PackError::Write)?;
    packer.folder(Path::new(""))?;
    packer.archive.finish().map_err(PackError::Write)?;
    Ok(packer.packed)
}

/// Writes what is no folder, at which `place` is open, as the only member, `name`.
///
/// # Errors
/// [`PackError`].
pub fn pack_one(name: &Path, place: BorrowedFd<'_>, output: impl Write) -> Result<(), PackError> {
    let failed = |source: Errno| PackError::Read { path: name.to_owned(), source: source.into() };
    let stat = rustix::fs::fstat(place).map_err(failed)?;
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => {
            Kind::Symlink { target: readlinkat(place, "", Vec::new()).map_err(failed)?.into_bytes() }
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Directory | FileType::Socket | FileType::Unknown => return Err(failed(Errno::INVAL)),
    };
    let mut archive = Archive::new(io::BufWriter::with_capacity(BUFFER_BYTES, output));
    let size = if kind == Kind::File { stat.st_size.unsigned_abs() } else { 0 };
    let member = Member {
        path: name.as_os_str().as_bytes().to_vec(),
        size,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, 0),
        xattrs: Vec::new(),
        kind,
    };
    archive.begin(&member).map_err(PackError::Write)?;
    if member.kind == Kind::File {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&place));
        let file =
            openat(rustix::fs::CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        archive.content(File::from(file), size).map_err(PackError::Write)?;
    }
    archive.finish().map_err(PackError::Write)?;
    Ok(())
}

/// How much is written at a time.
const BUFFER_BYTES: usize = 128 << 10;

struct Packer<'a, W: Write> {
    root: BorrowedFd<'a>,
    packing: &'a Packing,
    archive: Archive<W>,
    /// The first paths of files that have several, by device and number.
    links: HashMap<(u64, u64), PathBuf>,
    packed: Packed,
    /// What stands before all paths.
    prefix: PathBuf,
}

/// What a thing in a folder is.
struct Found {
    name: OsString,
    stat: Stat,
    /// The file, if it is one that can be opened.
    file: Option<File>,
    xattrs: Vec<Xattr>,
}

impl<W: Write> Packer<'_, W> {
    /// Packs all that is in the folder `top` and below it.
    fn folder(&mut self, top: &Path) -> Result<(), PackError> {
        let mut open = vec![(top.to_owned(), self.list(top)?)];
        while let Some((folder, left)) = open.last_mut() {
            let Some(found) = left.next() else {
                open.pop();
                continue;
            };
            let path = folder.join(&found.name);
            let is_folder = FileType::from_raw_mode(found.stat.st_mode) == FileType::Directory;
            self.member(&path, found)?;
            if is_folder && !self.packing.hollow.contains(&path) {
                let inner = self.list(&path)?;
                open.push((path, inner));
            }
        }
        Ok(())
    }

    /// Writes what a folder hides of the layers below, and returns the rest, sorted by name.
    fn list(&mut self, path: &Path) -> Result<std::vec::IntoIter<Found>, PackError> {
        let unreadable = |error: Errno| PackError::Read { path: path.to_owned(), source: error.into() };
        let folder = match self.open(path) {
            // It has just gone: somebody uses what is packed.
            Err(Errno::NOENT) => return Ok(Vec::new().into_iter()),
            folder => folder.map_err(unreadable)?,
        };
        if self.packing.overlay && is_opaque(&folder).map_err(unreadable)? {
            self.hide(&path.join(".wh..wh..opq"), 0o755)?;
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." && !self.packing.skip.contains(&path.join(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let path = path.join(&name);
            let found =
                find(&folder, name).map_err(|source| PackError::Read { path: path.clone(), source })?;
            let Some(found) = found else { continue };
            match self.packing.overlay && is_whiteout(&found) {
                true => self.hide(&hiding(&path), 0o600)?,
                false => all.push(Found { file: None, ..found }),
            }
        }
        Ok(all.into_iter())
    }

    /// Writes a mark that hides something.
    fn hide(&mut self, path: &Path, mode: u32) -> Result<(), PackError> {
        let (path, kind) = (path.as_os_str().as_bytes().to_vec(), Kind::File);
        let member = Member { path, kind, size: 0, mode, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new() };
        self.packed.members += 1;
        self.archive.begin(&member).map_err(PackError::Write)
    }

    fn member(&mut self, path: &Path, found: Found) -> Result<(), PackError> {
        if found.name.as_bytes().starts_with(b".wh.") {
            return Err(PackError::Whiteout { path: path.to_owned() });
        }
        let unreadable = |source| PackError::Read { path: path.to_owned(), source };
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = self.open(parent).map_err(|error| unreadable(error.into()))?;
        let name = found.name.as_os_str();
        // It is looked at again: what was a file a moment ago may be a link now.
        let Some(found) = find(&folder, name.to_owned()).map_err(unreadable)? else { return Ok(()) };
        let is_half =
            |(name, _): &Xattr| matches!(xattr::overlay_name(name), Some(b"redirect" | b"metacopy"));
        if self.packing.overlay && found.xattrs.iter().any(is_half) {
            return Err(PackError::Half { path: path.to_owned() });
        }
        let Some(kind) = self.kind(path, &folder, &found).map_err(|error| unreadable(error.into()))? else {
            return Ok(());
        };
        let member = self.describe(path, kind, &found);
        self.archive.begin(&member).map_err(PackError::Write)?;
        self.packed.members += 1;
        if let (Kind::File, Some(file)) = (&member.kind, &found.file) {
            self.packed.bytes += member.size;
            self.content(path, file, member.size)?;
        }
        if self.packing.settle && (found.stat.st_mtime, found.stat.st_mtime_nsec) > (member.mtime.0, 0) {
            let time = Timespec { tv_sec: member.mtime.0, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(&folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| unreadable(error.into()))?;
        }
        Ok(())
    }

    /// Returns what a thing is in an archive; nothing if it is a socket, which only its program can make.
    fn kind(&mut self, path: &Path, folder: &OwnedFd, found: &Found) -> Result<Option<Kind>, Errno> {
        let kind = FileType::from_raw_mode(found.stat.st_mode);
        if kind != FileType::Directory && found.stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(found.stat.st_dev, found.stat.st_ino)) {
                let target = self.prefix.join(first).as_os_str().as_bytes().to_vec();
                return Ok(Some(Kind::HardLink { target }));
            }
            self.links.insert((found.stat.st_dev, found.stat.st_ino), path.to_owned());
        }
        let (major, minor) = (major(found.stat.st_rdev), minor(found.stat.st_rdev));
        Ok(match kind {
            FileType::RegularFile => Some(Kind::File),
            FileType::Directory => Some(Kind::Folder),
            FileType::Symlink => {
                Some(Kind::Symlink { target: readlinkat(folder, &found.name, Vec::new())?.into_bytes() })
            }
            FileType::CharacterDevice => Some(Kind::CharDevice { major, minor }),
            FileType::BlockDevice => Some(Kind::BlockDevice { major, minor }),
            FileType::Fifo => Some(Kind::Fifo),
            FileType::Socket | FileType::Unknown => None,
        })
    }

    fn describe(&self, path: &Path, kind: Kind, found: &Found) -> Member {
        let mut name = self.prefix.join(path).as_os_str().as_bytes().to_vec();
        // A prefix of its own ends in a slash already where there is nothing behind it.
        if kind == Kind::Folder && !name.ends_with(b"/") {
            name.push(b'/');
        }
        let seconds =
            self.packing.latest.map_or(found.stat.st_mtime, |latest| found.stat.st_mtime.min(latest));
        let kept = found.xattrs.iter().filter(|(name, _)| xattr::is_kept(name) && !name.contains(&b'='));
        let xattrs = if matches!(kind, Kind::HardLink { .. }) { Vec::new() } else { kept.cloned().collect() };
        let size = if kind == Kind::File { found.stat.st_size.unsigned_abs() } else { 0 };
        Member {
            path: name,
            size,
            mode: found.stat.st_mode & 0o7777,
            uid: found.stat.st_uid,
            gid: found.stat.st_gid,
            mtime: (seconds, 0),
            xattrs,
            kind,
        }
    }

    /// Writes the first `size` bytes of a file. What was added to it since belongs to a later moment.
    fn content(&mut self, path: &Path, file: &File, size: u64) -> Result<(), PackError> {
        let mut failed = None;
        let outcome = self.archive.content(Telling { file, failed: &mut failed }, size);
        match (outcome, failed) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(source)) => Err(PackError::Read { path: path.to_owned(), source }),
            (Err(error), None) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(PackError::Changed { path: path.to_owned() })
            }
            (Err(error), None) => Err(PackError::Write(error)),
        }
    }

    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let at = if path == Path::new("") { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        open_below(self.root, at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, resolve)
    }
}

/// A reader that tells its own errors from those of whoever writes.
struct Telling<'a> {
    file: &'a File,
    failed: &'a mut Option<io::Error>,
}

impl io::Read for Telling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| {
            let kind = error.kind();
            *self.failed = Some(error);
            kind.into()
        })
    }
}

/// Looks at `name` in `folder`; `None` if it is gone.
fn find(folder: &OwnedFd, name: OsString) -> io::Result<Option<Found>> {
    let stat = match statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        stat => stat?,
    };
    let is_openable =
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory);
    if !is_openable {
        return Ok(Some(Found { name, stat, file: None, xattrs: Vec::new() }));
    }
    // A FIFO that took the place of the file meanwhile must not make anybody wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, &name, flags, Mode::empty())?;
    let (stat, xattrs) = (rustix::fs::fstat(&file)?, xattr::all(&file)?);
    Ok(Some(Found { name, stat, file: Some(File::from(file)), xattrs }))
}

/// Tells whether overlayfs hides behind a folder what the layers below have there.
pub(crate) fn is_opaque(folder: impl AsFd) -> Result<bool, Errno> {
    let is_mark =
        |(name, value): &(Vec<u8>, Vec<u8>)| xattr::overlay_name(name) == Some(b"opaque") && value == b"y";
    Ok(xattr::all(folder)?.iter().any(is_mark))
}

/// Tells whether overlayfs takes a thing for a whiteout: a device with number 0:0, or an empty file with a mark.
fn is_whiteout(found: &Found) -> bool {
    match FileType::from_raw_mode(found.stat.st_mode) {
        FileType::CharacterDevice => found.stat.st_rdev == 0,
        FileType::RegularFile => {
            found.stat.st_size == 0
                && found.xattrs.iter().any(|(name, _)| xattr::overlay_name(name) == Some(b"whiteout"))
        }
        _ => false,
    }
}

/// Returns the path of the mark that hides `path`.
fn hiding(path: &Path) -> PathBuf {
    let mut name = OsString::from(".wh.");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
