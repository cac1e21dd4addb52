//! Deaths of the engine, of the keeper, and of both: containers live on, and how they end is known.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use trice_model::container::ContainerSpec;
use trice_model::id::ContainerId;
use trice_runtime::keeper::launch::{self, Founded};
use trice_runtime::keeper::start::Directories;
use trice_runtime::logs::LogFolder;
use trice_runtime::vault;
use trice_test::traces;
use trice_test::waiting::until;

use crate::actor::{Question, Report};
use crate::realm::{Folders, in_realm, read_log, tag};
use crate::spec::{container, shell};
use crate::tests;

tests![
    a_second_keeper_finds_the_place_taken,
    a_folder_of_somebody_else_is_refused,
    an_engine_that_dies_is_replaced_and_its_containers_go_on,
    an_exit_while_no_engine_lives_is_told_to_the_next_one,
    a_container_that_waits_for_its_start_is_started_by_the_next_engine_and_only_once,
    a_container_that_nobody_starts_never_ends_as_a_success,
    an_engine_that_reads_nothing_and_dies_does_not_take_the_keeper_along,
    an_engine_that_is_stopped_does_not_stop_the_keeper,
    a_keeper_that_dies_is_missed_even_while_containers_wait,
    a_keeper_that_dies_is_replaced_and_its_containers_go_on,
    both_die_one_after_the_other_and_the_exit_is_known,
    both_die_at_once_and_the_exit_is_known,
    one_name_is_never_given_to_two_living_processes,
    a_keeper_forgets_only_what_has_ended,
];

/// A keeper that founded everything, with an engine that a test tells what to do.
pub(crate) struct House {
    pub(crate) folders: Folders,
    pub(crate) directories: Directories,
}

/// Runs `test` in a house of its own, and fails if it leaves anything behind.
pub(crate) fn in_house(test: impl FnOnce(&House)) {
    let folders = Folders::new();
    let directories = folders.directories();
    let house = House { folders, directories };
    assert_eq!(house.found(), Founded::Ready);
    let result = catch_unwind(AssertUnwindSafe(|| {
        test(&house);
        house.leave()
    }));
    let left = result.unwrap_or_else(|panic| {
        traces::wipe(&tag(&house.directories), &house.folders.top);
        resume_unwind(panic)
    });
    assert_eq!(left, Vec::<String>::new(), "the test left something behind");
}

impl House {
    pub(crate) fn found(&self) -> Founded {
        let errors = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        launch::found(&self.directories, errors).unwrap()
    }

    /// Asks the engine, whichever lives now or is coming.
    pub(crate) fn ask(&self, question: &Question) -> Report {
        until("an engine answers", || self.try_ask(question))
    }

    fn try_ask(&self, question: &Question) -> Option<Report> {
        let mut stream = UnixStream::connect(self.directories.socket()).ok()?;
        let mut line = serde_json::to_string(question).unwrap();
        line.push('\n');
        stream.write_all(line.as_bytes()).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// Asks, and takes no error for an answer.
    pub(crate) fn tell(&self, question: &Question) -> Report {
        let report = self.ask(question);
        assert_eq!(report.error, None, "{question:?}");
        report
    }

    pub(crate) fn report(&self) -> Report {
        self.ask(&Question::Report)
    }

    /// Starts a container, and returns its id and its process.
    pub(crate) fn start(&self, spec: ContainerSpec) -> (ContainerId, i32) {
        let id = spec.id.clone();
        let report = self.tell(&Question::Prepare(Box::new(spec)));
        self.tell(&Question::Release(id.clone()));
        let process = report.made[id.as_str()];
        (id, process)
    }

    pub(crate) fn log(&self, id: &ContainerId) -> LogFolder {
        let of = |folder: &Path| folder.join("containers").join(id.as_str());
        LogFolder::new(of(&self.directories.data).join("log"), of(&self.directories.run))
    }

    /// The keeper: the one that was started with this house's folders and is no engine.
    pub(crate) fn keeper(&self) -> OwnedFd {
        until("there is a keeper", || self.process("trice-keeper"))
    }

    /// The engine that lives now.
    pub(crate) fn engine(&self) -> OwnedFd {
        until("there is an engine", || self.process("trice-engine"))
    }

    fn process(&self, role: &str) -> Option<OwnedFd> {
        let found = traces::processes("no-realm", &self.folders.top);
        let line = found.iter().find(|line| line.contains(&format!(" {role} ")))?;
        let pid = line.strip_prefix("process ")?.split(':').next()?.parse().ok()?;
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
    }

    fn leave(&self) -> Vec<String> {
        self.ask(&Question::Leave);
        until("all have left", || {
            traces::of(&tag(&self.directories), &self.folders.top).is_empty().then_some(())
        });
        let left = traces::files(&self.directories.run);
        fs::remove_dir_all(&self.folders.top).unwrap();
        let usual = ["containers", "engine.sock", "lock"];
        left.into_iter().filter(|path| !usual.iter().any(|name| path.ends_with(name))).collect()
    }
}

/// Kills a process, and waits until it has gone.
pub(crate) fn kill(process: &OwnedFd) {
    pidfd_send_signal(process, Signal::KILL).unwrap();
    let mut polled = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, None).unwrap();
}

/// A container that ends with code 7 when the file `end` appears in its volume.
fn until_told() -> ContainerSpec {
    let mut spec = shell("until test -e /data/end; do sleep 0.01; done; echo ends; exit 7");
    spec.mounts = vec![crate::spec::volume("/data", None, false)];
    spec
}

fn let_end(house: &House) {
    fs::write(house.folders.volume().join("end"), "").unwrap();
}

fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

/// Waits until the engine knows how the container ended, from whomever.
fn exit_of(house: &House, id: &ContainerId) -> i32 {
    until("its exit is known", || {
        let report = house.report();
        let found = report.found.get(id.as_str()).and_then(|(_, status)| *status);
        let kept = report.kept.get(id.as_str()).copied().flatten();
        report.told.get(id.as_str()).copied().or(found).or(kept)
    })
}

fn a_second_keeper_finds_the_place_taken() {
    in_house(|house| {
        house.report();
        assert_eq!(house.found(), Founded::Taken);
        kill(&house.engine());
        assert_eq!(house.found(), Founded::Taken);
    });
}

fn a_folder_of_somebody_else_is_refused() {
    let folders = Folders::new();
    let directories = folders.directories();
    std::os::unix::fs::chown(&directories.run, Some(1000), None).unwrap();
    let errors = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let error = launch::found(&directories, errors).unwrap_err().to_string();
    assert!(error.ends_with("belongs to another user"), "{error}");
    fs::remove_dir_all(&folders.top).unwrap();
}

fn an_engine_that_dies_is_replaced_and_its_containers_go_on() {
    in_house(|house| {
        let (id, _) = house.start(until_told());
        let first = house.report().engine;
        for _ in 0..3 {
            kill(&house.engine());
        }
        let report = house.report();
        assert_ne!(report.engine, first);
        let (pid, status) = report.found[id.as_str()];
        assert!(alive(pid) && status.is_none());
        let_end(house);
        assert_eq!(exit_of(house, &id), 7 << 8);
        house.tell(&Question::Finish(id.clone()));
        assert_eq!(read_log(house.log(&id)).0, "ends\n");
    });
}

fn an_exit_while_no_engine_lives_is_told_to_the_next_one() {
    in_house(|house| {
        let (id, process) = house.start(until_told());
        let keeper = house.keeper();
        // The keeper does not see the engine's death before the container's.
        pidfd_send_signal(&keeper, Signal::STOP).unwrap();
        let pid = house.report().engine;
        kill(&house.engine());
        let_end(house);
        until("the container has ended", || (!alive(process)).then_some(()));
        pidfd_send_signal(&keeper, Signal::CONT).unwrap();
        assert_eq!(exit_of(house, &id), 7 << 8);
        let report = house.report();
        assert_ne!(report.engine, pid);
        assert_eq!(report.found[id.as_str()].1, Some(7 << 8));
        house.tell(&Question::Finish(id.clone()));
        assert_eq!(read_log(house.log(&id)).0, "ends\n");
        // What has been forgotten is not told again.
        kill(&house.engine());
        assert!(!house.report().found.contains_key(id.as_str()));
    });
}

fn a_container_that_waits_for_its_start_is_started_by_the_next_engine_and_only_once() {
    in_house(|house| {
        let spec = shell("echo it ran; exit 3");
        house.tell(&Question::Prepare(Box::new(spec.clone())));
        kill(&house.engine());
        house.tell(&Question::Release(spec.id.clone()));
        assert_eq!(exit_of(house, &spec.id), 3 << 8);
        // Whoever comes next does not know that it began, and says the same again.
        kill(&house.engine());
        house.tell(&Question::Release(spec.id.clone()));
        house.tell(&Question::Finish(spec.id.clone()));
        assert_eq!(read_log(house.log(&spec.id)).0, "it ran\n");

        // Why it cannot be started is told to whoever asks, too.
        let spec = container(["no-such-program"]);
        house.tell(&Question::Prepare(Box::new(spec.clone())));
        kill(&house.engine());
        let error = house.ask(&Question::Release(spec.id.clone())).error.unwrap();
        assert!(error.contains("command `no-such-program` not found"), "{error}");
        house.tell(&Question::Finish(spec.id));
    });
}

fn a_container_that_nobody_starts_never_ends_as_a_success() {
    in_house(|house| {
        let spec = shell("echo it ran");
        let report = house.tell(&Question::Prepare(Box::new(spec.clone())));
        let (engine, keeper) = (house.engine(), house.keeper());
        pidfd_send_signal(&keeper, Signal::STOP).unwrap();
        kill(&engine);
        kill(&keeper);
        // Neither holds the way to its start any more.
        until("it ends", || (!alive(report.made[spec.id.as_str()])).then_some(()));
        assert_eq!(house.found(), Founded::Ready);
        if vault::is_supported() {
            assert_eq!(exit_after_all(house, &spec.id), 125 << 8);
        }
        house.tell(&Question::Finish(spec.id.clone()));
        assert_eq!(read_log(house.log(&spec.id)).0, "");
    });
}

fn an_engine_that_reads_nothing_and_dies_does_not_take_the_keeper_along() {
    in_house(|house| {
        let (id, process) = house.start(until_told());
        let (engine, keeper) = (house.engine(), house.keeper());
        pidfd_send_signal(&engine, Signal::STOP).unwrap();
        let_end(house);
        // The engine has an exit to read that it never will: its end of the link then fails instead of ending.
        until("the keeper has reaped it", || {
            (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(())
        });
        kill(&engine);
        assert_eq!(exit_of(house, &id), 7 << 8);
        let mut polled = [rustix::event::PollFd::new(&keeper, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut polled, Some(&now)), Ok(0), "the keeper has died");
    });
}

fn an_engine_that_is_stopped_does_not_stop_the_keeper() {
    in_house(|house| {
        let ids: Vec<_> = (0..3).map(|_| house.start(until_told())).collect();
        let (engine, keeper) = (house.engine(), house.keeper());
        pidfd_send_signal(&engine, Signal::STOP).unwrap();
        let_end(house);
        for (_, process) in &ids {
            until("the keeper reaps", || (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(()));
        }
        pidfd_send_signal(&engine, Signal::CONT).unwrap();
        for (id, _) in ids {
            assert_eq!(exit_of(house, &id), 7 << 8);
            house.tell(&Question::Finish(id));
        }
        drop(keeper);
    });
}

fn a_keeper_that_dies_is_missed_even_while_containers_wait() {
    in_house(|house| {
        let waiting = shell("true");
        house.tell(&Question::Prepare(Box::new(waiting.clone())));
        kill(&house.keeper());
        until("the engine misses it", || (house.report().keepers_lost == 1).then_some(()));
        // The one that waited is still the engine's to release.
        house.tell(&Question::Release(waiting.id));
    });
}

fn a_keeper_that_dies_is_replaced_and_its_containers_go_on() {
    in_house(|house| {
        let (id, _) = house.start(until_told());
        let pid = fs::read_to_string("/proc/self/stat").map(|_| house.report().engine).unwrap();
        kill(&house.keeper());
        until("another keeper is there", || (house.report().keepers_lost == 1).then_some(()));
        assert_eq!(house.report().engine, pid);
        let (other, _) = house.start(shell("exit 5"));
        assert_eq!(exit_of(house, &other), 5 << 8);
        let_end(house);
        house.tell(&Question::Finish(other));
        // The next engine is the new keeper's child, and finds the old keeper's container by what the kernel kept.
        kill(&house.engine());
        if vault::is_supported() {
            assert_eq!(exit_after_all(house, &id), 7 << 8);
        }
        house.tell(&Question::Finish(id.clone()));
        assert_eq!(read_log(house.log(&id)).0, "ends\n");
    });
}

/// Has one engine after another look for an exit in the kernel: each looks once, when it comes.
fn exit_after_all(house: &House, id: &ContainerId) -> i32 {
    until("the kernel knows the exit", || {
        let report = house.report();
        let known = report.kept.get(id.as_str()).copied().flatten();
        if known.is_none() {
            kill(&house.engine());
        }
        known
    })
}

fn both_die_one_after_the_other_and_the_exit_is_known() {
    in_house(|house| {
        let (id, _) = house.start(until_told());
        kill(&house.engine());
        house.report();
        kill(&house.keeper());
        until("another keeper is there", || (house.report().keepers_lost == 1).then_some(()));
        kill(&house.engine());
        let report = house.report();
        assert_eq!(report.found.get(id.as_str()), None);
        let_end(house);
        if vault::is_supported() {
            assert_eq!(exit_after_all(house, &id), 7 << 8);
        }
        house.tell(&Question::Finish(id));
    });
}

fn both_die_at_once_and_the_exit_is_known() {
    in_house(|house| {
        let (id, process) = house.start(until_told());
        let (engine, keeper) = (house.engine(), house.keeper());
        pidfd_send_signal(&keeper, Signal::STOP).unwrap();
        kill(&engine);
        kill(&keeper);
        let_end(house);
        until("the container has ended", || (!alive(process)).then_some(()));
        // The lock went with them.
        assert_eq!(house.found(), Founded::Ready);
        if vault::is_supported() {
            assert_eq!(exit_after_all(house, &id), 7 << 8);
        }
        house.tell(&Question::Finish(id));
    });
}

fn one_name_is_never_given_to_two_living_processes() {
    in_realm(|realm| {
        let first = realm.start(shell("sleep 1000"));
        let error = realm.prepare(&first.spec).unwrap_err();
        assert!(format!("{error:?}").contains("File exists"), "{error:?}");
        let ended = realm.exit_of(first.spec.id.as_str());
        // The failure put away what was there under that name: the container itself.
        assert_eq!(ended, 9);
        realm.containers.link().forget(first.spec.id.as_str()).unwrap();
        realm.containers.remove(&first.spec.id).unwrap();
    });
}

fn a_keeper_forgets_only_what_has_ended() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        realm.containers.link().forget(running.spec.id.as_str()).unwrap();
        assert_eq!(realm.kill(running).status, 9);
    });
}
