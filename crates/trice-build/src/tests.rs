//! Files of a context, from their selection to their copies: without a kernel's help but that for paths.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use trice_dockerfile::chmod::Chmod;
use trice_dockerfile::pattern::Patterns;

use crate::content::{self, Counting};
use crate::copy::{Copier, CopyError, Style};
use crate::select::{Origin, Selection, Top};
use crate::stamps::Stamps;
use crate::tree::Tree;

/// A folder with a context and a place for copies, that goes when it is dropped.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("trice-build-{}-{number}", std::process::id()));
        for name in ["context", "root", "stamps"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        Self(path)
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn origin(&self, ignored: &str) -> Origin {
        let tree = Tree::folder(&self.0.join("context")).unwrap();
        Origin { tree, ignored: Patterns::of_file(ignored).unwrap() }
    }

    fn tops(
        &self,
        path: &str,
        ignored: &str,
        excluded: &[&str],
        kept: Option<&str>,
    ) -> Result<Vec<Top>, String> {
        let excluded = Patterns::new(excluded.iter().copied()).unwrap();
        let selection = Selection { path, kept, excluded: &excluded };
        self.origin(ignored).select(&selection).map_err(|error| error.to_string())
    }

    /// Copies what is meant, and returns what is in the root then.
    fn copied(&self, path: &str, destination: &str) -> String {
        let tops = self.tops(path, "", &[], None).unwrap_or_else(|error| panic!("{error}"));
        match self.copy(&tops, destination, None) {
            Ok(()) => self.listing(),
            Err(error) => error.to_string(),
        }
    }

    fn copy(&self, tops: &[Top], destination: &str, chmod: Option<&str>) -> Result<(), CopyError> {
        let tree = Tree::folder(&self.0.join("root")).unwrap();
        let chmod = chmod.map(|mode| Chmod::Exactly(u32::from_str_radix(mode, 8).unwrap()));
        let style = Style { owner: None, chmod };
        let mut copier = Copier::new(&tree, &style);
        tops.iter().try_for_each(|top| copier.copy(top, destination))
    }

    fn listing(&self) -> String {
        let mut lines = Vec::new();
        list(&self.0.join("root"), Path::new(""), &mut lines);
        lines.join("\n")
    }

    fn digest(&self, path: &str) -> String {
        let tops = self.tops(path, "", &[], None).unwrap();
        let counting = Counting { owners: false, modes: true, folder_names: false };
        let stat = rustix::fs::stat(self.0.join("context")).unwrap();
        let stamps = Stamps::open(&self.0.join("stamps"), &stat);
        let digest = content::digest(&tops, counting, Some(&stamps)).unwrap();
        stamps.save();
        assert_eq!(
            content::digest(&tops, counting, None).unwrap(),
            digest,
            "it is not read to its end twice"
        );
        digest
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn list(root: &Path, below: &Path, lines: &mut Vec<String>) {
    let mut names: Vec<_> =
        fs::read_dir(root.join(below)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let below = below.join(name);
        let found = fs::symlink_metadata(root.join(&below)).unwrap();
        let mode = found.permissions().mode() & 0o7777;
        let what = if found.is_symlink() {
            format!("-> {}", fs::read_link(root.join(&below)).unwrap().display())
        } else if found.is_file() {
            format!("{mode:o} {:?}", fs::read_to_string(root.join(&below)).unwrap())
        } else {
            format!("{mode:o}")
        };
        lines.push(format!("{} {what}", below.display()));
        if found.is_dir() {
            list(root, &below, lines);
        }
    }
}

/// Returns what is meant, as paths.
fn paths(tops: &[Top]) -> Vec<String> {
    let of = |top: &Top| {
        let name = top.name.to_string_lossy().into_owned();
        top.items
            .iter()
            .map(move |item| {
                Path::new(&name).join(&item.path).display().to_string().trim_end_matches('/').to_owned()
            })
            .collect::<Vec<_>>()
    };
    tops.iter().flat_map(of).collect()
}

#[test]
fn a_file_keeps_its_content_however_often_it_is_read() {
    let place = Place::new();
    place.file("context/a", "text");
    let tops = place.tops("/a", "", &[], None).unwrap();
    let counting = Counting { owners: true, modes: true, folder_names: false };
    content::digest(&tops, counting, None).unwrap();
    place.copy(&tops, "/x", None).unwrap();
    place.copy(&tops, "/y/", None).unwrap();
    assert_eq!(place.listing(), "x 644 \"text\"\ny 755\ny/a 644 \"text\"");
}

#[test]
fn folders_give_their_content_and_links_stay_links() {
    let place = Place::new();
    place.file("context/d/sub/f", "1");
    fs::set_permissions(place.0.join("context/d/sub"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/etc/passwd", place.0.join("context/d/out")).unwrap();
    assert_eq!(place.copied("/d", "/t"), "t 755\nt/out -> /etc/passwd\nt/sub 700\nt/sub/f 644 \"1\"");
}

#[test]
fn no_link_leads_out_of_a_context_or_out_of_an_image() {
    let place = Place::new();
    let outside = place.file("outside", "host");
    symlink(&outside, place.0.join("context/out")).unwrap();
    symlink("../../../../../../../../../etc/passwd", place.0.join("context/up")).unwrap();
    assert_eq!(place.tops("/out", "", &[], None).unwrap_err(), "`/out` is not there");
    assert_eq!(place.tops("/up", "", &[], None).unwrap_err(), "`/up` is not there");
    place.file("context/f", "copied");
    symlink(&place.0, place.0.join("root/door")).unwrap();
    place.copied("/f", "/door/outside");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "host");
    let inside = place.0.join("root").join(place.0.strip_prefix("/").unwrap()).join("outside");
    assert_eq!(fs::read_to_string(inside).unwrap(), "copied");
}

#[test]
fn a_link_at_the_destination_leads_on_and_below_it_none_does() {
    let place = Place::new();
    place.file("context/d/f", "new");
    place.file("context/one", "1");
    fs::create_dir(place.0.join("root/real")).unwrap();
    symlink("real", place.0.join("root/alias")).unwrap();
    symlink("/gone/file", place.0.join("root/dangling")).unwrap();
    place.copied("/one", "/alias");
    place.copied("/one", "/dangling");
    symlink("/real/one", place.0.join("root/real/f")).unwrap();
    place.copied("/d", "/alias");
    assert_eq!(
        place.listing(),
        "alias -> real\ndangling -> /gone/file\ngone 755\ngone/file 644 \"1\"\nreal 755\nreal/f 644 \"new\"\nreal/one 644 \"1\""
    );
}

#[test]
fn neither_a_file_takes_the_place_of_a_folder_nor_a_folder_that_of_a_file() {
    let place = Place::new();
    place.file("context/d/x", "1");
    fs::create_dir_all(place.0.join("root/t/x")).unwrap();
    assert_eq!(place.copied("/d", "/t"), "`/t/x` is a folder, and a file cannot take its place");
    place.file("root/f", "1");
    assert_eq!(place.copied("/d", "/f"), "`/f` is no folder");
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let place = Place::new();
    let one = place.file("context/d/one", "1");
    fs::hard_link(one, place.0.join("context/d/two")).unwrap();
    place.copied("/d", "/t");
    let inode = |name: &str| fs::metadata(place.0.join("root/t").join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
}

#[test]
fn permissions_can_be_said_for_all() {
    let place = Place::new();
    place.file("context/d/sub/f", "1");
    let tops = place.tops("/d", "", &[], None).unwrap();
    place.copy(&tops, "/new/t", Some("711")).unwrap();
    assert_eq!(place.listing(), "new 711\nnew/t 711\nnew/t/sub 711\nnew/t/sub/f 711 \"1\"");
}

#[test]
fn folders_on_the_way_are_open_to_others_only_to_be_read() {
    let place = Place::new();
    place.file("context/f", "1");
    let tops = place.tops("/f", "", &[], None).unwrap();
    place.copy(&tops, "/a/f", Some("4711")).unwrap();
    place.copy(&tops, "/b/f", Some("1777")).unwrap();
    assert_eq!(place.listing(), "a 711\na/f 4711 \"1\"\nb 755\nb/f 1777 \"1\"");
}

#[test]
fn wildcards_are_part_by_part_and_may_mean_nothing() {
    let place = Place::new();
    for path in ["a.txt", "b.txt", "c.md", "d/x.md", "e/x.md", "e/y.txt", "d/deep/x.md"] {
        place.file(&format!("context/{path}"), "");
    }
    let meant = |path: &str| paths(&place.tops(path, "", &[], None).unwrap());
    assert_eq!(meant("/*.txt"), ["a.txt", "b.txt"]);
    assert_eq!(meant("/*/*.md"), ["x.md", "x.md"]);
    assert_eq!(meant("/[ab].txt"), ["a.txt", "b.txt"]);
    assert_eq!(meant("/none*"), [""; 0]);
    assert_eq!(meant("/*/none/*"), [""; 0]);
    for path in ["/none/*", "/a.txt/*"] {
        let missing = format!("`{}` is not there", path.trim_end_matches("/*"));
        assert_eq!(place.tops(path, "", &[], None).unwrap_err(), missing);
    }
    symlink("d", place.0.join("context/link")).unwrap();
    assert_eq!(meant("/link/*.md"), ["x.md"]);
    assert_eq!(meant("/l*"), ["link", "link/deep", "link/deep/x.md", "link/x.md"]);
    assert_eq!(meant("/l*/*.md"), [""; 0]);
    assert_eq!(meant("/*/x.md"), ["x.md", "x.md"]);
    assert_eq!(place.tops("/none", "", &[], None).unwrap_err(), "`/none` is not there");
}

#[test]
fn what_is_ignored_is_not_there_whatever_way_leads_to_it() {
    let place = Place::new();
    for path in ["secret/key", "secret/keep/k", "a", "n/m/x"] {
        place.file(&format!("context/{path}"), "");
    }
    symlink("secret", place.0.join("context/way")).unwrap();
    let ignored = "secret\n!secret/keep\nn\n";
    let meant = |path: &str| place.tops(path, ignored, &[], None).map(|tops| paths(&tops));
    assert_eq!(meant("/").unwrap(), ["", "a", "secret", "secret/keep", "secret/keep/k", "way"]);
    for path in ["/secret/key", "/way/key", "/n", "/n/m/x"] {
        assert_eq!(
            meant(path).unwrap_err(),
            format!("`{path}` is not there: `.dockerignore` leaves it out"),
            "{path}"
        );
    }
    assert_eq!(meant("/way/keep/k").unwrap(), ["k"]);
    assert!(place.tops("/secret/key", "**/key\n!secret\n", &[], None).is_err());
    // What may be left of a folder by what is written is not what is left of it.
    let meant_of_none = |path: &str| place.tops(path, "*\n!secret/none\n!n/m\n", &[], None);
    assert!(meant_of_none("/secret").unwrap_err().ends_with("`.dockerignore` leaves it out"));
    assert_eq!(paths(&meant_of_none("/*").unwrap()), ["n", "n/m", "n/m/x"]);
    assert_eq!(meant("/*").unwrap().len(), 7);
}

#[test]
fn parts_can_be_left_out_and_paths_be_kept() {
    let place = Place::new();
    for path in ["d/a.md", "d/b", "d/s/c.md", "d/s/d", "e/f.md"] {
        place.file(&format!("context/{path}"), "");
    }
    let meant = |path: &str, excluded: &[&str], kept| paths(&place.tops(path, "", excluded, kept).unwrap());
    assert_eq!(meant("/d", &["**/*.md"], None), ["d", "d/b", "d/s", "d/s/d"]);
    assert_eq!(meant("/d", &["*", "!s/d"], None), ["d", "d/s", "d/s/d"]);
    assert_eq!(meant("/", &[], Some("d/s/d")), ["", "d", "d/s", "d/s/d"]);
    assert_eq!(meant("/", &[], Some("*/*.md")), ["", "d", "d/a.md", "e", "e/f.md"]);
    assert!(place.tops("/", "", &[], Some("d/none")).is_err());
}

#[test]
fn a_digest_is_that_of_names_permissions_and_content_and_of_nothing_else() {
    let place = Place::new();
    let file = place.file("context/d/f", "1");
    let first = place.digest("/d");
    let old = SystemTime::now() - Duration::from_secs(100_000);
    fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    assert_eq!(place.digest("/d"), first, "its time does not matter");
    place.file("context/other", "");
    assert_eq!(place.digest("/d"), first, "what is beside it does not matter");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let executable = place.digest("/d");
    assert_ne!(executable, first);
    fs::write(&file, "2").unwrap();
    let changed = place.digest("/d");
    assert_ne!(changed, executable);
    fs::rename(&file, place.0.join("context/d/g")).unwrap();
    assert_ne!(place.digest("/d"), changed);
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    let file = place.file("context/f", "1");
    let old = SystemTime::now() - Duration::from_secs(100);
    fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let mut stat = rustix::fs::stat(&file).unwrap();
    let root = rustix::fs::stat(place.0.join("context")).unwrap();
    let reads = std::cell::Cell::new(0);
    let read = |digest: u8| {
        reads.set(reads.get() + 1);
        Ok::<_, ()>([digest; 32])
    };
    let open = || Stamps::open(&place.0.join("stamps"), &root);
    // It changed this moment, and might once more within the same tick.
    open().digest(&stat, || read(1)).unwrap();
    (stat.st_ctime, stat.st_mtime) = (stat.st_ctime - 100, stat.st_mtime - 100);
    let stamps = open();
    assert_eq!(stamps.digest(&stat, || read(2)), Ok([2; 32]));
    stamps.save();
    assert_eq!(open().digest(&stat, || read(3)), Ok([2; 32]));
    stat.st_size += 1;
    assert_eq!(open().digest(&stat, || read(4)), Ok([4; 32]));
    assert_eq!(reads.get(), 3);
}
