//! What a container sees, what it holds and what it may do.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use trice_model::capability::Capability;
use trice_model::container::SeccompSpec;

use crate::realm::{Running, host_proc, in_realm};
use crate::spec::{payload, process, shell};
use crate::tests;

tests![
    a_container_has_namespaces_of_its_own_and_sees_nothing_else,
    a_process_has_its_three_streams_and_no_other_descriptor,
    a_process_has_dockers_capabilities_and_none_to_inherit,
    a_user_has_no_capabilities_in_force,
    all_capabilities_are_those_that_there_are_here,
    the_system_call_filter_is_in_force_unless_it_is_switched_off,
    what_is_masked_reads_empty_and_what_is_read_only_is_not_written,
    a_containers_dev_holds_what_is_usual_and_nothing_of_the_host,
    a_privileged_container_has_the_hosts_devices,
    the_cgroup_file_systems_show_the_container_as_the_root_and_cannot_be_written,
];

/// Returns where the namespace `kind` of the process `pid` leads.
fn namespace(pid: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
}

fn a_container_has_namespaces_of_its_own_and_sees_nothing_else() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let pid = running.prepared.pid.to_string();
        for kind in ["mnt", "pid", "uts", "ipc", "net", "cgroup"] {
            assert_ne!(namespace(&pid, kind), namespace("self", kind), "{kind}");
        }
        assert_eq!(realm.shell(&running, "hostname").ok(), "web\n");
        assert_eq!(realm.shell(&running, "ls /sys/class/net").ok(), "lo\n");
        let mounts = realm.shell(&running, "cut -d ' ' -f 5 /proc/self/mountinfo").ok();
        let top = realm.folders.top.to_str().unwrap();
        assert!(mounts.lines().any(|at| at == "/") && !mounts.contains(top), "{mounts}");
        // Its own, and those that look.
        let processes = realm.shell(&running, "cd /proc; ls -d [0-9]* | wc -l").ok();
        assert!(processes.trim().parse::<u32>().unwrap() < 10, "{processes}");
        realm.kill(running);
    });
}

/// Returns the numbers of a process's descriptors and where they lead, as the host sees them.
fn descriptors(pid: i32) -> Vec<(String, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let target = |path| fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default();
    let mut found: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), target(entry.path()))).collect();
    found.sort();
    found
}

fn numbers(pid: i32) -> Vec<String> {
    descriptors(pid).into_iter().map(|(number, _)| number).collect()
}

fn a_process_has_its_three_streams_and_no_other_descriptor() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000 & wait"));
        assert_eq!(numbers(running.prepared.pid), ["0", "1", "2"]);
        assert_eq!(realm.shell(&running, "ls /proc/$$/fd; :").ok(), "0\n1\n2\n");
        realm.kill(running);

        // Process 1 was forked from the keeper, and never became another program.
        let mut spec = shell("sleep 1000");
        spec.init = true;
        let running = realm.start(spec);
        let folder = realm.folders.top.to_str().unwrap();
        for (number, target) in descriptors(running.prepared.pid) {
            let own = target.starts_with("anon_inode:") || target == "/dev/null";
            assert!(own && !target.contains(folder), "{number} -> {target}");
        }
        realm.kill(running);

        // One that waits for its start holds its own things only.
        let spec = shell("true");
        let prepared = realm.prepare(&spec).unwrap();
        let folders = [realm.directories.run.to_str().unwrap(), "engine.sock", "/lock"];
        let own = realm.directories.run.join("containers").join(spec.id.as_str());
        for (number, target) in descriptors(prepared.pid) {
            let is_anothers = folders.iter().any(|folder| target.contains(folder));
            assert!(!is_anothers || target.starts_with(own.to_str().unwrap()), "{number} -> {target}");
            assert!(!target.starts_with("mnt:"), "{number} -> {target}");
        }
    });
}

/// Returns the capability sets of `/proc/self/status`: inheritable, permitted, effective, bounding, ambient.
fn capability_sets(text: &str) -> Vec<u64> {
    let sets = text.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(":\t"));
    sets.map(|(_, set)| u64::from_str_radix(set, 16).unwrap()).collect()
}

const STATUS: &str = "cat /proc/self/status";
/// Docker's fourteen.
const DEFAULT: u64 = 0xa804_25fb;

fn a_process_has_dockers_capabilities_and_none_to_inherit() {
    in_realm(|realm| {
        let expected = [0, DEFAULT, DEFAULT, DEFAULT, 0];
        assert_eq!(capability_sets(&realm.run(shell(STATUS)).ok()), expected);
        let mut spec = shell("sleep 1000 & wait");
        spec.init = true;
        let running = realm.start(spec);
        assert_eq!(capability_sets(&realm.shell(&running, STATUS).ok()), expected);
        // The init is no more than its payload.
        assert_eq!(capability_sets(&host_proc(&running.prepared, "status")), expected);
        let mut more = process(["/bin/sh", "-c", STATUS]);
        more.capabilities.insert("NET_ADMIN".parse().unwrap());
        let sets = capability_sets(&realm.exec(&running, more).unwrap().ok());
        assert_eq!(sets, [0, DEFAULT | 1 << 12, DEFAULT | 1 << 12, DEFAULT | 1 << 12, 0]);
        realm.kill(running);
    });
}

fn a_user_has_no_capabilities_in_force() {
    in_realm(|realm| {
        let mut spec = shell(STATUS);
        spec.process.user = "1000:1000".to_owned();
        let text = realm.run(spec).ok();
        assert_eq!(capability_sets(&text), [0, 0, 0, DEFAULT, 0]);
        assert!(text.contains("Uid:\t1000\t1000\t1000\t1000\n"), "{text}");
        assert!(text.contains("Groups:\t1000 \n"), "{text}");
        let running = realm.start(shell("sleep 1000"));
        let mut user = process(["/bin/sh", "-c", STATUS]);
        user.user = "1000".to_owned();
        user.capabilities.insert("SYS_ADMIN".parse().unwrap());
        let text = realm.exec(&running, user).unwrap().ok();
        assert_eq!(capability_sets(&text), [0, 0, 0, DEFAULT | 1 << 21, 0]);
        realm.kill(running);
    });
}

fn all_capabilities_are_those_that_there_are_here() {
    in_realm(|realm| {
        let mut spec = shell(STATUS);
        spec.process.capabilities = Capability::all();
        let here = capability_sets(&fs::read_to_string("/proc/self/status").unwrap())[1];
        let all = Capability::all().iter().fold(0, |set, capability| set | 1_u64 << capability.number());
        let expected = here & all;
        assert_eq!(capability_sets(&realm.run(spec).ok()), [0, expected, expected, expected, 0]);
    });
}

fn the_system_call_filter_is_in_force_unless_it_is_switched_off() {
    in_realm(|realm| {
        let status = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";
        assert_eq!(realm.run(shell(status)).ok(), "NoNewPrivs:\t0\nSeccomp:\t2\n");
        // AF_ALG and AF_VSOCK, and one that everybody may have.
        let sockets = payload(["sockets", "38", "40", "1"]);
        assert_eq!(realm.run(sockets.clone()).ok(), "38 1\n40 1\n1 made\n");
        let mut open = shell(status);
        open.process.seccomp = SeccompSpec::Unconfined;
        open.process.no_new_privileges = true;
        assert_eq!(realm.run(open).ok(), "NoNewPrivs:\t1\nSeccomp:\t0\n");
        let running = realm.start(shell("sleep 1000"));
        assert_eq!(realm.shell(&running, status).ok(), "NoNewPrivs:\t0\nSeccomp:\t2\n");
        // CVE-2022-0492: with namespaces of its own a process could mount cgroups anew.
        assert_ne!(realm.shell(&running, "unshare -U true").status, 0);
        realm.kill(running);
    });
}

fn what_is_masked_reads_empty_and_what_is_read_only_is_not_written() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        for file in ["/proc/kcore", "/proc/keys"] {
            if fs::exists(file).unwrap() {
                assert_eq!(realm.shell(&running, &format!("cat {file}")).ok(), "", "{file}");
            }
        }
        for folder in ["/proc/acpi", "/sys/firmware"] {
            if fs::exists(folder).unwrap() {
                assert_eq!(realm.shell(&running, &format!("ls -A {folder}")).ok(), "", "{folder}");
            }
        }
        let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        for file in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"] {
            let ended = realm.shell(&running, &format!("echo x > {file}"));
            assert_ne!(ended.status, 0, "{file}");
        }
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
        realm.kill(running);
    });
}

fn a_containers_dev_holds_what_is_usual_and_nothing_of_the_host() {
    in_realm(|realm| {
        let listed = realm.run(shell("ls -1 /dev")).ok();
        let found: BTreeSet<&str> = listed.lines().collect();
        let usual = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
        // A kernel without it has nothing that the link could lead to.
        let core = fs::exists("/proc/kcore").unwrap().then_some("core");
        assert_eq!(found, usual.split(' ').chain(core).collect());
        let used = "echo lost > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c";
        assert_eq!(realm.run(shell(used)).ok().replace(' ', ""), "3\n3\n");
    });
}

fn a_privileged_container_has_the_hosts_devices() {
    in_realm(|realm| {
        let mut spec = shell("ls -1 /dev; stat -c '%F %a %u %g' /dev/kmsg");
        spec.privileged = true;
        (spec.masked_paths, spec.readonly_paths) = (Vec::new(), Vec::new());
        spec.process.capabilities = Capability::all();
        spec.process.seccomp = SeccompSpec::Unconfined;
        let listed = realm.run(spec).ok();
        let host = fs::read_dir("/dev").unwrap().flatten();
        let is_device = |entry: &fs::DirEntry| {
            entry.file_type().is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
        };
        for device in host.filter(is_device).filter_map(|entry| entry.file_name().into_string().ok()) {
            assert!(device == "console" || listed.lines().any(|line| line == device), "{device}: {listed}");
        }
        let kmsg = fs::metadata("/dev/kmsg").unwrap();
        let mode = format!("{:o} {} {}", kmsg.mode() & 0o7777, kmsg.uid(), kmsg.gid());
        assert_eq!(listed.lines().last(), Some(format!("character special file {mode}").as_str()));
    });
}

fn the_cgroup_file_systems_show_the_container_as_the_root_and_cannot_be_written() {
    in_realm(|realm| {
        let running: Running = realm.start(shell("sleep 1000"));
        let groups = realm.shell(&running, "cat /proc/1/cgroup").ok();
        let ours = ["cpu", "cpuacct", "devices", "memory", "pids"];
        for line in groups.lines() {
            let fields: Vec<&str> = line.splitn(3, ':').collect();
            let joined = fields[0] == "0" || fields[1].split(',').any(|name| ours.contains(&name));
            assert!(!joined || fields[2] == "/", "{line}");
        }
        let tops = "find /sys/fs/cgroup -maxdepth 1 -type d";
        for top in realm.shell(&running, tops).ok().lines() {
            assert_ne!(realm.shell(&running, &format!("mkdir {top}/mine")).status, 0, "{top}");
            // CVE-2022-0492: the host's root would run what is written there.
            assert_ne!(realm.shell(&running, &format!("echo /x > {top}/release_agent")).status, 0, "{top}");
        }
        assert_ne!(realm.shell(&running, "touch /sys/fs/cgroup/file").status, 0);
        realm.kill(running);
    });
}
