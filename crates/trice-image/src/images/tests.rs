//! Images of every form come in, wrong ones do not, and nothing is left behind.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;

use super::*;
use crate::layer::LayerError;
use crate::testing::Folder as TestFolder;
use crate::testing::archive::{TestMember, file};
use crate::testing::image::{Packing, TestFiles, TestImage};
use crate::testing::machine::{Machine, assert_is, fetch, image};
use crate::unpack::UnpackError;

#[test]
fn every_form_of_archive_and_layout_gives_the_same_image() {
    let wanted = image("A=1");
    let forms = [
        ("docker-archive:", wanted.docker_old(&["bb:latest"])),
        ("docker-archive:", wanted.docker_new(&["bb:latest"])),
        ("oci-archive:", wanted.docker_new(&["bb:latest"])),
        ("oci-archive:", wanted.layout(Packing::Plain, &json!(null))),
        ("oci-archive:", wanted.layout(Packing::Gzip, &json!(null))),
        ("oci-archive:", wanted.layout(Packing::Zstd, &json!(null))),
    ];
    for (number, (transport, files)) in forms.into_iter().enumerate() {
        let machine = Machine::new();
        machine.write("file", files);
        let reference = format!("{transport}file");
        assert_eq!(machine.resolve(&reference), None, "{number}");
        let found = machine.fetch(&reference).unwrap();
        assert_is(&found, &wanted);
        assert_eq!(machine.resolve(&reference), Some(found), "{number}");
        machine.assert_tidy();
    }
}

#[test]
fn a_layout_in_a_folder_is_read_in_place_and_one_that_is_packed_as_a_whole_too() {
    let (machine, wanted) = (Machine::new(), image("A=1"));
    wanted.layout(Packing::Gzip, &json!(null)).write(&machine.folder.path("layout"));
    assert_is(&machine.fetch("oci:layout").unwrap(), &wanted);
    assert!(machine.resolve("oci:layout").is_some());
    let machine = Machine::new();
    fs::write(machine.folder.path("file"), Packing::Gzip.pack(&wanted.docker_old(&[]).tar())).unwrap();
    assert_is(&machine.fetch("docker-archive:file").unwrap(), &wanted);
    machine.assert_tidy();
}

#[test]
fn a_layer_that_occurs_twice_in_an_archive_is_a_link_and_is_stacked_once() {
    let machine = Machine::new();
    let one = || vec![file("one", "1")];
    let wanted = TestImage::new("A=1", [one(), vec![file("two", "2")], one()]);
    machine.write("file", wanted.docker_old(&[]));
    let found = machine.fetch("docker-archive:file").unwrap();
    assert_eq!(found.layers.len(), 2);
    assert!(found.layers[0].join("one").exists() && found.layers[1].join("two").exists());
}

#[test]
fn nothing_is_below_a_layer_that_hides_everything() {
    let machine = Machine::new();
    let layers =
        [vec![file("low", "")], vec![file(".wh..wh..opq", ""), file("mid", "")], vec![file("top", "")]];
    machine.write("file", TestImage::new("A=1", layers).docker_old(&[]));
    for _ in 0..2 {
        let found = machine.fetch("docker-archive:file").unwrap();
        assert_eq!(found.layers.len(), 2, "the second time it comes from what the layer says of itself");
    }
}

#[test]
fn an_image_is_known_by_the_names_that_its_archive_gives_it() {
    let machine = Machine::new();
    assert_eq!(machine.resolve("bb:latest"), None);
    machine.write("docker", image("A=1").docker_old(&["bb:latest", "quay.io/x/bb:2"]));
    machine.write(
        "oci",
        image("A=2").layout(
            Packing::Gzip,
            &json!({
                "org.opencontainers.image.ref.name": "localhost:5000/y:3"
            }),
        ),
    );
    machine.write(
        "bare",
        image("A=3").layout(Packing::Gzip, &json!({ "org.opencontainers.image.ref.name": "v3" })),
    );
    for reference in ["docker-archive:docker", "oci-archive:oci", "oci-archive:bare:v3"] {
        machine.fetch(reference).unwrap();
    }
    let id = |name: &str| machine.resolve(name).map(|image| image.id);
    for name in ["bb", "bb:latest", "docker.io/library/bb:latest", "quay.io/x/bb:2"] {
        assert_eq!(id(name).as_deref(), Some(image("A=1").id().as_str()), "{name}");
    }
    assert_eq!(id("localhost:5000/y:3").as_deref(), Some(image("A=2").id().as_str()));
    for name in ["bb:2", "v3", "library/v3", "x/bb:2"] {
        assert_eq!(id(name), None, "{name}");
    }
}

#[test]
fn a_digest_is_that_of_a_manifest_of_the_same_repository() {
    let machine = Machine::new();
    for (variable, tag) in [("A=1", "bb:1"), ("A=2", "bb:2")] {
        machine.write(variable, image(variable).docker_old(&[tag]));
        machine.fetch(&format!("docker-archive:{variable}")).unwrap();
    }
    let id = |name: &str| machine.resolve(name).map(|image| image.id);
    for record in machine.images.store.all::<ImageRecord>().unwrap() {
        let manifest = record.manifest.unwrap().digest;
        let wanted = Some(record.id.to_string());
        assert_eq!(id(&format!("bb@{manifest}")), wanted);
        assert_eq!(id(&format!("bb:7@{manifest}")), wanted, "the digest says more than the tag");
        assert_eq!(id(&format!("other@{manifest}")), None);
    }
}

#[test]
fn a_name_goes_to_the_image_that_took_it_last() {
    let machine = Machine::new();
    for variable in ["A=1", "A=2"] {
        machine.write("file", image(variable).docker_old(&["bb:latest"]));
        machine.fetch("docker-archive:file").unwrap();
        assert_eq!(machine.resolve("bb").unwrap().id, image(variable).id().as_str());
    }
}

#[test]
fn a_file_that_has_changed_is_to_be_read_again() {
    let machine = Machine::new();
    let write = |variable| {
        // As whoever builds an image does: the new file takes the place of the old one.
        machine.write("new", image(variable).docker_old(&["bb:latest"]));
        fs::rename(machine.folder.path("new"), machine.folder.path("file")).unwrap();
    };
    write("A=1");
    let first = machine.fetch("docker-archive:file").unwrap();
    assert_eq!(machine.resolve("docker-archive:file").as_ref(), Some(&first));
    write("A=2");
    assert_eq!(machine.resolve("docker-archive:file"), None);
    assert_is(&machine.fetch("docker-archive:file").unwrap(), &image("A=2"));
    fs::remove_file(machine.folder.path("file")).unwrap();
    assert_eq!(machine.resolve("docker-archive:file"), None);
}

#[test]
fn an_image_whose_layers_are_gone_is_not_here_and_comes_back() {
    let machine = Machine::new();
    machine.write("file", image("A=1").docker_old(&["bb:latest"]));
    let first = machine.fetch("docker-archive:file").unwrap();
    fs::remove_dir_all(first.layers[0].parent().unwrap()).unwrap();
    assert_eq!((machine.resolve("docker-archive:file"), machine.resolve("bb")), (None, None));
    assert_eq!(machine.fetch("docker-archive:file").unwrap(), first);
    assert_is(&first, &image("A=1"));
    fs::remove_dir_all(&first.layers[0]).unwrap();
    let error = machine.fetch("docker-archive:file").unwrap_err();
    assert!(matches!(error, FetchError::Load { source, .. } if matches!(*source, LoadError::Layout(_))));
}

#[test]
fn one_of_several_images_is_chosen_by_its_name() {
    let machine = Machine::new();
    machine.write("docker", image("A=1").docker_old(&["one:1"]).and(image("A=2").docker_old(&["two:2"])));
    let mut files = TestFiles::default();
    let descriptors = [("A=1", "one:1"), ("A=2", "two:2")].map(|(variable, name)| {
        let mut descriptor = image(variable).add_to(&mut files, Packing::Gzip);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        descriptor
    });
    files.layout_of(&descriptors);
    machine.write("oci", files);
    for archive in ["docker-archive:docker", "oci-archive:oci"] {
        for name in ["two:2", "docker.io/library/two:2"] {
            assert_is(&machine.fetch(&format!("{archive}:{name}")).unwrap(), &image("A=2"));
        }
        assert_eq!(machine.resolve("one:1"), None, "nobody asked for that one");
        let error = machine.refused(archive).to_string();
        assert!(error.contains("`one:1`, `two:2`"), "{error}");
        let error = machine.refused(&format!("{archive}:three")).to_string();
        assert!(error.contains("`three`") && error.contains("`one:1`, `two:2`"), "{error}");
    }
}

#[test]
fn an_index_leads_to_the_image_for_this_machine_through_other_indexes() {
    let (machine, wanted) = (Machine::new(), image("A=1"));
    let mut files = TestFiles::default();
    let foreign = image("A=2").on("s390x-none").add_to(&mut files, Packing::Gzip);
    let mut attestation = image("A=3").add_to(&mut files, Packing::Gzip);
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    let own = wanted.add_to(&mut files, Packing::Zstd);
    let inner = files.index(&[attestation.clone(), foreign.clone(), own.clone()]);
    let outer = files.index(&[inner]);
    files.layout_of(&[attestation, outer]);
    machine.write("nested", files);
    assert_is(&machine.fetch("oci-archive:nested").unwrap(), &wanted);
}

#[test]
fn an_index_without_an_image_for_this_machine_says_for_which_there_are() {
    let machine = Machine::new();
    let mut files = TestFiles::default();
    let foreign = image("A=2").on("s390x-none").add_to(&mut files, Packing::Gzip);
    let index = files.index(&[foreign]);
    files.layout_of(&[index]);
    machine.write("file", files);
    let error = machine.refused("oci-archive:file").to_string();
    assert!(error.contains("linux/s390x-none"), "{error}");
    machine.assert_empty();
}

#[test]
fn indexes_that_are_nested_without_end_are_refused() {
    let machine = Machine::new();
    let mut files = TestFiles::default();
    let mut descriptor = image("A=1").add_to(&mut files, Packing::Plain);
    for _ in 0..6 {
        descriptor = files.index(&[descriptor]);
    }
    files.layout_of(&[descriptor]);
    machine.write("file", files);
    assert!(matches!(machine.refused("oci-archive:file"), SourceError::Nested(_)));
}

#[test]
fn a_part_with_another_digest_than_it_is_called_by_is_refused() {
    let wanted = image("A=1");
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let machine = Machine::new();
        let mut files = wanted.layout(packing, &json!(null));
        files.damage(&packing.pack(&wanted.layers[0]));
        machine.write("file", files);
        let error = machine.refused_layer("oci-archive:file");
        assert!(matches!(error, LayerError::WrongDigest { what: "digest", .. }), "{packing:?}: {error:?}");
        machine.assert_empty();
    }
    for files in [wanted.layout(Packing::Plain, &json!(null)), wanted.docker_old(&[]), wanted.docker_new(&[])]
    {
        let machine = Machine::new();
        let (transport, mut files) = if files.files.contains_key("manifest.json") {
            ("docker-archive", files)
        } else {
            ("oci-archive", files)
        };
        files.damage(&wanted.config());
        machine.write("file", files);
        let error = machine.refused(&format!("{transport}:file"));
        assert!(matches!(error, SourceError::WrongDigest { .. }), "{error:?}");
        machine.assert_empty();
    }
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused_to_the_last_byte() {
    let (machine, wanted) = (Machine::new(), image("A=1"));
    let mut files = wanted.docker_old(&[]);
    // Behind the end of the archive, where unpacking sees nothing of it.
    files.files.get_mut("1/layer.tar").unwrap().extend([0; 512]);
    machine.write("file", files);
    let error = machine.refused_layer("docker-archive:file");
    assert!(matches!(error, LayerError::WrongDigest { what: "diff ID", .. }), "{error:?}");
    machine.assert_empty();
}

#[test]
fn a_size_that_is_not_what_the_manifest_says_is_refused() {
    let (machine, wanted) = (Machine::new(), image("A=1"));
    let mut files = TestFiles::default();
    let layers: Vec<_> = wanted.layers.iter().map(|layer| files.blob("tar", layer.clone())).collect();
    let mut config = files.blob("application/vnd.oci.image.config.v1+json", wanted.config());
    let mut layout = |layers: &[serde_json::Value], config: &serde_json::Value| {
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let descriptor = files.blob("application/vnd.oci.image.manifest.v1+json", bytes);
        files.layout_of(&[descriptor]);
        files.write(&machine.folder.path("layout"));
    };
    let mut longer = layers.clone();
    longer[0]["size"] = json!(1);
    layout(&longer, &config);
    assert!(matches!(machine.refused_layer("oci:layout"), LayerError::WrongSize { expected: 1, .. }));
    config["size"] = json!(1);
    layout(&layers, &config);
    assert!(matches!(machine.refused("oci:layout"), SourceError::WrongSize { expected: 1, .. }));
    machine.assert_empty();
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused_and_leaves_nothing() {
    let tar = image("A=1").docker_new(&["bb:latest"]).tar();
    for part in 1..20 {
        let machine = Machine::new();
        fs::write(machine.folder.path("file"), &tar[..(tar.len() - 1024) * part / 20]).unwrap();
        for transport in ["docker-archive", "oci-archive"] {
            machine.fetch(&format!("{transport}:file")).unwrap_err();
        }
        machine.assert_empty();
    }
}

#[test]
fn what_is_no_archive_of_that_kind_says_which_it_may_be() {
    let machine = Machine::new();
    machine.write("docker", image("A=1").docker_old(&[]));
    machine.write("oci", image("A=1").layout(Packing::Plain, &json!(null)));
    let error = machine.refused("oci-archive:docker").to_string();
    assert!(error.contains("docker-archive:"), "{error}");
    let error = machine.refused("docker-archive:oci").to_string();
    assert!(error.contains("oci-archive:"), "{error}");
    assert!(matches!(machine.refused("oci-archive:none"), SourceError::Open { .. }));
    assert!(matches!(machine.refused("oci:docker"), SourceError::NotA { .. }));
}

#[test]
fn a_bomb_goes_off_nowhere() {
    let machine = Machine::new();
    let bomb = TestImage::new("A=1", [vec![file("zeros", &"\0".repeat(9 << 20))]]);
    machine.write("file", bomb.layout(Packing::Zstd, &json!(null)));
    assert!(fs::metadata(machine.folder.path("file")).unwrap().len() < 1 << 16);
    let Machine { images, folder } = machine;
    let machine = Machine { images: images.with_limits(Limits { bytes: 1 << 20, members: 100 }), folder };
    let error = machine.refused_layer("oci-archive:file");
    assert!(matches!(error, LayerError::Unpack { source: UnpackError::TooLarge { .. }, .. }), "{error:?}");
    machine.assert_empty();
}

/// Loads and returns the layers that were made for it.
fn made(machine: &Machine, text: &str) -> Vec<Digest> {
    let mut made = Vec::new();
    let mut hear = |step| match step {
        Progress::Unpacked { layer } => made.push(layer),
        Progress::Present { .. } | Progress::Reading { .. } => {}
    };
    machine.fetch_and_hear(text, &mut hear).unwrap();
    made.sort();
    made
}

#[test]
fn a_layer_is_unpacked_once_for_all_images_that_have_it() {
    let machine = Machine::new();
    let (one, two) = (image("A=1"), image("A=2"));
    machine.write("one", one.docker_old(&[]));
    machine.write("two", two.docker_old(&[]));
    let mut all = one.diff_ids();
    all.sort();
    assert_eq!(made(&machine, "docker-archive:one"), all);
    assert_eq!(made(&machine, "docker-archive:one"), []);
    assert_eq!(made(&machine, "docker-archive:two"), [two.diff_ids()[1].clone()]);
    assert_eq!(machine.folder.names("data/layers").len(), 3);
}

#[test]
fn another_packing_of_a_layer_that_is_here_adds_its_blob_once() {
    let (machine, wanted) = (Machine::new(), image("A=1"));
    for (name, packing) in [("plain", Packing::Plain), ("gzip", Packing::Gzip)] {
        machine.write(name, wanted.layout(packing, &json!(null)));
        assert_eq!(made(&machine, &format!("oci-archive:{name}")).len(), 2, "{name}");
        assert_eq!(made(&machine, &format!("oci-archive:{name}")), [], "{name}");
        let blobs = machine.folder.names("data/blobs/sha256");
        for layer in &wanted.layers {
            assert!(blobs.contains(&Digest::of(&packing.pack(layer)).hex().to_owned()), "{name}");
        }
    }
    assert_is(&machine.resolve("oci-archive:plain").unwrap(), &wanted);
}

#[test]
fn progress_tells_of_each_layer_how_far_it_is() {
    let machine = Machine::new();
    let big = TestImage::new("A=1", [vec![file("big", &"x".repeat(5 << 20))]]);
    machine.write("file", big.docker_old(&[]));
    let mut heard = Vec::new();
    machine.fetch_and_hear("docker-archive:file", &mut |step| heard.push(step)).unwrap();
    let counts: Vec<_> = heard
        .iter()
        .filter_map(|step| match step {
            Progress::Reading { bytes, of, .. } => Some((*bytes, *of)),
            Progress::Present { .. } | Progress::Unpacked { .. } => None,
        })
        .collect();
    assert!(counts.len() >= 5 && counts.is_sorted(), "{counts:?}");
    assert!(counts.iter().all(|(bytes, of)| bytes <= of && *of == big.layers[0].len() as u64));
    assert_eq!(heard.last(), Some(&Progress::Unpacked { layer: big.diff_ids()[0].clone() }));
}

#[test]
fn many_who_load_the_same_layers_at_once_all_get_them() {
    let machine = Machine::new();
    for number in 0..4 {
        let mut one = image(&format!("A={}", number / 2));
        if number % 2 == 1 {
            one.layers.reverse();
        }
        machine.write(&number.to_string(), one.docker_new(&[]));
    }
    thread::scope(|scope| {
        let machine = &machine;
        let load =
            |number: usize| scope.spawn(move || machine.fetch(&format!("docker-archive:{}", number % 4)));
        let threads: Vec<_> = (0..12).map(load).collect();
        for thread in threads {
            let found = thread.join().unwrap().unwrap();
            assert!(found.layers.iter().all(|layer| layer.is_dir()));
        }
    });
    assert_eq!(machine.folder.names("data/layers").len(), 3);
    machine.assert_tidy();
}

#[test]
fn who_comes_while_a_layer_is_made_waits_for_it() {
    let machine = Machine::new();
    machine.write("file", large_image().docker_old(&[]));
    thread::scope(|scope| {
        let mut second = None;
        let mut hear = |step| match step {
            Progress::Reading { .. } => {
                second.get_or_insert_with(|| scope.spawn(|| made(&machine, "docker-archive:file")));
            }
            Progress::Present { .. } | Progress::Unpacked { .. } => {}
        };
        machine.fetch_and_hear("docker-archive:file", &mut hear).unwrap();
        assert_eq!(second.unwrap().join().unwrap(), []);
    });
}

#[test]
fn a_folder_is_its_own_image_until_another_takes_its_place() {
    let machine = Machine::new();
    fs::create_dir(machine.folder.path("root")).unwrap();
    let first = machine.resolve("rootfs:root").unwrap();
    assert_eq!((&first.layers, &first.config), (&vec![machine.folder.path("root")], &Default::default()));
    assert_eq!(machine.fetch("rootfs:root").unwrap(), first);
    fs::rename(machine.folder.path("root"), machine.folder.path("old")).unwrap();
    assert_eq!(machine.resolve("rootfs:root"), None);
    assert!(matches!(machine.fetch("rootfs:root"), Err(FetchError::Rootfs(RootfsError::Open { .. }))));
    fs::create_dir(machine.folder.path("root")).unwrap();
    assert_ne!(machine.resolve("rootfs:root").unwrap().id, first.id);
    fs::write(machine.folder.path("file"), "").unwrap();
    assert!(matches!(machine.fetch("rootfs:file"), Err(FetchError::Rootfs(RootfsError::NoFolder { .. }))));
}

#[test]
fn only_root_gets_to_what_is_unpacked() {
    let machine = Machine::new();
    machine.write("file", image("A=1").docker_old(&[]));
    machine.fetch("docker-archive:file").unwrap();
    for name in ["blobs", "layers", "tmp", "locks", "trash"] {
        let mode = fs::metadata(machine.folder.path("data").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

/// The variable that tells [`loads_until_it_is_killed`] where its folder is.
const FOLDER_OF_CHILD: &str = "TRICE_IMAGE_TEST_FOLDER";

#[test]
#[ignore = "the child of a_kill_at_any_moment_leaves_no_half_layer"]
fn loads_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER_OF_CHILD).map(PathBuf::from) else { return };
    let store = Store::open(&folder.join("data/store")).unwrap();
    let images = Images::open(&folder.join("data"), store).unwrap();
    let reference = format!("docker-archive:{}", folder.join("file").display()).parse().unwrap();
    let mut say = |step| io::stdout().write_all(format!("{step:?}\n").as_bytes()).unwrap();
    fetch(&images, &reference, &mut say).unwrap();
    io::stdout().write_all(b"loaded\n").unwrap();
}

/// Large enough that its loading takes many steps.
fn large_image() -> TestImage {
    let members = |layer: u32| -> Vec<TestMember> {
        (0..40).map(|number| file(&format!("{layer}/{number}"), &"x".repeat(100_000))).collect()
    };
    TestImage::new("A=1", [members(1), members(2), members(3)])
}

#[test]
fn a_kill_at_any_moment_leaves_no_half_layer() {
    let mut folder = TestFolder::in_memory();
    let wanted = large_image();
    fs::write(folder.path("file"), wanted.docker_old(&["bb:latest"]).tar()).unwrap();
    for round in 0..16 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "images::tests::loads_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER_OF_CHILD, folder.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Each step is told of before the next: the rounds end at each of them.
        let loaded = lines.take(round + 3).any(|line| line == "loaded");
        child.kill().unwrap();
        child.wait().unwrap();
        let machine = Machine::in_folder(folder);
        machine.assert_tidy();
        let whole = |hex: &String| {
            fs::read_dir(machine.folder.path(format!("data/layers/{hex}/fs"))).unwrap().count() == 1
        };
        assert!(machine.folder.names("data/layers").iter().all(whole), "round {round}");
        for hex in machine.folder.names("data/blobs/sha256") {
            let blob = fs::read(machine.folder.path("data/blobs/sha256").join(&hex)).unwrap();
            assert_eq!(Digest::of(&blob).hex(), hex, "round {round}");
        }
        assert!(!loaded || machine.resolve("bb").is_some(), "round {round}");
        folder = machine.folder;
    }
    let machine = Machine::in_folder(folder);
    let found = machine.fetch("docker-archive:file").unwrap();
    for (layer, number) in found.layers.iter().zip([3, 2, 1]) {
        let files = fs::read_dir(layer.join(number.to_string())).unwrap();
        assert_eq!(
            files.filter(|file| file.as_ref().unwrap().metadata().unwrap().len() == 100_000).count(),
            40
        );
    }
    machine.assert_tidy();
}
