//! What is mounted in a container, and what may be done there.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use trice_model::mount::{MountSpecSource, Propagation, Tmpfs};
use trice_model::units::Bytes;

use crate::realm::{HostMount, Realm, in_realm};
use crate::spec::{bind, container, shell, tmpfs, volume};
use crate::tests;

tests![
    what_a_container_writes_stays_in_its_own_layer,
    layers_are_stacked_the_first_on_top,
    many_layers_are_stacked,
    a_read_only_root_is_not_written_and_what_is_mounted_in_it_is,
    a_tmpfs_has_its_size_mode_and_owner_and_follows_the_images_links,
    shared_memory_has_its_size,
    a_bind_mount_brings_what_is_mounted_below_and_read_only_is_so_all_the_way,
    what_the_host_mounts_later_reaches_a_slave_and_nobody_else,
    what_a_container_mounts_reaches_the_host_where_it_is_shared,
    a_volume_is_the_same_for_all_and_its_subpath_a_part_of_it,
    a_file_is_mounted_on_a_file_that_is_made_for_it,
    the_made_files_are_found_where_a_dangling_link_leads,
    nothing_is_mounted_where_the_kernel_speaks,
    the_path_of_a_bind_mount_is_made_only_if_it_may_be,
];

fn what_a_container_writes_stays_in_its_own_layer() {
    in_realm(|realm| {
        let spec = shell("echo mine > /trice-test-file; rm /etc/hostname 2>/dev/null; cat /trice-test-file");
        let (id, mut prepared) = (spec.id.clone(), realm.prepare(&spec).unwrap());
        prepared.start().unwrap();
        realm.exit_of(id.as_str());
        realm.containers.finish(&id).unwrap();
        let upper = realm.containers.folder(&id).join("upper");
        assert_eq!(fs::read_to_string(upper.join("trice-test-file")).unwrap(), "mine\n");
        assert!(!Path::new("/trice-test-file").exists());
        // Started again, it finds what it wrote.
        let mut again = realm.prepare(&spec).unwrap();
        again.start().unwrap();
        let ended = realm.end(crate::realm::Running { spec, prepared: again });
        assert_eq!(ended.out, "mine\nmine\n");
    });
}

/// Makes a layer with these files. It lies in the root of the host, which is the lowest layer.
fn layer(realm: &Realm, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = realm.folders.outside().join(name);
    for (file, text) in files {
        let file = path.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    path
}

fn layers_are_stacked_the_first_on_top() {
    in_realm(|realm| {
        let top = layer(realm, "top", &[("opt/a", "top")]);
        let middle = layer(realm, "middle", &[("opt/a", "middle"), ("opt/b", "middle")]);
        let mut spec = shell("cat /opt/a /opt/b");
        spec.layers = vec![top, middle, PathBuf::from("/")];
        assert_eq!(realm.run(spec).ok(), "topmiddle");
    });
}

fn many_layers_are_stacked() {
    in_realm(|realm| {
        let name = |number: usize| format!("opt/layers/{number}");
        let layers = (0..120).map(|number| layer(realm, &number.to_string(), &[(&name(number), "")]));
        let mut spec = shell("ls /opt/layers | wc -l");
        spec.layers = layers.chain([PathBuf::from("/")]).collect();
        assert_eq!(realm.run(spec).ok().trim(), "120");
        let mut spec = shell("true");
        spec.layers = vec![PathBuf::from("/"); 300];
        let error = realm.prepare(&spec).unwrap_err().to_string();
        assert!(error.starts_with("the container's layers and mounts are "), "{error}");
        realm.containers.remove(&spec.id).unwrap();
    });
}

fn a_read_only_root_is_not_written_and_what_is_mounted_in_it_is() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000");
        spec.read_only = true;
        spec.mounts = vec![tmpfs("/run", Tmpfs::default()), volume("/srv/data", None, false)];
        let running = realm.start(spec);
        for path in ["/file", "/etc/file", "/srv/file"] {
            assert_ne!(realm.shell(&running, &format!("echo > {path}")).status, 0, "{path}");
        }
        realm.shell(&running, "echo > /run/file; echo > /srv/data/file; echo > /dev/shm/file").ok();
        realm.kill(running);
    });
}

fn a_tmpfs_has_its_size_mode_and_owner_and_follows_the_images_links() {
    in_realm(|realm| {
        let layer = layer(realm, "linked", &[("opt/real/file", "")]);
        std::os::unix::fs::symlink("/opt/real", layer.join("opt/link")).unwrap();
        let asked =
            Tmpfs { size: Some(Bytes(1 << 20)), mode: Some(0o750), uid: Some(7), gid: Some(8), exec: true };
        let script = "stat -c '%a %u %g' /opt/real; df -k /opt/real | tail -n 1 | awk '{print $2}'; \
                      grep ' /opt/real ' /proc/self/mountinfo | cut -d ' ' -f 6";
        let mut spec = shell(script);
        spec.layers.insert(0, layer);
        spec.mounts = vec![tmpfs("/opt/link", asked)];
        assert_eq!(realm.run(spec).ok(), "750 7 8\n1024\nrw,nosuid,nodev,relatime\n");
        let mut spec = shell("stat -c %a /opt/t; grep ' /opt/t ' /proc/self/mountinfo | cut -d ' ' -f 6");
        spec.mounts = vec![tmpfs("/opt/t", Tmpfs::default())];
        assert_eq!(realm.run(spec).ok(), "1777\nrw,nosuid,nodev,noexec,relatime\n");
    });
}

fn shared_memory_has_its_size() {
    in_realm(|realm| {
        let mut spec = shell("df -k /dev/shm | tail -n 1 | awk '{print $2}'; stat -c %a /dev/shm");
        spec.shm_size = Bytes(3 << 20);
        assert_eq!(realm.run(spec).ok(), "3072\n1777\n");
    });
}

fn a_bind_mount_brings_what_is_mounted_below_and_read_only_is_so_all_the_way() {
    in_realm(|realm| {
        let below = HostMount::tmpfs(realm.folders.volume().join("below"));
        fs::write(below.0.join("file"), "deep\n").unwrap();
        let mut spec = shell("sleep 1000");
        spec.mounts = vec![
            bind(realm.folders.volume(), "/opt/rw", false),
            bind(realm.folders.volume(), "/opt/ro", true),
            volume("/opt/volume", None, true),
        ];
        let mut flat = bind(realm.folders.volume(), "/opt/flat", false);
        if let MountSpecSource::Bind(bind) = &mut flat.source {
            bind.recursive = false;
        }
        spec.mounts.push(flat);
        let running = realm.start(spec);
        assert_eq!(realm.shell(&running, "cat /opt/rw/below/file; echo > /opt/rw/below/new").ok(), "deep\n");
        for path in ["/opt/ro/new", "/opt/ro/below/new", "/opt/volume/new"] {
            let ended = realm.shell(&running, &format!("echo > {path}"));
            assert!(ended.status != 0 && ended.err.contains("Read-only"), "{path}: {ended:?}");
        }
        assert_eq!(realm.shell(&running, "ls /opt/flat/below").ok(), "");
        realm.kill(running);
    });
}

/// Makes the volume of the realm a mount of its own that others may follow.
fn share(realm: &Realm) -> HostMount {
    let at = realm.folders.volume();
    let mounted = HostMount::tmpfs(at.clone());
    mount_change(&at, MountPropagationFlags::SHARED).unwrap();
    mounted
}

fn what_the_host_mounts_later_reaches_a_slave_and_nobody_else() {
    in_realm(|realm| {
        let shared = share(realm);
        let mut slave = bind(realm.folders.volume(), "/opt/slave", false);
        if let MountSpecSource::Bind(bind) = &mut slave.source {
            bind.propagation = Propagation::Rslave;
        }
        let mut spec = shell("sleep 1000");
        spec.mounts = vec![slave, bind(realm.folders.volume(), "/opt/private", false)];
        let running = realm.start(spec);
        let later = HostMount::tmpfs(shared.0.join("later"));
        fs::write(later.0.join("file"), "").unwrap();
        assert_eq!(realm.shell(&running, "ls /opt/slave/later; ls /opt/private/later").ok(), "file\n");
        drop(later);
        realm.kill(running);
    });
}

fn what_a_container_mounts_reaches_the_host_where_it_is_shared() {
    in_realm(|realm| {
        let shared = share(realm);
        let mut both = bind(realm.folders.volume(), "/opt/both", false);
        if let MountSpecSource::Bind(bind) = &mut both.source {
            bind.propagation = Propagation::Rshared;
        }
        let script = "mkdir /opt/both/in && mount -t tmpfs tmpfs /opt/both/in && echo > /opt/both/in/file";
        let mut spec = shell(script);
        spec.mounts = vec![both];
        spec.process.capabilities.insert("SYS_ADMIN".parse().unwrap());
        realm.run(spec).ok();
        let inside = shared.0.join("in");
        assert!(inside.join("file").exists());
        unmount(&inside, UnmountFlags::DETACH).unwrap();
    });
}

fn a_volume_is_the_same_for_all_and_its_subpath_a_part_of_it() {
    in_realm(|realm| {
        fs::create_dir(realm.folders.volume().join("part")).unwrap();
        let mut writer = shell("echo shared > /data/part/file");
        writer.mounts = vec![volume("/data", None, false)];
        realm.run(writer).ok();
        let mut reader = shell("cat /part/file; ls -d /part/*");
        reader.mounts = vec![volume("/part", Some("part"), false)];
        assert_eq!(realm.run(reader).ok(), "shared\n/part/file\n");
    });
}

fn a_file_is_mounted_on_a_file_that_is_made_for_it() {
    in_realm(|realm| {
        let file = realm.folders.volume().join("settings");
        fs::write(&file, "set\n").unwrap();
        let mut spec = shell("cat /opt/new/folder/settings; stat -c %F /opt/new/folder/settings");
        spec.mounts = vec![bind(file, "/opt/new/folder/settings", true)];
        assert_eq!(realm.run(spec).ok(), "set\nregular file\n");
    });
}

fn the_made_files_are_found_where_a_dangling_link_leads() {
    in_realm(|realm| {
        let layer = layer(realm, "linked", &[("etc/keep", "")]);
        let target = "../run/trice-test/stub-resolv.conf";
        std::os::unix::fs::symlink(target, layer.join("etc/resolv.conf")).unwrap();
        let mut spec = shell("cat /etc/resolv.conf /etc/hosts /etc/hostname; readlink /etc/resolv.conf");
        spec.layers.insert(0, layer);
        let expected = "made for resolv.conf\nmade for hosts\nmade for hostname\n";
        assert_eq!(realm.run(spec).ok(), format!("{expected}{target}\n"));
        assert!(!Path::new("/run/trice-test").exists());
    });
}

fn nothing_is_mounted_where_the_kernel_speaks() {
    in_realm(|realm| {
        let layer = layer(realm, "linked", &[("opt/keep", "")]);
        for (link, target) in [("attr", "/proc/self/attr"), ("proc", "/proc"), ("sys", "../proc/sys")] {
            std::os::unix::fs::symlink(target, layer.join("opt").join(link)).unwrap();
        }
        for target in
            ["/", "/proc", "/proc/self/attr", "/opt/attr", "/opt/proc", "/opt/sys", "/opt/../proc", "opt"]
        {
            for mount in [volume(target, None, false), tmpfs(target, Tmpfs::default())] {
                let mut spec = container(["true"]);
                spec.layers.insert(0, layer.clone());
                spec.mounts = vec![mount];
                let error = realm.prepare(&spec).unwrap_err();
                assert!(!error.to_string().is_empty(), "{target}");
                if let trice_runtime::container::CreateError::Child(failure) = &error {
                    assert!(failure.what.contains("it leads into /proc"), "{target}: {failure}");
                    realm.exit_of(spec.id.as_str());
                }
                realm.containers.link().forget(spec.id.as_str()).unwrap();
                realm.containers.remove(&spec.id).unwrap();
            }
        }
    });
}

fn the_path_of_a_bind_mount_is_made_only_if_it_may_be() {
    in_realm(|realm| {
        let path = realm.folders.volume().join("not/yet");
        let mut spec = shell("stat -c %F /opt/new");
        spec.mounts = vec![bind(&path, "/opt/new", false)];
        let error = realm.prepare(&spec).unwrap_err().to_string();
        assert_eq!(error, format!("bind mount: {} does not exist on this machine", path.display()));
        assert!(!path.exists());
        if let MountSpecSource::Bind(bind) = &mut spec.mounts[0].source {
            bind.create_host_path = true;
        }
        assert_eq!(realm.run(spec).ok(), "directory\n");
        assert!(path.is_dir());
    });
}
