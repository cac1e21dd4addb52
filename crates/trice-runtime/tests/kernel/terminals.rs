//! Terminals: of containers, of what is run in them, and what they are to the program.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{Winsize, tcsetwinsize};
use trice_runtime::container::ExecStdio;
use trice_runtime::keeper::link::Told;
use trice_runtime::vault;
use trice_test::waiting::until;

use crate::realm::{Realm, Running, in_realm, read_log};
use crate::spec::{process, shell};
use crate::tests;

tests![
    a_container_has_a_terminal_which_is_its_console,
    what_is_run_in_a_container_has_a_terminal_of_its_own,
    the_size_of_a_terminal_is_told_to_the_program,
    a_program_hears_when_nobody_holds_its_terminal_any_more,
    a_terminal_outlives_the_keeper,
];

/// Waits until the container has printed `word`, and returns all that it printed.
fn printed(realm: &Realm, running: &Running, word: &str) -> String {
    until(word, || {
        Some(read_log(realm.containers.log(&running.spec.id)).0).filter(|text| text.contains(word))
    })
}

fn a_container_has_a_terminal_which_is_its_console() {
    in_realm(|realm| {
        for init in [false, true] {
            for user in ["", "1000:1000"] {
                let script = "test -t 0 && test -t 1 && test -t 2 && echo three; tty; echo to it > /dev/console; \
                              echo controls > /dev/tty; read line; echo got $line";
                let mut spec = shell(script);
                spec.process.tty = true;
                spec.process.user = user.to_owned();
                spec.init = init;
                let running = realm.start(spec);
                printed(realm, &running, "controls");
                let terminal = running.prepared.terminal.as_ref().unwrap().try_clone().unwrap();
                File::from(terminal).write_all(b"typed\n").unwrap();
                let ended = realm.end(running);
                let expected = "three\r\n/dev/pts/0\r\nto it\r\ncontrols\r\ntyped\r\ngot typed\r\n";
                assert_eq!((ended.status, ended.out.as_str()), (0, expected), "init: {init}, user: {user}");
            }
        }
    });
}

fn what_is_run_in_a_container_has_a_terminal_of_its_own() {
    in_realm(|realm| {
        let mut spec = shell("sleep 1000");
        spec.process.tty = true;
        let running = realm.start(spec);
        let mut wanted = process(["/bin/sh", "-c", "tty; read line; echo got $line; exit 4"]);
        wanted.tty = true;
        wanted.user = "1000".to_owned();
        let prepared = realm.begin_exec(&running, "exec/tty", wanted, ExecStdio::Terminal).unwrap();
        let mut terminal = File::from(prepared.terminal.unwrap());
        terminal.write_all(b"typed\n").unwrap();
        let mut text = String::new();
        // The end of a terminal is an error.
        let _ = terminal.read_to_string(&mut text);
        assert_eq!(realm.exit_of("exec/tty"), 4 << 8);
        realm.containers.link().forget("exec/tty").unwrap();
        assert!(text.contains("/dev/pts/1\r\n") && text.ends_with("got typed\r\n"), "{text:?}");
        realm.kill(running);
    });
}

fn the_size_of_a_terminal_is_told_to_the_program() {
    in_realm(|realm| {
        let script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done";
        let mut spec = shell(script);
        spec.process.tty = true;
        let running = realm.start(spec);
        printed(realm, &running, "ready");
        let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(running.prepared.terminal.as_ref().unwrap(), size).unwrap();
        assert_eq!(realm.end(running).out, "ready\r\n33 99\r\n");
    });
}

fn a_program_hears_when_nobody_holds_its_terminal_any_more() {
    in_realm(|realm| {
        let running = realm.start(shell("sleep 1000"));
        let mut wanted =
            process(["/bin/sh", "-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.01; done"]);
        wanted.tty = true;
        let prepared = realm.begin_exec(&running, "exec/hup", wanted, ExecStdio::Terminal).unwrap();
        let mut terminal = File::from(prepared.terminal.unwrap());
        let mut ready = [0; 5];
        terminal.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready");
        drop(terminal);
        assert_eq!(realm.exit_of("exec/hup"), 9 << 8);
        realm.containers.link().forget("exec/hup").unwrap();
        realm.kill(running);
    });
}

fn a_terminal_outlives_the_keeper() {
    in_realm(|realm| {
        let mut spec = shell("trap '' HUP; echo ready; read line; echo got $line; exit 6");
        spec.process.tty = true;
        let running = realm.start(spec);
        printed(realm, &running, "ready");
        realm.keeper.lock().unwrap().kill().unwrap();
        realm.keeper.lock().unwrap().wait().unwrap();
        assert!(matches!(realm.next_told(), Told::Gone));
        assert!(realm.succeed().processes.is_empty());
        let terminal = running.prepared.terminal.as_ref().unwrap().try_clone().unwrap();
        File::from(terminal).write_all(b"typed\n").unwrap();
        printed(realm, &running, "got typed");
        let mut polled = [PollFd::new(&running.prepared.pidfd, PollFlags::IN)];
        poll(&mut polled, None).unwrap();
        if vault::is_supported() {
            // Whoever is the parent now reaps it in his own time.
            let status = until("its parent has reaped it", || {
                let kept = realm.containers.kept(&running.spec.id).unwrap()?;
                trice_sys::pidfd::exit_status(kept.as_fd()).unwrap()
            });
            assert_eq!(status, 6 << 8);
        }
        realm.containers.remove(&running.spec.id).unwrap();
        assert_eq!(realm.run(shell("echo by the heir")).ok(), "by the heir\n");
    });
}
