//! What containers write is kept whole, whoever dies.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::mount::{MountFlags, mount_remount};
use trice_runtime::logs::Stream;
use trice_test::waiting::until;

use crate::actor::Question;
use crate::deaths::{House, in_house, kill};
use crate::realm::{HostMount, in_realm, read_log};
use crate::spec::{payload, shell};
use crate::tests;

tests![
    no_line_is_lost_torn_or_doubled_while_the_engine_is_killed_five_times,
    no_line_is_lost_torn_or_doubled_while_keepers_are_killed,
    what_is_left_in_the_pipe_of_a_container_that_has_ended_is_kept,
    a_disk_that_is_full_holds_a_container_up_and_loses_nothing,
    folders_are_for_their_owner_alone,
];

const LINES: usize = 200_000;
const WIDTH: usize = 20;

/// Fails if `text` is anything but the numbered lines.
fn check(text: &str) {
    assert_eq!(text.len(), LINES * (WIDTH + 1));
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line.parse(), Ok(number));
    }
}

/// Waits until the log has a part of all lines that is `part` of `parts`.
fn wait_for_part(house: &House, id: &trice_model::id::ContainerId, part: usize, parts: usize) {
    let spool = house.log(id).spool(Stream::Stdout);
    let wanted = (LINES * (WIDTH + 1) * part / parts) as u64;
    until("the log grows", || fs::metadata(&spool).is_ok_and(|file| file.len() >= wanted).then_some(()));
}

fn finish(house: &House, id: trice_model::id::ContainerId, process: i32) {
    until("it has ended", || (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(()));
    house.tell(&Question::Finish(id.clone()));
    check(&read_log(house.log(&id)).0);
}

fn no_line_is_lost_torn_or_doubled_while_the_engine_is_killed_five_times() {
    in_house(|house| {
        let (id, process) = house.start(payload(["lines", &LINES.to_string(), &WIDTH.to_string()]));
        for part in 1..=5 {
            wait_for_part(house, &id, part, 8);
            kill(&house.engine());
        }
        house.report();
        finish(house, id, process);
    });
}

fn no_line_is_lost_torn_or_doubled_while_keepers_are_killed() {
    in_house(|house| {
        let (id, process) = house.start(payload(["lines", &LINES.to_string(), &WIDTH.to_string()]));
        for part in 1..=3 {
            wait_for_part(house, &id, part, 8);
            kill(&house.keeper());
            until("another keeper is there", || (house.report().keepers_lost == part as u32).then_some(()));
        }
        kill(&house.engine());
        house.report();
        finish(house, id, process);
    });
}

fn what_is_left_in_the_pipe_of_a_container_that_has_ended_is_kept() {
    in_house(|house| {
        let mut spec = shell("until test -e /data/go; do sleep 0.01; done; echo last words; echo more >&2");
        spec.mounts = vec![crate::spec::volume("/data", None, false)];
        let (id, process) = house.start(spec);
        let engine = house.engine();
        let stop = rustix::process::Signal::STOP;
        rustix::process::pidfd_send_signal(&engine, stop).unwrap();
        fs::write(house.folders.volume().join("go"), "").unwrap();
        until("it has ended", || (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(()));
        kill(&engine);
        house.tell(&Question::Finish(id.clone()));
        assert_eq!(read_log(house.log(&id)), ("last words\n".to_owned(), "more\n".to_owned()));
    });
}

fn a_disk_that_is_full_holds_a_container_up_and_loses_nothing() {
    in_realm(|realm| {
        let spec = payload(["lines", &LINES.to_string(), &WIDTH.to_string()]);
        realm.containers.make_folders(&spec.id).unwrap();
        let log = realm.containers.log(&spec.id);
        let disk = HostMount::tmpfs(log.path().to_owned());
        mount_remount(&disk.0, MountFlags::empty(), c"size=512k").unwrap();
        let running = realm.start(spec);
        let spool = log.spool(Stream::Stdout);
        until("the disk is full", || (rustix::fs::statvfs(&disk.0).unwrap().f_bfree == 0).then_some(()));
        assert!(fs::metadata(&spool).unwrap().len() < 1 << 20);
        mount_remount(&disk.0, MountFlags::empty(), c"size=64m").unwrap();
        assert_eq!(realm.exit_of(running.spec.id.as_str()), 0);
        realm.containers.finish(&running.spec.id).unwrap();
        check(&read_log(log).0);
        drop(disk);
        realm.containers.link().forget(running.spec.id.as_str()).unwrap();
        realm.containers.remove(&running.spec.id).unwrap();
    });
}

fn folders_are_for_their_owner_alone() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let folder = realm.containers.folder(&running.spec.id);
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        realm.kill(running);
    });
}
