//! Descriptors that the keeper lets go of: when nobody has them any more.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::pipe::{PipeFlags, pipe_with};
use trice_runtime::handshake;
use trice_test::waiting::until;

use crate::realm::{Realm, in_realm, tag};
use crate::tests;

tests![what_is_let_go_of_is_told_once_no_child_has_a_copy];

/// A group whose processes stand still from their birth on, until this is dropped.
struct StillGroup(PathBuf);

impl StillGroup {
    fn new(realm: &Realm) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let v2 = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
        let group = PathBuf::from(v2.split(' ').nth(4).unwrap())
            .join(format!("trice-{}-still", tag(&realm.directories)));
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.freeze"), "1").unwrap();
        Self(group)
    }

    fn go_on(&self) {
        fs::write(self.0.join("cgroup.freeze"), "0").unwrap();
    }
}

impl Drop for StillGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        until("nobody is in the group any more", || fs::remove_dir(&self.0).ok());
    }
}

fn what_is_let_go_of_is_told_once_no_child_has_a_copy() {
    in_realm(|realm| {
        let link = realm.containers.link();
        let still = StillGroup::new(realm);
        let (reads, writes) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        link.hold("kept", &[writes.as_fd()]).unwrap();
        drop(writes);
        // Children without a plan: they end when they look at it.
        let plan = memfd_create("plan", MemfdFlags::CLOEXEC).unwrap();
        let (_ours, theirs) = handshake::pair().unwrap();
        let group = open(&still.0, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        link.spawn("still", true, false, &[plan.as_fd(), theirs.as_fd(), group.as_fd()]).unwrap();
        let parting = link.begin_release("kept");
        std::thread::scope(|scope| {
            let told = scope.spawn(|| {
                parting.wait();
                ioctl_fionbio(&reads, true).unwrap();
                read(&reads, &mut [0])
            });
            // The keeper answers in order: what it tells without waiting, it has told.
            link.spawn("other", false, false, &[plan.as_fd(), theirs.as_fd()]).unwrap();
            assert_eq!(realm.exit_of("other"), 125 << 8);
            still.go_on();
            assert_eq!(told.join().unwrap(), Ok::<_, Errno>(0), "the pipe has a writer still");
        });
        assert_eq!(realm.exit_of("still"), 125 << 8);
        for key in ["still", "other"] {
            link.forget(key).unwrap();
        }
    });
}
