//! Limits and devices, read back from the kernel.

use std::fs;
use std::path::PathBuf;

use trice_model::service::Resources;
use trice_model::units::Bytes;

use crate::realm::{Running, host_proc, in_realm};
use crate::spec::shell;
use crate::tests;

tests![
    limits_are_what_the_kernel_has,
    a_container_without_limits_has_none,
    more_processes_than_the_limit_are_refused,
    devices_beside_the_usual_ones_are_denied,
    a_privileged_container_may_open_devices,
    killing_a_container_ends_all_that_is_in_it,
    groups_that_a_container_makes_go_with_it,
];

/// Returns the container's group in the hierarchy of `controller`, and whether it is version 2: as the kernel tells it
/// of the container's process.
fn group(running: &Running, controller: &str) -> (PathBuf, bool) {
    let groups = host_proc(&running.prepared, "cgroup");
    let found = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_its = names.split(',').any(|name| name == controller);
        is_its.then(|| PathBuf::from(format!("/sys/fs/cgroup/{names}{path}")))
    };
    match groups.lines().find_map(found) {
        Some(path) => (path, false),
        None => {
            let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
            (PathBuf::from(format!("/sys/fs/cgroup{path}")), true)
        }
    }
}

fn read(running: &Running, controller: &str, v1: &str, v2: &str) -> String {
    let (path, is_v2) = group(running, controller);
    fs::read_to_string(path.join(if is_v2 { v2 } else { v1 })).unwrap().trim().to_owned()
}

fn limits_are_what_the_kernel_has() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000");
        spec.resources = Resources {
            memory: Some(Bytes(64 << 20)),
            memory_reservation: Some(Bytes(32 << 20)),
            memory_swap: Some(96 << 20),
            nano_cpus: Some(500_000_000),
            cpu_shares: Some(512),
            pids: Some(50),
            ..Resources::default()
        };
        let running = realm.start(spec);
        let read = |controller, v1, v2| read(&running, controller, v1, v2);
        assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (64_u64 << 20).to_string());
        let soft = read("memory", "memory.soft_limit_in_bytes", "memory.low");
        assert_eq!(soft, (32_u64 << 20).to_string());
        assert_eq!(read("pids", "pids.max", "pids.max"), "50");
        let (path, is_v2) = group(&running, "cpu");
        if is_v2 {
            assert_eq!(read("cpu", "", "cpu.max"), "50000 100000");
            assert_eq!(read("memory", "", "memory.swap.max"), (32_u64 << 20).to_string());
        } else {
            assert_eq!(read("cpu", "cpu.cfs_quota_us", ""), "50000");
            assert_eq!(read("cpu", "cpu.cfs_period_us", ""), "100000");
            assert_eq!(read("cpu", "cpu.shares", ""), "512");
            let together = "memory.memsw.limit_in_bytes";
            if group(&running, "memory").0.join(together).exists() {
                assert_eq!(read("memory", together, ""), (96_u64 << 20).to_string());
            }
        }
        // The process is in the group that has them.
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap();
        assert!(members.lines().any(|pid| pid == running.prepared.pid.to_string()), "{members}");
        realm.kill(running);
    });
}

fn a_container_without_limits_has_none() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        assert_eq!(read(&running, "pids", "pids.max", "pids.max"), "max");
        let memory = read(&running, "memory", "memory.limit_in_bytes", "memory.max");
        assert!(memory == "max" || memory.parse::<u64>().unwrap() > 1 << 60, "{memory}");
        realm.kill(running);
    });
}

fn more_processes_than_the_limit_are_refused() {
    in_realm(|realm| {
        let mut spec = shell("i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo all");
        spec.resources.pids = Some(5);
        let ended = realm.run(spec);
        assert!(ended.out.is_empty() && ended.status != 0, "{ended:?}");
    });
}

/// Opens a device that every machine has and no container may use: the kernel's messages.
const OPEN_DEVICE: &str = "mknod /opt-device c 1 11 && : < /opt-device";

fn devices_beside_the_usual_ones_are_denied() {
    in_realm(|realm| {
        let ended = realm.run(shell(OPEN_DEVICE));
        assert!(ended.status != 0 && ended.err.contains("not permitted"), "{ended:?}");
        let running = realm.start(shell("sleep 1000"));
        let ended = realm.shell(&running, OPEN_DEVICE);
        assert!(ended.status != 0 && ended.err.contains("not permitted"), "{ended:?}");
        realm.kill(running);
    });
}

fn a_privileged_container_may_open_devices() {
    in_realm(|realm| {
        let mut spec = shell(OPEN_DEVICE);
        spec.privileged = true;
        spec.process.capabilities = trice_model::capability::Capability::all();
        assert_eq!(realm.run(spec).ok(), "");
    });
}

fn killing_a_container_ends_all_that_is_in_it() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000 & sleep 1000 & setsid sleep 1000 & wait"));
        let pid = running.prepared.pid;
        assert_eq!(realm.kill(running).status, 9);
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    });
}

fn groups_that_a_container_makes_go_with_it() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let (path, is_v2) = group(&running, "pids");
        let nested = path.join("inner/most");
        fs::create_dir_all(&nested).unwrap();
        if !is_v2 {
            fs::write(nested.join("cgroup.procs"), running.prepared.pid.to_string()).unwrap();
        }
        realm.kill(running);
        assert!(!path.exists());
    });
}
