//! The file systems that every container has, and what is in its `/dev`.
//!
//! Sources: OCI Runtime Specification, `config-linux.md`, "Default Filesystems" and "Default Devices"; options as
//! Docker's.

use std::path::{Path, PathBuf};

use trice_model::container::ContainerSpec;

use super::Facts;
use crate::operation::{Attributes, DeviceKind, DeviceNode, Filesystem, Operation};

const NOSUID: Attributes = Attributes { read_only: false, nosuid: true, nodev: false, noexec: false };
const NOSUID_NOEXEC: Attributes = Attributes { noexec: true, ..NOSUID };
/// Neither devices nor programs, nor privileges by a file's bits.
pub(super) const NO_ANYTHING: Attributes = Attributes { nodev: true, ..NOSUID_NOEXEC };

/// Adds what mounts them.
pub(super) fn add(spec: &ContainerSpec, facts: &Facts, operations: &mut Vec<Operation>) {
    let sealed = Attributes { read_only: !spec.privileged, ..NO_ANYTHING };
    operations.push(mount("proc", "/proc", &[], NO_ANYTHING));
    operations.push(mount("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], NOSUID));
    let host_devices: &[DeviceNode] = if spec.privileged { &facts.host_devices } else { &[] };
    operations.push(Operation::MakeDevices(devices(facts.kcore, host_devices)));
    let devpts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    operations.push(inside("devpts", "/dev/pts", &devpts, NOSUID_NOEXEC));
    operations.push(inside("mqueue", "/dev/mqueue", &[], NO_ANYTHING));
    if !spec.mounts.iter().any(|mount| mount.target == Path::new("/dev/shm")) {
        let size = spec.shm_size.0.to_string();
        operations.push(inside("tmpfs", "/dev/shm", &[("mode", "1777"), ("size", &size)], NO_ANYTHING));
    }
    operations.push(mount("sysfs", "/sys", &[], sealed));
    cgroups(facts, sealed, operations);
}

/// What a program looks at that wants to know its limits.
fn cgroups(facts: &Facts, sealed: Attributes, operations: &mut Vec<Operation>) {
    let base = "/sys/fs/cgroup";
    if facts.v1_hierarchies.is_empty() {
        operations.push(mount("cgroup2", base, &[], sealed));
        return;
    }
    operations.push(mount("tmpfs", base, &[("mode", "755")], NO_ANYTHING));
    for controllers in &facts.v1_hierarchies {
        let options: Vec<(&str, &str)> = controllers.iter().map(|name| (name.as_str(), "")).collect();
        operations.push(inside("cgroup", &format!("{base}/{}", controllers.join(",")), &options, sealed));
    }
    if facts.v2 {
        operations.push(inside("cgroup2", &format!("{base}/unified"), &[], sealed));
    }
    if sealed.read_only {
        // After what is mounted inside it has found its place.
        operations.push(Operation::Seal(PathBuf::from(base)));
    }
}

fn mount(kind: &str, target: &str, options: &[(&str, &str)], attributes: Attributes) -> Operation {
    Operation::MountFilesystem(filesystem(kind, target, options, attributes))
}

/// As [`mount`], in a new folder of what that mounted last.
fn inside(kind: &str, target: &str, options: &[(&str, &str)], attributes: Attributes) -> Operation {
    Operation::MountInside(filesystem(kind, target, options, attributes))
}

fn filesystem(kind: &str, target: &str, options: &[(&str, &str)], attributes: Attributes) -> Filesystem {
    let option = |(key, value): &(&str, &str)| {
        (key.to_string(), Some(value.to_string()).filter(|value| !value.is_empty()))
    };
    Filesystem {
        kind: kind.to_owned(),
        target: PathBuf::from(target),
        follow: false,
        options: options.iter().map(option).collect(),
        attributes,
    }
}

/// Returns the devices that every container has, and of those of the host all whose names are still free.
fn devices(kcore: bool, host: &[DeviceNode]) -> Vec<DeviceNode> {
    let device = |name: &str, major, minor| DeviceNode::Device {
        name: name.to_owned(),
        kind: DeviceKind::Character,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let link =
        |name: &str, target: &str| DeviceNode::Link { name: name.to_owned(), target: target.to_owned() };
    let mut nodes = vec![
        device("null", 1, 3),
        device("zero", 1, 5),
        device("full", 1, 7),
        device("random", 1, 8),
        device("urandom", 1, 9),
        device("tty", 5, 0),
        link("fd", "/proc/self/fd"),
        link("stdin", "/proc/self/fd/0"),
        link("stdout", "/proc/self/fd/1"),
        link("stderr", "/proc/self/fd/2"),
        link("ptmx", "pts/ptmx"),
    ];
    nodes.extend(kcore.then(|| link("core", "/proc/kcore")));
    let ours: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
    nodes.extend(host.iter().filter(|node| !ours.iter().any(|name| name == node.name())).cloned());
    nodes
}
