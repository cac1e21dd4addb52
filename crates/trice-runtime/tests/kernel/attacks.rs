//! What hostile images, volumes and processes try; each test names the flaw that somebody else had.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, StatVfsMountFlags, mknodat, statvfs};
use trice_model::container::ContainerSpec;
use trice_runtime::container::{CreateError, ExecStdio};
use trice_test::traces;
use trice_test::waiting::until;

use crate::realm::{HostMount, Realm, Running, in_realm};
use crate::spec::{bind, container, payload, process, shell, tmpfs, volume};
use crate::tests;

tests![
    an_image_whose_dev_leads_outside_makes_nothing_there,
    an_image_whose_links_lead_outside_has_its_mounts_inside,
    a_working_directory_by_a_descriptor_leads_nowhere,
    a_mount_target_that_is_exchanged_all_the_time_stays_inside,
    the_keepers_binary_cannot_be_written,
    a_null_device_of_the_images_own_hides_nothing_and_is_not_written,
    only_settings_of_its_own_namespaces_can_be_set,
    user_files_that_are_no_files_hold_nobody_up,
    a_process_of_the_container_sees_nothing_of_what_is_run_beside_it,
    a_terminals_name_does_not_matter,
];

fn layers(realm: &Realm) -> HostMount {
    HostMount::tmpfs(realm.folders.outside())
}

/// Tries to make a container, and puts it away whatever came of it.
fn attempt(realm: &Realm, spec: ContainerSpec) -> Result<String, String> {
    match realm.prepare(&spec) {
        Ok(mut prepared) => match prepared.start() {
            Ok(()) => Ok(realm.end(Running { spec, prepared }).out),
            Err(error) => Err(put_away(realm, &spec, &error)),
        },
        Err(error) => Err(put_away(realm, &spec, &error)),
    }
}

fn put_away(realm: &Realm, spec: &ContainerSpec, error: &CreateError) -> String {
    if matches!(error, CreateError::Child(_) | CreateError::Died) {
        realm.exit_of(spec.id.as_str());
    }
    realm.containers.link().forget(spec.id.as_str()).unwrap();
    realm.containers.remove(&spec.id).unwrap();
    error.to_string()
}

/// CVE-2026-41579, CVE-2026-47766: devices made on the host through the image's own `/dev`.
fn an_image_whose_dev_leads_outside_makes_nothing_there() {
    in_realm(|realm| {
        let layers = layers(realm);
        let target = layers.0.join("target");
        fs::create_dir(&target).unwrap();
        let up = format!("{}{}", "../".repeat(20), target.strip_prefix("/").unwrap().display());
        for (number, link) in [target.to_str().unwrap(), up.as_str(), "/proc/1/root"].into_iter().enumerate()
        {
            for name in ["dev", "proc", "sys"] {
                let layer = layers.0.join(format!("{name}{number}"));
                fs::create_dir(&layer).unwrap();
                symlink(link, layer.join(name)).unwrap();
                let mut spec = container(["true"]);
                spec.layers.insert(0, layer);
                let error = attempt(realm, spec).unwrap_err();
                assert!(error.contains("Too many levels of symbolic links"), "{error}");
            }
        }
        assert_eq!(traces::files(&target), Vec::<String>::new());
    });
}

/// CVE-2025-24965 and others: what is placed in a root file system follows links out of it.
fn an_image_whose_links_lead_outside_has_its_mounts_inside() {
    in_realm(|realm| {
        let layers = layers(realm);
        let (layer, target) = (layers.0.join("layer"), layers.0.join("target"));
        for folder in [layer.join("opt"), layer.join("etc"), target.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        let up = format!("{}{}", "../".repeat(20), target.strip_prefix("/").unwrap().display());
        symlink(&up, layer.join("opt/up")).unwrap();
        symlink(&target, layer.join("opt/absolute")).unwrap();
        symlink(target.join("hosts"), layer.join("etc/hosts")).unwrap();
        let mut spec = shell("ls -d /opt/absolute/inner /opt/up/inner; cat /etc/hosts");
        spec.layers.insert(0, layer);
        spec.mounts = vec![
            volume("/opt/up/inner", None, false),
            tmpfs("/opt/absolute/inner", Default::default()),
            bind("/etc", "/opt/up/other", true),
        ];
        spec.process.cwd = "/opt/up/cwd".to_owned();
        let out = attempt(realm, spec).unwrap();
        assert_eq!(out, "/opt/absolute/inner\n/opt/up/inner\nmade for hosts\n");
        assert_eq!(traces::files(&target), Vec::<String>::new());
    });
}

/// CVE-2024-21626: a descriptor of the host's, used as the working directory.
fn a_working_directory_by_a_descriptor_leads_nowhere() {
    in_realm(|realm| {
        let layers = layers(realm);
        fs::write(realm.folders.top.join("marker"), "").unwrap();
        let look = "pwd; i=0; p=.; while [ $i -lt 12 ]; do test -e $p/marker && echo FOUND; p=$p/..; i=$((i+1)); done";
        let is_inside = |out: &str| out.starts_with('/') && !out.contains("FOUND");
        let running = realm.start(shell("sleep 1000"));
        for number in 0..40 {
            let cwd = format!("/proc/self/fd/{number}");
            let mut direct = shell(look);
            direct.process.cwd = cwd.clone();
            let layer = layers.0.join(number.to_string());
            fs::create_dir(&layer).unwrap();
            symlink(&cwd, layer.join("work")).unwrap();
            let mut linked = shell(look);
            linked.layers.insert(0, layer);
            linked.process.cwd = "/work".to_owned();
            for spec in [direct, linked] {
                if let Ok(out) = attempt(realm, spec) {
                    assert!(is_inside(&out), "{cwd}: {out}");
                }
            }
            let mut later = process(["/bin/sh", "-c", look]);
            later.cwd = cwd.clone();
            if let Ok(ended) = realm.exec(&running, later) {
                assert!(is_inside(&ended.out), "{cwd}: {}", ended.out);
            }
        }
        realm.kill(running);
        fs::remove_file(realm.folders.top.join("marker")).unwrap();
    });
}

/// CVE-2021-30465, CVE-2024-45310: the target is a folder when it is looked at, and a link when it is mounted on.
fn a_mount_target_that_is_exchanged_all_the_time_stays_inside() {
    in_realm(|realm| {
        let target = realm.folders.outside();
        let up = format!("{}{}", "../".repeat(20), target.strip_prefix("/").unwrap().display());
        let data = realm.folders.volume();
        fs::create_dir(data.join("folder")).unwrap();
        symlink(&up, data.join("link")).unwrap();
        let mut racer = payload(["exchange", "/data/folder", "/data/link", "/data/ready"]);
        racer.mounts = vec![volume("/data", None, false)];
        let racer = realm.start(racer);
        until("it has begun", || data.join("ready").exists().then_some(()));
        let mut mounted = 0;
        for round in 0..300 {
            let mut spec = container(["true"]);
            let place = format!("/data/folder/{}", round % 10);
            spec.mounts = vec![volume("/data", None, false), tmpfs(&place, Default::default())];
            mounted += u32::from(attempt(realm, spec).is_ok());
            assert_eq!(traces::files(&target), Vec::<String>::new(), "round {round}");
        }
        assert!(mounted > 0, "no start succeeded: the race was not tried");
        assert_eq!(traces::mounts(&target), Vec::<String>::new());
        realm.kill(racer);
    });
}

/// CVE-2019-5736: a container that gets hold of the program that made it, and writes to it.
fn the_keepers_binary_cannot_be_written() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000");
        spec.init = true;
        let running = realm.start(spec);
        for pid in [realm.keeper_pid().cast_signed(), running.prepared.pid] {
            let flags = statvfs(format!("/proc/{pid}/exe").as_str()).unwrap().f_flag;
            assert!(flags.contains(StatVfsMountFlags::RDONLY), "{pid}: {flags:?}");
        }
        // Process 1 is that program, for those who may look at it at all.
        let mut writer = process(["/bin/sh", "-c", "echo x >> /proc/1/exe"]);
        assert!(realm.exec(&running, writer.clone()).unwrap().err.contains("Permission denied"));
        writer.capabilities.insert("SYS_PTRACE".parse().unwrap());
        let ended = realm.exec(&running, writer).unwrap();
        assert!(ended.status != 0, "{ended:?}");
        realm.kill(running);
        // Started by an interpreter line, it is still the same, and so does not become the container's.
        let script = realm.folders.volume().join("script");
        fs::write(&script, "#!/proc/self/exe no-such-test\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut spec = container(["/data/script"]);
        spec.mounts = vec![volume("/data", None, false)];
        let _ = attempt(realm, spec);
    });
}

/// CVE-2025-31133: what hides a path is taken from the image.
fn a_null_device_of_the_images_own_hides_nothing_and_is_not_written() {
    in_realm(|realm| {
        let layers = layers(realm);
        let layer = layers.0.join("layer");
        fs::create_dir_all(layer.join("dev")).unwrap();
        symlink("/proc/sys/kernel/core_pattern", layer.join("dev/null")).unwrap();
        let mine = realm.folders.volume().join("mine");
        fs::write(&mine, "mine\n").unwrap();
        let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        let mut spec = shell("cat /proc/keys; echo x > /proc/keys; cat /proc/keys");
        spec.layers.insert(0, layer);
        spec.mounts = vec![bind(&mine, "/dev/null", false)];
        assert_eq!(attempt(realm, spec).as_deref(), Ok(""));
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
        assert_eq!(fs::read_to_string(mine).unwrap(), "mine\n");
    });
}

/// CVE-2022-0811: settings of the whole machine, or others than their names say.
fn only_settings_of_its_own_namespaces_can_be_set() {
    in_realm(|realm| {
        let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        for (key, value) in [
            ("kernel.core_pattern", "|/bin/x"),
            ("kernel/core_pattern", "|/bin/x"),
            ("net.ipv4/../../kernel/core_pattern", "x"),
            ("net...kernel.core_pattern", "x"),
            ("net.ipv4.ip_forward+kernel.core_pattern", "x"),
            ("net.ipv4.ip_forward", "1\nkernel.core_pattern=x"),
            ("vm.swappiness", "1"),
            ("net.", "1"),
        ] {
            let mut spec = container(["true"]);
            spec.sysctls.insert(key.to_owned(), value.to_owned());
            let error = attempt(realm, spec).unwrap_err();
            assert!(error.contains("cannot be set"), "{key}: {error}");
        }
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
        let host = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
        let mut spec = shell("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward");
        spec.sysctls.insert("kernel.msgmax".to_owned(), "4242".to_owned());
        spec.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
        assert_eq!(attempt(realm, spec).as_deref(), Ok("4242\n1\n"));
        assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), host);
    });
}

/// A pipe that nobody writes to, a file without an end, a way through our own descriptors.
fn user_files_that_are_no_files_hold_nobody_up() {
    in_realm(|realm| {
        let layers = layers(realm);
        for (number, target) in
            ["pipe", "/dev/zero", "/proc/self/fd/3", "/proc/self/mem"].into_iter().enumerate()
        {
            let layer = layers.0.join(number.to_string());
            fs::create_dir_all(layer.join("etc")).unwrap();
            for file in ["etc/passwd", "etc/group"] {
                match target {
                    "pipe" => mknodat(CWD, layer.join(file), FileType::Fifo, Mode::from(0o644), 0).unwrap(),
                    target => symlink(target, layer.join(file)).unwrap(),
                }
            }
            // Not `id`, which would look into these files itself.
            let mut spec = shell("grep ^Uid: /proc/self/status | cut -f 2");
            spec.layers.insert(0, layer);
            spec.process.user = "1000".to_owned();
            assert_eq!(attempt(realm, spec).as_deref(), Ok("1000\n"), "{target}");
        }
    });
}

/// CVE-2016-9962: the descriptors of a process that has entered the container and not become its program yet.
fn a_process_of_the_container_sees_nothing_of_what_is_run_beside_it() {
    in_realm(|realm| {
        let mut spy = payload(["spy", "/data/ready"]);
        spy.mounts = vec![volume("/data", None, false)];
        let running = realm.start(spy);
        let ready = realm.folders.volume().join("ready");
        until("it looks", || ready.exists().then_some(()));
        for _ in 0..200 {
            let null = || fs::OpenOptions::new().write(true).open("/dev/null").unwrap().into();
            let stdio = ExecStdio::Streams { stdin: None, stdout: null(), stderr: null() };
            realm.begin_exec(&running, "exec/seen", process(["true"]), stdio).unwrap();
            realm.exit_of("exec/seen");
            realm.containers.link().forget("exec/seen").unwrap();
        }
        let ended = realm.kill(running);
        assert_eq!(ended.out, "");
    });
}

/// CVE-2025-52565: a terminal is found again by a name that the container can change.
fn a_terminals_name_does_not_matter() {
    in_realm(|realm| {
        let layers = layers(realm);
        let layer = layers.0.join("layer");
        fs::create_dir_all(layer.join("dev/pts")).unwrap();
        let target = Path::new("/proc/sys/kernel/core_pattern");
        for name in ["dev/console", "dev/pts/0", "dev/ptmx"] {
            symlink(target, layer.join(name)).unwrap();
        }
        let mut spec = shell("tty; stat -c %F /dev/console /dev/pts/0");
        spec.layers.insert(0, layer);
        spec.process.tty = true;
        let out = attempt(realm, spec).unwrap();
        let expected = "/dev/pts/0\r\ncharacter special file\r\ncharacter special file\r\n";
        assert_eq!(out, expected);
        let running = realm.start(shell("sleep 1000"));
        let mut wanted = process(["tty"]);
        wanted.tty = true;
        let prepared = realm.begin_exec(&running, "exec/tty", wanted, ExecStdio::Terminal).unwrap();
        assert!(rustix::termios::isatty(prepared.terminal.as_ref().unwrap().as_fd()));
        realm.exit_of("exec/tty");
        realm.containers.link().forget("exec/tty").unwrap();
        realm.kill(running);
    });
}
