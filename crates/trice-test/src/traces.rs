//! What an engine left on this machine.
//!
//! Asked of the kernel, by what each engine has in the names of all that it makes: the tag of its realm, and its folder.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// Returns a line for each process, mount and cgroup that belongs to the realm `tag` or to `folder`.
pub fn of(tag: &str, folder: &Path) -> Vec<String> {
    let mut found = processes(tag, folder);
    found.extend(mounts(folder));
    found.extend(cgroups(tag));
    found
}

/// Returns the processes that are in a cgroup of the realm, or were started with the folder as an argument.
pub fn processes(tag: &str, folder: &Path) -> Vec<String> {
    let realm = format!("/trice-{tag}/");
    let inside = format!("{}/", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read = |file| fs::read(entry.path().join(file)).unwrap_or_default();
        let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let is_other = pid != std::process::id();
        if is_other && (groups.contains(&realm) || command.contains(&inside)) {
            found.push(format!("process {pid}: {command}"));
        }
    }
    found
}

/// Returns the mounts below `folder` in this process's mount namespace.
pub fn mounts(folder: &Path) -> Vec<String> {
    let inside = format!("{}/", folder.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below =
        mounts.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(&inside)));
    below.map(|line| format!("mount {line}")).collect()
}

/// Returns the groups of the realm in all hierarchies, wherever in them this process is.
pub fn cgroups(tag: &str) -> Vec<String> {
    let name = format!("trice-{tag}");
    let groups = hierarchies().into_iter().flat_map(|top| below(&top));
    let is_ours = |group: &String| group.split('/').any(|part| part == name);
    groups.filter(is_ours).map(|group| format!("cgroup {group}")).collect()
}

fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn below(group: &Path) -> Vec<String> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found = vec![group.display().to_string()];
    found.extend(folders.flat_map(|folder| below(&folder.path())));
    found
}

/// Ends and removes what a test that failed has left, as far as it can.
pub fn wipe(tag: &str, folder: &Path) {
    for group in cgroups(tag).iter().filter_map(|line| line.strip_prefix("cgroup ")) {
        let _ = fs::write(Path::new(group).join("cgroup.kill"), "1");
    }
    for line in processes(tag, folder) {
        let pid = line.strip_prefix("process ").and_then(|rest| rest.split(':').next());
        let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
    for line in mounts(folder).iter().rev() {
        let _ = line.split(' ').nth(5).map(|at| unmount(at, UnmountFlags::DETACH));
    }
    for group in cgroups(tag).iter().rev().filter_map(|line| line.strip_prefix("cgroup ")) {
        let _ = fs::remove_dir(group);
    }
    let _ = fs::remove_dir_all(folder);
}

/// Returns the paths of all files and folders below `folder`, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        }
    }
    found.sort();
    found
}
