//! Files of a container as a stream of an archive, and back.
//!
//! Source: docker-container-cp(1), "-".

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, makedev, mkdirat,
    mknodat, symlinkat, utimensat,
};
use rustix::io::Errno;
use trice_image::members::{Kind, Member, Members};
use trice_image::pack::Packing;
use trice_sys::resolve::open_below;

use super::copy::{CopyError, End, Owners, create, make_room, set_mode};

/// Writes what `source` means to `output`: a folder with its name, unless only its content is meant.
pub(super) fn pack(source: &End, follow: bool, output: impl Write) -> Result<(), CopyError> {
    let from = source.source(follow)?;
    let hollow = from.hollow.iter().map(PathBuf::from).collect();
    let packing = Packing { hollow, ..Packing::default() };
    if from.kind() == FileType::Directory {
        let folder = from.read().map_err(|error| kernel(&from.path, error))?;
        let name = if source.path.ends_with("/.") { PathBuf::new() } else { PathBuf::from(&from.name) };
        trice_image::pack::pack_below(&name, folder.as_fd(), &packing, output)?;
        return Ok(());
    }
    trice_image::pack::pack_one(Path::new(&from.name), from.place.as_fd(), output)?;
    Ok(())
}

fn kernel(path: &Path, error: impl Into<io::Error>) -> CopyError {
    CopyError::Kernel { path: path.to_owned(), source: error.into() }
}

/// Unpacks an archive into the folder that `destination` means.
pub(super) fn unpack(input: impl Read + 'static, destination: &End, owners: Owners) -> Result<(), CopyError> {
    let folder = destination.folder()?.ok_or_else(|| CopyError::NotAFolder(destination.path.clone()))?;
    let mut members = Members::new(Box::new(input) as Box<dyn Read>);
    // Folders get their times and permissions last: what is made in them changes them.
    let mut folders: Vec<(PathBuf, Member)> = Vec::new();
    while let Some(member) = members.next()? {
        let Some(path) = inside(&member.path) else { continue };
        if member.kind == Kind::Folder {
            make_folders(&folder, &path)?;
            folders.push((path, member));
            continue;
        }
        let above = make_folders(&folder, path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default().to_owned();
        make_room(above.as_fd(), &name, &path)?;
        make(&folder, &above, &name, &member, &mut members).map_err(|error| kernel(&path, error))?;
        if !matches!(member.kind, Kind::HardLink { .. }) {
            finish(&above, &name, &member, owners).map_err(|error| kernel(&path, error))?;
        }
    }
    for (path, member) in folders.iter().rev() {
        let above =
            below(&folder, path.parent().unwrap_or(Path::new(""))).map_err(|error| kernel(path, error))?;
        if let Some(name) = path.file_name() {
            finish(&above, name, member, owners).map_err(|error| kernel(path, error))?;
        }
    }
    Ok(())
}

/// Returns the path of a member below the folder; `None` if that is the folder itself. What leads up stays inside.
fn inside(path: &[u8]) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(path)).components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::ParentDir => drop(inside.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    (!inside.as_os_str().is_empty()).then_some(inside)
}

/// Opens a folder below; no link is followed.
fn below(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open_below(folder, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, resolve)
}

/// Opens a folder below, and makes it and those above it where they are not there.
fn make_folders(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, CopyError> {
    let mut made = PathBuf::new();
    let mut open = below(folder, &made).map_err(|error| kernel(path, error))?;
    for part in path.components() {
        made.push(part);
        match mkdirat(&open, part.as_os_str(), Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(kernel(path, error)),
        }
        open = below(folder, &made).map_err(|error| kernel(path, error))?;
    }
    Ok(open)
}

fn make(
    root: &OwnedFd,
    above: &OwnedFd,
    name: &OsStr,
    member: &Member,
    content: &mut impl Read,
) -> io::Result<()> {
    let device = |kind, major: u32, minor: u32| {
        mknodat(above, name, kind, Mode::from(0o600), makedev(major, minor)).map_err(io::Error::from)
    };
    match &member.kind {
        Kind::File => {
            let mut file = File::from(create(above.as_fd(), name)?);
            io::copy(content, &mut file).map(drop)
        }
        Kind::Symlink { target } => Ok(symlinkat(OsStr::from_bytes(target), above, name)?),
        Kind::HardLink { target } => {
            let path = inside(target).ok_or(io::ErrorKind::InvalidData)?;
            let folder = below(root, path.parent().unwrap_or(Path::new("")))?;
            let source = path.file_name().unwrap_or_default();
            Ok(rustix::fs::linkat(&folder, source, above, name, AtFlags::empty())?)
        }
        Kind::CharDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor),
        Kind::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor),
        Kind::Fifo => device(FileType::Fifo, 0, 0),
        Kind::Folder => Ok(()),
    }
}

fn finish(above: &OwnedFd, name: &OsStr, member: &Member, owners: Owners) -> Result<(), Errno> {
    let (user, group) = match owners {
        Owners::Root => (0, 0),
        Owners::Keep => (member.uid, member.gid),
    };
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    chownat(above, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(member.kind, Kind::Symlink { .. }) {
        set_mode(above.as_fd(), name, member.mode & 0o7777)?;
    }
    let time = Timespec { tv_sec: member.mtime.0, tv_nsec: member.mtime.1.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(above, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
