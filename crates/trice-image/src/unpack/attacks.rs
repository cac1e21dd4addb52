//! Layers that try to get out. None reads, makes or changes anything outside its folder.
//!
//! Sources: containerd `archive/tar_test.go`, umoci and moby; CVE-2014-6407, CVE-2014-9357, CVE-2017-14992,
//! CVE-2025-62518, CVE-2026-33056.

use std::fs;

use super::{UnpackError, tree::TreeError};
use crate::members::MemberError;
use crate::pax::PaxError;
use crate::testing::archive::{Tar, TestMember, file, folder, hard_link, header, symlink};
use crate::testing::layer::Unpacked;

/// Unpacks the members, sees that nothing outside has changed, and returns the layer, or why there is none.
///
/// `members` are made for the path of a folder outside.
fn attack<const N: usize>(members: impl FnOnce(&str) -> [TestMember; N]) -> Result<Unpacked, UnpackError> {
    let layer = Unpacked::new();
    let before = layer.outside();
    let members = members(layer.outside_path().to_str().unwrap());
    let outcome = layer.unpack(members.into_iter().fold(Tar::new(), Tar::with));
    assert_eq!(layer.outside(), before, "something outside has changed");
    outcome.map(|_| layer)
}

fn is_refused_path<const N: usize>(members: [TestMember; N]) -> bool {
    matches!(attack(|_| members), Err(UnpackError::Path { .. }))
}

#[test]
fn a_path_that_climbs_is_refused() {
    for path in ["../x", "../outside/file", "a/../../x", "/../x", "..", "a/b/.."] {
        assert!(is_refused_path([folder("a/"), file(path, "x")]), "{path}");
        assert!(is_refused_path([folder(path)]), "{path}");
        assert!(is_refused_path([symlink(path, "x")]), "{path}");
    }
}

#[test]
fn an_absolute_path_is_inside() {
    let layer = attack(|_| [file("/etc/passwd", "mine"), file("//double//slash", "")]).unwrap();
    assert_eq!(fs::read(layer.path("etc/passwd")).unwrap(), b"mine");
    assert!(layer.path("double/slash").exists());
}

#[test]
fn a_write_through_a_link_to_outside_is_refused() {
    let evil = [
        file("link/pwned", "x"),
        folder("link/pwned/"),
        symlink("link/pwned", "x"),
        file("link/.wh.file", ""),
    ];
    for evil in evil {
        for target in ["", "../outside", "/proc/self/root", "/proc/self/cwd", "link"] {
            let outcome = attack(|outside| {
                let target = if target.is_empty() { outside } else { target };
                [symlink("link", target), evil.clone()]
            });
            assert!(matches!(outcome, Err(UnpackError::Make { .. })), "{target}");
        }
    }
}

#[test]
fn a_write_through_a_link_lands_in_the_layers_own_folder_of_that_name() {
    let layer = attack(|_| [folder("etc/"), symlink("link", "/etc"), file("link/passwd", "mine")]).unwrap();
    assert_eq!(fs::read(layer.path("etc/passwd")).unwrap(), b"mine");
}

#[test]
fn a_file_takes_the_place_of_a_link_and_does_not_follow_it() {
    let layer = attack(|outside| [symlink("x", &format!("{outside}/file")), file("x", "mine")]).unwrap();
    assert_eq!(fs::read(layer.path("x")).unwrap(), b"mine");
    assert!(fs::symlink_metadata(layer.path("x")).unwrap().is_file());
}

#[test]
fn a_folder_takes_the_place_of_a_link_and_does_not_change_the_mode_of_its_target() {
    let mut open = folder("x");
    open.0.set_mode(0o777);
    let layer = attack(|outside| [symlink("x", outside), open, file("x/inner", "")]).unwrap();
    assert!(fs::symlink_metadata(layer.path("x")).unwrap().is_dir());
    assert!(layer.path("x/inner").exists());
}

#[test]
fn a_folder_that_became_a_link_is_not_written_through() {
    let outcome =
        attack(|outside| [folder("x/"), file("x/one", ""), symlink("x", outside), file("x/two", "")]);
    assert!(matches!(outcome, Err(UnpackError::Make { .. })));
    let layer = attack(|outside| [folder("x/"), file("x/one", ""), symlink("x", outside)]).unwrap();
    assert!(fs::symlink_metadata(layer.path("x")).unwrap().is_symlink());
}

#[test]
fn a_hard_link_reaches_nothing_outside() {
    for target in ["/etc/passwd", "none", "folder", ""] {
        let outcome = attack(|_| [folder("folder/"), hard_link("link", target)]);
        assert!(matches!(outcome, Err(UnpackError::Link { .. })), "{target}");
    }
    let outcome = attack(|outside| [hard_link("link", &format!("{outside}/file"))]);
    assert!(matches!(outcome, Err(UnpackError::Link { .. })));
    assert!(is_refused_path([hard_link("link", "../outside/file")]));
    let through = attack(|outside| [symlink("dir", outside), hard_link("link", "dir/file")]);
    assert!(matches!(through, Err(UnpackError::Link { .. })));
}

#[test]
fn a_hard_link_to_a_link_is_the_link_and_not_what_it_points_to() {
    let layer = attack(|outside| {
        [symlink("soft", &format!("{outside}/file")), hard_link("hard", "soft"), file("hard", "mine")]
    })
    .unwrap();
    assert_eq!(fs::read(layer.path("hard")).unwrap(), b"mine");
    let layer = attack(|_| [file("self", "kept"), hard_link("self", "self")]).unwrap();
    assert_eq!(fs::read(layer.path("self")).unwrap(), b"kept");
}

#[test]
fn whiteouts_of_nothing_and_of_the_parent_are_refused() {
    for path in [".wh.", "a/.wh..", "a/.wh...", ".wh..", ".wh..."] {
        assert!(is_refused_path([folder("a/"), file("a/kept", ""), file(path, "")]), "{path}");
    }
}

/// Nobody could pack such a layer again.
#[test]
fn what_is_below_a_whiteout_is_refused() {
    for path in [".wh.a/file", "a/.wh./file", ".wh..wh..opq/file", "a/.wh.../b/c"] {
        assert!(is_refused_path([folder("a/"), file(path, "")]), "{path}");
    }
}

#[test]
fn the_root_is_a_folder_and_stays_one() {
    assert!(is_refused_path([file(".", "x")]));
    assert!(is_refused_path([symlink("/", "/etc")]));
}

#[test]
fn what_is_below_a_file_is_refused() {
    let outcome = attack(|_| [file("file", ""), file("file/below", "")]);
    assert!(matches!(outcome, Err(UnpackError::Make { source: TreeError::NoFolder, .. })));
}

#[test]
fn names_that_are_too_long_are_refused_and_deep_ones_are_not() {
    let long =
        |path: &str| Unpacked::new().unpack(Tar::new().extended(b'L', path.as_bytes()).with(file("x", "")));
    for path in ["x".repeat(256), "x".repeat(64 << 10), "x/".repeat(2048) + "y"] {
        assert!(matches!(long(&path), Err(UnpackError::Path { .. })), "{}", path.len());
    }
    assert!(matches!(
        long(&"x".repeat(2 << 20)),
        Err(UnpackError::Member(MemberError::HeaderTooLong { .. }))
    ));
    long(&("x/".repeat(2000) + "y")).unwrap();
}

#[test]
fn a_layer_that_is_larger_than_it_may_be_stops_before_it_fills_the_disk() {
    let layer = Unpacked::new();
    let claims = |size| (header(b'0', "huge", size), Vec::new());
    for size in [1 << 40, u64::from(u32::MAX), (1 << 20) + 1] {
        let outcome = layer.unpack_within(Tar::new().with(claims(size)), 1 << 20, 100);
        assert!(matches!(outcome, Err(UnpackError::TooLarge { bytes: 0x10_0000 })), "{size}");
    }
    assert_eq!(layer.names(""), [""; 0]);
    let many = (0..100).fold(Tar::new(), |tar, _| tar.with(file("one", "x")));
    assert!(matches!(layer.unpack_within(many, 1 << 16, u64::MAX), Err(UnpackError::TooLarge { .. })));
    let many = (0..20).fold(Tar::new(), |tar, number| tar.with(file(&number.to_string(), "")));
    assert!(matches!(layer.unpack_within(many, 1 << 20, 10), Err(UnpackError::TooMany { members: 10 })));
}

#[test]
fn a_sparse_file_of_ten_gigabytes_in_ten_kilobytes_is_refused_in_every_form() {
    let huge = 10_u64 << 30;
    // The old GNU form: the real size is in the header, and one hole before the last byte.
    let mut old = (header(b'S', "bomb", 512), vec![0; 512]);
    let gnu = old.0.as_mut_bytes();
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[386..398].copy_from_slice(format!("{:012o}", huge - 512).as_bytes());
    gnu[398..410].copy_from_slice(b"00000001000\0");
    gnu[483..495].copy_from_slice(format!("{huge:012o}").as_bytes());
    let size = huge.to_string();
    let records: [&[(&str, &[u8])]; 3] = [
        &[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.numblocks", b"0")],
        &[("GNU.sparse.map", b"0,512"), ("GNU.sparse.size", size.as_bytes())],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", size.as_bytes())],
    ];
    let forms = records.map(|records| Tar::new().pax(records).with(file("bomb", &"0".repeat(512))));
    for tar in forms.into_iter().chain([Tar::new().with(old)]) {
        let (layer, tar) = (Unpacked::new(), tar.bytes());
        assert!(tar.len() < 10_000);
        let outcome = layer.unpack_stream(&tar[..], u64::MAX / 4, 1 << 20);
        let is_sparse =
            matches!(&outcome, Err(UnpackError::Member(MemberError::Pax { source: PaxError::Sparse, .. })));
        assert!(is_sparse, "{outcome:?}");
        assert_eq!(layer.names(""), [""; 0]);
    }
    // And what claims to be that large, and has nothing.
    let layer = Unpacked::new();
    let claim = Tar::new().with((header(b'0', "bomb", 8 << 30), Vec::new())).bytes();
    assert!(layer.unpack_stream(&claim[..], u64::MAX / 4, 1 << 20).is_err());
}

#[test]
fn a_layer_of_exactly_the_size_that_it_may_have_is_unpacked_whole() {
    let tar = Tar::new().with(file("one", "1")).with(file("two", "2")).bytes();
    for (limit, whole) in
        [(tar.len(), true), (tar.len() - 512, true), (2048, false), (1024, false), (1536, false)]
    {
        let layer = Unpacked::new();
        let outcome = layer.unpack_stream(&tar[..], limit as u64, 10);
        assert_eq!(outcome.is_ok(), whole, "{limit}");
        assert!(!whole || layer.names("") == ["one", "two"], "{limit}");
    }
}

#[test]
fn a_content_that_ends_too_early_is_an_error() {
    let tar = Tar::new().with(file("file", &"x".repeat(2000))).bytes();
    let outcome = Unpacked::new().unpack_stream(&tar[..1000], 1 << 20, 10);
    assert!(matches!(outcome, Err(UnpackError::Make { source: TreeError::Content(_), .. })));
}
