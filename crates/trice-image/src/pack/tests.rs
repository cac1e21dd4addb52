//! What was packed unpacks to the same, and gives the same bytes again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use rustix::fs::{CWD, XattrFlags, fsetxattr, makedev, mknodat};
use trice_test::tree;

use super::*;
use crate::members::Members;
use crate::testing::Folder;
use crate::testing::archive::Tar;
use crate::testing::layer::Unpacked;

fn packed(root: &Path, packing: &Packing) -> Result<Vec<u8>, PackError> {
    let mut bytes = Vec::new();
    pack(File::open(root).unwrap().as_fd(), packing, &mut bytes).map(|_| bytes)
}

fn overlay() -> Packing {
    Packing { overlay: true, ..Packing::default() }
}

/// Returns the paths of an archive with what they are.
fn members(tar: &[u8]) -> Vec<(String, Member)> {
    let mut members = Members::new(tar);
    std::iter::from_fn(|| members.next().unwrap())
        .map(|member| (String::from_utf8(member.path.clone()).unwrap(), member))
        .collect()
}

fn paths(tar: &[u8]) -> Vec<String> {
    members(tar).into_iter().map(|(path, _)| path).collect()
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    fsetxattr(File::open(path).unwrap(), name, value, XattrFlags::empty()).unwrap();
}

fn device(path: &Path, major: u32, minor: u32) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from(0o640), makedev(major, minor)).unwrap();
}

/// Makes a folder with one of everything.
fn everything(root: &Path) {
    fs::create_dir_all(root.join("folder/deep")).unwrap();
    fs::set_permissions(root.join("folder"), PermissionsExt::from_mode(0o2771)).unwrap();
    fs::write(root.join("folder/file"), "content").unwrap();
    fs::set_permissions(root.join("folder/file"), PermissionsExt::from_mode(0o4755)).unwrap();
    lchown(root.join("folder/file"), Some(3_000_000), Some(7)).unwrap();
    fs::set_permissions(root.join("folder/file"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("folder/file"), root.join("again")).unwrap();
    symlink("/nowhere", root.join("link")).unwrap();
    lchown(root.join("link"), Some(5), Some(6)).unwrap();
    device(&root.join("null"), 1, 3);
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    fs::write(root.join("capable"), "x").unwrap();
    let capability = b"\x01\0\0\x02\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    set_xattr(&root.join("capable"), "security.capability", capability);
    set_xattr(&root.join("folder"), "user.note", b"two\nlines");
    fs::write(root.join(format!("{}-größe", "long".repeat(40))), "").unwrap();
    File::create(root.join("sparse")).unwrap().set_len(3 << 20).unwrap();
    UnixListener::bind(root.join("socket")).unwrap();
}

#[test]
fn a_folder_with_one_of_everything_unpacks_to_the_same_and_packs_to_the_same_bytes_again() {
    let folder = Folder::new();
    let root = folder.path("root");
    everything(&root);
    let first = packed(&root, &overlay()).unwrap();
    let layer = Unpacked::new();
    layer.unpack(Tar::new().raw(&first)).unwrap();
    let wanted = tree::of(&root);
    assert_eq!(wanted.len(), 10);
    assert_eq!(tree::of(&layer.path("")), wanted);
    assert_eq!(packed(&layer.path(""), &overlay()).unwrap(), first);
}

#[test]
fn gnu_tar_sees_the_same_files_as_we_wrote() {
    let folder = Folder::new();
    let root = folder.path("root");
    everything(&root);
    fs::write(folder.path("tar"), packed(&root, &overlay()).unwrap()).unwrap();
    fs::create_dir(folder.path("out")).unwrap();
    let line = [
        "--extract",
        "--same-owner",
        "--same-permissions",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
    ];
    let mut tar = Command::new("tar");
    tar.args(line).arg("--file").arg(folder.path("tar")).arg("--directory").arg(folder.path("out"));
    assert!(tar.status().unwrap().success());
    assert_eq!(tree::of(&folder.path("out")), tree::of(&root));
}

#[test]
fn the_order_is_that_of_the_names_bytes_with_what_is_hidden_first() {
    let folder = Folder::new();
    for path in ["b", "a", "a-", "B"] {
        fs::create_dir_all(folder.path("root").join(path)).unwrap();
        fs::write(folder.path("root").join(path).join("x"), "").unwrap();
    }
    device(&folder.path("root/zz"), 0, 0);
    fs::write(folder.path("root/!early"), "").unwrap();
    set_xattr(&folder.path("root/b"), "trusted.overlay.opaque", b"y");
    set_xattr(&folder.path("root/a"), "trusted.overlay.opaque", b"x");
    device(&folder.path("root/b/gone"), 0, 0);
    let tar = packed(&folder.path("root"), &overlay()).unwrap();
    let wanted = [
        ".wh.zz",
        "!early",
        "B/",
        "B/x",
        "a/",
        "a/x",
        "a-/",
        "a-/x",
        "b/",
        "b/.wh..wh..opq",
        "b/.wh.gone",
        "b/x",
    ];
    assert_eq!(paths(&tar), wanted);
    assert!(members(&tar).iter().all(|(_, member)| member.xattrs.is_empty()), "overlayfs speaks for itself");
}

#[test]
fn an_empty_file_with_a_mark_is_a_whiteout_too() {
    let folder = Folder::new();
    fs::create_dir(folder.path("root")).unwrap();
    for name in ["gone", "kept"] {
        fs::write(folder.path("root").join(name), "").unwrap();
    }
    set_xattr(&folder.path("root/gone"), "trusted.overlay.whiteout", b"y");
    assert_eq!(paths(&packed(&folder.path("root"), &overlay()).unwrap()), [".wh.gone", "kept"]);
    assert_eq!(paths(&packed(&folder.path("root"), &Packing::default()).unwrap()), ["gone", "kept"]);
}

#[test]
fn whatever_overlayfs_shows_is_what_the_layers_unpack_to() {
    use rustix::mount::{MountFlags, mount};
    let folder = Folder::in_memory();
    for name in ["lower/kept", "lower/replaced", "lower/emptied", "upper", "work", "merged"] {
        fs::create_dir_all(folder.path(name)).unwrap();
    }
    for name in ["lower/kept/one", "lower/kept/two", "lower/replaced/old", "lower/emptied/x", "lower/file"] {
        fs::write(folder.path(name), name).unwrap();
    }
    crate::testing::in_mount_namespace(|| {
        let of = |name: &str| folder.path(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off",
            of("lower"),
            of("upper"),
            of("work")
        );
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", folder.path("merged"), "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .unwrap();
        let merged = |name: &str| folder.path("merged").join(name);
        fs::remove_file(merged("kept/one")).unwrap();
        fs::remove_dir_all(merged("replaced")).unwrap();
        fs::create_dir(merged("replaced")).unwrap();
        fs::write(merged("replaced/new"), "new").unwrap();
        fs::remove_dir_all(merged("emptied")).unwrap();
        fs::remove_file(merged("file")).unwrap();
        fs::hard_link(merged("kept/two"), merged("also")).unwrap();
        fs::set_permissions(merged("kept"), PermissionsExt::from_mode(0o700)).unwrap();
        let tar = packed(&folder.path("upper"), &overlay()).unwrap();
        let wanted = [
            ".wh.emptied",
            ".wh.file",
            "also",
            "kept/",
            "kept/.wh.one",
            "kept/two",
            "replaced/",
            "replaced/.wh..wh..opq",
            "replaced/new",
        ];
        assert_eq!(paths(&tar), wanted);
        let seen = tree::of(&folder.path("merged"));
        let layer = Unpacked::new();
        layer.unpack(Tar::new().raw(&tar)).unwrap();
        let again = folder.path("again");
        fs::create_dir(&again).unwrap();
        let options = format!("lowerdir={}:{}", layer.path("").display(), of("lower"));
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", &again, "overlay", MountFlags::RDONLY, Some(options.as_c_str())).unwrap();
        assert_eq!(tree::of(&again), seen);
    });
}

#[test]
fn what_is_left_out_is_left_out_with_all_below() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("root/etc/inner")).unwrap();
    fs::write(folder.path("root/etc/hosts"), "").unwrap();
    fs::write(folder.path("root/etc/inner/x"), "").unwrap();
    let skip = ["etc/hosts", "etc/inner"].map(PathBuf::from).into();
    let tar = packed(&folder.path("root"), &Packing { skip, ..Packing::default() }).unwrap();
    assert_eq!(paths(&tar), ["etc/"]);
}

#[test]
fn no_time_is_later_than_the_one_that_is_given_and_files_may_take_it_over() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("root/folder")).unwrap();
    fs::write(folder.path("root/folder/file"), "").unwrap();
    symlink("x", folder.path("root/link")).unwrap();
    fs::write(folder.path("root/old"), "").unwrap();
    let old = File::open(folder.path("root/old")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(50)).unwrap();
    let packing = Packing { latest: Some(1000), ..overlay() };
    let tar = packed(&folder.path("root"), &packing).unwrap();
    let times = |tar: &[u8]| members(tar).into_iter().map(|(_, member)| member.mtime.0).collect::<Vec<_>>();
    assert_eq!(times(&tar), [1000, 1000, 1000, 50]);
    let settled = packed(&folder.path("root"), &Packing { settle: true, ..packing }).unwrap();
    assert_eq!(settled, tar);
    assert_eq!(times(&packed(&folder.path("root"), &overlay()).unwrap()), [1000, 1000, 1000, 50]);
}

#[test]
fn a_name_that_would_delete_something_and_half_a_folder_are_refused() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("root/folder")).unwrap();
    fs::write(folder.path("root/folder/.wh.x"), "").unwrap();
    assert!(matches!(packed(&folder.path("root"), &overlay()), Err(PackError::Whiteout { .. })));
    fs::remove_file(folder.path("root/folder/.wh.x")).unwrap();
    set_xattr(&folder.path("root/folder"), "trusted.overlay.redirect", b"other");
    assert!(matches!(packed(&folder.path("root"), &overlay()), Err(PackError::Half { .. })));
}

#[test]
fn a_full_disk_and_a_file_that_shrinks_are_told_from_each_other() {
    let folder = Folder::new();
    fs::create_dir(folder.path("root")).unwrap();
    fs::write(folder.path("root/file"), vec![1; 600_000]).unwrap();
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let root = File::open(folder.path("root")).unwrap();
    assert!(matches!(pack(root.as_fd(), &overlay(), Full), Err(PackError::Write(_))));
    struct Shrinking(PathBuf);
    impl Write for Shrinking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            fs::write(&self.0, "short").unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shrinking = Shrinking(folder.path("root/file"));
    assert!(matches!(pack(root.as_fd(), &overlay(), shrinking), Err(PackError::Changed { .. })));
}

#[test]
fn a_tree_of_two_thousand_folders_is_packed() {
    let layer = Unpacked::new();
    let deep = "x/".repeat(2000) + "y";
    layer
        .unpack(Tar::new().extended(b'L', deep.as_bytes()).with(crate::testing::archive::file("x", "")))
        .unwrap();
    let tar = packed(&layer.path(""), &overlay()).unwrap();
    assert_eq!((paths(&tar).len(), paths(&tar).pop()), (2001, Some(deep)));
}
