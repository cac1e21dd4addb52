//! What the tests ask for: a container of the host's own programs, and changes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trice_model::capability::Capability;
use trice_model::container::{ContainerSpec, NetworkNamespace, ProcessSpec, ResolverSpec, Role, SeccompSpec};
use trice_model::id::{ContainerId, Ids};
use trice_model::mount::{Bind, MountSpec, MountSpecSource, Propagation, Tmpfs};
use trice_model::restart::RestartPolicy;
use trice_model::service::{LinksEnv, Resources};
use trice_model::signal::Signal;
use trice_model::units::Bytes;

/// How many containers there have been.
static CONTAINERS: AtomicU64 = AtomicU64::new(0);

fn fresh_id() -> ContainerId {
    let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
    Ids::new([std::process::id().into(), number, 3, 4]).container()
}

/// Returns a container of the host's own programs that runs `args`.
pub(crate) fn container<const N: usize>(args: [&str; N]) -> ContainerSpec {
    ContainerSpec {
        id: fresh_id(),
        name: "test-web-1".parse().unwrap(),
        project: "test".parse().unwrap(),
        service: "web".parse().unwrap(),
        role: Role::Replica(1),
        labels: BTreeMap::new(),
        image: "rootfs:/".parse().unwrap(),
        image_id: "rootfs:/".to_owned(),
        layers: vec![PathBuf::from("/")],
        process: process(args),
        hostname: "web".parse().unwrap(),
        domainname: None,
        mounts: Vec::new(),
        shm_size: Bytes(64 << 20),
        read_only: false,
        init: false,
        network: NetworkNamespace::Instance("test-web-1".parse().unwrap()),
        aliases: BTreeMap::new(),
        links: Vec::new(),
        external_links: Vec::new(),
        links_env: LinksEnv::Off,
        exposed: BTreeSet::new(),
        published: Vec::new(),
        publish: Default::default(),
        hosts: Vec::new(),
        resolver: ResolverSpec::default(),
        sysctls: BTreeMap::new(),
        privileged: false,
        masked_paths: paths(&["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/not/there"]),
        readonly_paths: paths(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        resources: Resources::default(),
        stop_signal: Signal::TERM,
        stop_grace: Duration::from_secs(10),
        restart: RestartPolicy::No,
        health: None,
        depends_on: BTreeMap::new(),
        attach: true,
        config_hash: String::new(),
    }
}

/// Returns a container that runs `script` in a shell.
pub(crate) fn shell(script: &str) -> ContainerSpec {
    container(["/bin/sh", "-c", script])
}

/// Returns a container that runs a part of this program; see [`crate::payload`].
pub(crate) fn payload<const N: usize>(args: [&str; N]) -> ContainerSpec {
    let mut spec = container([]);
    spec.process.args = crate::payload::command(&args);
    spec
}

/// Returns a process with Docker's usual rights that runs `args`.
pub(crate) fn process<const N: usize>(args: [&str; N]) -> ProcessSpec {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    ProcessSpec {
        args: args.map(str::to_owned).to_vec(),
        env: BTreeMap::from([("PATH".to_owned(), path)]),
        link_env: BTreeMap::new(),
        cwd: String::new(),
        user: String::new(),
        groups: Vec::new(),
        tty: false,
        stdin_open: false,
        capabilities: Capability::default_set(),
        no_new_privileges: false,
        seccomp: SeccompSpec::Default,
        ulimits: BTreeMap::new(),
        oom_score_adj: None,
    }
}

/// Returns a bind mount of the host's `path` at `target`.
pub(crate) fn bind(path: impl Into<PathBuf>, target: &str, read_only: bool) -> MountSpec {
    let bind = Bind {
        path: path.into(),
        create_host_path: false,
        propagation: Propagation::Rprivate,
        recursive: true,
    };
    MountSpec { target: target.into(), read_only, source: MountSpecSource::Bind(bind) }
}

/// Returns a tmpfs at `target`.
pub(crate) fn tmpfs(target: &str, tmpfs: Tmpfs) -> MountSpec {
    MountSpec { target: target.into(), read_only: false, source: MountSpecSource::Tmpfs(tmpfs) }
}

/// Returns the volume `data`, or a folder inside it, at `target`.
pub(crate) fn volume(target: &str, subpath: Option<&str>, read_only: bool) -> MountSpec {
    let source = MountSpecSource::Volume {
        name: "data".parse().unwrap(),
        subpath: subpath.map(PathBuf::from),
        nocopy: true,
        anonymous: false,
    };
    MountSpec { target: target.into(), read_only, source }
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}
