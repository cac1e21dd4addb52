//! Many containers, many times; several commands at once.

use std::collections::BTreeMap;
use std::fs;

use crate::scenario::{Scenario, scenario, scenario_of};

const HARBOUR: &str = "tests/scenarios/harbour/compose.yaml";

/// How many services come up, and how often.
const SERVICES: usize = 100;
const ROUNDS: usize = 20;

/// The processes that stay between the rounds.
const ROLES: [&str; 2] = ["trice-engine", "trice-keeper"];

fn crowd() -> String {
    let service = |number| {
        format!("  s{number}: {{ image: 'rootfs:/', command: sleep 1000, depends_on: [s{}] }}\n", number / 2)
    };
    let services: String = (1..SERVICES).map(service).collect();
    format!("name: crowd\nservices:\n  s0: {{ image: 'rootfs:/', command: sleep 1000 }}\n{services}")
}

/// What the engine and the keeper take of the machine: their descriptors and their memory in kB.
fn taken(scenario: &Scenario) -> BTreeMap<&'static str, (usize, u64)> {
    let of = |role| {
        let [pid] = scenario.processes(role)[..] else { panic!("one {role} runs") };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        (descriptors, line.trim().trim_end_matches(" kB").parse().unwrap())
    };
    ROLES.map(|role| (role, of(role))).into()
}

/// Files of the engine's, other than its log.
fn files(scenario: &Scenario) -> usize {
    trice_test::traces::files(&scenario.data()).len()
        + trice_test::traces::files(&scenario.run_directory()).len()
}

#[test]
fn a_hundred_services_come_and_go_twenty_times_and_nothing_grows() {
    scenario_of(&crowd(), |scenario| {
        // A project that stays between the rounds, so that the same engine and keeper do all of them.
        let witness = scenario.home().join("witness.yaml");
        fs::write(&witness, "name: witness\nservices: { w: { image: 'rootfs:/', command: sleep 1000 } }\n")
            .unwrap();
        let witness = |words: &[&str]| {
            let file = ["-f", witness.to_str().unwrap()];
            scenario.trice_with(&[&file, words].concat()).success();
        };
        witness(&["up", "-d"]);
        let folder = |name: &str| trice_test::traces::files(&scenario.home().join(name)).len();
        let alone = folder("data/containers");
        let mut settled = None;
        for round in 0..ROUNDS {
            scenario.trice("up -d").success();
            assert_eq!(scenario.trice("ps -q").success().stdout().lines().count(), SERVICES);
            scenario.trice("down --timeout 0").success();
            scenario.wait_for("what was thrown away to be gone", || {
                folder("data/trash") == 0 && folder("data/containers") == alone
            });
            let Some((taken_before, files_before)) = &settled else {
                settled = (round == 4).then(|| (taken(scenario), files(scenario)));
                continue;
            };
            // What is still on its way out of the last round goes within its time, and memory a moment after that.
            scenario.wait_for("no more files, descriptors and memory than before", || {
                let now = taken(scenario);
                let no_more = |role: &&str| {
                    let ((descriptors, kib), (descriptors_before, before)) =
                        (now[*role], taken_before[*role]);
                    // What an allocator keeps for later is no growth.
                    descriptors <= descriptors_before && kib <= before + before / 4 + 1024
                };
                ROLES.iter().all(no_more) && files(scenario) == *files_before
            });
        }
        witness(&["down", "--timeout", "0"]);
        scenario.must_be_gone();
    });
}

#[test]
fn two_that_want_the_same_at_once_both_get_it() {
    scenario(HARBOUR, |harbour| {
        for _ in 0..3 {
            let both = [harbour.begin("up --wait"), harbour.begin("up --wait")];
            for up in both {
                up.wait().success();
            }
            let names: Vec<String> = harbour.ids().into_keys().collect();
            assert_eq!(names.len(), 5, "{names:?}");
            harbour.trice("down --timeout 0").success();
            harbour.wait_for("no container", || harbour.states().is_empty());
        }
    });
}

#[test]
fn a_down_in_the_middle_of_an_up_wins_and_the_up_is_told() {
    scenario(HARBOUR, |harbour| {
        for number in 0..10 {
            let up = harbour.begin("up --wait");
            // Each time a little later on its way.
            harbour.wait_for("some containers", || harbour.states().len() > number % 4);
            harbour.trice("down --timeout 0").success();
            let up = up.wait();
            if up.ended_with() != Some(0) {
                assert_eq!(up.ended_with(), Some(1));
                assert!(up.stderr().contains("another request took over: down"), "{}", up.stderr());
            }
            assert!(harbour.states().is_empty(), "{:?}", harbour.states());
        }
        harbour.trice("down --volumes").success();
        harbour.must_be_gone();
    });
}

#[test]
fn two_projects_share_an_engine_and_nothing_else() {
    let text = |name: &str| {
        format!(
            "name: {name}\nservices:\n  web: {{ image: 'rootfs:/', command: sleep 1000, init: true, stop_grace_period: 1s }}\n"
        )
    };
    scenario_of(&text("one"), |scenario| {
        scenario.trice("up -d").success();
        let other = scenario.home().join("other.yaml");
        fs::write(&other, text("two")).unwrap();
        let other = other.to_str().unwrap();
        scenario.trice_with(&["-f", other, "up", "-d"]).success();
        let names = scenario.trice("ls -q").success().lines();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["one", "two"]);
        let known = scenario.shell("web", "getent hosts two-web-1 || echo unknown");
        assert_eq!(known, "unknown\n");
        let address =
            scenario.trice_with(&["-f", other, "exec", "-T", "web", "hostname", "-I"]).success().stdout();
        let script = format!("ping -c 1 -W 1 {} > /dev/null || echo silence", address.trim());
        assert_eq!(scenario.shell("web", &script), "silence\n");
        scenario.trice("down").success();
        assert_eq!(scenario.trice("ls -q").success().stdout(), "two\n");
        scenario.trice_with(&["-f", other, "down"]).success();
    });
}
