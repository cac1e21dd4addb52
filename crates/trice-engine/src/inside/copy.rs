//! Copies files between two roots, as `cp -r` would, and never out of either.
//!
//! ```text
//! source is              destination is      it becomes
//! a file                 a folder            a file in it
//! a file                 a file, nothing     the file itself; nothing with a slash at its end is an error
//! a folder               a folder            a folder in it; what is in it, if the source ends in `/.`
//! a folder               nothing             that folder
//! a folder               a file              an error
//! ```
//!
//! Source: docker-container-cp(1).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, chmodat,
    chownat, fchmod, fchown, fstat, futimens, mkdirat, mknodat, openat, readlinkat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use trice_image::xattr;
use trice_sys::resolve::open_below;

/// A place in a root.
#[derive(Debug)]
pub(crate) struct End {
    /// The root: nothing outside is reached.
    pub(crate) root: OwnedFd,
    /// The path in it, as it was typed: what it ends in has a meaning.
    pub(crate) path: String,
}

/// Whose copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Root's.
    Root,
    /// Those whose the files were.
    Keep,
}

/// Why something is not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// There is nothing to copy.
    #[error("`{0}` is not there")]
    NoSource(String),
    /// The folder of the destination is missing.
    #[error("`{0}` is not there, and nothing is copied to what is not")]
    NoFolder(String),
    /// A folder would become a file.
    #[error("`{0}` is a file, and a folder cannot take its place")]
    FileInTheWay(String),
    /// A file would become a folder.
    #[error("`{0}` is a folder, and a file cannot take its place")]
    FolderInTheWay(PathBuf),
    /// A stream is unpacked into a folder.
    #[error("`{0}` is not a folder")]
    NotAFolder(String),
    /// The archive is wrong.
    #[error(transparent)]
    Archive(#[from] trice_image::members::MemberError),
    /// The files cannot be packed.
    #[error(transparent)]
    Pack(#[from] trice_image::pack::PackError),
    /// The kernel does not do it.
    #[error("`{}`", path.display())]
    Kernel {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl End {
    /// Returns the path without what its end means.
    fn plain(&self) -> &Path {
        Path::new(self.path.as_str())
    }

    fn failed(&self, error: Errno) -> CopyError {
        CopyError::Kernel { path: self.path.clone().into(), source: error.into() }
    }

    /// Tells whether the content of a folder is meant, and not the folder.
    fn means_content(&self) -> bool {
        self.path.ends_with("/.") || self.path == "." || self.name().is_none()
    }

    fn ends_in_slash(&self) -> bool {
        self.path.ends_with('/') || self.path.ends_with("/.")
    }

    /// Returns the last part of the path; `None` if that is the root, or leads up.
    pub(super) fn name(&self) -> Option<&OsStr> {
        self.plain().file_name()
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        open_below(&self.root, path, flags | OFlags::CLOEXEC, resolve)
    }

    /// Opens what is there as a place; a link at its end is followed if `follow` or its end says so.
    pub(super) fn source(&self, follow: bool) -> Result<Source, CopyError> {
        let nofollow = if follow || self.ends_in_slash() { OFlags::empty() } else { OFlags::NOFOLLOW };
        let place = match self.open(self.plain(), OFlags::PATH | nofollow) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(CopyError::NoSource(self.path.clone())),
            place => place.map_err(|error| self.failed(error))?,
        };
        let stat = fstat(&place).map_err(|error| self.failed(error))?;
        let root = fstat(&self.root).map_err(|error| self.failed(error))?;
        let is_root = (stat.st_dev, stat.st_ino) == (root.st_dev, root.st_ino);
        let hollow: &[&str] = if is_root { &OF_THE_KERNEL } else { &[] };
        let name = self.name().unwrap_or(OsStr::new("")).to_owned();
        Ok(Source { place, stat, name, path: self.path.clone().into(), hollow })
    }

    /// Opens the folder that is there, after all links; `None` if there is nothing, or no folder.
    pub(super) fn folder(&self) -> Result<Option<OwnedFd>, CopyError> {
        match self.open(self.plain(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Tells whether there is a folder, after all links.
    pub(crate) fn is_folder(&self) -> Result<bool, CopyError> {
        Ok(self.folder()?.is_some())
    }

    /// Opens the file that is there, after all links; `None` if there is nothing.
    fn file(&self) -> Result<Option<OwnedFd>, CopyError> {
        match self.open(self.plain(), OFlags::PATH) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Opens the folder that the last part of the path is in.
    fn above(&self) -> Result<OwnedFd, CopyError> {
        let above = self.plain().parent().unwrap_or(Path::new("/"));
        let above = if above.as_os_str().is_empty() { Path::new("/") } else { above };
        match self.open(above, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR) => Err(CopyError::NoFolder(above.display().to_string())),
            folder => folder.map_err(|error| self.failed(error)),
        }
    }
}

/// Folders of a root that the kernel fills: copies of it have them empty. Who asks for what is in one of them gets it.
const OF_THE_KERNEL: [&str; 3] = ["dev", "proc", "sys"];

/// Something to copy, held by a descriptor that is only a place.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: OwnedFd,
    pub(super) stat: Stat,
    pub(super) name: OsString,
    pub(super) path: PathBuf,
    /// Which of the folders in it are copied without what is in them.
    pub(super) hollow: &'static [&'static str],
}

impl Source {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens it to be read: what it is has been looked at, and it cannot become something else.
    pub(super) fn read(&self) -> Result<OwnedFd, Errno> {
        match self.kind() {
            FileType::Directory => {
                openat(&self.place, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            }
            _ => {
                let path = format!("/proc/self/fd/{}", self.place.as_raw_fd());
                openat(
                    rustix::fs::CWD,
                    path,
                    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            }
        }
    }
}

/// Copies what `source` means to where `destination` means.
pub(crate) fn copy(source: &End, destination: &End, follow: bool, owners: Owners) -> Result<(), CopyError> {
    let from = source.source(follow)?;
    let mut copier = Copier { owners, links: HashMap::new() };
    let folder = destination.folder()?;
    if from.kind() == FileType::Directory {
        let content = source.means_content();
        return match (folder, destination.file()?) {
            (Some(folder), _) if content => copier.content(&from, folder.as_fd()),
            (Some(folder), _) => copier.folder(&from, folder.as_fd(), &from.name),
            (None, Some(_)) => Err(CopyError::FileInTheWay(destination.path.clone())),
            (None, None) => {
                let above = destination.above()?;
                let name = destination.name().ok_or_else(|| CopyError::NoFolder(destination.path.clone()))?;
                copier.folder(&from, above.as_fd(), name)
            }
        };
    }
    if let Some(folder) = folder {
        return copier.item(&from, folder.as_fd(), &from.name);
    }
    if destination.ends_in_slash() {
        return Err(CopyError::NoFolder(destination.path.clone()));
    }
    if let (Some(file), FileType::RegularFile) = (destination.file()?, from.kind()) {
        return copier.overwrite(&from, &file);
    }
    let above = destination.above()?;
    let name = destination.name().ok_or_else(|| CopyError::NoFolder(destination.path.clone()))?;
    copier.item(&from, above.as_fd(), name)
}

/// Copies what is in the folder `source` into the folder `destination`, which gets its owner and permissions too.
pub(crate) fn copy_content(source: &End, destination: BorrowedFd<'_>) -> Result<(), CopyError> {
    let from = source.source(true)?;
    let mut copier = Copier { owners: Owners::Keep, links: HashMap::new() };
    copier.content(&from, destination)?;
    copier.finish(&from, destination).map_err(|error| kernel(&from.path, error))
}

fn kernel(path: &Path, error: impl Into<io::Error>) -> CopyError {
    CopyError::Kernel { path: path.to_owned(), source: error.into() }
}

pub(super) struct Copier {
    owners: Owners,
    /// Files that have several names, with the first copy.
    links: HashMap<(u64, u64), (OwnedFd, OsString)>,
}

impl Copier {
    /// Copies a folder to `name` in `into`, or into the folder that is there.
    fn folder(&mut self, from: &Source, into: BorrowedFd<'_>, name: &OsStr) -> Result<(), CopyError> {
        let folder = Self::make_folder(from, into, name)?;
        self.content(from, folder.as_fd())?;
        self.finish(from, folder.as_fd()).map_err(|error| kernel(&from.path, error))
    }

    fn hollow_folder(&self, from: &Source, into: BorrowedFd<'_>) -> Result<(), CopyError> {
        let folder = Self::make_folder(from, into, &from.name)?;
        self.finish(from, folder.as_fd()).map_err(|error| kernel(&from.path, error))
    }

    fn make_folder(from: &Source, into: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, CopyError> {
        let made = match mkdirat(into, name, Mode::from(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(kernel(&from.path, error)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(into, name, flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) if !made => {
                Err(CopyError::FileInTheWay(from.path.display().to_string()))
            }
            folder => folder.map_err(|error| kernel(&from.path, error)),
        }
    }

    /// Copies what is in a folder.
    fn content(&mut self, from: &Source, into: BorrowedFd<'_>) -> Result<(), CopyError> {
        let failed = |error: Errno| kernel(&from.path, error);
        let folder = from.read().map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        for name in names {
            let path = from.path.join(&name);
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = match openat(&folder, &name, flags, Mode::empty()) {
                // It has just gone.
                Err(Errno::NOENT) => continue,
                place => place.map_err(|error| kernel(&path, error))?,
            };
            let stat = fstat(&place).map_err(|error| kernel(&path, error))?;
            let item = Source { place, stat, name, path, hollow: &[] };
            match item.kind() {
                FileType::Directory if from.hollow.iter().any(|name| item.name == *name) => {
                    self.hollow_folder(&item, into)?;
                }
                FileType::Directory => self.folder(&item, into, &item.name)?,
                _ => self.item(&item, into, &item.name)?,
            }
        }
        Ok(())
    }

    /// Copies what is no folder to `name` in `into`.
    fn item(&mut self, from: &Source, into: BorrowedFd<'_>, name: &OsStr) -> Result<(), CopyError> {
        make_room(into, name, &from.path)?;
        self.make(from, into, name).map_err(|error| kernel(&from.path, error))
    }

    fn make(&mut self, from: &Source, into: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = &from.stat;
        match from.kind() {
            FileType::RegularFile => {
                let inode = (stat.st_dev, stat.st_ino);
                if let Some((folder, first)) = self.links.get(&inode) {
                    rustix::fs::linkat(folder, first, into, name, AtFlags::empty())?;
                    return Ok(());
                }
                let copy = create(into, name)?;
                fill(&from.read()?, &copy)?;
                self.finish(from, copy.as_fd())?;
                if stat.st_nlink > 1 {
                    self.links.insert(inode, (into.try_clone_to_owned()?, name.to_owned()));
                }
                return Ok(());
            }
            FileType::Symlink => symlinkat(readlinkat(&from.place, "", Vec::new())?, into, name)?,
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                mknodat(into, name, from.kind(), Mode::from(0o600), stat.st_rdev)?;
            }
            // Only its program can make a socket.
            FileType::Socket => return Ok(()),
            FileType::Directory | FileType::Unknown => return Err(Errno::INVAL.into()),
        }
        let (user, group) = self.owner(stat);
        chownat(into, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        if from.kind() != FileType::Symlink {
            set_mode(into, name, stat.st_mode & 0o7777)?;
        }
        utimensat(into, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Gives a file that is there another content.
    fn overwrite(&self, from: &Source, place: &OwnedFd) -> Result<(), CopyError> {
        let write = || -> io::Result<()> {
            if FileType::from_raw_mode(fstat(place)?.st_mode) != FileType::RegularFile {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let path = format!("/proc/self/fd/{}", place.as_raw_fd());
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
            let file = openat(rustix::fs::CWD, path, flags, Mode::empty())?;
            fill(&from.read()?, &file)?;
            self.finish(from, file.as_fd())?;
            Ok(())
        };
        write().map_err(|error| kernel(&from.path, error))
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        match self.owners {
            Owners::Root => (Uid::ROOT, Gid::ROOT),
            Owners::Keep => (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)),
        }
    }

    /// Gives a copy its owner, then its attributes and permissions, which a new owner takes away, then its times.
    fn finish(&self, from: &Source, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let stat = &from.stat;
        let (user, group) = self.owner(stat);
        fchown(file, Some(user), Some(group))?;
        xattr::give(file, &xattr::own(from.read()?)?)?;
        fchmod(file, Mode::from(stat.st_mode & 0o7777))?;
        futimens(file, &times(stat))
    }
}

/// Takes away what is in the way of a file.
pub(super) fn make_room(folder: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), CopyError> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => Err(CopyError::FolderInTheWay(path.to_owned())),
        Err(error) => Err(kernel(path, error)),
    }
}

/// Sets the permissions of what is there. A link that was swapped in meanwhile would lead this process out of the root:
/// it is held first, and then is no file that has any.
pub(super) fn set_mode(folder: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<(), Errno> {
    let place = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    chmodat(rustix::fs::CWD, path, Mode::from(mode), AtFlags::empty())
}

pub(super) fn create(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::from(0o600))
}

fn fill(source: &OwnedFd, copy: &OwnedFd) -> io::Result<()> {
    let (mut source, mut copy) = (File::from(source.try_clone()?), File::from(copy.try_clone()?));
    source.rewind()?;
    io::copy(&mut source, &mut copy)?;
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use trice_image::xattr::Xattr;

    use super::*;

    /// Two roots in a folder of their own, with a file outside both.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("trice-copy-{}-{number}", std::process::id()));
            fs::create_dir_all(path.join("one/dir/deep")).unwrap();
            fs::create_dir_all(path.join("two/there")).unwrap();
            fs::write(path.join("one/file"), "file").unwrap();
            fs::write(path.join("one/dir/deep/inner"), "inner").unwrap();
            fs::write(path.join("outside"), "outside").unwrap();
            Self(path)
        }

        fn end(&self, root: &str, path: &str) -> End {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = openat(rustix::fs::CWD, self.0.join(root), flags, Mode::empty()).unwrap();
            End { root, path: path.to_owned() }
        }

        fn copy(&self, source: &str, destination: &str) -> Result<(), String> {
            let (source, destination) = (self.end("one", source), self.end("two", destination));
            copy(&source, &destination, false, Owners::Keep).map_err(|error| error.to_string())
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.0.join(path)).ok()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_and_folders_go_where_docker_puts_them() {
        let place = Place::new();
        place.copy("/file", "/there").unwrap();
        place.copy("/file", "/there/other").unwrap();
        assert_eq!(place.read("two/there/file").as_deref(), Some("file"));
        assert_eq!(place.read("two/there/other").as_deref(), Some("file"));
        fs::write(place.0.join("one/file"), "again").unwrap();
        place.copy("/file", "/there/other").unwrap();
        assert_eq!(place.read("two/there/other").as_deref(), Some("again"));
        place.copy("/dir", "/there").unwrap();
        assert_eq!(place.read("two/there/dir/deep/inner").as_deref(), Some("inner"));
        place.copy("/dir/.", "/there").unwrap();
        assert_eq!(place.read("two/there/deep/inner").as_deref(), Some("inner"));
        place.copy("/dir", "/new").unwrap();
        assert_eq!(place.read("two/new/deep/inner").as_deref(), Some("inner"));
        assert!(place.copy("/file", "/nowhere/file").unwrap_err().contains("`/nowhere` is not there"));
        assert!(place.copy("/file", "/nowhere/").unwrap_err().contains("is not there"));
        assert!(place.copy("/dir", "/there/other").unwrap_err().contains("is a file"));
        assert!(place.copy("/nothing", "/there").unwrap_err().contains("`/nothing` is not there"));
        fs::create_dir(place.0.join("two/there/full")).unwrap();
        fs::write(place.0.join("one/full"), "").unwrap();
        assert!(place.copy("/full", "/there").unwrap_err().contains("is a folder"));
    }

    #[test]
    fn links_are_copied_unless_they_are_to_be_followed_and_lead_nowhere_else() {
        let place = Place::new();
        symlink("/dir/deep", place.0.join("one/link")).unwrap();
        symlink("../../../../outside", place.0.join("one/out")).unwrap();
        symlink(place.0.join("outside"), place.0.join("two/out")).unwrap();
        symlink("/there", place.0.join("two/in")).unwrap();
        place.copy("/link", "/there").unwrap();
        assert_eq!(fs::read_link(place.0.join("two/there/link")).unwrap(), Path::new("/dir/deep"));
        let (source, destination) = (place.end("one", "/link"), place.end("two", "/followed"));
        copy(&source, &destination, true, Owners::Keep).unwrap();
        assert_eq!(place.read("two/followed/inner").as_deref(), Some("inner"));
        let source = place.end("one", "/out");
        assert!(matches!(copy(&source, &destination, true, Owners::Keep), Err(CopyError::NoSource(_))));
        place.copy("/file", "/in/through").unwrap();
        assert_eq!(place.read("two/there/through").as_deref(), Some("file"));
        place.copy("/file", "/out").unwrap();
        assert_eq!(place.read("outside").as_deref(), Some("outside"));
    }

    #[test]
    fn modes_times_attributes_and_names_of_one_file_come_along_and_owners_when_asked_for() {
        let place = Place::new();
        let file = place.0.join("one/dir/deep/inner");
        std::os::unix::fs::chown(&file, Some(7), Some(8)).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o4751)).unwrap();
        fs::hard_link(&file, place.0.join("one/dir/again")).unwrap();
        // `cap_net_bind_service=ep`, version 2.
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let noted: [Xattr; 2] =
            [(&b"security.capability"[..], &capability[..]), (&b"user.note"[..], &b"kept"[..])]
                .map(|(name, value)| (name.to_vec(), value.to_vec()));
        for noted_at in [&file, &place.0.join("one/dir/deep")] {
            xattr::give(fs::File::open(noted_at).unwrap(), &noted[usize::from(noted_at != &file)..]).unwrap();
        }
        place.copy("/dir", "/kept").unwrap();
        let (source, destination) = (place.end("one", "/dir"), place.end("two", "/roots"));
        copy(&source, &destination, false, Owners::Root).unwrap();
        for (name, owner) in [("kept", (7, 8)), ("roots", (0, 0))] {
            let copy = fs::metadata(place.0.join("two").join(name).join("deep/inner")).unwrap();
            assert_eq!(
                (copy.uid(), copy.gid(), copy.mode() & 0o7777, copy.nlink()),
                (owner.0, owner.1, 0o4751, 2)
            );
            assert_eq!(copy.mtime(), fs::metadata(&file).unwrap().mtime());
            let own = |path| xattr::own(fs::File::open(place.0.join("two").join(name).join(path)).unwrap());
            assert_eq!(
                (own("deep/inner").unwrap(), own("deep").unwrap()),
                (noted.to_vec(), noted[1..].to_vec())
            );
        }
    }

    /// Says that it is over when it is dropped.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// CVE-2018-15664: a folder and a link out take turns while files are copied in and out.
    #[test]
    fn a_link_that_is_swapped_in_leads_nothing_out_and_nothing_in() {
        let place = Place::new();
        let (dir, link) = (place.0.join("two/there"), place.0.join("two/link"));
        symlink(&place.0, &link).unwrap();
        fs::write(dir.join("outside"), "mine").unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                while !over.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &link, exchange)
                        .unwrap();
                }
            });
            // Also where a copy is not what it should be: the other thread must not go on for ever.
            let _end = Over(&over);
            for number in 0..2_000 {
                let _ = place.copy("/file", &format!("/there/in-{number}"));
                let out = place.end("one", "/taken");
                if copy(&place.end("two", "/there/outside"), &out, true, Owners::Keep).is_ok() {
                    assert_eq!(place.read("one/taken").as_deref(), Some("mine"));
                }
            }
        });
        let outside: Vec<_> =
            fs::read_dir(&place.0).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(outside.len(), 3, "{outside:?}");
        assert_eq!(place.read("outside").as_deref(), Some("outside"));
    }
}
