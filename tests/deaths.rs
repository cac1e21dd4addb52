//! Engine and keeper killed at any moment: no container, no line and no exit code is lost, and nothing is left.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trice_plan::realm::Realm;

use crate::scenario::{Scenario, get, run, scenario, scenario_of};

const HARBOUR: &str = "tests/scenarios/harbour/compose.yaml";
const ENGINE: &str = "trice-engine";
const KEEPER: &str = "trice-keeper";

/// How many engines, and how many keepers, are killed on the way of `up` and `down`.
const MOMENTS: u32 = 200;
const KEEPERS: u32 = 50;

/// A generator of moments, the same ones for the same seed (xorshift).
struct Moments(u64);

impl Moments {
    /// Returns a seed that `TRICE_TEST_SEED` gives, or another one each time.
    fn new() -> Self {
        let given = std::env::var("TRICE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 32 | 0x9e37_79b9);
        eprintln!("TRICE_TEST_SEED={seed} gives the same moments again");
        Self(seed)
    }

    /// Returns a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Everything runs and answers.
fn must_be_whole(harbour: &Scenario) {
    let states = harbour.states();
    let wanted =
        ["crane-1 running", "crane-2 running", "customs-1 exited", "pier-1 running", "pier-2 running"];
    assert_eq!(states, wanted.map(|state| format!("harbour-{state}")));
    assert_eq!(get(8090, "/mark").as_deref(), Some("afloat\n"));
    assert_eq!(harbour.shell("crane", "getent ahostsv4 pier | cut -d ' ' -f 1 | sort -u | wc -l"), "2\n");
}

#[test]
fn an_engine_killed_at_any_moment_of_up_and_down_leaves_nothing_undone() {
    scenario(HARBOUR, |harbour| {
        let mut moments = Moments::new();
        let (mut kills, mut rounds) = (0, 0);
        while kills < MOMENTS {
            rounds += 1;
            for line in ["up --wait", "down --timeout 0"] {
                kills += killed_on_the_way(harbour, line, ENGINE, &mut moments);
            }
            // Every so often it is looked whether all is there, and another engine asked the same.
            if rounds % 5 == 0 {
                harbour.trice("up --wait").success();
                must_be_whole(harbour);
                harbour.kill(ENGINE);
                must_be_whole(harbour);
                harbour.trice("down --timeout 0").success();
            }
        }
        harbour.trice("down --volumes").success();
        harbour.must_be_gone();
        eprintln!("{kills} engines killed in {rounds} rounds");
    });
}

#[test]
fn a_keeper_killed_at_any_moment_of_up_and_down_leaves_nothing_undone() {
    scenario(HARBOUR, |harbour| {
        let mut moments = Moments::new();
        let (mut kills, mut rounds) = (0, 0);
        while kills < KEEPERS {
            rounds += 1;
            kills += killed_on_the_way(harbour, "up --wait", KEEPER, &mut moments);
            must_be_whole(harbour);
            // What was made when there was no keeper outlives the engine too, and its end is seen.
            if rounds % 5 == 0 {
                harbour.kill(ENGINE);
                must_be_whole(harbour);
            }
            let began = || harbour.trice("exec -T crane awk {print$22} /proc/1/stat").stdout();
            let before = began();
            harbour.crash("harbour-crane-1");
            harbour.wait_for("its end to be seen, and another start", || {
                let now = began();
                !now.is_empty() && now != before
            });
            kills += killed_on_the_way(harbour, "down --timeout 0", KEEPER, &mut moments);
        }
        harbour.trice("down --volumes").success();
        harbour.must_be_gone();
        eprintln!("{kills} keepers killed in {rounds} rounds");
    });
}

/// Runs a command that must succeed though processes of this role die on its way. Returns how many did.
fn killed_on_the_way(harbour: &Scenario, line: &str, role: &str, moments: &mut Moments) -> u32 {
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = harbour.command(&arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut kills = 0;
    let mut next = Instant::now() + Duration::from_micros(moments.below(120_000));
    while child.try_wait().unwrap().is_none() {
        // At most a few for one command: it is given up where no engine lives long enough to do anything.
        if Instant::now() >= next && kills < 3 {
            kills += harbour.kill(role) as u32;
            next = Instant::now() + Duration::from_micros(moments.below(250_000));
        }
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line} after {kills} kills\n{said}\n{}", harbour.log());
    kills
}

#[test]
fn a_keeper_that_cannot_take_over_goes_before_another_one_does() {
    // Without probes: the end of each is something that the engine has to say to the keeper.
    let quiet = "name: harbour\nservices: { pier: { image: 'rootfs:/', command: sleep 1000, ports: [\"127.0.0.1:8090:80\"] } }\n";
    scenario_of(quiet, |harbour| {
        harbour.trice("up -d").success();
        let engine = harbour.processes(ENGINE)[0];
        // The first thing that the engine has the new keeper hold cannot be sent: before it, it asks what there is.
        let mut strace = Command::new("strace");
        strace.args([
            "--quiet=exit",
            "--trace=sendmsg",
            "--inject=sendmsg:error=EPIPE:when=2",
            "--output=/dev/null",
        ]);
        // Of its threads, the first one decides and hands over.
        let mut strace =
            strace.args(["--attach", &engine.to_string()]).stderr(Stdio::piped()).spawn().expect("strace");
        harbour.wait_for("strace to be attached", || {
            !fs::read_to_string(format!("/proc/{engine}/status")).unwrap().contains("TracerPid:\t0")
        });
        assert_eq!(harbour.kill(KEEPER), 1);
        harbour.wait_for("a handover that fails", || harbour.log().contains("hand over to the new keeper"));
        kill_process(Pid::from_raw(strace.id() as i32).unwrap(), Signal::INT).unwrap();
        strace.wait().unwrap();
        // Whatever is run in a container is the child of the keeper that there is at last. A second one would let go of
        // nothing, and start an engine of its own in the end.
        harbour.shell("pier", "true");
        assert_eq!(harbour.processes(KEEPER).len(), 1);
    });
}

#[test]
fn an_end_is_waited_for_by_one_however_many_keepers_have_died() {
    scenario(HARBOUR, |harbour| {
        harbour.trice("up --wait").success();
        for _ in 0..3 {
            harbour.kill(KEEPER);
            // Whatever is run in a container is the child of another keeper.
            must_be_whole(harbour);
        }
        let tasks = fs::read_dir(format!("/proc/{}/task", harbour.processes(ENGINE)[0])).unwrap().flatten();
        let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        assert_eq!(names.filter(|name| name == "foreign\n").count(), 4, "two cranes and two piers");
    });
}

#[test]
fn packet_filters_that_a_dead_engine_left_behind_go_with_the_next_one() {
    scenario(HARBOUR, |harbour| {
        let mark = Realm::new(&harbour.run_directory(), "").mark();
        // Killed between two of its steps, it leaves one of two tables, or a rule in a table of others.
        run("nft", &["add", "table", "bridge", &format!("{mark}-harbour")]);
        run("nft", &["add", "table", "inet", &format!("{mark}-gone")]);
        run("nft", &["add", "table", "ip", "others"]);
        run("nft", &["add", "chain ip others forward { type filter hook forward priority 0; policy drop; }"]);
        run("nft", &[&format!("add rule ip others forward iifname \"tr0*\" accept comment {mark}")]);
        harbour.trice("doctor");
        let ruleset = run("nft", &["list", "ruleset"]);
        assert!(ruleset.contains("others") && !ruleset.contains("trice-"), "{ruleset}");
        run("nft", &["delete", "table", "ip", "others"]);
        harbour.must_be_gone();
    });
}

#[test]
fn containers_outlive_engine_and_keeper_and_lose_no_line() {
    scenario(HARBOUR, |harbour| {
        harbour.trice("up --wait").success();
        let began = |service: &str| harbour.shell(service, "cut -d ' ' -f 22 /proc/1/stat");
        let before = ["pier", "crane"].map(began);
        for roles in [vec![ENGINE], vec![KEEPER], vec![ENGINE, KEEPER], vec![KEEPER, ENGINE]] {
            for role in &roles {
                assert_eq!(harbour.kill(role), 1, "one {role} runs");
                harbour.wait_for(&format!("another {role} among {roles:?}"), || {
                    harbour.processes(role).len() == 1
                });
            }
            must_be_whole(harbour);
            assert_eq!(["pier", "crane"].map(began), before, "after the death of {roles:?}");
        }
        // Each line that was counted up to now is there, once and in its order.
        harbour.trice("stop").success();
        let lines = harbour.trice("logs --no-log-prefix --index 1 crane").success().stdout();
        let numbers: Vec<usize> = lines.lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    });
}

#[test]
fn an_exit_code_is_known_whoever_died_before_or_meanwhile() {
    for roles in [vec![ENGINE], vec![KEEPER], vec![ENGINE, KEEPER], vec![KEEPER, ENGINE]] {
        scenario(HARBOUR, |harbour| {
            harbour.trice("up -d pier").success();
            let wait = "read word < /gate/open; exit 41";
            harbour.trice_with(&["run", "-d", "--name", "late", "customs", "sh", "-c", wait]).success();
            for role in &roles {
                harbour.kill(role);
            }
            harbour.shell("pier", "echo > /gate/open");
            harbour.wait_for("the end to be seen", || harbour.members("State")["late"] == "exited");
            assert_eq!(harbour.members("ExitCode")["late"], "41", "{roles:?}");
        });
    }
}

#[test]
fn what_is_run_in_a_container_outlives_its_engine() {
    scenario(HARBOUR, |harbour| {
        harbour.trice("up --wait").success();
        let mut exec = harbour.begin("exec -T pier sh -c echo\\ begun;cat");
        drop(exec.child.stdin.take());
        let _ = exec.wait();
        let mut cat = harbour.begin("exec -T pier cat");
        cat.write(b"first\n");
        cat.read_until("first\n");
        harbour.kill(ENGINE);
        cat.write(b"second\n");
        assert_eq!(cat.read_until("second\n"), "second\n");
        drop(cat.child.stdin.take());
        let _ = cat.wait();
    });
}

#[test]
fn a_service_that_crashes_while_nobody_keeps_it_is_started_again() {
    scenario(HARBOUR, |harbour| {
        harbour.trice("up --wait").success();
        // While it does not run there is no answer.
        let began = || {
            let words = ["exec", "-T", "--index", "1", "crane", "cut", "-d", " ", "-f", "22", "/proc/1/stat"];
            let ran = harbour.trice_with(&words);
            (ran.ended_with() == Some(0)).then(|| ran.stdout())
        };
        let before = began().expect("it runs");
        harbour.kill(KEEPER);
        harbour.crash("harbour-crane-1");
        harbour.wait_for("another run", || began().is_some_and(|now| now != before));
        must_be_whole(harbour);
    });
}
