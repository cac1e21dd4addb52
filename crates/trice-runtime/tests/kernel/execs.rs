//! Processes that are run in a running container.

use std::fs;

use trice_runtime::container::CreateError;

use crate::realm::{Realm, Running, in_realm};
use crate::spec::{process, shell};
use crate::tests;

tests![
    it_is_in_all_namespaces_and_groups_of_the_container,
    its_code_and_its_streams_are_its_own,
    a_command_that_is_not_there_is_an_error,
    a_thousand_leave_nothing_behind,
    a_container_that_has_ended_takes_no_more,
    it_ends_with_the_container,
];

fn it_is_in_all_namespaces_and_groups_of_the_container() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        for kind in ["mnt", "pid", "uts", "ipc", "net", "cgroup", "user"] {
            let link = |pid: &str| format!("readlink /proc/{pid}/ns/{kind}");
            // To look at process 1 takes more than the usual rights.
            let mut look = process(["/bin/sh", "-c", &format!("{}; {}", link("1"), link("self"))]);
            look.capabilities.insert("SYS_PTRACE".parse().unwrap());
            let found = realm.exec(&running, look).unwrap().ok();
            let lines: Vec<&str> = found.lines().collect();
            assert!(lines.len() == 2 && lines[0] == lines[1], "{kind}: {found}");
        }
        let groups = realm.shell(&running, "cat /proc/1/cgroup; echo; cat /proc/self/cgroup").ok();
        let (first, second) = groups.split_once("\n\n").unwrap();
        assert_eq!(first.trim(), second.trim());
        realm.kill(running);
    });
}

fn its_code_and_its_streams_are_its_own() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let ended = realm.shell(&running, "echo out; echo err >&2; kill -TERM $$");
        assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (15, "out\n", "err\n"));
        assert_eq!(realm.shell(&running, "exit 42").status, 42 << 8);
        assert_eq!(realm.kill(running).out, "");
    });
}

fn a_command_that_is_not_there_is_an_error() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let error = realm.exec(&running, process(["no-such-program"])).unwrap_err();
        assert!(error.to_string().starts_with("command `no-such-program` not found in PATH="), "{error}");
        realm.kill(running);
    });
}

/// What one keeper takes of the machine: descriptors, memory in kB, children.
fn keeper(realm: &Realm) -> (usize, u64, usize) {
    let pid = realm.keeper_at_rest();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
    (descriptors, memory, children.split_whitespace().count())
}

fn a_thousand_leave_nothing_behind() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let run = |count| {
            for _ in 0..count {
                assert_eq!(realm.exec(&running, process(["true"])).unwrap().status, 0);
            }
        };
        run(100);
        let before = keeper(realm);
        run(1000);
        let after = keeper(realm);
        assert!(after.0 <= before.0 && after.2 <= before.2, "{before:?} {after:?}");
        assert!(after.1 <= before.1 + 256, "{before:?} {after:?}");
        realm.kill(running);
    });
}

fn a_container_that_has_ended_takes_no_more() {
    in_realm(|realm| {
        let running = realm.start(shell("exit 0"));
        realm.exit_of(running.spec.id.as_str());
        let refused = realm.exec(&running, process(["true"])).unwrap_err();
        assert!(matches!(refused, CreateError::Spawn(_) | CreateError::Child(_)), "{refused:?}");
        realm.containers.finish(&running.spec.id).unwrap();
        // Not even a group is made for it.
        let refused = realm.exec(&running, process(["true"])).unwrap_err();
        assert!(matches!(refused, CreateError::Cgroup(_)), "{refused:?}");
        assert_eq!(realm.containers.groups(), Vec::<String>::new());
        realm.containers.link().forget(running.spec.id.as_str()).unwrap();
        realm.containers.remove(&running.spec.id).unwrap();
    });
}

fn it_ends_with_the_container() {
    in_realm(|realm| {
        let running: Running = realm.start(shell("sleep 1000"));
        let null = || std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap().into();
        let stdio =
            trice_runtime::container::ExecStdio::Streams { stdin: None, stdout: null(), stderr: null() };
        realm.begin_exec(&running, "exec/long", process(["sleep", "1000"]), stdio).unwrap();
        realm.kill(running);
        assert_eq!(realm.exit_of("exec/long"), 9);
        realm.containers.link().forget("exec/long").unwrap();
    });
}
