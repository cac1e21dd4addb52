//! The commands: what they print, where, and the codes that they end with.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};

use crate::scenario::{Scenario, scenario, scenario_of};

const DESK: &str = "tests/scenarios/desk/compose.yaml";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn up_again_with_nothing_to_do_does_nothing() {
    scenario(DESK, |desk| {
        let first = json(&desk.trice("--progress json up --dry-run").success().stdout());
        assert_eq!(first["steps"][0]["cause"], "not there yet");
        assert!(desk.states().is_empty());
        desk.trice("up -d").success();
        let ids = desk.ids();
        let again = desk.trice("up -d").success();
        assert_eq!(desk.ids(), ids);
        let talk = again.stderr();
        assert!(!talk.contains("Creat") && !talk.contains("Start"), "{talk}");
        assert_eq!(json(&desk.trice("plan --format json").success().stdout())["steps"], json!([]));
        desk.trice("plan --detailed-exitcode").success();
        desk.trice("--profile jobs plan --detailed-exitcode").code(2);
        desk.trice("up -d --force-recreate talker").success();
        let after = desk.ids();
        assert_ne!(after["desk-talker-1"], ids["desk-talker-1"]);
        assert_eq!(after["desk-clock-1"], ids["desk-clock-1"]);
    });
}

#[test]
fn events_are_what_becomes_of_the_containers_that_are_meant() {
    let text = "name: desk\nx-s: &s { image: 'rootfs:/', command: sleep 1000, init: true, stop_grace_period: 0s }\n\
                services: { one: *s, other: *s }\n";
    scenario_of(text, |desk| {
        desk.trice("up -d").success();
        let ids = desk.ids();
        let file = desk.home().join("events");
        let mut listening = desk.command(&["events", "--json", "one"]);
        let mut listening = listening.stdout(fs::File::create(&file).unwrap()).spawn().unwrap();
        let heard = || -> Vec<Value> { fs::read_to_string(&file).unwrap().lines().map(json).collect() };
        // From the moment on at which it listens.
        desk.wait_for("something to be heard", || {
            desk.trice("restart one other").success();
            !heard().is_empty()
        });
        desk.trice("kill one").success();
        // Another engine tells what comes after it.
        desk.kill("trice-engine");
        desk.wait_for("the next engine to be heard", || {
            desk.trice("restart one").success();
            heard().iter().filter(|event| event["action"] == "start").count() > 1
        });
        desk.trice("down").success();
        desk.wait_for("the end to be heard", || heard().iter().any(|event| event["action"] == "destroy"));
        rustix::process::kill_process(rustix::process::Pid::from_child(&listening), Signal::INT).unwrap();
        assert_eq!(listening.wait().unwrap().code(), Some(130));
        let all = heard();
        for event in &all {
            assert_eq!((&event["service"], &event["type"]), (&json!("one"), &json!("container")), "{event}");
            assert!(event["id"].as_str().unwrap().starts_with(&ids["desk-one-1"]), "{event}");
            assert_eq!(event["attributes"]["name"], "desk-one-1");
        }
        assert!(all.iter().any(|event| event["action"] == "die" && event["attributes"]["exitCode"] == "137"));
    });
}

#[test]
fn wait_ends_with_the_last_container_or_takes_the_project_down_with_the_first() {
    let text = "name: desk\nx-s: &s { image: 'rootfs:/', command: sleep 1000, init: true, stop_grace_period: 0s }\n\
                services: { one: *s, two: *s, other: *s }\n";
    scenario_of(text, |desk| {
        desk.trice("up -d").success();
        let ids = desk.ids();
        let begun = |line: &str| {
            let mut waiting = desk.begin(line);
            let mut told = String::new();
            BufReader::new(waiting.child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
            assert_eq!(told, "waiting for desk-one-1, desk-two-1\n");
            waiting
        };
        let waiting = begun("wait one two");
        desk.trice("kill one").success();
        desk.trice("kill other").success();
        desk.trice("kill -s TERM two").success();
        let ended = waiting.wait().code(143);
        // Whole ids are told.
        let told = |ended: &str, ids: &BTreeMap<String, String>| -> Vec<String> {
            let named = |line: &str| {
                let (_, code) = line.rsplit_once(' ').unwrap();
                let (name, _) = ids.iter().find(|(_, id)| line.contains(id.as_str())).unwrap();
                format!("{name} {code}")
            };
            ended.lines().map(named).collect()
        };
        assert_eq!(told(&ended.stdout(), &ids), ["desk-one-1 137", "desk-two-1 143"]);
        let nothing = desk.trice("wait one").code(1).stderr();
        assert!(nothing.contains("no container of these services of project desk runs"), "{nothing}");
        desk.trice("up -d").success();
        let ids = desk.ids();
        let waiting = begun("wait --down-project one two");
        // The engine that was asked first hears nothing of it any more.
        desk.kill("trice-engine");
        desk.trice("kill two").success();
        let ended = waiting.wait().code(137);
        assert_eq!(told(&ended.stdout(), &ids), ["desk-two-1 137"]);
        assert!(desk.states().is_empty());
    });
}

#[test]
fn replicas_come_and_go_with_the_scale() {
    scenario(DESK, |desk| {
        desk.trice("up -d --scale clock=4").success();
        let four = desk.ids();
        desk.trice("scale clock=1").success();
        assert_eq!(desk.states(), ["desk-clock-1 running", "desk-talker-1 running"]);
        assert_eq!(desk.ids()["desk-clock-1"], four["desk-clock-1"]);
        desk.trice("up -d").success();
        assert_eq!(desk.states().len(), 3, "the file says two");
        desk.trice("up -d --scale clock=0").success();
        assert_eq!(desk.states(), ["desk-talker-1 running"]);
    });
}

#[test]
fn up_shows_what_its_services_write_until_it_is_interrupted() {
    scenario(DESK, |desk| {
        let mut up = desk.begin("up");
        let shown = up.read_until("tick 3");
        assert!(shown.contains("clock-1   | tick 1\n") && shown.contains("talker-1  | one\n"), "{shown}");
        up.signal(Signal::INT);
        let ended = up.wait().code(130);
        assert!(ended.stderr().contains("Gracefully stopping"), "{}", ended.stderr());
        let stopped = ["desk-clock-1 exited", "desk-clock-2 exited", "desk-talker-1 exited"];
        assert_eq!(desk.states(), stopped);
    });
}

#[test]
fn a_second_interrupt_kills_what_does_not_want_to_end() {
    let stubborn = r#"
name: stubborn
services:
  mule:
    image: rootfs:/
    command: sh -c 'trap "echo asked" INT TERM; echo ready; while :; do sleep 0.05; done'
    stop_grace_period: 10m
"#;
    scenario_of(stubborn, |scenario| {
        let mut up = scenario.begin("up");
        up.read_until("ready");
        up.signal(Signal::INT);
        up.read_until("asked");
        up.signal(Signal::INT);
        up.wait().code(130);
        assert_eq!(scenario.members("ExitCode")["stubborn-mule-1"], "137");
    });
}

#[test]
fn up_ends_with_the_code_that_it_is_told_to() {
    scenario(DESK, |desk| {
        desk.trice("up --exit-code-from job job").code(3);
        assert_eq!(desk.states(), ["desk-job-1 exited"]);
        let ended = desk.trice("--profile jobs up --abort-on-container-exit").code(3);
        assert!(ended.stderr().contains("job-1 exited with code 3"), "{}", ended.stderr());
        let states = desk.states();
        assert!(states.iter().all(|state| state.ends_with(" exited")), "{states:?}");
    });
}

#[test]
fn a_service_comes_without_what_it_depends_on_where_that_is_asked_for() {
    let text = "name: needs\nx-p: &p { image: 'rootfs:/', command: sleep 1000, network_mode: none }\n\
        services:\n  below: *p\n  above: { <<: *p, depends_on: [below] }\n";
    scenario_of(text, |needs| {
        needs.trice("up -d --no-deps above").success();
        assert_eq!(needs.states(), ["needs-above-1 running"]);
        needs.trice("up -d above").success();
        assert_eq!(needs.states(), ["needs-above-1 running", "needs-below-1 running"]);
    });
}

#[test]
fn services_that_left_the_file_are_orphans() {
    let with = |services: &str| {
        format!("name: change\nx-p: &p {{ image: 'rootfs:/', command: sleep 1000 }}\nservices:\n{services}")
    };
    scenario_of(&with("  a: *p\n  b: *p\n"), |scenario| {
        scenario.trice("up -d").success();
        scenario.rewrite(&with("  a: *p\n"));
        let up = scenario.trice("up -d").success();
        assert!(
            up.stderr().contains("change-b-1") && up.stderr().contains("--remove-orphans"),
            "{}",
            up.stderr()
        );
        assert_eq!(scenario.states(), ["change-a-1 running", "change-b-1 running"]);
        scenario.trice("up -d --remove-orphans").success();
        assert_eq!(scenario.states(), ["change-a-1 running"]);
    });
}

#[test]
fn what_changed_is_made_again_and_nothing_else() {
    let with = |word: &str| {
        format!(
            "name: change\nservices:\n  a: {{ image: 'rootfs:/', command: sleep 1000 }}\n  \
             b: {{ image: 'rootfs:/', command: sleep 1000, environment: {{ WORD: {word} }} }}\n"
        )
    };
    scenario_of(&with("old"), |scenario| {
        scenario.trice("up -d").success();
        let (before, address) = (scenario.ids(), scenario.shell("b", "hostname -I"));
        scenario.rewrite(&with("new"));
        let plan = scenario.trice("up --dry-run").success().stdout();
        assert!(plan.contains("recreate") || plan.contains("change-b-1"), "{plan}");
        assert!(!plan.contains("change-a-1"), "{plan}");
        scenario.trice("up -d --no-recreate").success();
        assert_eq!(scenario.ids(), before);
        scenario.trice("up -d").success();
        let after = scenario.ids();
        assert_eq!(after["change-a-1"], before["change-a-1"]);
        assert_ne!(after["change-b-1"], before["change-b-1"]);
        assert_eq!(scenario.shell("b", "echo $WORD"), "new\n");
        assert_eq!(scenario.shell("b", "hostname -I"), address, "an address outlives its container");
    });
}

#[test]
fn ps_tells_what_compose_tells() {
    scenario(DESK, |desk| {
        desk.trice("up -d").success();
        let all = desk.ps();
        let clock = all.iter().find(|one| one["Name"] == "desk-clock-1").unwrap();
        assert_eq!(clock["Project"], "desk");
        assert_eq!(clock["Service"], "clock");
        assert_eq!(clock["State"], "running");
        assert_eq!(clock["Health"], "");
        assert_eq!(clock["ExitCode"], 0);
        let fixed =
            json!({ "URL": "127.0.0.1", "TargetPort": 9001, "PublishedPort": 9001, "Protocol": "udp" });
        assert!(clock["Publishers"].as_array().unwrap().contains(&fixed), "{clock}");
        desk.trice("stop talker").success();
        assert_eq!(desk.trice("ps --services").success().stdout(), "clock\n");
        assert_eq!(desk.trice("ps --services --all").success().stdout(), "clock\ntalker\n");
        assert_eq!(desk.trice("ps --status exited --format {{.Name}}").success().stdout(), "desk-talker-1\n");
        assert_eq!(desk.trice("ps -q").success().lines().len(), 2);
        assert!(desk.trice("ps").success().stdout().starts_with("NAME"));
        desk.trice("ps nobody").code(1);
    });
}

#[test]
fn logs_are_shown_from_where_they_are_asked_for() {
    scenario(DESK, |desk| {
        desk.trice("up -d").success();
        desk.wait_for("all three lines", || desk.trice("logs talker").stdout().lines().count() == 3);
        let logs = desk.trice("logs talker").success().stdout();
        assert_eq!(logs, "talker-1  | one\ntalker-1  | two\ntalker-1  | three\n");
        assert_eq!(desk.trice("logs --no-log-prefix --tail 1 talker").success().stdout(), "three\n");
        let stamped = desk.trice("logs --timestamps --no-log-prefix talker").success().stdout();
        let (time, word) = stamped.lines().next().unwrap().split_once(' ').unwrap();
        assert!(word == "one" && time.ends_with('Z') && time.len() == "2026-01-02T03:04:05.123456789Z".len());
        assert_eq!(
            desk.trice(&format!("logs --since {time} --no-log-prefix talker")).stdout(),
            "one\ntwo\nthree\n"
        );
        assert_eq!(desk.trice("logs --since 2500-01-01T00:00:00Z talker").success().stdout(), "");
        let mut follower = desk.begin("logs --follow --tail 0 clock");
        follower.read_until("clock-2  | tick");
        desk.trice("stop").success();
        follower.wait().success();
        let kept = desk.trice("logs --no-log-prefix --index 1 clock").success().stdout();
        let ticks: Vec<String> = (1..=kept.lines().count()).map(|number| format!("tick {number}")).collect();
        assert_eq!(kept.lines().collect::<Vec<_>>(), ticks);
    });
}

#[test]
fn exec_runs_a_command_beside_the_others() {
    scenario(DESK, |desk| {
        desk.trice("up -d").success();
        desk.trice_with(&["exec", "-T", "clock", "sh", "-c", "exit 7"]).code(7);
        let both = desk.trice_with(&["exec", "-T", "clock", "sh", "-c", "echo out; echo err >&2"]).success();
        assert_eq!((both.stdout().as_str(), both.stderr().as_str()), ("out\n", "err\n"));
        let mut cat = desk.begin("exec -T talker cat");
        cat.write(b"through a pipe\n");
        drop(cat.child.stdin.take());
        assert_eq!(cat.wait().success().stdout(), "through a pipe\n");
        let told = "exec -T -e A=b -u root -w /usr talker sh -c echo\\ $A,$(pwd),$(id\\ -un)";
        let words: Vec<String> =
            told.replace("\\ ", "\u{a0}").split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(desk.trice_with(&words).success().stdout(), "b,/usr,root\n");
        assert_eq!(desk.shell("talker", "id -un; pwd"), "nobody\n/tmp\n");
        let first = desk.trice("exec -T --index 1 clock hostname").success().stdout();
        let second = desk.trice("exec -T --index 2 clock hostname").success().stdout();
        let ids = desk.ids();
        assert!(
            first.trim().starts_with(&ids["desk-clock-1"]) && second.trim().starts_with(&ids["desk-clock-2"])
        );
        desk.trice("exec -T --index 3 clock hostname").code(1);
        desk.trice("exec -T clock no-such-program").code(127);
        desk.trice("exec -T clock /etc/passwd").code(126);
        desk.trice("exec -T job true").code(1);
    });
}

#[test]
fn run_makes_a_container_of_its_own() {
    scenario(DESK, |desk| {
        desk.trice("run --rm job").code(3);
        assert!(desk.states().is_empty());
        let shown =
            desk.trice_with(&["run", "--rm", "-e", "X=1", "--entrypoint", "sh -c", "clock", "echo $X $ZONE"]);
        assert_eq!(shown.success().stdout(), "1 here\n");
        let mut cat = desk.begin("run --rm -T -i clock cat");
        cat.write(b"into it\n");
        drop(cat.child.stdin.take());
        assert_eq!(cat.wait().success().stdout(), "into it\n");
        let id = desk.trice("run -d --name lonely talker").success().stdout();
        assert_eq!(desk.states(), ["lonely running"]);
        assert!(id.starts_with(&desk.ids()["lonely"]), "{id}");
        desk.trice("run clock true").success();
        let left: Vec<String> = desk.states().into_iter().filter(|state| state != "lonely running").collect();
        let [left] = left.as_slice() else { panic!("{left:?}") };
        assert!(left.starts_with("desk-clock-run-") && left.ends_with(" exited"), "{left}");
        desk.trice("rm --force --stop").success();
        desk.trice("down").success();
        desk.must_be_gone();
    });
}

#[test]
fn a_terminal_is_given_where_there_is_one() {
    scenario(DESK, |desk| {
        desk.trice("up -d talker").success();
        // script(1) gives a terminal to what it runs. Its input stays open: at an end of file it would type one.
        let trice = env!("CARGO_BIN_EXE_trice");
        // The size follows the start, as with Docker: the program may be there first.
        let sized = r#"while [ "$(stty size)" = "0 0" ]; do :; done; stty size"#;
        let inside = format!("tty; {sized}; test -t 0 && test -t 1 && echo both");
        let line = format!("{trice} exec talker sh -c '{inside}'");
        let mut script = std::process::Command::new("script")
            .args(["--quiet", "--return", "--command", &format!("stty cols 91 rows 17; {line}"), "/dev/null"])
            .current_dir(desk.file().parent().unwrap())
            .env("COMPOSE_FILE", desk.file())
            .env("TRICE_DATA", desk.data())
            .env("TRICE_RUN", desk.run_directory())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("script(1)");
        let input = script.stdin.take();
        let output = script.wait_with_output().expect("script(1)");
        drop(input);
        let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        assert!(shown.ends_with("/dev/pts/0\n17 91\nboth\n"), "{shown}");
    });
}

#[test]
fn a_one_off_that_is_removed_is_there_until_its_last_line_has_been_read() {
    scenario(DESK, |desk| {
        // Nobody reads before it has ended, and a pipe holds less than it writes.
        let run = desk.begin("run --rm -T clock seq 100000");
        desk.wait_for("its end", || desk.states().iter().any(|state| state.ends_with(" exited")));
        let shown = run.wait().success().stdout();
        assert!(shown.lines().eq((1..=100_000).map(|number: u32| number.to_string())));
        assert!(desk.states().is_empty());
    });
}

#[test]
fn containers_stop_start_restart_and_are_killed() {
    scenario(DESK, |desk| {
        desk.trice("up -d").success();
        let ids = desk.ids();
        desk.trice("stop").success();
        assert!(desk.states().iter().all(|state| state.ends_with(" exited")));
        desk.trice("start").success();
        assert!(desk.states().iter().all(|state| state.ends_with(" running")));
        assert_eq!(desk.ids(), ids);
        let began = |desk: &Scenario| desk.shell("talker", "stat -c %Y.%y /proc/1");
        let before = began(desk);
        desk.trice("restart talker").success();
        assert_ne!(began(desk), before);
        assert_eq!(desk.ids(), ids);
        desk.trice("kill clock").success();
        desk.wait_for("the clocks to end", || desk.members("ExitCode")["desk-clock-1"] == "137");
        desk.trice("kill --signal HUP talker").success();
        desk.wait_for("the talker to end", || desk.members("ExitCode")["desk-talker-1"] == "129");
        desk.trice("rm --force").success();
        assert!(desk.states().is_empty());
    });
}

#[test]
fn containers_are_held_still_until_they_are_let_go_or_stopped_whoever_dies() {
    let text = "name: desk\nx-s: &s { image: 'rootfs:/', stop_grace_period: 30s, \
        command: [sh, -c, 'trap \"exit 7\" TERM; while :; do sleep 0.01; done'] }\n\
        services:\n  one: { <<: *s, healthcheck: { test: [CMD, 'true'], interval: 100ms, timeout: 10s, retries: 2 } }\n  other: *s\n";
    scenario_of(text, |desk| {
        desk.trice("up -d --wait").success();
        let freezer = desk.freezer("desk-one-1");
        let is_still = || fs::read_to_string(&freezer).unwrap() == "1\n";
        let file = desk.home().join("events");
        let mut listening = desk.command(&["events", "--json", "other"]);
        let mut listening = listening.stdout(fs::File::create(&file).unwrap()).spawn().unwrap();
        let heard =
            |action: &str| fs::read_to_string(&file).unwrap().contains(&format!("\"action\":\"{action}\""));
        assert_eq!(desk.trice("pause one").success().stderr(), " Container desk-one-1  Paused\n");
        assert!(is_still());
        for role in ["trice-engine", "trice-keeper"] {
            desk.kill(role);
            assert_eq!(desk.states(), ["desk-one-1 paused", "desk-other-1 running"]);
            assert!(is_still(), "after the death of {role}");
        }
        assert!(desk.members("Status")["desk-one-1"].ends_with(" (Paused)"));
        let told = desk.trice("exec -T one true").code(1).stderr();
        assert!(told.contains("container desk-one-1 is paused") && told.contains("trice unpause"), "{told}");
        // The others are held still all the same.
        let told = desk.trice("pause").code(1).stderr();
        assert!(
            told.contains("desk-other-1  Paused") && told.contains("desk-one-1 is paused already"),
            "{told}"
        );
        for line in ["ps -q", "ps --status paused -q"] {
            assert_eq!(desk.trice(line).success().stdout().lines().count(), 2, "{line}");
        }
        assert!(desk.trice("ls").success().stdout().contains("paused(2)"));
        desk.trice("unpause other").success();
        desk.wait_for("both to be heard of", || {
            desk.trice("pause other").success();
            desk.trice("unpause other").success();
            heard("pause") && heard("unpause")
        });
        rustix::process::kill_process(rustix::process::Pid::from_child(&listening), Signal::INT).unwrap();
        listening.wait().unwrap();
        assert_eq!(desk.trice("unpause").code(1).stderr().matches("Unpaused").count(), 1);
        assert!(!is_still());
        assert_eq!(desk.members("Health")["desk-one-1"], "healthy", "probes are held still too");
        desk.shell("one", "true");
        // Whoever is asked to end hears it.
        desk.trice("pause").success();
        desk.trice("stop one").success();
        assert_eq!(desk.members("ExitCode")["desk-one-1"], "7");
        assert_eq!(desk.states(), ["desk-one-1 exited", "desk-other-1 paused"]);
        desk.trice("start one").success();
        assert_eq!(desk.states(), ["desk-one-1 running", "desk-other-1 paused"]);
        desk.trice("kill other").success();
        desk.wait_for("its end", || desk.members("ExitCode")["desk-other-1"] == "137");
        assert!(
            desk.trice("pause other").success().stderr().contains("no container of project desk is running")
        );
        desk.trice("pause one").success();
        desk.trice("down").success();
        desk.must_be_gone();
    });
}

#[test]
fn what_is_just_being_started_again_is_stopped_too() {
    let restless = "name: restless\nservices:\n  flea:\n    image: rootfs:/\n    network_mode: none\n    \
        restart: always\n    scale: 30\n    volumes: ['./gate:/gate']\n    \
        command: sh -c 'test -e /gate/stay && exec sleep 1000'\n";
    scenario_of(restless, |scenario| {
        let gate = scenario.file().with_file_name("gate");
        fs::create_dir(&gate).unwrap();
        for round in 0..10 {
            scenario.trice("up -d").success();
            // Each moment is another one of the pauses between their starts.
            for _ in 0..round {
                scenario.states();
            }
            // From now on, whoever is started stays.
            fs::write(gate.join("stay"), "").unwrap();
            let stop = scenario.begin("stop --timeout 0");
            let are_at_rest = || scenario.states().iter().all(|state| state.ends_with(" exited"));
            scenario.wait_for(&format!("all to rest in round {round}"), are_at_rest);
            stop.wait().success();
            fs::remove_file(gate.join("stay")).unwrap();
        }
    });
}

#[test]
fn ports_and_projects_are_listed() {
    scenario(DESK, |desk| {
        desk.trice("up -d").success();
        let port = desk.trice("port clock 9000").success().stdout();
        assert!(port.starts_with("127.0.0.1:"), "{port}");
        assert_eq!(desk.trice("port --protocol udp clock 9001").success().stdout(), "127.0.0.1:9001\n");
        desk.trice("up -d --force-recreate").success();
        assert_eq!(desk.trice("port clock 9000").success().stdout(), port, "a port found once is kept");
        desk.trice("port clock 80").code(1);
        let projects = json(&desk.trice("ls --format json").success().stdout());
        assert_eq!(projects[0]["Name"], "desk");
        assert_eq!(projects[0]["Status"], "running(3)");
        assert_eq!(projects[0]["ConfigFiles"], desk.file().to_str().unwrap());
        desk.trice("stop talker").success();
        assert_eq!(
            json(&desk.trice("ls --format json").success().stdout())[0]["Status"],
            "exited(1), running(2)"
        );
        desk.trice("down").success();
        assert_eq!(json(&desk.trice("ls --all --format json").success().stdout()), json!([]));
    });
}

#[test]
fn what_needs_no_engine_starts_none() {
    scenario(DESK, |desk| {
        let version = env!("CARGO_PKG_VERSION");
        for (line, told) in [
            ("version", format!("trice version {version}\n")),
            ("--version", format!("trice version {version}\n")),
            ("version --short", format!("{version}\n")),
            ("version --format json", format!("{{\"version\":\"{version}\"}}\n")),
        ] {
            assert_eq!(desk.trice(line).success().stdout(), told, "{line}");
        }
        desk.trice("config").success();
        desk.trice("config --services").success();
        desk.trice("version").success();
        desk.trice("ps").success();
        desk.trice("ls").success();
        desk.trice("logs").success();
        desk.trice("down").success();
        assert!(!desk.data().exists() && !desk.run_directory().exists());
    });
}

#[test]
fn an_engine_leaves_though_containers_ended_under_their_probes() {
    let text = "
name: brief
services:
  web:
    image: rootfs:/
    command: sleep 0.3
    scale: 8
    healthcheck: { test: ['CMD', 'true'], interval: 5ms, start_period: 1h, start_interval: 5ms }
";
    scenario_of(text, |scenario| {
        scenario.trice("up -d").success();
        scenario.wait_for("all to end", || scenario.states().iter().all(|state| state.ends_with(" exited")));
        scenario.trice("down").success();
        scenario.must_be_gone();
    });
}
