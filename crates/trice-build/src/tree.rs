//! A tree of files, of which nothing outside can be reached: a context, what a step has made, what one is making.
//!
//! ```text
//! folder                     a context, or the only layer
//! layers                     stacked by overlayfs, only read            mounted nowhere: the descriptor is all
//! layers, upper, work        what is written ends in `upper`            there is of it
//! ```
//!
//! Every path is given to the kernel with `RESOLVE_IN_ROOT`: a link leads wherever it likes, but never out.
//!
//! Sources: openat2(2), fsopen(2), Linux `Documentation/filesystems/overlayfs.rst`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount,
    open_tree,
};
use trice_runtime::seccomp::machine::KernelVersion;
use trice_sys::namespace::{Unshare, unshare};
use trice_sys::resolve::open_below;

/// A tree of files.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

/// Where something is: its folder and its name in it. The name `.` is the folder itself.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: OwnedFd,
    pub(crate) name: OsString,
}

/// What a new folder is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FolderLike {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

/// The most links on one way, as the kernel has it.
const MOST_LINKS: usize = 40;

impl Tree {
    /// Opens a folder.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn folder(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Stacks layers, the topmost first. `empty` is a folder with nothing in it.
    ///
    /// # Errors
    /// Those of fsopen(2) and its like.
    pub fn of_layers(layers: &[PathBuf], empty: &Path) -> io::Result<Self> {
        match layers {
            [] => Self::folder(empty),
            // As overlayfs sees it: without what is mounted in it.
            [only] => Ok(Self { root: detached(only)? }),
            // Without a writable one, the kernel wants two at least.
            several => Ok(Self { root: stack(several, None)? }),
        }
    }

    /// Stacks layers, the topmost first, below `upper`, to which all that is written goes.
    ///
    /// # Errors
    /// Those of fsopen(2) and its like.
    pub fn writable(layers: &[PathBuf], empty: &Path, upper: &Path, work: &Path) -> io::Result<Self> {
        let nothing = [empty.to_owned()];
        let layers = if layers.is_empty() { &nothing } else { layers };
        Ok(Self { root: stack(layers, Some((upper, work)))? })
    }

    /// The root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens what is at `path`, after all links. It is only a place.
    pub(crate) fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open_with(path, OFlags::PATH)
    }

    /// Opens what is at `path`, after all links, to read it: a file or a folder, as the caller knows.
    pub(crate) fn open_to_read(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn open_with(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        open_below(&self.root, path, flags | OFlags::CLOEXEC, resolve)
    }

    /// Returns the path on this machine of what is at `path`, after all links.
    pub(crate) fn place(&self, path: &Path) -> io::Result<PathBuf> {
        let found = self.open(path)?;
        std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// Returns what is at `path`, after all links; `None` if there is nothing.
    pub(crate) fn stat(&self, path: &Path) -> Result<Option<Stat>, Errno> {
        match self.open(path) {
            Ok(file) => Ok(Some(rustix::fs::fstat(&file)?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells whether what is at `path` is a link itself.
    pub(crate) fn is_link(&self, path: &Path) -> Result<bool, Errno> {
        let found = self.open_with(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Symlink)
    }

    /// Reads a small file of text, such as `/etc/passwd`; one that is none, or is not there, is empty.
    pub(crate) fn text(&self, path: &Path) -> String {
        const MOST: u64 = 1 << 20;
        let read = || -> io::Result<String> {
            // What is no file is never opened: that could wait for ever.
            let place = self.open(path)?;
            if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) != FileType::RegularFile {
                return Ok(String::new());
            }
            let file = self.open_to_read(path)?;
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(File::from(file), MOST), &mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// Opens the folder at `path`, and makes it and those above it where they are not there; where a link leads to
    /// nothing, they are made there.
    pub(crate) fn make_folders(&self, path: &Path, like: FolderLike) -> Result<OwnedFd, Errno> {
        let mut left = parts_from_the_end(path);
        let (mut prefix, mut links) = (PathBuf::from("/"), 0);
        let mut folder = self.open_with(&prefix, OFlags::PATH | OFlags::DIRECTORY)?;
        while let Some(part) = left.pop() {
            let next = prefix.join(&part);
            folder = match self.open_with(&next, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => match link(folder.as_fd(), &part)? {
                    Some(target) => {
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(Errno::LOOP);
                        }
                        if target.is_absolute() {
                            prefix = PathBuf::from("/");
                            folder = self.open_with(&prefix, OFlags::PATH | OFlags::DIRECTORY)?;
                        }
                        left.extend(parts_from_the_end(&target));
                        continue;
                    }
                    None => make_folder(folder.as_fd(), &part, like)?,
                },
                other => other?,
            };
            prefix = next;
        }
        Ok(folder)
    }

    /// Finds where a file at `path` would be made: what a link at its end leads to, and folders that are missing are
    /// made.
    pub(crate) fn make_place(&self, path: &Path, like: FolderLike) -> Result<Place, Errno> {
        let mut path = path.to_owned();
        for _ in 0..=MOST_LINKS {
            let Some(name) = path.file_name().map(OsStr::to_owned) else {
                return Ok(Place { folder: self.make_folders(&path, like)?, name: ".".into() });
            };
            let above = path.parent().unwrap_or(Path::new("/"));
            let folder = self.make_folders(above, like)?;
            match link(folder.as_fd(), &name)? {
                Some(target) => path = above.join(target),
                None => return Ok(Place { folder, name }),
            }
        }
        Err(Errno::LOOP)
    }
}

/// A folder that every machine has, and that is a place for mounts of a thread's own: what is in it is not needed here.
const PLACE: &str = "/proc";

/// Stacks layers. The lowest may hold the others, as the root of this machine does, which the kernel takes for a mistake:
/// that is hidden from it by an overlayfs of the lowest alone.
fn stack(layers: &[PathBuf], writable: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    match layers.split_last() {
        Some((lowest, others)) if others.iter().any(|layer| layer.starts_with(lowest)) => {
            with_own_mounts(|| stack_above_hidden(lowest, others, writable))
        }
        _ => overlay(layers, writable),
    }
}

/// Carries `work` out in a thread that has its own mounts: nobody else sees what it mounts, and nothing stays.
fn with_own_mounts<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let in_thread = || {
        unshare(Unshare::Mount)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        work()
    };
    std::thread::scope(|scope| scope.spawn(in_thread).join().expect("mounting does not panic"))
}

fn stack_above_hidden(
    lowest: &Path,
    others: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> io::Result<OwnedFd> {
    let (nothing, hidden) = (Path::new(PLACE).join("nothing"), Path::new(PLACE).join("hidden"));
    mount("tmpfs", PLACE, "tmpfs", MountFlags::empty(), None)?;
    std::fs::create_dir(&nothing)?;
    std::fs::create_dir(&hidden)?;
    let shown = overlay(&[nothing, lowest.to_owned()], None)?;
    attach(shown, &hidden)?;
    let layers: Vec<PathBuf> = others.iter().cloned().chain([hidden]).collect();
    overlay(&layers, writable)
}

fn overlay(layers: &[PathBuf], writable: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    // Kernels before it do not know `lowerdir+`, one layer an option.
    if (KernelVersion { major: 6, minor: 8 }).is_here() {
        overlay_by_layers(layers, writable)
    } else {
        with_own_mounts(|| overlay_by_options(layers, writable))
    }
}

fn overlay_by_layers(layers: &[PathBuf], writable: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "overlay")?;
    for layer in layers {
        fsconfig_set_string(context.as_fd(), "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(context.as_fd(), "upperdir", upper)?;
        fsconfig_set_string(context.as_fd(), "workdir", work)?;
        // A layer is complete in itself.
        fsconfig_set_string(context.as_fd(), "redirect_dir", "off")?;
        fsconfig_set_string(context.as_fd(), "metacopy", "off")?;
    }
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// The old call has room for a page of options: names of digits are short enough for all of the 500 layers that the kernel
/// stacks.
fn overlay_by_options(layers: &[PathBuf], writable: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    let place = Path::new(PLACE);
    // All are found before the place is covered, which some of them may be in.
    let trees = layers.iter().map(|layer| detached(layer)).collect::<io::Result<Vec<_>>>()?;
    let scratch = writable.map(|(upper, _)| detached(upper.parent().unwrap_or(upper))).transpose()?;
    mount("tmpfs", place, "tmpfs", MountFlags::empty(), None)?;
    for (number, tree) in trees.into_iter().enumerate() {
        let at = place.join(number.to_string());
        std::fs::create_dir(&at)?;
        attach(tree, &at)?;
    }
    let names: Vec<String> = (0..layers.len()).map(|number| number.to_string()).collect();
    let mut options = format!("lowerdir={}", names.join(":"));
    if let (Some((upper, work)), Some(scratch)) = (writable, scratch) {
        let at = place.join("scratch");
        std::fs::create_dir(&at)?;
        attach(scratch, &at)?;
        // Both are in one folder, as the kernel wants them on one mount.
        let [upper, work] =
            [upper, work].map(|path| path.file_name().unwrap_or_default().display().to_string());
        options += &format!(",upperdir=scratch/{upper},workdir=scratch/{work},redirect_dir=off,metacopy=off");
    }
    let root = place.join("root");
    std::fs::create_dir(&root)?;
    rustix::process::chdir(place)?;
    let options = std::ffi::CString::new(options)?;
    mount("overlay", &root, "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    detached(&root)
}

/// Returns the folder at `path` as a mount that is nowhere.
fn detached(path: &Path) -> io::Result<OwnedFd> {
    Ok(open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
}

fn attach(tree: OwnedFd, at: &Path) -> io::Result<()> {
    Ok(move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn parts_from_the_end(path: &Path) -> Vec<OsString> {
    use std::path::Component::{Normal, ParentDir};
    let is_part = |part: &std::path::Component<'_>| matches!(part, Normal(_) | ParentDir);
    path.components().filter(is_part).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// Returns where the link `name` in `folder` leads; `None` if there is no link.
pub(crate) fn link(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Option<PathBuf>, Errno> {
    match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
        Err(Errno::NOENT | Errno::INVAL | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the folder `name` in `folder`, unless it is there, and opens it.
pub(crate) fn make_folder(folder: BorrowedFd<'_>, name: &OsStr, like: FolderLike) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(folder, name, Mode::from(0o700)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return open_folder(folder, name),
        Err(error) => return Err(error),
    }
    let made = open_folder(folder, name)?;
    own(folder, name, like.owner)?;
    rustix::fs::chmodat(folder, name, Mode::from(like.mode), AtFlags::empty())?;
    Ok(made)
}

/// Opens the folder `name` in `folder`, which is no link.
pub(crate) fn open_folder(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// Gives what is called `name` in `folder` to an owner; a link itself, and not where it leads.
pub(crate) fn own(folder: BorrowedFd<'_>, name: &OsStr, owner: (u32, u32)) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    rustix::fs::chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns the names in a folder, in the order of their bytes.
pub(crate) fn names(folder: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Place;

    /// Makes a layer with a file that says `text`.
    fn layer(place: &Place, name: &str, file: &str, text: &str) -> PathBuf {
        place.file(&format!("{name}/{file}"), text);
        place.0.join(name)
    }

    /// Makes the upper and work folders of an overlayfs.
    fn scratch(place: &Place) -> [PathBuf; 2] {
        ["upper", "work"].map(|name| {
            let folder = place.0.join("scratch").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        })
    }

    type Stack = fn(&[PathBuf], Option<(&Path, &Path)>) -> io::Result<OwnedFd>;

    /// The way of this kernel, and that of those before it.
    fn ways() -> [Stack; 2] {
        [overlay, |layers, writable| with_own_mounts(|| overlay_by_options(layers, writable))]
    }

    #[test]
    fn layers_are_stacked_by_the_call_that_the_kernel_has_and_by_the_old_one() {
        for way in ways() {
            for count in [2, 127, 400] {
                let place = Place::new();
                let layers: Vec<_> =
                    (0..count).map(|n| layer(&place, &n.to_string(), &format!("own-{n}"), "")).collect();
                std::fs::write(layers[0].join("same"), "top").unwrap();
                std::fs::write(layers[1].join("same"), "below").unwrap();
                let tree = Tree { root: way(&layers, None).unwrap() };
                assert_eq!(tree.text(Path::new("/same")), "top");
                let root = tree.open_to_read(Path::new("/")).unwrap();
                assert_eq!(names(root.as_fd()).unwrap().len(), count + 1);
            }
        }
    }

    #[test]
    fn what_is_written_is_in_the_upper_folder() {
        for way in ways() {
            let place = Place::new();
            let layers = [layer(&place, "a", "kept", "a"), layer(&place, "b", "changed", "b")];
            let [upper, work] = scratch(&place);
            let tree = Tree { root: way(&layers, Some((&upper, &work))).unwrap() };
            let file = tree
                .open_with(Path::new("/changed"), OFlags::WRONLY | OFlags::TRUNC)
                .map(File::from)
                .unwrap();
            io::Write::write_all(&mut &file, b"anew").unwrap();
            drop((file, tree));
            assert_eq!(std::fs::read_to_string(upper.join("changed")).unwrap(), "anew");
            assert_eq!(names(File::open(&upper).unwrap().as_fd()).unwrap(), ["changed"]);
            assert_eq!(std::fs::read_to_string(place.0.join("b/changed")).unwrap(), "b");
        }
    }

    #[test]
    fn a_layer_may_lie_in_the_lowest_one() {
        let place = Place::new();
        let layers = [layer(&place, "machine/data/a", "a", "a"), layer(&place, "machine", "b", "b")];
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        let tree = Tree::of_layers(&layers, &place.0).unwrap();
        assert_eq!(
            (tree.text(Path::new("/a")), tree.text(Path::new("/b"))),
            ("a".to_owned(), "b".to_owned())
        );
        let [upper, work] = scratch(&place);
        let tree = Tree::writable(&layers, &place.0, &upper, &work).unwrap();
        assert_eq!(tree.text(Path::new("/data/a/a")), "a");
        assert_eq!(mounts(), before, "nothing is mounted where others see it");
    }
}
