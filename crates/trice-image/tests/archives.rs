//! What trice writes, others read; what others write, trice reads.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};

use trice_image::images::read::ArchiveInput;
use trice_image::images::save::{ArchiveFormat, SavedImage};
use trice_image::platform::Platform;
use trice_model::image::ObservedImage;
use trice_test::tree;

use crate::place::{Folder, Machine, layout, run, skopeo, write_files};

/// Returns an image as it is to be saved under names.
fn saved(machine: &Machine, image: &ObservedImage, names: &[&str]) -> SavedImage {
    let image = machine.images.find(&image.id, None).unwrap().image;
    SavedImage { images: vec![image], names: names.iter().map(|name| name.parse().unwrap()).collect() }
}

fn save(machine: &Machine, images: &[SavedImage], format: ArchiveFormat, folder: &Folder, name: &str) {
    let file = File::create(folder.path(name)).unwrap();
    machine.images.save(images, format, 0, file).unwrap();
}

fn built(folder: &Folder, machine: &Machine) -> ObservedImage {
    write_files(&folder.path("one"));
    fs::create_dir_all(folder.path("two/etc")).unwrap();
    fs::write(folder.path("two/etc/name"), "changed").unwrap();
    machine.build(&[&folder.path("one"), &folder.path("two")], &["app:1", "localhost:5000/app:2"])
}

/// Sees that `rootfs` is what the layers of [`built`] are together.
fn assert_is_built(folder: &Folder, rootfs: &str) {
    let mut wanted = tree::of(&folder.path("one"));
    wanted.extend(tree::of(&folder.path("two")));
    assert_eq!(tree::of(&folder.path(rootfs)), wanted);
}

#[test]
fn skopeo_and_umoci_read_what_is_saved() {
    let folder = Folder::new();
    let machine = Machine::new(&folder, "machine");
    let image = built(&folder, &machine);
    let images = [saved(&machine, &image, &["app:1", "localhost:5000/app:2"])];
    save(&machine, &images, ArchiveFormat::Docker, &folder, "docker.tar");
    save(&machine, &images[..1], ArchiveFormat::Oci, &folder, "oci.tar");
    machine.images.save_layout(&images, &folder.path("layout")).unwrap();
    let sources = [
        format!("docker-archive:{}:app:1", folder.text("docker.tar")),
        format!("docker-archive:{}:localhost:5000/app:2", folder.text("docker.tar")),
        format!("oci-archive:{}:1", folder.text("oci.tar")),
        format!("oci:{}:2", folder.text("layout")),
    ];
    for (number, source) in sources.iter().enumerate() {
        let out = folder.text(&format!("out-{number}"));
        skopeo(&format!("copy {source} oci:{out}:x"));
        run(&format!("umoci unpack --image {out}:x {}", folder.text(&format!("bundle-{number}"))));
        assert_is_built(&folder, &format!("bundle-{number}/rootfs"));
    }
    run(&format!("umoci unpack --image {}:1 {}", folder.text("layout"), folder.text("bundle")));
    assert_is_built(&folder, "bundle/rootfs");
}

#[test]
fn all_images_of_an_archive_come_with_their_names_from_a_file_and_from_a_stream() {
    let folder = Folder::new();
    let machine = Machine::new(&folder, "machine");
    let image = built(&folder, &machine);
    fs::create_dir(folder.path("three")).unwrap();
    let other = machine.build(&[&folder.path("one"), &folder.path("three")], &[]);
    let images = [saved(&machine, &image, &["app:1", "app:2"]), saved(&machine, &other, &[])];
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        save(&machine, &images, format, &folder, "images.tar");
        for packer in ["gzip", "xz", "bzip2"] {
            run(&format!("{packer} --force --keep {}", folder.text("images.tar")));
        }
        let files = [
            ("images.tar", false),
            ("images.tar", true),
            ("images.tar.gz", true),
            ("images.tar.xz", false),
            ("images.tar.bz2", true),
        ];
        for (file, is_stream) in files {
            let reader = Machine::new(&folder, &format!("{format:?}-{file}-{is_stream}"));
            let file = File::open(folder.path(file)).unwrap();
            let input = match is_stream {
                true => ArchiveInput::Stream(Box::new(file)),
                false => ArchiveInput::File(file),
            };
            let stop = std::sync::atomic::AtomicBool::new(false);
            let read =
                reader.images.read_archive(input, "it", &Platform::host(), &stop, &mut |_| {}).unwrap();
            let ids: BTreeSet<_> = read.iter().map(|read| read.id.as_str()).collect();
            assert_eq!(ids, [image.id.as_str(), &other.id].into(), "{format:?}");
            let names: BTreeSet<_> =
                read.iter().flat_map(|read| &read.names).map(ToString::to_string).collect();
            assert_eq!(names, ["app:1".to_owned(), "app:2".to_owned()].into());
        }
    }
    let wrong = ArchiveInput::Stream(Box::new(&b"no archive at all"[..]));
    let stop = std::sync::atomic::AtomicBool::new(false);
    assert!(machine.images.read_archive(wrong, "it", &Platform::host(), &stop, &mut |_| {}).is_err());
}

#[test]
fn the_same_image_is_saved_in_the_same_bytes_by_whoever_has_it() {
    let folder = Folder::new();
    let (one, two) = (Machine::new(&folder, "one-machine"), Machine::new(&folder, "two-machine"));
    let image = built(&folder, &one);
    for (format, name) in [(ArchiveFormat::Docker, "docker-archive"), (ArchiveFormat::Oci, "oci-archive")] {
        save(&one, &[saved(&one, &image, &["app:1"])], format, &folder, "first.tar");
        save(&one, &[saved(&one, &image, &["app:1"])], format, &folder, "again.tar");
        let first = fs::read(folder.path("first.tar")).unwrap();
        assert!(first == fs::read(folder.path("again.tar")).unwrap(), "{name}");
        let loaded = two.fetch(&format!("{name}:{}", folder.text("first.tar"))).unwrap();
        assert_eq!(loaded.id, image.id);
        save(&two, &[saved(&two, &loaded, &["app:1"])], format, &folder, "other.tar");
        assert!(first == fs::read(folder.path("other.tar")).unwrap(), "{name}, loaded and saved");
    }
}

#[test]
fn what_skopeo_writes_is_loaded() {
    let folder = Folder::new();
    layout(&folder, "layout");
    let oci = format!("oci:{}:1", folder.text("layout"));
    skopeo(&format!("copy {oci} docker-archive:{}:bb:1", folder.text("docker.tar")));
    skopeo(&format!("copy {oci} oci-archive:{}:bb:1", folder.text("oci.tar")));
    for (number, source) in [
        format!("docker-archive:{}", folder.text("docker.tar")),
        format!("oci-archive:{}", folder.text("oci.tar")),
        oci.clone(),
    ]
    .iter()
    .enumerate()
    {
        let machine = Machine::new(&folder, &format!("machine-{number}"));
        let image = machine.fetch(source).unwrap();
        assert_eq!(fs::read(image.layers[1].join("files/etc/name")).unwrap(), b"content", "{source}");
    }
}

#[test]
fn images_are_added_to_a_layout_and_take_the_place_of_those_of_their_names() {
    let folder = Folder::new();
    let machine = Machine::new(&folder, "machine");
    for name in ["a", "b", "c"] {
        fs::create_dir(folder.path(name)).unwrap();
        fs::write(folder.path(name).join("file"), name).unwrap();
    }
    let layout = folder.path("layout");
    for (files, name) in [("a", "app:1"), ("b", "other:2"), ("c", "app:1")] {
        let image = machine.build(&[&folder.path(files)], &[]);
        machine.images.save_layout(&[saved(&machine, &image, &[name])], &layout).unwrap();
    }
    let listed = run(&format!("umoci ls --layout {}", layout.display()));
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["1", "2"]));
    let other = Machine::new(&folder, "other");
    for (tag, content) in [("1", "c"), ("2", "b")] {
        let image = other.fetch(&format!("oci:{}:{tag}", layout.display())).unwrap();
        assert_eq!(fs::read_to_string(image.layers[0].join("file")).unwrap(), content);
    }
}

#[test]
fn a_tar_becomes_an_image_and_an_image_a_tar() {
    let folder = Folder::new();
    let machine = Machine::new(&folder, "machine");
    write_files(&folder.path("files"));
    let (lease, workshop) = (machine.images.lease().unwrap(), machine.images.workshop().unwrap());
    let layers = ["gzip", "zstd", "xz", "bzip2"].map(|packer| {
        let (name, files) = (format!("in.{packer}"), folder.text("files"));
        run(&format!("tar --create --{packer} --file {} --directory {files} .", folder.text(&name)));
        let archive = File::open(folder.path(&name)).unwrap();
        let layer = machine.images.layer_of_archive(&workshop, archive, &name, |_| Ok(())).unwrap();
        assert_eq!(tree::of(&layer.root()), tree::of(&folder.path("files")));
        layer
    });
    let [.., layer] = layers;
    let mut tar = Vec::new();
    let root = File::open(layer.root()).unwrap();
    trice_image::pack::pack(std::os::fd::AsFd::as_fd(&root), &Default::default(), &mut tar).unwrap();
    fs::write(folder.path("out.tar"), &tar).unwrap();
    fs::create_dir(folder.path("out")).unwrap();
    run(&format!("tar --extract --file {} --directory {}", folder.text("out.tar"), folder.text("out")));
    assert_eq!(tree::of(&folder.path("out")), tree::of(&folder.path("files")));
    machine.images.publish(&lease, &workshop, &[layer]).unwrap();
    let broken = machine.images.layer_of_archive(&workshop, io::repeat(1).take(9000), "broken", |_| Ok(()));
    assert!(broken.is_err());
}
