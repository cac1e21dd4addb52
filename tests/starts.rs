//! What a start is made of: system calls, as strace sees them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::scenario::scenario_of;

/// How many containers are started while it is watched.
const STARTED: usize = 10;

const MANY: &str = "
name: many
services:
  one: { image: 'rootfs:/', command: sleep 1000, stop_grace_period: 0s }
";

#[test]
fn a_start_takes_few_system_calls_and_none_of_those_that_others_wait_for() {
    scenario_of(MANY, |many| {
        many.trice("up -d").success();
        let trace = many.home().join("trace");
        let watched = [many.processes("trice-keeper"), many.processes("trice-engine")].concat();
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "--quiet=exit", "--string-limit=64", "--output"]).arg(&trace);
        for pid in &watched {
            strace.args(["--attach", &pid.to_string()]);
        }
        let mut strace = strace.stderr(Stdio::piped()).spawn().expect("strace");
        let mut attached = BufReader::new(strace.stderr.take().unwrap()).lines();
        let is_last = |line: &str| line.contains(&format!("Process {} attached", watched[1]));
        attached
            .find(|line| line.as_ref().is_ok_and(|line| is_last(line)))
            .expect("strace attaches")
            .unwrap();
        many.trice(&format!("up -d --scale one={}", STARTED + 1)).success();
        kill_process(Pid::from_raw(strace.id() as i32).unwrap(), Signal::INT).unwrap();
        strace.wait().unwrap();

        let calls = fs::read_to_string(&trace).unwrap();
        let calls: Vec<(&str, &str)> = calls.lines().filter_map(call).collect();
        let keeper = watched[0].to_string();
        let children: BTreeMap<&str, usize> = count(&calls, |pid| pid != keeper && is_container(&calls, pid));
        assert_eq!(children.len(), STARTED, "{children:?}");
        let most = children.values().max().unwrap();
        let all = calls.len() / STARTED;
        eprintln!("system calls: at most {most} in a container, {all} with those of engine and keeper");
        assert!(*most <= 300, "{children:?}");
        for (_, call) in &calls {
            assert!(!call.contains("cgroup.procs"), "the whole machine waits for that: {call}");
            let is_exec = call.starts_with("execve") || call.starts_with("execveat");
            assert!(!is_exec || call.contains("sleep"), "no other program is started on the way: {call}");
        }
    });
}

/// Returns the process and the call of a line, if it is the beginning of a call. Those by which the standard library
/// makes sure in debug builds that a descriptor is open do not count.
fn call(line: &str) -> Option<(&str, &str)> {
    let (pid, call) = line.split_once(' ')?;
    let call = call.trim_start();
    let is_one = call.starts_with(|first: char| first.is_ascii_lowercase()) && !call.contains("F_GETFD");
    is_one.then_some((pid, call))
}

/// Whether a process becomes a container's program: threads of the engine do not.
fn is_container(calls: &[(&str, &str)], pid: &str) -> bool {
    calls.iter().any(|(caller, call)| *caller == pid && call.starts_with("execve"))
}

fn count<'a>(calls: &[(&'a str, &str)], counts: impl Fn(&str) -> bool) -> BTreeMap<&'a str, usize> {
    let mut numbers = BTreeMap::new();
    for (pid, call) in calls {
        // What the program does itself begins with its `execve`, which is the last that counts.
        let done = numbers.get(pid).is_some_and(|(_, done)| *done);
        if !done {
            let entry = numbers.entry(*pid).or_insert((0, false));
            *entry = (entry.0 + 1, call.starts_with("execve"));
        }
    }
    numbers.into_iter().filter(|(pid, _)| counts(pid)).map(|(pid, (number, _))| (pid, number)).collect()
}
