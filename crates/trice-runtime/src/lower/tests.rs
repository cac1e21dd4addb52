//! Plans as text: one line an operation, and what is opened for them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trice_model::container::ContainerSpec;
use trice_model::mount::{Bind, MountSpec, MountSpecSource, Propagation, Tmpfs};
use trice_model::units::Bytes;

use super::{Facts, LowerError, Lowered, MadeFile, container, exec};
use crate::operation::{Attributes, DeviceKind, DeviceNode, Filesystem, Operation, Stdio};

/// A container of one layer, with one path of each kind hidden or sealed, as it lies in the store.
const SPEC: &str = r#"{
    "id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "name": "shop-web-1", "project": "shop", "service": "web", "role": {"replica": 1}, "labels": {},
    "image": "rootfs:/", "image_id": "rootfs:/", "layers": ["/layers/base"],
    "process": {
        "args": ["serve"], "env": {"A": "1"}, "link_env": {}, "cwd": "/srv", "user": "app", "groups": [],
        "tty": false, "stdin_open": false, "capabilities": ["CHOWN"], "no_new_privileges": false,
        "seccomp": "default", "ulimits": {}, "oom_score_adj": null
    },
    "hostname": "web", "domainname": null, "mounts": [], "shm_size": 67108864, "read_only": false, "init": false,
    "network": {"instance": "shop-web-1"}, "aliases": {}, "links": [], "external_links": [],
    "links_env": "off", "exposed": [],
    "published": [], "publish": "direct", "hosts": [], "resolver": {"servers": [], "search": null, "options": []}, "sysctls": {},
    "privileged": false, "masked_paths": ["/proc/kcore"], "readonly_paths": ["/proc/sys"],
    "resources": {
        "memory": null, "memory_reservation": null, "memory_swap": null, "nano_cpus": null, "cpu_quota_us": null,
        "cpu_period_us": null, "cpu_shares": null, "pids": null
    },
    "stop_signal": "SIGTERM", "stop_grace": {"secs": 10, "nanos": 0}, "restart": "no", "health": null,
    "depends_on": {}, "attach": true, "config_hash": ""
}"#;

fn spec() -> ContainerSpec {
    serde_json::from_str(SPEC).unwrap()
}

/// A machine with one v1 hierarchy beside the v2 one.
fn hybrid() -> Facts {
    Facts {
        v1_hierarchies: vec![vec!["memory".to_owned()]],
        v2: true,
        kcore: true,
        hard_nofile: 4096,
        ..Facts::default()
    }
}

fn text(lowered: Result<Lowered, LowerError>) -> String {
    let lowered = lowered.unwrap();
    let mut lines: Vec<String> = lowered.plan.operations.iter().map(operation).collect();
    let process = &lowered.plan.process;
    let wait = if lowered.plan.wait { "wait, then " } else { "" };
    lines.push(format!("{wait}{:?} as {:?} in {}", process.args, process.user, process.cwd));
    lines.push(match process.stdio {
        Stdio::Terminal => "terminal".to_owned(),
        Stdio::Streams { stdin, stdout, stderr } => {
            let stream =
                |s: crate::operation::Stream| format!("{}{}", s.slot.0, if s.own { " own" } else { "" });
            format!("streams {}, {}, {}", stream(stdin), stream(stdout), stream(stderr))
        }
    });
    lines.extend(lowered.needed.iter().enumerate().map(|(slot, needed)| format!("{slot} = {needed:?}")));
    lines.join("\n")
}

fn operation(operation: &Operation) -> String {
    match operation {
        Operation::MountFilesystem(filesystem) => mount(filesystem),
        Operation::MountInside(filesystem) => format!("inside: {}", mount(filesystem)),
        Operation::MakeDevices(nodes) => {
            let names: Vec<&str> = nodes.iter().map(DeviceNode::name).collect();
            format!("devices {}", names.join(" "))
        }
        other => format!("{other:?}").replace("Slot", ""),
    }
}

fn mount(filesystem: &Filesystem) -> String {
    let Attributes { read_only, nosuid, nodev, noexec } = filesystem.attributes;
    let words = [(read_only, "ro"), (nosuid, "nosuid"), (nodev, "nodev"), (noexec, "noexec")];
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    let options = filesystem.options.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    });
    let options: Vec<String> = options.collect();
    let target = filesystem.target.display();
    format!("mount {} {target} {} ({})", filesystem.kind, words.join(","), options.join(","))
}

#[test]
fn a_container_is_joined_rooted_mounted_pivoted_and_masked_in_this_order() {
    insta::assert_snapshot!(text(container(&spec(), &MadeFile::ALL, &hybrid())), @r#"
    JoinCgroup { tasks: (0) }
    EnterNetwork { namespace: (1) }
    NewCgroupNamespace
    Hostname("web")
    AttachLayer { tree: (2), index: 0 }
    AttachWritable { tree: (3) }
    MountRoot { layers: 1, nested: false }
    mount proc /proc nosuid,nodev,noexec ()
    mount tmpfs /dev nosuid (mode=755,size=65536k)
    devices null zero full random urandom tty fd stdin stdout stderr ptmx core
    inside: mount devpts /dev/pts nosuid,noexec (newinstance,ptmxmode=0666,mode=0620,gid=5)
    inside: mount mqueue /dev/mqueue nosuid,nodev,noexec ()
    inside: mount tmpfs /dev/shm nosuid,nodev,noexec (mode=1777,size=67108864)
    mount sysfs /sys ro,nosuid,nodev,noexec ()
    mount tmpfs /sys/fs/cgroup nosuid,nodev,noexec (mode=755)
    inside: mount cgroup /sys/fs/cgroup/memory ro,nosuid,nodev,noexec (memory)
    inside: mount cgroup2 /sys/fs/cgroup/unified ro,nosuid,nodev,noexec ()
    Seal("/sys/fs/cgroup")
    Bind { tree: (4), target: "/etc/hostname" }
    Bind { tree: (5), target: "/etc/hosts" }
    Bind { tree: (6), target: "/etc/resolv.conf" }
    MakeDirectory("/srv")
    Pivot { read_only: false }
    Mask("/proc/kcore")
    ReadOnly("/proc/sys")
    wait, then ["serve"] as "app" in /srv
    streams 7, 8 own, 9 own
    0 = Tasks(0)
    1 = NetworkNamespace
    2 = Layer("/layers/base")
    3 = Writable
    4 = File(Hostname)
    5 = File(Hosts)
    6 = File(ResolvConf)
    7 = Null
    8 = Stdout
    9 = Stderr
    10 = Seccomp
    "#);
}

#[test]
fn on_version_two_alone_a_container_has_one_cgroup_file_system_and_joins_nothing() {
    let facts = Facts { v2: true, hard_nofile: 512, ..Facts::default() };
    let text = text(container(&spec(), &MadeFile::ALL, &facts));
    let about_groups: Vec<&str> = text.lines().filter(|line| line.contains("roup")).collect();
    assert_eq!(
        about_groups,
        ["NewCgroupNamespace", "mount cgroup2 /sys/fs/cgroup ro,nosuid,nodev,noexec ()"]
    );
}

#[test]
fn what_is_run_in_a_container_joins_its_groups_and_enters_it() {
    insta::assert_snapshot!(text(exec(&spec().process, &hybrid())), @r#"
    JoinCgroup { tasks: (0) }
    EnterContainer { init: (1) }
    ["serve"] as "app" in /srv
    streams 2, 3, 4
    0 = Tasks(0)
    1 = ContainerInit
    2 = Null
    3 = Stdout
    4 = Stderr
    5 = Seccomp
    "#);
}

#[test]
fn mounts_go_from_the_top_down_and_each_opens_what_it_says() {
    let mut spec = spec();
    let at = |target: &str, read_only, source| MountSpec { target: target.into(), read_only, source };
    let bind = Bind {
        path: "/home/x".into(),
        create_host_path: true,
        propagation: Propagation::Rslave,
        recursive: false,
    };
    let volume = |subpath: Option<&str>| MountSpecSource::Volume {
        name: "shop_data".parse().unwrap(),
        subpath: subpath.map(PathBuf::from),
        nocopy: false,
        anonymous: false,
    };
    let tmpfs = Tmpfs { size: Some(Bytes(4096)), mode: Some(0o700), uid: Some(1), gid: Some(2), exec: true };
    spec.mounts = vec![
        at("/srv/data/deep", true, MountSpecSource::Bind(bind)),
        at("/srv/data", false, volume(Some("part"))),
        at("/run", false, MountSpecSource::Tmpfs(tmpfs)),
        at("/etc/hosts", true, volume(None)),
        at("/dev/shm", false, MountSpecSource::Tmpfs(Tmpfs::default())),
    ];
    insta::assert_snapshot!(text(container(&spec, &MadeFile::ALL, &hybrid())), @r#"
    JoinCgroup { tasks: (0) }
    EnterNetwork { namespace: (1) }
    NewCgroupNamespace
    Hostname("web")
    AttachLayer { tree: (2), index: 0 }
    AttachWritable { tree: (3) }
    MountRoot { layers: 1, nested: false }
    mount proc /proc nosuid,nodev,noexec ()
    mount tmpfs /dev nosuid (mode=755,size=65536k)
    devices null zero full random urandom tty fd stdin stdout stderr ptmx core
    inside: mount devpts /dev/pts nosuid,noexec (newinstance,ptmxmode=0666,mode=0620,gid=5)
    inside: mount mqueue /dev/mqueue nosuid,nodev,noexec ()
    mount sysfs /sys ro,nosuid,nodev,noexec ()
    mount tmpfs /sys/fs/cgroup nosuid,nodev,noexec (mode=755)
    inside: mount cgroup /sys/fs/cgroup/memory ro,nosuid,nodev,noexec (memory)
    inside: mount cgroup2 /sys/fs/cgroup/unified ro,nosuid,nodev,noexec ()
    Seal("/sys/fs/cgroup")
    Bind { tree: (4), target: "/etc/hostname" }
    Bind { tree: (5), target: "/etc/resolv.conf" }
    mount tmpfs /run nosuid,nodev (mode=700,size=4096,uid=1,gid=2)
    Bind { tree: (6), target: "/srv/data" }
    Bind { tree: (7), target: "/etc/hosts" }
    mount tmpfs /dev/shm nosuid,nodev,noexec (mode=1777)
    Bind { tree: (8), target: "/srv/data/deep" }
    MakeDirectory("/srv")
    Pivot { read_only: false }
    Mask("/proc/kcore")
    ReadOnly("/proc/sys")
    wait, then ["serve"] as "app" in /srv
    streams 9, 10 own, 11 own
    0 = Tasks(0)
    1 = NetworkNamespace
    2 = Layer("/layers/base")
    3 = Writable
    4 = File(Hostname)
    5 = File(ResolvConf)
    6 = Volume { name: "shop_data", subpath: Some("part"), read_only: false }
    7 = Volume { name: "shop_data", subpath: None, read_only: true }
    8 = Bind { path: "/home/x", create: true, recursive: false, propagation: Slave, read_only: true }
    9 = Null
    10 = Stdout
    11 = Stderr
    12 = Seccomp
    "#);
}

#[test]
fn what_a_service_asks_for_is_in_its_plan() {
    let mut spec = spec();
    spec.read_only = true;
    spec.domainname = Some("example.org".to_owned());
    spec.sysctls = BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]);
    spec.process.oom_score_adj = Some(-5);
    spec.process.tty = true;
    let with = text(container(&spec, &MadeFile::ALL, &hybrid()));
    let without = text(container(&self::spec(), &MadeFile::ALL, &hybrid()));
    let new: Vec<&str> = with.lines().filter(|line| !without.contains(line)).collect();
    assert_eq!(
        new,
        [
            "Domainname(\"example.org\")",
            "OomScore(-5)",
            "Sysctl { key: \"net.core.somaxconn\", value: \"1024\" }",
            "Pivot { read_only: true }",
            "terminal",
            "7 = Seccomp",
        ]
    );
}

#[test]
fn a_privileged_container_has_the_hosts_devices_beside_the_usual_ones_and_may_write_everywhere() {
    let device = |name: &str| DeviceNode::Device {
        name: name.to_owned(),
        kind: DeviceKind::Block,
        major: 8,
        minor: 0,
        mode: 0o660,
        uid: 0,
        gid: 6,
    };
    let facts = Facts {
        host_devices: vec![
            DeviceNode::Directory { name: "net".to_owned() },
            device("net/tun"),
            device("null"),
        ],
        ..hybrid()
    };
    let mut spec = spec();
    assert!(!text(container(&spec, &MadeFile::ALL, &facts)).contains("net/tun"));
    spec.privileged = true;
    let text = text(container(&spec, &MadeFile::ALL, &facts));
    let devices = text.lines().find(|line| line.starts_with("devices")).unwrap();
    assert!(devices.ends_with(" core net net/tun"), "{devices}");
    assert!(!text.contains(" ro,") && !text.contains("Seal"), "{text}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let refused = |change: fn(&mut ContainerSpec)| {
        let mut spec = spec();
        change(&mut spec);
        container(&spec, &MadeFile::ALL, &hybrid()).unwrap_err().to_string()
    };
    let sysctl = |key: &'static str| {
        let mut spec = spec();
        spec.sysctls = BTreeMap::from([(key.to_owned(), "1".to_owned())]);
        container(&spec, &MadeFile::ALL, &hybrid()).is_err()
    };
    for bad in
        ["kernel.core_pattern", "vm.swappiness", "net", "net/core", "fs.mqueue", ".net.x", "net.x\n", ""]
    {
        assert!(sysctl(bad), "{bad}");
    }
    for good in ["net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max", "net.ipv4.conf.eth-0.x_y"] {
        assert!(!sysctl(good), "{good}");
    }
    let of_host = refused(|spec| {
        spec.network = trice_model::container::NetworkNamespace::Host;
        spec.sysctls.insert("net.core.somaxconn".to_owned(), "1".to_owned());
    });
    assert_eq!(of_host, "`net.core.somaxconn` cannot be set: the container shares the host's network");
    let too_much = refused(|spec| spec.layers = vec!["/x".into(); 300]);
    assert_eq!(too_much, "the container's layers and mounts are 61 too many");
}
