//! The container's root: its layers stacked, paths inside it found without ever leaving it, and the change of roots.
//!
//! The child begins in the keeper's minimal root, which has three folders for this:
//!
//! ```text
//! /layers/0, /layers/1 …     the image's layers, the topmost first     AttachLayer
//! /writable                 the container's own `upper` and `work`    AttachWritable
//! /root                     what comes out                            MountRoot, then everything else, then Pivot
//! ```
//!
//! Every path inside the root is turned into a descriptor by `openat2` with `RESOLVE_IN_ROOT`, and mounts go onto
//! that descriptor: a link in the image leads wherever it likes, but never out (CVE-2021-30465, CVE-2024-45310).
//!
//! Sources: openat2(2), fsopen(2), pivot_root(2), Linux `Documentation/filesystems/overlayfs.rst`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};
use trice_sys::resolve::open_below;

use crate::litter::Litter;
use crate::seccomp::machine::KernelVersion;

/// Where the keeper's root has room for the layers of the container that is being made.
pub const LAYERS: &str = "/layers";
/// Where it has room for the container's own folder.
pub const WRITABLE: &str = "/writable";
/// Where the new root is mounted.
pub const ROOT: &str = "/root";

/// Whether the last part of a path may be a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Links are followed, inside the root.
    Follow,
    /// A link anywhere in the path is an error: the kernel's own file systems go where they belong or nowhere.
    Refuse,
}

/// What is made where a path ends in nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: it is an error.
    Fail,
    /// A folder.
    MakeDirectory,
    /// An empty file.
    MakeFile,
}

/// Attaches the detached mount `tree` as the layer `index`, whose place is made when it is first needed: the keeper
/// and all its children share the file system that it is in.
pub fn attach_layer(tree: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let path = format!("{LAYERS}/{index}");
    match rustix::fs::mkdir(&path, Mode::from(0o700)) {
        Ok(()) | Err(Errno::EXIST) => attach(tree, &path),
        Err(error) => Err(error.into()),
    }
}

/// Attaches the detached mount `tree` at `path` of the root that this process sees.
pub fn attach(tree: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Attaches the detached mount `tree` onto `target`.
pub fn attach_onto(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags)?;
    Ok(())
}

/// Hides from the kernel that the lowest of the first `layers` of [`LAYERS`] holds the others, as the root of this machine
/// does: it is what an overlayfs of its own shows of it.
pub fn hide_lowest(layers: u32) -> io::Result<()> {
    let nothing = format!("{LAYERS}/nothing"); // an overlayfs that is only read wants two layers
    match rustix::fs::mkdir(&nothing, Mode::from(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let lowest = format!("{LAYERS}/{}", layers.saturating_sub(1));
    let options = std::ffi::CString::new(format!("lowerdir={nothing}:{lowest}"))?;
    Ok(mount("overlay", lowest, "overlay", MountFlags::RDONLY, Some(options.as_c_str()))?)
}

/// Stacks the first `layers` of [`LAYERS`] below [`WRITABLE`] and mounts the result at [`ROOT`].
///
/// Kernels before 6.8 do not know `lowerdir+`, one layer an option. They are not even asked: each would leave a line in
/// the kernel's log.
pub fn mount_overlay(layers: u32, litter: &mut Litter) -> io::Result<()> {
    if (KernelVersion { major: 6, minor: 8 }).is_here() {
        overlay_by_layers(layers, litter)
    } else {
        overlay_by_options(layers)
    }
}

/// The new call takes all layers in one option of at most 255 bytes where it does not know `lowerdir+`, so that this is
/// the old one, whose options have room for a page. From [`LAYERS`] the names are short enough for all of the 500 layers
/// that the kernel stacks.
fn overlay_by_options(layers: u32) -> io::Result<()> {
    rustix::process::chdir(LAYERS)?;
    let names: Vec<String> = (0..layers).map(|index| index.to_string()).collect();
    let options = format!("lowerdir={},upperdir={WRITABLE}/upper,workdir={WRITABLE}/work", names.join(":"));
    let options = std::ffi::CString::new(options)?;
    mount("overlay", ROOT, "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn overlay_by_layers(layers: u32, litter: &mut Litter) -> io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "overlay")?;
    for index in 0..layers {
        fsconfig_set_string(context.as_fd(), "lowerdir+", format!("{LAYERS}/{index}"))?;
    }
    fsconfig_set_string(context.as_fd(), "upperdir", format!("{WRITABLE}/upper"))?;
    fsconfig_set_string(context.as_fd(), "workdir", format!("{WRITABLE}/work"))?;
    fsconfig_create(context.as_fd())?;
    let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    attach(mounted.as_fd(), ROOT)?;
    litter.throw([context, mounted]);
    Ok(())
}

/// Opens the folder that is to become the root.
pub fn open_root() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens the absolute `path` inside `root` as a place, and makes it and the folders above it if `missing` says so. What
/// is made where a link leads that leads to nothing, is made there: images have such links at `/etc/resolv.conf`.
///
/// Each part is made in the folder that the part before led to, as it is found at that moment: a link that somebody
/// swaps in between leads to another place inside the root, and never outside.
pub fn open_inside(root: BorrowedFd<'_>, path: &Path, links: Links, missing: Missing) -> io::Result<OwnedFd> {
    match open_place(root, path, links) {
        Err(Errno::NOENT) if missing != Missing::Fail => make_inside(root, path, links, missing),
        other => Ok(other?),
    }
}

/// The most links that lead to nothing on one way; the kernel's limit for those that lead somewhere.
const MOST_LINKS: usize = 40;

fn make_inside(root: BorrowedFd<'_>, path: &Path, links: Links, missing: Missing) -> io::Result<OwnedFd> {
    let top = Path::new("/");
    let mut left: Vec<OsString> = parts_from_the_end(path);
    let (mut prefix, mut place, mut followed) = (top.to_owned(), open_place(root, top, links)?, 0);
    while let Some(part) = left.pop() {
        let next = prefix.join(&part);
        place = match open_place(root, &next, links) {
            Err(Errno::NOENT) => {
                if let Some(target) = link_target(place.as_fd(), &part, links)? {
                    followed += 1;
                    if followed > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    if target.is_absolute() {
                        (prefix, place) = (top.to_owned(), open_place(root, top, links)?);
                    }
                    left.extend(parts_from_the_end(&target));
                    continue;
                }
                let file = left.is_empty() && missing == Missing::MakeFile;
                make_part(place.as_fd(), &part, file)?;
                open_place(root, &next, links)?
            }
            other => other?,
        };
        prefix = next;
    }
    Ok(place)
}

fn parts_from_the_end(path: &Path) -> Vec<OsString> {
    let is_part = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_part).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// Returns where the link `part` in `place` leads; `None` if there is no such link, or links are not for us.
fn link_target(place: BorrowedFd<'_>, part: &OsStr, links: Links) -> io::Result<Option<PathBuf>> {
    if links == Links::Refuse {
        return Ok(None);
    }
    match rustix::fs::readlinkat(place, part, Vec::new()) {
        Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes an empty file or a folder, unless somebody else did just now.
fn make_part(place: BorrowedFd<'_>, name: &OsStr, file: bool) -> io::Result<()> {
    let made = match file {
        true => rustix::fs::mknodat(place, name, FileType::RegularFile, Mode::from(0o644), 0),
        false => rustix::fs::mkdirat(place, name, Mode::from(0o755)),
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_place(root: BorrowedFd<'_>, path: &Path, links: Links) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let resolve = if links == Links::Refuse { resolve | ResolveFlags::NO_SYMLINKS } else { resolve };
    open_below(root, path, OFlags::PATH | OFlags::CLOEXEC, resolve)
}

/// Makes `root` the root of this process's mount namespace and lets go of everything else in it.
pub fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // Both roots at one place: the old one ends up on top, and is taken away from there.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::mount::{MountPropagationFlags, mount_change};
    use trice_sys::namespace::{Unshare, unshare};

    use super::*;

    /// A folder that goes when it is dropped, with a folder beside it that nothing may be made in.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("trice-rootfs-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("root")).unwrap();
            Self(path)
        }

        fn root(&self) -> PathBuf {
            self.0.join("root")
        }

        fn open(&self, path: &str, links: Links, missing: Missing) -> io::Result<PathBuf> {
            let root = fs::File::open(self.root())?;
            let place = open_inside(root.as_fd(), Path::new(path), links, missing)?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&place);
            fs::read_link(format!("/proc/self/fd/{number}"))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// Runs `mount` where [`LAYERS`], [`WRITABLE`] and [`ROOT`] are folders in memory, and returns the names in the root
    /// that comes out.
    fn names_in_root(layers: u32, mount: fn(u32) -> io::Result<()>) -> Vec<String> {
        let tree = Tree::new(&format!("stack-{layers}-{mount:p}"));
        let place = || {
            unshare(Unshare::Mount).expect("this test mounts, which takes root");
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            super::mount("tmpfs", &tree.0, "tmpfs", MountFlags::empty(), None).unwrap();
            rustix::process::chroot(&tree.0).unwrap();
            rustix::process::chdir("/").unwrap();
            for index in 0..layers {
                fs::create_dir_all(format!("{LAYERS}/{index}")).unwrap();
                fs::write(format!("{LAYERS}/{index}/file-{index:03}"), "").unwrap();
            }
            for path in [ROOT, "/writable/upper", "/writable/work"] {
                fs::create_dir_all(path).unwrap();
            }
            mount(layers).unwrap();
            let entries = fs::read_dir(ROOT).unwrap().map(Result::unwrap);
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        std::thread::scope(|scope| scope.spawn(place).join().unwrap())
    }

    #[test]
    fn as_many_layers_are_stacked_as_the_kernel_takes_by_the_call_that_it_has_and_by_the_old_one() {
        for layers in [1, 127, 500] {
            let wanted: Vec<_> = (0..layers).map(|index| format!("file-{index:03}")).collect();
            let as_usual = |layers| mount_overlay(layers, &mut Litter::default());
            for mount in [as_usual as fn(u32) -> io::Result<()>, overlay_by_options] {
                assert_eq!(names_in_root(layers, mount), wanted, "{layers}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_made_where_dangling_links_lead_and_never_outside() {
        let tree = Tree::new("dangling");
        let root = tree.root();
        fs::create_dir(root.join("etc")).unwrap();
        let links = [
            ("etc/resolv.conf", "../run/resolve/stub.conf", "run/resolve/stub.conf"),
            ("up", "../../../../outside", "outside"),
            ("absolute", "/var/lib/x", "var/lib/x"),
        ];
        for (link, target, place) in links {
            symlink(target, root.join(link)).unwrap();
            let made = tree.open(&format!("/{link}"), Links::Follow, Missing::MakeFile).unwrap();
            assert_eq!(made, root.join(place));
            assert!(made.is_file(), "{link}");
        }
        assert_eq!(fs::read_dir(&tree.0).unwrap().count(), 1, "something was made outside");
    }

    #[test]
    fn links_that_lead_to_themselves_end_with_an_error() {
        let tree = Tree::new("loop");
        symlink("b/x", tree.root().join("a")).unwrap();
        symlink("a/x", tree.root().join("b")).unwrap();
        assert!(tree.open("/a", Links::Follow, Missing::MakeDirectory).is_err());
    }

    #[test]
    fn where_links_are_refused_none_is_followed_and_nothing_is_made() {
        let tree = Tree::new("refused");
        symlink("/target", tree.root().join("dev")).unwrap();
        for path in ["/dev", "/dev/shm"] {
            assert!(tree.open(path, Links::Refuse, Missing::MakeDirectory).is_err(), "{path}");
        }
        assert!(!tree.root().join("target").exists());
    }
}
