//! Starts that fail, at each step there is: the reason is told, and nothing is left.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, MemfdFlags, memfd_create};
use rustix::mount::{OpenTreeFlags, open_tree};
use trice_model::container::ContainerSpec;
use trice_runtime::container::CreateError;
use trice_runtime::handshake::{Parent, Report, pair};
use trice_runtime::lower::{self, Facts, Lowered, MadeFile, Needed};
use trice_runtime::operation::{Operation, Slot};

use trice_test::waiting::until;

use crate::realm::{HostMount, Realm, in_realm, prepare};
use crate::spec::{container, shell, volume};
use crate::tests;

tests![
    a_plan_that_fails_at_any_of_its_steps_leaves_nothing,
    each_kind_of_broken_input_says_what_is_broken,
    a_namespace_that_is_none_is_refused,
    a_volume_that_cannot_be_opened_is_named,
    limits_that_the_kernel_refuses_are_named,
];

/// What the keeper has: descriptors, children and mounts. A failed start may not change it.
type State = (usize, String, usize);

fn state(realm: &Realm) -> State {
    let pid = realm.keeper_at_rest();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    (descriptors, children, mounts.lines().count())
}

/// An operation that never succeeds: its descriptor is not there.
const IMPOSSIBLE: Operation = Operation::JoinCgroup { tasks: Slot(10_000) };

fn a_plan_that_fails_at_any_of_its_steps_leaves_nothing() {
    in_realm(|realm| {
        let mut spec = shell("true");
        spec.mounts = vec![crate::spec::tmpfs("/opt/t", Default::default())];
        spec.domainname = Some("example.org".to_owned());
        spec.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
        spec.process.oom_score_adj = Some(100);
        spec.read_only = true;
        realm.containers.make_folders(&spec.id).unwrap();
        let facts = Facts { v2: true, hard_nofile: 1024, ..Facts::default() };
        let whole = lower::container(&spec, &MadeFile::ALL, &facts).unwrap();
        let steps = whole.plan.operations.len();
        assert!(steps > 20, "{steps}");
        let mut before = None::<State>;
        for step in 0..=steps {
            let mut plan = whole.clone();
            plan.plan.operations.truncate(step);
            plan.plan.operations.push(IMPOSSIBLE);
            let failure = run_plan(realm, &spec, &plan, &format!("step/{step}"));
            assert_eq!(failure, "descriptor 10000 is missing", "step {step}");
            let before = before.get_or_insert_with(|| state(realm));
            until(&format!("nothing of step {step} is left"), || (state(realm) == *before).then_some(()));
        }
        realm.containers.remove(&spec.id).unwrap();
    });
}

/// Has the keeper make a child of this plan, and returns why it failed.
fn run_plan(realm: &Realm, spec: &ContainerSpec, lowered: &Lowered, key: &str) -> String {
    let plan = memfd_create("plan", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&plan, &serde_json::to_vec(&lowered.plan).unwrap()).unwrap();
    let slots: Vec<OwnedFd> = lowered.needed.iter().map(|needed| open(realm, spec, needed)).collect();
    let (ours, theirs) = pair().unwrap();
    let mut descriptors = vec![plan.as_fd(), theirs.as_fd()];
    descriptors.extend(slots.iter().map(AsFd::as_fd));
    realm.containers.link().spawn(key, false, false, &descriptors).unwrap();
    drop(theirs);
    let report = Parent::new(ours).next().unwrap();
    assert_eq!(realm.exit_of(key), 125 << 8);
    realm.containers.link().forget(key).unwrap();
    match report {
        Some((Report::Failed(failure), _)) => failure.what,
        other => panic!("{key}: {other:?}"),
    }
}

/// Opens what a plan needs, as the engine does.
fn open(realm: &Realm, spec: &ContainerSpec, needed: &Needed) -> OwnedFd {
    let clone = |path: &Path| {
        open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).unwrap()
    };
    match needed {
        Needed::NetworkNamespace => crate::realm::network_namespace(),
        Needed::Layer(path) => clone(path),
        Needed::Writable => clone(&realm.containers.folder(&spec.id)),
        Needed::File(file) => {
            let path = realm.folders.volume().join(file.name());
            fs::write(&path, "").unwrap();
            clone(&path)
        }
        _ => File::options().read(true).write(true).open("/dev/null").unwrap().into(),
    }
}

/// A change to a container that makes its start fail, and the beginning of what is then said.
type Broken = (fn(&mut ContainerSpec, &Path), &'static str);

/// Changes that are seen while the container is made.
const BROKEN: [Broken; 20] = [
    (|spec, _| spec.layers = vec!["/not/there".into()], "open the image's layer /not/there"),
    (|spec, _| spec.layers = vec!["/etc/hostname".into()], "attach layer 0: "),
    (|spec, _| spec.layers.push("/usr".into()), "mount the root file system: "),
    (|spec, _| spec.domainname = Some("x".repeat(100)), "set the domain name xxx"),
    (
        |spec, layer| link(spec, layer, "proc", "/opt"),
        "mount proc at /proc: Too many levels of symbolic links",
    ),
    (
        |spec, layer| link(spec, layer, "dev", "/opt"),
        "mount tmpfs at /dev: Too many levels of symbolic links",
    ),
    (
        |spec, layer| link(spec, layer, "sys", "/opt"),
        "mount sysfs at /sys: Too many levels of symbolic links",
    ),
    (|spec, layer| file(spec, layer, "proc"), "mount proc at /proc: "),
    (|spec, layer| file(spec, layer, "etc"), "mount at /etc/hostname: Not a directory"),
    (
        |spec, _| spec.mounts.push(volume("/etc/hostname/below", None, false)),
        "mount at /etc/hostname/below: ",
    ),
    (
        |spec, _| spec.mounts.push(volume("relative", None, false)),
        "the mount target relative is not an absolute",
    ),
    (|spec, _| spec.process.cwd = "/etc/hostname/below".into(), "make the folder /etc/hostname/below: "),
    (|spec, _| spec.process.oom_score_adj = Some(5000), "set oom_score_adj: Invalid argument"),
    (|spec, _| sysctl(spec, "net.ipv4.not_there"), "set net.ipv4.not_there = 1: No such file"),
    (
        |spec, _| sysctl(spec, "kernel.core_pattern"),
        "`kernel.core_pattern` cannot be set for a container alone",
    ),
    (|spec, _| spec.process.user = "ghost".into(), "user `ghost` is not in the container's /etc/passwd"),
    (
        |spec, _| spec.process.groups = vec!["ghosts".into()],
        "group `ghosts` is not in the container's /etc/group",
    ),
    (|spec, _| ulimit(spec, "nosuch"), "`nosuch` is not a limit"),
    (
        |spec, _| spec.mounts.push(crate::spec::bind("/not/there", "/opt/x", false)),
        "bind mount: /not/there does not",
    ),
    (|spec, _| spec.layers = vec![PathBuf::from("/usr"); 300], "the container's layers and mounts are "),
];

fn link(spec: &mut ContainerSpec, layer: &Path, name: &str, target: &str) {
    std::os::unix::fs::symlink(target, layer.join(name)).unwrap();
    spec.layers.insert(0, layer.to_owned());
}

fn file(spec: &mut ContainerSpec, layer: &Path, name: &str) {
    fs::write(layer.join(name), "").unwrap();
    spec.layers.insert(0, layer.to_owned());
}

fn sysctl(spec: &mut ContainerSpec, key: &str) {
    spec.sysctls.insert(key.to_owned(), "1".to_owned());
}

fn ulimit(spec: &mut ContainerSpec, name: &str) {
    spec.process.ulimits.insert(name.to_owned(), trice_model::service::Ulimit { soft: 1, hard: 1 });
}

/// Removes what is left of a container whose start failed, as the engine does.
fn put_away(realm: &Realm, spec: &ContainerSpec, error: &CreateError) {
    if matches!(error, CreateError::Child(_) | CreateError::Died) {
        realm.exit_of(spec.id.as_str());
    }
    realm.containers.link().forget(spec.id.as_str()).unwrap();
    realm.containers.remove(&spec.id).unwrap();
}

fn each_kind_of_broken_input_says_what_is_broken() {
    in_realm(|realm| {
        let layers = HostMount::tmpfs(realm.folders.outside());
        // What is made at the first start of all, such as the keeper's places for layers, is there before it is counted.
        realm.run(shell("true")).ok();
        let before = state(realm);
        for (number, (change, expected)) in BROKEN.into_iter().enumerate() {
            let layer = layers.0.join(number.to_string());
            fs::create_dir(&layer).unwrap();
            let mut spec = container(["true"]);
            change(&mut spec, &layer);
            let error = realm.prepare(&spec).expect_err(expected);
            assert!(error.to_string().starts_with(expected), "{expected}: {error}");
            put_away(realm, &spec, &error);
            until(&format!("nothing is left: {expected}"), || (state(realm) == before).then_some(()));
        }
        assert_eq!(realm.run(shell("echo still works")).ok(), "still works\n");
    });
}

fn a_namespace_that_is_none_is_refused() {
    in_realm(|realm| {
        let spec = container(["true"]);
        let null = File::open("/dev/null").unwrap().into();
        let error = prepare(&realm.containers, &spec, &null, &realm.folders.volume(), None).unwrap_err();
        assert!(error.to_string().starts_with("enter the network namespace: "), "{error}");
        put_away(realm, &spec, &error);
    });
}

fn a_volume_that_cannot_be_opened_is_named() {
    in_realm(|realm| {
        let mut spec = container(["true"]);
        spec.mounts = vec![volume("/data", Some("not/there"), false)];
        let error = realm.prepare(&spec).unwrap_err();
        assert_eq!(error.to_string(), "mount volume `data`");
        put_away(realm, &spec, &error);
    });
}

fn limits_that_the_kernel_refuses_are_named() {
    in_realm(|realm| {
        let mut spec = container(["true"]);
        // Less than a millisecond.
        spec.resources.cpu_quota_us = Some(10);
        let error = realm.prepare(&spec).unwrap_err();
        let CreateError::Cgroup(error) = &error else { panic!("{error:?}") };
        let source = std::error::Error::source(error).unwrap().to_string();
        assert_eq!(source, "set `cpus`");
        realm.containers.remove(&spec.id).unwrap();
    });
}
