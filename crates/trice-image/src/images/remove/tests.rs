//! What is needed stays, what is not goes, and a kill in between leaves nothing half.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;
use trice_model::image::ObservedImage;
use trice_state::store::Store;

use super::*;
use crate::images::build::Draft;
use crate::testing::Folder;
use crate::testing::archive::file;
use crate::testing::image::{Packing, TestImage};
use crate::testing::machine::{Machine, fetch};

/// Loads an image of its own layer and one that all have, as `NAME:1`.
fn load(machine: &Machine, name: &str) -> ObservedImage {
    let layers = [vec![file("all", &"x".repeat(10_000))], vec![file(name, &"y".repeat(5000))]];
    let image = TestImage::new(name, layers);
    let annotations = json!({ "org.opencontainers.image.ref.name": format!("{name}:1") });
    machine.write(name, image.layout(Packing::Gzip, &annotations));
    machine.fetch(&format!("oci-archive:{name}")).unwrap()
}

fn find(machine: &Machine, text: &str) -> FoundImage {
    machine.images.find(text, None).unwrap()
}

fn remove(machine: &Machine, text: &str) -> Result<Removed, RemoveError> {
    machine.images.remove(&find(machine, text), false, &Roots::new())
}

fn tag(machine: &Machine, image: &ObservedImage, name: &str) {
    machine.images.tag(&[image.id.parse().unwrap()], &name.parse().unwrap()).unwrap();
}

fn in_use(image: &ObservedImage) -> Roots {
    Roots::new().image(&image.id).layers(image.layers.iter().map(PathBuf::as_path))
}

fn all() -> PruneFilter {
    PruneFilter { named: true, ..PruneFilter::default() }
}

/// Returns how many layers and blobs there are.
fn count(machine: &Machine) -> (usize, usize) {
    (machine.folder.names("data/layers").len(), machine.folder.names("data/blobs/sha256").len())
}

#[test]
fn an_image_goes_with_its_last_name_and_takes_what_only_it_has() {
    let machine = Machine::new();
    let (one, two) = (load(&machine, "one"), load(&machine, "two"));
    assert_eq!(count(&machine), (3, 3 + 2 + 2));
    tag(&machine, &one, "other:7");
    let removed = remove(&machine, "one:1").unwrap();
    assert_eq!((removed.untagged, removed.deleted, removed.layers), (vec!["one:1".to_owned()], vec![], 0));
    assert!(machine.resolve("other:7").is_some() && machine.resolve("one:1").is_none());
    let removed = remove(&machine, "other:7").unwrap();
    assert_eq!((removed.deleted, removed.layers), (vec![one.id.parse().unwrap()], 1));
    assert!(removed.bytes > 5000 && removed.bytes < 10_000, "{}", removed.bytes);
    assert_eq!(count(&machine), (2, 2 + 2));
    assert_eq!(machine.resolve("oci-archive:one"), None);
    assert_eq!(machine.resolve("two:1"), Some(two));
    assert_eq!(machine.fetch("oci-archive:one").unwrap(), one);
}

#[test]
fn an_image_is_found_by_its_name_its_id_and_the_beginning_of_that() {
    let machine = Machine::new();
    let one = load(&machine, "one");
    let hex = one.id.trim_start_matches("sha256:");
    for text in
        ["one:1", "docker.io/library/one:1", &one.id, hex, &hex[..12], &one.id[..20], "oci-archive:one"]
    {
        let text =
            text.replace("oci-archive:", &format!("oci-archive:{}/", machine.folder.path("").display()));
        assert_eq!(find(&machine, &text.replace("//", "/")).image.id.as_str(), one.id, "{text}");
    }
    for text in ["two", "one:2", "", "sha256:", "xyz", "0123456789abcdef0123456789abcdef"] {
        let error = machine.images.find(text, None).unwrap_err();
        assert!(matches!(error, crate::images::find::FindError::NoSuchImage { .. }), "{text}");
    }
    (0..40).for_each(|number| drop(load(&machine, &format!("n{number}"))));
    let ambiguous = (0..16).filter(|digit| machine.images.find(&format!("{digit:x}"), None).is_err());
    assert!(ambiguous.count() > 0, "40 images begin with 16 digits");
}

#[test]
fn by_its_id_an_image_goes_with_its_name_but_not_with_several() {
    let machine = Machine::new();
    let one = load(&machine, "one");
    tag(&machine, &one, "other:7");
    let error = remove(&machine, &one.id).unwrap_err();
    assert!(
        matches!(&error, RemoveError::SeveralNames { names, .. } if names == &["one:1", "other:7"]),
        "{error}"
    );
    let removed = machine.images.remove(&find(&machine, &one.id), true, &Roots::new()).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len()), (2, 1));
    machine.assert_empty();
}

#[test]
fn what_a_container_uses_stays_and_loses_its_name_only_if_somebody_insists() {
    let machine = Machine::new();
    let one = load(&machine, "one");
    let found = find(&machine, "one:1");
    assert!(matches!(machine.images.remove(&found, false, &in_use(&one)), Err(RemoveError::InUse { .. })));
    assert_eq!(machine.resolve("one:1").as_ref(), Some(&one), "nothing has changed");
    let removed = machine.images.remove(&found, true, &in_use(&one)).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len(), removed.layers), (1, 0, 0));
    assert!(one.layers.iter().all(|layer| layer.is_dir()));
    let pruned = machine.images.prune(&all(), &in_use(&one)).unwrap();
    assert_eq!(pruned, Removed::default());
    assert_eq!(machine.images.prune(&all(), &Roots::new()).unwrap().deleted.len(), 1);
    machine.assert_empty();
}

#[test]
fn layers_that_a_container_uses_stay_even_if_no_record_is_left_of_their_image() {
    let machine = Machine::new();
    let one = load(&machine, "one");
    let layers = Roots::new().layers(one.layers.iter().map(PathBuf::as_path));
    machine.images.prune(&all(), &layers).unwrap();
    assert!(one.layers.iter().all(|layer| layer.is_dir()));
    let built: Vec<Digest> = machine
        .folder
        .names("data/layers")
        .iter()
        .map(|hex| format!("sha256:{hex}").parse().unwrap())
        .collect();
    machine.images.sweep(&Roots::new().built(built[..1].iter().cloned())).unwrap();
    assert_eq!(machine.folder.names("data/layers"), [built[0].hex()]);
}

#[test]
fn prune_takes_what_has_no_tag_and_with_more_words_more_or_less() {
    let machine = Machine::new();
    let (one, two) = (load(&machine, "one"), load(&machine, "two"));
    tag(&machine, &one, "two:1");
    let prune = |filter: &PruneFilter| machine.images.prune(filter, &Roots::new()).unwrap().deleted;
    assert_eq!(prune(&PruneFilter::default()), [], "an archive leads to it");
    fs::remove_file(machine.folder.path("two")).unwrap();
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let lease = machine.images.lease().unwrap();
    let draft = Draft::new(serde_json::to_vec(&config).unwrap(), None);
    machine.images.commit(&lease, &[draft], &[]).unwrap();
    drop(lease);
    let before = PruneFilter { before: Some(Timestamp(1)), ..all() };
    assert_eq!(prune(&before), [], "they came later");
    let labelled = PruneFilter { labels: vec![("x".to_owned(), None)], ..all() };
    assert_eq!(prune(&labelled), [], "none has the label");
    let nameless =
        prune(&PruneFilter { without_labels: vec![("x".to_owned(), None)], ..PruneFilter::default() });
    assert_eq!(nameless.len(), 1, "the one that nothing leads to");
    let mut gone = prune(&all());
    gone.sort();
    let mut wanted: Vec<Digest> = [one, two].iter().map(|image| image.id.parse().unwrap()).collect();
    wanted.sort();
    assert_eq!(gone, wanted);
    machine.assert_empty();
}

#[test]
fn what_a_lease_keeps_is_not_swept_away_in_this_process_or_another() {
    let machine = Machine::new();
    let one = load(&machine, "one");
    let lease = machine.images.lease().unwrap();
    let id: Digest = one.id.parse().unwrap();
    assert!(machine.images.hold(&lease, &id).unwrap());
    machine.images.prune(&all(), &Roots::new()).unwrap();
    assert!(one.layers.iter().all(|layer| layer.is_dir()), "its record is gone, and it is still there");
    assert!(!machine.images.hold(&lease, &id).unwrap(), "but nobody new gets it");
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "images::remove::tests::sweeps_and_ends", "--ignored", "--nocapture"])
        .env(FOLDER_OF_CHILD, machine.folder.path(""))
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    assert!(one.layers.iter().all(|layer| layer.is_dir()), "another process has swept");
    drop(lease);
    machine.images.sweep(&Roots::new()).unwrap();
    machine.assert_empty();
}

/// The variable that tells a child where its folder is.
const FOLDER_OF_CHILD: &str = "TRICE_IMAGE_REMOVE_TEST_FOLDER";

#[test]
#[ignore = "the child of what_a_lease_keeps_is_not_swept_away_in_this_process_or_another"]
fn sweeps_and_ends() {
    let Some(folder) = std::env::var_os(FOLDER_OF_CHILD).map(PathBuf::from) else { return };
    // The records are the other process's; of the layers it is asked itself.
    let store = Store::open(&folder.join("own-store")).unwrap();
    let images = Images::open(&folder.join("data"), store).unwrap();
    images.sweep(&Roots::new()).unwrap();
}

#[test]
fn images_that_come_while_others_are_pruned_are_whole() {
    let machine = Machine::new();
    for number in 0..4 {
        load(&machine, &format!("n{number}"));
    }
    let over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            let mut pruned = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                pruned += machine.images.prune(&all(), &Roots::new()).unwrap().deleted.len();
            }
            pruned
        });
        let loading: Vec<_> = (0..3)
            .map(|thread| {
                let machine = &machine;
                scope.spawn(move || {
                    for round in 0..25 {
                        let name = format!("oci-archive:n{}", (thread + round) % 4);
                        machine.fetch(&name).unwrap();
                    }
                })
            })
            .collect();
        loading.into_iter().for_each(|thread| thread.join().unwrap());
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(pruning.join().unwrap() > 0);
    });
    for summary in machine.images.list().unwrap() {
        let found = find(&machine, summary.id.as_str());
        assert!(found.image.layers.iter().all(|layer| machine.images.layer_root(&layer.diff_id).is_some()));
    }
    machine.images.prune(&all(), &Roots::new()).unwrap();
    machine.assert_empty();
}

#[test]
#[ignore = "the child of a_kill_at_any_moment_leaves_images_that_are_whole"]
fn loads_builds_and_removes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER_OF_CHILD).map(PathBuf::from) else { return };
    let store = Store::open(&folder.join("data/store")).unwrap();
    let images = Images::open(&folder.join("data"), store).unwrap();
    io::stdout().write_all(b"begins\n").unwrap();
    for round in 0.. {
        for name in ["one", "two"] {
            let reference = format!("oci-archive:{}", folder.join(name).display()).parse().unwrap();
            fetch(&images, &reference, &mut |_| {}).unwrap();
        }
        let (lease, workshop) = (images.lease().unwrap(), images.workshop().unwrap());
        let upper = workshop.scratch().unwrap().join("upper");
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("file"), format!("{round}")).unwrap();
        let layer = images.layer_of_folder(&workshop, &upper, None).unwrap();
        images.publish(&lease, &workshop, std::slice::from_ref(&layer)).unwrap();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [layer.diff_id()] },
        });
        let draft = Draft::new(serde_json::to_vec(&config).unwrap(), None);
        images.commit(&lease, &[draft], &["built:1".parse().unwrap()]).unwrap();
        drop((lease, workshop));
        images.prune(&all(), &Roots::new()).unwrap();
    }
}

#[test]
fn a_kill_at_any_moment_leaves_images_that_are_whole() {
    let mut machine = Machine::in_folder(Folder::in_memory());
    load(&machine, "one");
    load(&machine, "two");
    let mut left = 0;
    for round in 0..24_u64 {
        let Machine { images, folder } = machine;
        drop(images); // one process at a time has the records
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "images::remove::tests::loads_builds_and_removes_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(FOLDER_OF_CHILD, folder.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "begins"));
        // The moment is what is tried here: a different one each time.
        thread::sleep(Duration::from_micros(round * round * 137 % 29_000));
        child.kill().unwrap();
        child.wait().unwrap();
        left += folder.names("data/tmp").len() + folder.names("data/leases").len();
        machine = Machine::in_folder(folder);
        machine.assert_tidy();
        for summary in machine.images.list().unwrap() {
            let found = find(&machine, summary.id.as_str());
            for layer in &found.image.layers {
                let root =
                    machine.images.layer_root(&layer.diff_id).expect("what a record speaks of is here");
                assert_eq!(fs::read_dir(root).unwrap().count(), 1, "round {round}");
            }
        }
        for hex in machine.folder.names("data/blobs/sha256") {
            let blob = fs::read(machine.folder.path("data/blobs/sha256").join(&hex)).unwrap();
            assert_eq!(Digest::of(&blob).hex(), hex, "round {round}");
        }
    }
    assert!(left > 0, "no child was killed in the middle of anything");
    machine.images.prune(&all(), &Roots::new()).unwrap();
    machine.assert_empty();
}

#[test]
fn the_room_that_images_take_is_what_the_disk_says() {
    let machine = Machine::new();
    let (one, _two) = (load(&machine, "one"), load(&machine, "two"));
    let usage = machine.images.usage(&in_use(&one)).unwrap();
    let on_disk = |below: &str| -> u64 {
        let output = Command::new("find")
            .arg(machine.folder.path(below))
            .args(["-type", "f", "-printf", "%s\n"])
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().map(|line| line.parse::<u64>().unwrap()).sum()
    };
    let meta: u64 = machine
        .folder
        .names("data/layers")
        .iter()
        .map(|hex| on_disk(&format!("data/layers/{hex}/meta")))
        .sum();
    assert_eq!((usage.layer_count, usage.layer_bytes), (3, on_disk("data/layers") - meta));
    assert_eq!((usage.blob_count, usage.blob_bytes), (7, on_disk("data/blobs")));
    let of = |name: &str| usage.images.iter().find(|image| image.names == [name]).unwrap().clone();
    assert_eq!((of("one:1").bytes, of("one:1").shared, of("one:1").in_use), (15_000, 10_000, true));
    assert!(!of("two:1").in_use);
    let before = usage.layer_bytes + usage.blob_bytes;
    let removed = machine.images.prune(&all(), &in_use(&one)).unwrap();
    assert_eq!(removed.bytes, usage.reclaimable);
    let after = machine.images.usage(&in_use(&one)).unwrap();
    assert_eq!((after.layer_bytes + after.blob_bytes, after.reclaimable), (before - removed.bytes, 0));
}
