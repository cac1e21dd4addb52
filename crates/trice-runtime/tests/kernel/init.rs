//! `init: true`: a small init of ours above the program.

use crate::realm::{host_proc, in_realm};
use crate::spec::shell;
use crate::tests;
use trice_test::waiting::until;

tests![
    orphans_are_reaped,
    signals_reach_the_program,
    the_end_of_the_program_is_the_end_of_the_container,
    the_init_shows_nothing_of_the_host,
    a_program_that_is_not_there_is_told_from_below_the_init,
];

fn orphans_are_reaped() {
    in_realm(|realm| {
        // Each child leaves one behind, and goes.
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.01 &) ; done; sleep 1000";
        let mut spec = shell(script);
        spec.init = true;
        let running = realm.start(spec);
        let left = "grep -l 'State:.Z' /proc/[0-9]*/status | wc -l; ls -d /proc/[0-9]* | wc -l";
        until("only init, the program and those that look are left", || {
            let found = realm.shell(&running, left).out;
            let mut counts = found.lines().map(|line| line.trim().parse::<u32>().unwrap());
            (counts.next() == Some(0) && counts.next().is_some_and(|all| all <= 7)).then_some(())
        });
        realm.kill(running);
    });
}

fn signals_reach_the_program() {
    in_realm(|realm| {
        for (name, number) in [("TERM", 15), ("HUP", 1), ("USR1", 10), ("WINCH", 28), ("RTMIN+3", 37)] {
            // A shell may know a real-time signal by its number only.
            let trapped = if name.starts_with("RT") { number.to_string() } else { name.to_owned() };
            let script =
                format!("trap 'echo heard; exit 3' {trapped}; echo ready; while :; do sleep 0.01; done");
            let mut spec = shell(&script);
            spec.init = true;
            let running = realm.start(spec);
            let log = || crate::realm::read_log(realm.containers.log(&running.spec.id)).0;
            until("it is ready", || log().contains("ready").then_some(()));
            trice_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&running.prepared.pidfd), number).unwrap();
            let ended = realm.end(running);
            assert_eq!((ended.status, ended.out.as_str()), (3 << 8, "ready\nheard\n"), "{name}");
        }
    });
}

fn the_end_of_the_program_is_the_end_of_the_container() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000 & exit 7");
        spec.init = true;
        assert_eq!(realm.run(spec).status, 7 << 8);
        let mut spec = shell("sleep 1000 & kill -KILL $$");
        spec.init = true;
        assert_eq!(realm.run(spec).status, (128 + 9) << 8);
    });
}

fn the_init_shows_nothing_of_the_host() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000");
        spec.init = true;
        let running = realm.start(spec);
        let line = until("the init has taken its name", || {
            Some(realm.shell(&running, "cat /proc/1/cmdline /proc/1/comm").ok())
                .filter(|line| line.contains("init"))
        });
        assert_eq!(line.replace('\0', ""), "trice-inittrice-init\n");
        assert_eq!(host_proc(&running.prepared, "environ").replace('\0', ""), "");
        realm.kill(running);
    });
}

fn a_program_that_is_not_there_is_told_from_below_the_init() {
    in_realm(|realm| {
        let mut spec = crate::spec::container(["no-such-program"]);
        spec.init = true;
        let mut prepared = realm.prepare(&spec).unwrap();
        let error = prepared.start().unwrap_err().to_string();
        assert!(error.starts_with("command `no-such-program` not found"), "{error}");
        assert_eq!(realm.exit_of(spec.id.as_str()), 127 << 8);
        realm.containers.link().forget(spec.id.as_str()).unwrap();
        realm.containers.remove(&spec.id).unwrap();
    });
}
