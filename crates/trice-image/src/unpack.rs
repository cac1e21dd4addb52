//! Unpacks a layer into a folder that overlayfs can use.
//!
//! ```text
//! tar stream ──members──► path ──► tree: parent by openat2 beneath the root, then one name in it
//!                          ├── .wh.NAME        a whiteout: NAME of the layers below is gone
//!                          └── .wh..wh..opq    its folder hides all of that folder in the layers below
//! ```
//!
//! Whatever the layer says, nothing outside the folder is read, made, changed or linked to. A later member
//! takes the place of an earlier one of the same name.
//!
//! Sources: OCI Image Specification, `layer.md`; Linux `Documentation/filesystems/overlayfs.rst`, "whiteouts
//! and opaque directories"; the attacks that containerd's `archive/tar_test.go` and umoci's `layer` tests
//! list.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, makedev};

use crate::members::{Kind, Member, MemberError, Members, Skip};

mod metadata;
pub mod tree;

use tree::{Tree, TreeError};

/// How much a layer may be when it is unpacked. What is beyond is a bomb, or needs somebody to say that it is
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of the archive without its compression.
    pub bytes: u64,
    /// Its members.
    pub members: u64,
}

impl Default for Limits {
    /// 64 GiB, 10 million members.
    fn default() -> Self {
        Self { bytes: 64 << 30, members: 10_000_000 }
    }
}

/// The longest path that is unpacked: what the kernel takes.
const PATH_BYTES: usize = 4095;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is wrong.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A path is not one inside the layer.
    #[error("`{path}` is not a path inside the layer: {rule}")]
    Path {
        /// The path.
        path: String,
        /// What it should be.
        rule: &'static str,
    },
    /// A member cannot be made.
    #[error("unpack `{path}`")]
    Make {
        /// Its path.
        path: String,
        /// What is in the way.
        source: TreeError,
    },
    /// A link is to something that this layer does not have.
    #[error("`{path}` is a hard link to `{target}`, which is not a file of the same layer")]
    Link {
        /// Its path.
        path: String,
        /// What it should be linked to.
        target: String,
    },
    /// The layer is larger than it may be.
    #[error("the layer has more than {bytes} bytes when it is unpacked, which is the limit")]
    TooLarge {
        /// The limit.
        bytes: u64,
    },
    /// The layer has more members than it may have.
    #[error("the layer has more than {members} members, which is the limit")]
    TooMany {
        /// The limit.
        members: u64,
    },
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// The bytes of all files.
    pub bytes: u64,
    /// The layer hides all layers below it.
    pub opaque: bool,
}

/// Unpacks the archive `input` into the empty folder `root`. What later members replace is moved to the
/// folder `aside`, which is on the same file system: deleting is not for now.
///
/// # Errors
/// [`UnpackError`] at the first member that cannot be what it should be.
pub fn unpack(
    input: impl Read,
    root: BorrowedFd<'_>,
    aside: BorrowedFd<'_>,
    limits: Limits,
) -> Result<Unpacked, UnpackError> {
    let mut members = Members::new(Limited { input, left: limits.bytes });
    let mut tree = Tree::new(root, aside);
    let mut unpacked = Unpacked { bytes: 0, opaque: false };
    let mut count = 0;
    while let Some(member) = members.next().map_err(|error| explained(error, limits))? {
        count += 1;
        if count > limits.members {
            return Err(UnpackError::TooMany { members: limits.members });
        }
        // No byte of a file is written that claims to be larger than the layer may be.
        if member.size > limits.bytes.saturating_sub(members.position()) {
            return Err(UnpackError::TooLarge { bytes: limits.bytes });
        }
        unpacked.bytes += member.size;
        unpacked.opaque |= place(&mut tree, &member, &mut members)?;
    }
    tree.finish_folders().map_err(|source| UnpackError::Make { path: "/".to_owned(), source })?;
    Ok(unpacked)
}

/// A stream that fails where the limit is, so that nobody takes that for its end.
struct Limited<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return match self.input.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::ErrorKind::FileTooLarge.into()),
            };
        }
        let read = self.input.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Read> Skip for Limited<R> {}

/// Tells an archive that is too large from one that cannot be read.
fn explained(error: MemberError, limits: Limits) -> UnpackError {
    match error {
        MemberError::Read(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            UnpackError::TooLarge { bytes: limits.bytes }
        }
        other => other.into(),
    }
}

/// What the last part of a path stands for.
enum Name<'a> {
    /// Itself.
    Own(&'a OsStr),
    /// The name that is gone.
    Whiteout(&'a OsStr),
    /// The folder around it hides what is below.
    Opaque,
    /// A file of aufs about itself.
    Foreign,
}

/// Makes one member, and tells whether it hides all layers below.
fn place(tree: &mut Tree<'_>, member: &Member, content: &mut impl Read) -> Result<bool, UnpackError> {
    let shown = || String::from_utf8_lossy(&member.path).into_owned();
    let failed = |source| UnpackError::Make { path: shown(), source };
    let path = inside(&member.path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return match member.kind {
            Kind::Folder => tree.root(member).map(|()| false).map_err(failed),
            _ => Err(UnpackError::Path { path: shown(), rule: "only a folder can be the root" }),
        };
    };
    for above in folder {
        match meaning(above) {
            Ok(Name::Own(_)) => {}
            Ok(Name::Foreign) => return Ok(false),
            Ok(Name::Whiteout(_) | Name::Opaque) | Err(_) => {
                return Err(UnpackError::Path {
                    path: shown(),
                    rule: "a folder in it is called like a whiteout",
                });
            }
        }
    }
    let name = match meaning(name).map_err(|rule| UnpackError::Path { path: shown(), rule })? {
        Name::Own(name) => name,
        Name::Whiteout(gone) => return tree.whiteout(folder, gone).map(|()| false).map_err(failed),
        Name::Opaque => {
            tree.opaque(folder).map_err(failed)?;
            return Ok(folder == Path::new(""));
        }
        Name::Foreign => return Ok(false),
    };
    match &member.kind {
        Kind::File => tree.file(folder, name, member, content).map_err(failed)?,
        Kind::Folder => tree.folder(folder, name, member).map_err(failed)?,
        Kind::Symlink { target } => tree.symlink(folder, name, target, member).map_err(failed)?,
        Kind::HardLink { target } => {
            let shown_target = || String::from_utf8_lossy(target).into_owned();
            if !tree.hard_link(folder, name, &inside(target)?).map_err(failed)? {
                return Err(UnpackError::Link { path: shown(), target: shown_target() });
            }
        }
        Kind::CharDevice { major, minor } => {
            let device = (FileType::CharacterDevice, makedev(*major, *minor));
            tree.node(folder, name, device, member).map_err(failed)?;
        }
        Kind::BlockDevice { major, minor } => {
            let device = (FileType::BlockDevice, makedev(*major, *minor));
            tree.node(folder, name, device, member).map_err(failed)?;
        }
        Kind::Fifo => tree.node(folder, name, (FileType::Fifo, 0), member).map_err(failed)?,
    }
    Ok(false)
}

/// Makes a path of the archive one that is relative to the layer's root: without `.`, empty parts, and
/// slashes around.
fn inside(path: &[u8]) -> Result<PathBuf, UnpackError> {
    let fail = |rule| {
        let mut path = String::from_utf8_lossy(path).into_owned();
        path.truncate(path.floor_char_boundary(200));
        Err(UnpackError::Path { path, rule })
    };
    if path.len() > PATH_BYTES {
        return fail("it is longer than the kernel's 4095 bytes");
    }
    if path.contains(&0) {
        return fail("it has an empty byte in it");
    }
    let mut inside = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return fail("it has `..` in it"),
            _ if part.len() > 255 => return fail("a part of it is longer than 255 bytes"),
            _ => inside.push(OsStr::from_bytes(part)),
        }
    }
    Ok(inside)
}

fn meaning(name: &OsStr) -> Result<Name<'_>, &'static str> {
    match name.as_bytes().strip_prefix(b".wh.") {
        None => Ok(Name::Own(name)),
        Some(b".wh..opq") => Ok(Name::Opaque),
        Some(gone) if gone.starts_with(b".wh.") => Ok(Name::Foreign),
        Some(b"" | b"." | b"..") => Err("a whiteout must name what is gone"),
        Some(gone) => Ok(Name::Whiteout(OsStr::from_bytes(gone))),
    }
}

#[cfg(test)]
mod attacks;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use rustix::fs::{fgetxattr, makedev};

    use super::*;
    use crate::testing::archive::{Tar, TestMember, bytes, file, folder, hard_link, header, symlink};
    use crate::testing::layer::Unpacked as Layer;

    fn layer(members: impl IntoIterator<Item = TestMember>) -> Layer {
        let layer = Layer::new();
        layer.unpack(members.into_iter().fold(Tar::new(), Tar::with)).unwrap();
        layer
    }

    fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
        let mut value = vec![0; 100];
        let length = fgetxattr(fs::File::open(path).unwrap(), name, &mut value[..]).ok()?;
        value.truncate(length);
        Some(value)
    }

    fn is_opaque(path: &Path) -> bool {
        xattr(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
    }

    fn is_gone(path: &Path) -> bool {
        let found = fs::symlink_metadata(path).unwrap();
        found.file_type().is_char_device() && found.rdev() == 0
    }

    #[test]
    fn files_keep_owner_mode_time_and_content() {
        let mut program = file("bin/program", "code");
        program.0.set_mode(0o4751);
        program.0.set_uid(1234);
        program.0.set_gid(70_000);
        program.0.set_mtime(1_000_000);
        let mut empty = folder("bin/");
        empty.0.set_mode(0o2775);
        empty.0.set_mtime(2_000_000);
        let layer = layer([empty, program]);
        let found = fs::metadata(layer.path("bin/program")).unwrap();
        assert_eq!(fs::read(layer.path("bin/program")).unwrap(), b"code");
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o4751, 1234, 70_000));
        assert_eq!(found.mtime(), 1_000_000);
        let folder = fs::metadata(layer.path("bin")).unwrap();
        assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o2775, 2_000_000));
    }

    #[test]
    fn a_fraction_of_a_second_and_attributes_come_from_the_extended_header() {
        let capability = b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let records: [(&str, &[u8]); 6] = [
            ("mtime", b"5.25"),
            ("SCHILY.xattr.user.note", b"two\nlines"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.security.selinux", b"label"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ];
        let tar = Tar::new().pax(&records).with(file("file", ""));
        let layer = Layer::new();
        layer.unpack(tar).unwrap();
        let path = layer.path("file");
        assert_eq!(fs::metadata(&path).unwrap().mtime_nsec(), 250_000_000);
        assert_eq!(xattr(&path, "user.note").unwrap(), b"two\nlines");
        assert_eq!(xattr(&path, "security.capability").map(|value| value[4]), Some(0x0a));
        for foreign in ["security.selinux", "trusted.overlay.redirect", "user.overlay.opaque"] {
            assert_eq!(xattr(&path, foreign), None, "{foreign}");
        }
    }

    #[test]
    fn links_of_both_kinds_devices_and_fifos_are_what_they_were() {
        let mut device = (header(b'3', "null", 0), Vec::new());
        device.0.set_device_major(1).unwrap();
        device.0.set_device_minor(3).unwrap();
        device.0.set_mode(0o666);
        let mut disk = (header(b'4', "disk", 0), Vec::new());
        disk.0.set_device_major(7).unwrap();
        disk.0.set_device_minor(200).unwrap();
        let fifo = (header(b'6', "fifo", 0), Vec::new());
        let layer = layer([
            file("file", "x"),
            symlink("soft", "/nowhere"),
            hard_link("hard", "/file"),
            hard_link("hard-soft", "soft"),
            device,
            disk,
            fifo,
        ]);
        let found = |name| fs::symlink_metadata(layer.path(name)).unwrap();
        assert_eq!(fs::read_link(layer.path("soft")).unwrap(), Path::new("/nowhere"));
        assert_eq!(found("soft").mtime(), 1);
        assert_eq!((found("hard").ino(), found("hard").nlink()), (found("file").ino(), 2));
        assert_eq!(found("hard-soft").ino(), found("soft").ino());
        assert_eq!((found("null").rdev(), found("null").mode() & 0o7777), (makedev(1, 3), 0o666));
        assert!(found("disk").file_type().is_block_device() && found("disk").rdev() == makedev(7, 200));
        assert!(found("fifo").file_type().is_fifo());
    }

    #[test]
    fn whiteouts_take_overlayfs_form() {
        let layer =
            layer([folder("a/"), file("a/.wh.gone", ""), file("a/.wh..wh..opq", ""), file("b/.wh.gone", "")]);
        assert!(is_gone(&layer.path("a/gone")) && is_gone(&layer.path("b/gone")));
        assert!(is_opaque(&layer.path("a")) && !is_opaque(&layer.path("b")));
        assert_eq!(layer.names("a"), ["gone"]);
    }

    #[test]
    fn a_whiteout_at_the_root_hides_all_layers_below() {
        let hides = |member| Layer::new().unpack(Tar::new().with(member)).unwrap().opaque;
        assert!(hides(file("./.wh..wh..opq", "")));
        assert!(!hides(file("a/.wh..wh..opq", "")));
    }

    #[test]
    fn what_a_layer_has_itself_survives_its_whiteouts_in_any_order() {
        let layer = layer([
            file("old/file", "x"),
            file(".wh.old", ""),
            file(".wh.new", ""),
            folder("new/"),
            file(".wh.implied", ""),
            file("implied/file", "x"),
            file(".wh.file", ""),
            file("file", "first"),
            file(".wh.file", ""),
        ]);
        assert_eq!(fs::read(layer.path("file")).unwrap(), b"first");
        for folder in ["old", "new", "implied"] {
            assert!(is_opaque(&layer.path(folder)), "{folder}");
        }
        assert!(layer.path("old/file").exists() && layer.path("implied/file").exists());
    }

    #[test]
    fn what_aufs_wrote_about_itself_is_left_out() {
        let layer = layer([
            file(".wh..wh.aufs", "x"),
            folder(".wh..wh.plnk/"),
            file(".wh..wh.plnk/100.200", "x"),
            file("file", ""),
        ]);
        assert_eq!(layer.names(""), ["file"]);
    }

    #[test]
    fn a_later_member_takes_the_place_of_an_earlier_one() {
        let layer = layer([
            file("a", "first"),
            file("a", "second"),
            folder("b/"),
            file("b/inner", ""),
            file("b", "file now"),
            file("c", "file"),
            folder("c/"),
            folder("d/"),
            file("d/kept", ""),
            folder("d/"),
        ]);
        assert_eq!(fs::read(layer.path("a")).unwrap(), b"second");
        assert_eq!(fs::read(layer.path("b")).unwrap(), b"file now");
        assert!(layer.path("c").is_dir());
        assert_eq!(layer.names("d"), ["kept"]);
        assert_eq!(fs::metadata(layer.path("d")).unwrap().mtime(), 1);
    }

    #[test]
    fn folders_that_the_layer_does_not_mention_are_made_and_links_of_the_layer_lead_to_its_own() {
        let layer = layer([
            folder("usr/lib/"),
            symlink("lib", "usr/lib"),
            file("lib/one", ""),
            symlink("lib64", "/usr/lib"),
            file("lib64/two", ""),
            folder("lib64/sub/"),
            symlink("usr/up", "../../../../usr/lib"),
            file("usr/up/deep/three", ""),
        ]);
        assert_eq!(layer.names("usr/lib"), ["deep", "one", "sub", "two"]);
        assert_eq!(fs::metadata(layer.path("usr")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(layer.path("usr/lib/sub")).unwrap().mtime(), 1);
    }

    #[test]
    fn the_root_takes_what_the_layer_says_of_it() {
        let mut root = folder("./");
        root.0.set_mode(0o711);
        let layer = layer([root, bytes("file", &[7; 300_000])]);
        assert_eq!(fs::metadata(layer.path("")).unwrap().mode() & 0o7777, 0o711);
        assert_eq!(fs::metadata(layer.path("")).unwrap().mtime(), 1);
        assert_eq!(fs::read(layer.path("file")).unwrap(), [7; 300_000]);
    }
}
