//! File systems inside the new root: the kernel's own, prepared trees, devices, masks.
//!
//! Source: OCI Runtime Specification, `config-linux.md`, "Default Filesystems", "Masked Paths".

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use trice_sys::mount::{MountAttributes, set_attributes};

use crate::litter::Litter;
use crate::operation::{Attributes, DeviceKind, DeviceNode, Filesystem};
use crate::rootfs::{Links, Missing, attach_onto, open_inside};

/// Mounts a file system of the kernel inside `root`, and returns the mount.
pub fn mount_filesystem(
    root: BorrowedFd<'_>,
    filesystem: &Filesystem,
    litter: &mut Litter,
) -> io::Result<OwnedFd> {
    let mounted = make_filesystem(filesystem, litter)?;
    let links = if filesystem.follow { Links::Follow } else { Links::Refuse };
    let target = open_inside(root, &filesystem.target, links, Missing::MakeDirectory)?;
    if links == Links::Follow {
        refuse_procfs(target.as_fd())?;
    }
    attach_onto(mounted.as_fd(), target.as_fd())?;
    litter.throw([target]);
    Ok(mounted)
}

/// Mounts a file system of the kernel in a new folder of `parent`, the root of a file system that was made for this
/// container and that nobody else can reach yet; and returns the mount.
pub fn mount_in_fresh(
    parent: BorrowedFd<'_>,
    filesystem: &Filesystem,
    litter: &mut Litter,
) -> io::Result<OwnedFd> {
    let name = filesystem.target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mounted = make_filesystem(filesystem, litter)?;
    rustix::fs::mkdirat(parent, name, Mode::from(0o755))?;
    move_mount(mounted.as_fd(), "", parent, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(mounted)
}

/// Makes a file system of the kernel, as a detached mount.
fn make_filesystem(filesystem: &Filesystem, litter: &mut Litter) -> io::Result<OwnedFd> {
    let context = fsopen(filesystem.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", filesystem.kind.as_str())?;
    for (key, value) in &filesystem.options {
        match value {
            Some(value) => fsconfig_set_string(context.as_fd(), key.as_str(), value.as_str())?,
            None => fsconfig_set_flag(context.as_fd(), key.as_str())?,
        }
    }
    fsconfig_create(context.as_fd())?;
    let flags = attribute_flags(filesystem.attributes);
    let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    litter.throw([context]);
    Ok(mounted)
}

fn attribute_flags(attributes: Attributes) -> MountAttrFlags {
    let flags = [
        (attributes.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (attributes.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (attributes.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (attributes.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ];
    flags.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
}

/// Mounts the prepared `tree` at `target` inside `root`.
pub fn bind(root: BorrowedFd<'_>, tree: OwnedFd, target: &Path, litter: &mut Litter) -> io::Result<()> {
    let directory = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
    let missing = if directory { Missing::MakeDirectory } else { Missing::MakeFile };
    let target = open_inside(root, target, Links::Follow, missing)?;
    refuse_procfs(target.as_fd())?;
    attach_onto(tree.as_fd(), target.as_fd())?;
    litter.throw([tree, target]);
    Ok(())
}

/// Refuses a place where the kernel tells the process about itself: by a link in the image, a mount that seems to go
/// elsewhere could replace that, or what hides a part of it (CVE-2019-19921, CVE-2023-27561, CVE-2025-52881).
fn refuse_procfs(target: BorrowedFd<'_>) -> io::Result<()> {
    const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;
    if rustix::fs::fstatfs(target)?.f_type == PROC_SUPER_MAGIC {
        return Err(io::Error::other("it leads into /proc, where nothing may be mounted"));
    }
    Ok(())
}

/// Makes `nodes` in the file system mounted as `dev`.
pub fn make_devices(dev: BorrowedFd<'_>, nodes: &[DeviceNode]) -> io::Result<()> {
    for node in nodes {
        match node {
            DeviceNode::Device { name, kind, major, minor, mode, uid, gid } => {
                let kind = match kind {
                    DeviceKind::Character => FileType::CharacterDevice,
                    DeviceKind::Block => FileType::BlockDevice,
                };
                rustix::fs::mknodat(dev, name, kind, Mode::from(*mode), makedev(*major, *minor))?;
                if (*uid, *gid) != (0, 0) {
                    let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
                    rustix::fs::chownat(dev, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                }
            }
            DeviceNode::Link { name, target } => rustix::fs::symlinkat(target, dev, name)?,
            DeviceNode::Directory { name } => rustix::fs::mkdirat(dev, name, Mode::from(0o755))?,
        }
    }
    Ok(())
}

/// Hides the root of this process's `path`: a folder behind an empty one, a file behind the null device. Nothing
/// happens where there is nothing.
///
/// `null` is the device that we made, never one that the image or a mount may have put in its place (CVE-2025-31133).
pub fn mask(
    null: BorrowedFd<'_>,
    empty: &mut Option<OwnedFd>,
    path: &Path,
    litter: &mut Litter,
) -> io::Result<()> {
    let Some(target) = open_existing(path)? else { return Ok(()) };
    let stat = rustix::fs::fstat(&target)?;
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    // The first folder gets a fresh empty file system, each later one a second look at the same.
    let cover = match (is_folder, empty.as_ref()) {
        (false, _) => clone_tree(null, "")?,
        (true, Some(mounted)) => clone_tree(mounted.as_fd(), "")?,
        (true, None) => empty_folder(litter)?,
    };
    attach_onto(cover.as_fd(), target.as_fd())?;
    let kept = if is_folder { empty.replace(cover) } else { Some(cover) };
    litter.throw(kept.into_iter().chain([target]));
    Ok(())
}

fn empty_folder(litter: &mut Litter) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "tmpfs")?;
    fsconfig_set_string(context.as_fd(), "nr_inodes", "1")?;
    fsconfig_create(context.as_fd())?;
    let forbidden = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, forbidden)?;
    litter.throw([context]);
    Ok(mounted)
}

/// Makes the root's `path` and what is mounted below it read-only. Nothing happens where there is nothing.
pub fn make_read_only(path: &Path, litter: &mut Litter) -> io::Result<()> {
    let Some(target) = open_existing(path)? else { return Ok(()) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(target.as_fd(), "", flags)?;
    let attributes = MountAttributes { read_only: true, ..MountAttributes::default() };
    set_attributes(tree.as_fd(), attributes, true)?;
    attach_onto(tree.as_fd(), target.as_fd())?;
    litter.throw([tree, target]);
    Ok(())
}

/// Makes the mount that `place` is open on read-only, and not those below it.
pub fn make_mount_read_only(place: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = MountAttributes { read_only: true, ..MountAttributes::default() };
    set_attributes(place, attributes, false)
}

/// Returns a detached second look at `path` below `folder`, or at `folder` itself.
pub fn clone_tree(folder: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if path.is_empty() { flags | OpenTreeFlags::AT_EMPTY_PATH } else { flags };
    Ok(open_tree(folder, path, flags)?)
}

fn open_existing(path: &Path) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
