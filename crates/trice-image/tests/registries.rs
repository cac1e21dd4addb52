//! The real registry, filled by skopeo and read back by it.

use std::fs;

use trice_image::images::remove::{PruneFilter, Roots};
use trice_image::platform::Platform;
use trice_model::registry::{Keyring, RegistrySettings};
use trice_test::tree;

use crate::place::{Folder, Machine, Registry, in_namespace, layout, run, skopeo, wait_for, write_files};

#[test]
fn what_skopeo_puts_there_comes_in_every_form_and_is_the_same_image() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::open(&folder);
        layout(&folder, "layout");
        let oci = format!("oci:{}:1", folder.text("layout"));
        let forms = ["", "--format v2s2", "--dest-compress-format zstd --format oci", "--all --format oci"];
        run(&format!("umoci unpack --image {}:1 {}", folder.text("layout"), folder.text("bundle")));
        for (number, form) in forms.iter().enumerate() {
            let name = format!("{}/team/app:{number}", registry.host);
            skopeo(&format!("copy {form} --dest-tls-verify=false {oci} docker://{name}"));
            let machine = Machine::new(&folder, &format!("machine-{number}"));
            let image = machine.fetch(&name).unwrap();
            assert_eq!((image.config.cmd, image.config.env[0].1.as_str()), (vec!["/bin/sh".to_owned()], "1"));
            assert_eq!(
                tree::of(&image.layers[1].join("files")),
                tree::of(&folder.path("bundle/rootfs/files"))
                    .into_iter()
                    .filter(|(path, _)| !path.starts_with("more"))
                    .collect()
            );
            assert_eq!(fs::read(image.layers[0].join("files/more/new")).unwrap(), b"new");
            let raw = skopeo(&format!("inspect --raw --tls-verify=false docker://{name}"));
            let digest = trice_image::digest::Digest::of(raw.as_bytes());
            let digests = machine.images.list().unwrap().remove(0).repo_digests;
            assert_eq!(digests, [format!("{}/team/app@{digest}", registry.host)], "{form}");
            assert_eq!(machine.fetch(&digests[0]).unwrap().id, image.id);
        }
    });
}

#[test]
fn what_is_sent_there_skopeo_reads_and_the_second_time_nothing_is_sent() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::open(&folder);
        let machine = Machine::new(&folder, "machine");
        write_files(&folder.path("one"));
        fs::create_dir(folder.path("two")).unwrap();
        fs::write(folder.path("two/file"), "two").unwrap();
        let name = format!("{}/app:1", registry.host);
        let image = machine.build(&[&folder.path("one"), &folder.path("two")], &[&name]);
        let (digest, heard) = machine.push(&name).unwrap();
        assert_eq!(heard, ["Sent", "Sent", "Sent"], "two layers and the configuration");
        assert_eq!(machine.push(&name).unwrap(), (digest.clone(), vec!["Present".to_owned(); 3]));
        let out = folder.text("out");
        skopeo(&format!("copy --src-tls-verify=false docker://{name} oci:{out}:1"));
        let raw = skopeo(&format!("inspect --raw oci:{out}:1"));
        assert_eq!(trice_image::digest::Digest::of(raw.as_bytes()), digest, "it arrives as it was sent");
        run(&format!("umoci unpack --image {out}:1 {}", folder.text("bundle")));
        let mut wanted = tree::of(&folder.path("one"));
        wanted.extend(tree::of(&folder.path("two")));
        let mut found = tree::of(&folder.path("bundle/rootfs"));
        // umoci keeps no times of folders that a later layer changes, and neither test nor image depends on them.
        found.retain(|path, _| path.to_str() != Some("."));
        assert_eq!(found, wanted);
        let other = Machine::new(&folder, "other");
        assert_eq!(other.fetch(&name).unwrap().id, image.id);
        assert_eq!(other.fetch(&format!("{}/app@{digest}", registry.host)).unwrap().id, image.id);
    });
}

#[test]
fn images_for_two_machines_are_sent_under_one_name_and_each_gets_its_own() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::open(&folder);
        let machine = Machine::new(&folder, "machine");
        let (host, other): (Platform, Platform) = (Platform::host(), "linux/s390x".parse().unwrap());
        for name in ["own", "foreign"] {
            fs::create_dir(folder.path(name)).unwrap();
            fs::write(folder.path(name).join("file"), name).unwrap();
        }
        let (own, foreign) = (folder.path("own"), folder.path("foreign"));
        let name = format!("{}/both:1", registry.host);
        let built = machine.build_all(&[(&host, &[&own]), (&other, &[&foreign])], &[&name]);
        machine.images.prune(&PruneFilter::default(), &Roots::new()).unwrap();
        let index = machine.push(&name).unwrap().0;
        assert_eq!(machine.push(&name).unwrap().0, index, "the same again");
        let raw = skopeo(&format!("inspect --raw --tls-verify=false docker://{name}"));
        assert_eq!(trice_image::digest::Digest::of(raw.as_bytes()), index);
        for (platform, wanted) in [(&host, &built[0]), (&other, &built[1])] {
            let found =
                Machine::new(&folder, &format!("for-{}", platform.architecture)).fetch_for(platform, &name);
            assert_eq!(found.unwrap().id, wanted.id);
        }
    });
}

#[test]
fn what_the_registry_has_elsewhere_is_mounted_from_there() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::open(&folder);
        let machine = Machine::new(&folder, "machine");
        write_files(&folder.path("files"));
        let (one, two) = (format!("{}/one:1", registry.host), format!("{}/two/deep:1", registry.host));
        let image = machine.build(&[&folder.path("files")], &[&one]);
        let (digest, _) = machine.push(&one).unwrap();
        machine.tag(&image, &two);
        assert_eq!(machine.push(&two).unwrap(), (digest, vec!["Mounted".to_owned(), "Sent".to_owned()]));
        assert_eq!(Machine::new(&folder, "other").fetch(&two).unwrap().id, image.id);
    });
}

#[test]
fn a_large_layer_goes_in_parts_and_comes_whole() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::open(&folder);
        let machine = Machine::new(&folder, "machine");
        fs::create_dir(folder.path("files")).unwrap();
        run(&format!("openssl rand -out {} 75000000", folder.text("files/noise")));
        let name = format!("{}/large:1", registry.host);
        let image = machine.build(&[&folder.path("files")], &[&name]);
        machine.push(&name).unwrap();
        let found = Machine::new(&folder, "other").fetch(&name).unwrap();
        assert_eq!(found.id, image.id);
        assert_eq!(tree::of(&found.layers[0]), tree::of(&folder.path("files")));
    });
}

#[test]
fn nobody_gets_in_without_the_right_password() {
    in_namespace(|| {
        let folder = Folder::new();
        let registry = Registry::guarded(&folder);
        let (host, name) = (&registry.host, format!("{}/app:1", registry.host));
        layout(&folder, "layout");
        let oci = format!("oci:{}:1", folder.text("layout"));
        skopeo(&format!("copy --dest-tls-verify=false --dest-creds me:secret {oci} docker://{name}"));
        let error = Machine::new(&folder, "stranger").fetch(&name).unwrap_err();
        assert!(error.contains("trice login"), "{error}");
        let error = Machine::known_to(&folder, "liar", host, "wrong").fetch(&name).unwrap_err();
        assert!(error.contains("401"), "{error}");
        let machine = Machine::known_to(&folder, "friend", host, "secret");
        let image = machine.fetch(&name).unwrap();
        let again = format!("{host}/again:1");
        machine.tag(&image, &again);
        machine.push(&again).unwrap();
        let inspected = skopeo(&format!("inspect --tls-verify=false --creds me:secret docker://{again}"));
        assert!(inspected.contains("\"A=1\""), "{inspected}");
        assert!(Machine::new(&folder, "thief").push(&again).is_err());
        assert_eq!(wait_for(machine.registries().catalog(host)).unwrap(), ["again", "app"]);
        assert_eq!(wait_for(machine.registries().tags(&name.parse().unwrap())).unwrap(), ["1"]);
    });
}

#[test]
fn a_registry_is_believed_by_its_certificate_or_because_somebody_says_so() {
    in_namespace(|| {
        let folder = Folder::new();
        // Not this machine's own address, which needs no certificate.
        run("ip address add 10.99.88.77/32 dev lo");
        let make = |name: &str, more: &str| {
            let (key, cert) = (folder.text(&format!("{name}.key")), folder.text(&format!("{name}.crt")));
            run(&format!(
                "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {key} -out {cert} {more}"
            ));
            format!("tls: {{certificate: {cert}, key: {key}}}")
        };
        make("authority", "");
        let signed = format!("-CA {} -CAkey {}", folder.text("authority.crt"), folder.text("authority.key"));
        let name = "-addext subjectAltName=IP:10.99.88.77";
        let tls = make("signed", &format!("{signed} {name} -addext basicConstraints=CA:FALSE"));
        let registry = Registry::start(&folder, "registry", "10.99.88.77", &tls, "");
        let (host, name) = (registry.host.clone(), format!("{}/app:1", registry.host));
        layout(&folder, "layout");
        let oci = format!("oci:{}:1", folder.text("layout"));
        skopeo(&format!("copy --dest-tls-verify=false {oci} docker://{name}"));
        let error = Machine::new(&folder, "stranger").fetch(&name).unwrap_err();
        assert!(error.contains("certs.d"), "{error}");
        let know = |host: &str, certificate: &str| {
            fs::create_dir_all(folder.path("certs.d").join(host)).unwrap();
            fs::copy(folder.path(certificate), folder.path("certs.d").join(host).join("ca.crt")).unwrap();
        };
        know(&host, "authority.crt");
        let certificates = vec![folder.path("certs.d")];
        let settings = RegistrySettings { certificates, ..RegistrySettings::default() };
        let friend = Machine::with(&folder, "friend", settings.clone(), Keyring::default());
        friend.fetch(&name).unwrap();
        let own = make("own", "-addext subjectAltName=IP:10.99.88.77");
        let own = Registry::start(&folder, "own-registry", "10.99.88.77", &own, "");
        know(&own.host, "own.crt");
        let error = friend.fetch(&format!("{}/app:1", own.host)).unwrap_err();
        assert!(error.contains("404"), "one that has signed itself is believed: {error}");
        let insecure = vec![host.parse().unwrap()];
        let settings = RegistrySettings { insecure, ..RegistrySettings::default() };
        Machine::with(&folder, "careless", settings, Keyring::default()).fetch(&name).unwrap();
        let plain = Registry::start(&folder, "plain", "10.99.88.77", "", "");
        let error = Machine::new(&folder, "deaf").fetch(&format!("{}/app:1", plain.host)).unwrap_err();
        assert!(error.contains("list it as insecure"), "{error}");
    });
}
