//! Exit statuses that the kernel keeps.
#![allow(clippy::print_stderr, reason = "a test says aloud what this machine cannot")]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use trice_runtime::vault::{Vault, folder, is_supported};
use trice_sys::namespace::{Unshare, unshare};
use trice_sys::pidfd::exit_status;
use trice_test::traces;

use crate::realm::Folders;
use crate::tests;

tests![
    a_status_survives_all_who_knew_of_it,
    the_host_sees_two_mounts_however_many_are_kept,
    what_was_left_half_made_is_made_anew,
    a_namespace_that_any_processor_made_can_keep_it,
];

/// Says so aloud where the kernel cannot.
fn can() -> bool {
    if !is_supported() {
        eprintln!("this kernel keeps no exit statuses: it takes Linux 6.15");
    }
    is_supported()
}

/// Returns a process that ends with `code` as soon as it is let, and its pidfd.
fn waiting(code: u8) -> (std::process::Child, OwnedFd) {
    let script = format!("read line; exit {code}");
    let child = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    (child, pidfd)
}

fn status(vault: &Vault, name: &str) -> Option<i32> {
    let pidfd = vault.reopen(name).unwrap()?;
    exit_status(pidfd.as_fd()).unwrap()
}

fn with_folders(test: impl FnOnce(&Folders)) {
    if can() {
        let folders = Folders::new();
        test(&folders);
        assert_eq!(traces::mounts(&folders.top), Vec::<String>::new());
        fs::remove_dir_all(&folders.top).unwrap();
    }
}

fn a_status_survives_all_who_knew_of_it() {
    with_folders(|folders| {
        let run = folders.directories().run;
        let first = Vault::open(&run).unwrap();
        let (mut child, pidfd) = waiting(77);
        first.keep("one", pidfd).unwrap();
        assert_eq!(status(&first, "one"), None);
        child.wait().unwrap();
        // The engine that kept it has gone with its thread.
        drop(first);
        let second = Vault::open(&run).unwrap();
        assert_eq!(status(&second, "one"), Some(77 << 8));
        assert!(second.reopen("other").unwrap().is_none());
        // A later run of the same container takes its place.
        let (mut child, pidfd) = waiting(5);
        second.keep("one", pidfd).unwrap();
        child.wait().unwrap();
        assert_eq!(status(&second, "one"), Some(5 << 8));
        second.forget("one").unwrap();
        second.forget("one").unwrap();
        assert!(second.reopen("one").unwrap().is_none());
        second.leave().unwrap();
        assert!(!folder(&run).exists());
    });
}

fn the_host_sees_two_mounts_however_many_are_kept() {
    with_folders(|folders| {
        let vault = Vault::open(&folders.directories().run).unwrap();
        for number in 0..50 {
            let (mut child, pidfd) = waiting(number);
            vault.keep(&number.to_string(), pidfd).unwrap();
            child.wait().unwrap();
        }
        assert_eq!(traces::mounts(&folders.top).len(), 2);
        assert_eq!(status(&vault, "49"), Some(49 << 8));
        vault.leave().unwrap();
    });
}

fn what_was_left_half_made_is_made_anew() {
    with_folders(|folders| {
        let run = folders.directories().run;
        // As an engine leaves it that dies before the namespace is pinned.
        fs::create_dir(folder(&run)).unwrap();
        fs::write(folder(&run).join("ns"), "").unwrap();
        let vault = Vault::open(&run).unwrap();
        let (mut child, pidfd) = waiting(1);
        vault.keep("one", pidfd).unwrap();
        child.wait().unwrap();
        assert_eq!(status(&vault, "one"), Some(1 << 8));
        vault.leave().unwrap();
        vault.leave().unwrap();
    });
}

/// The numbers of namespaces come from a stock of each processor since Linux 6.18, and who has the lower number may not
/// be pinned in who has the higher one.
fn a_namespace_that_any_processor_made_can_keep_it() {
    with_folders(|folders| {
        let allowed = sched_getaffinity(None).unwrap();
        let each = || (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        for (ours, theirs) in each().flat_map(|ours| each().map(move |theirs| (ours, theirs))) {
            let run = folders.top.join(format!("{ours}-{theirs}"));
            fs::create_dir(&run).unwrap();
            let all = allowed;
            thread::spawn(move || {
                sched_setaffinity(None, &only(ours)).unwrap();
                unshare(Unshare::Mount).unwrap();
                mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
                // The engine's may run anywhere, and happens to begin here.
                sched_setaffinity(None, &only(theirs)).unwrap();
                sched_setaffinity(None, &all).unwrap();
                let vault = Vault::open(&run).unwrap();
                let (mut child, pidfd) = waiting(3);
                vault.keep("one", pidfd).unwrap();
                child.wait().unwrap();
                assert_eq!(status(&vault, "one"), Some(3 << 8));
                vault.leave().unwrap();
            })
            .join()
            .unwrap();
        }
    });
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}
