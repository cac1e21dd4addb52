//! What builds may use again: it stays when images go, takes a known room, and goes when it should.

use std::fs;

use serde_json::Value;

use crate::build::{outcomes, project, write};
use crate::scenario::Scenario;

/// A stage whose layers no image has: two of as many bytes as `src/file` has.
const STAGED: &str = "FROM BASE AS tools\nCOPY src/ /src/\nRUN cat /src/file > /tool\n\
    FROM BASE\nCOPY --from=tools /src/name /name\nCMD [\"sleep\", \"1000\"]\n";

/// Builds with other files, and returns what became of each step.
fn build(shop: &Scenario, name: &str) -> Vec<String> {
    write(shop, "src/file", &name.repeat(1_000_000));
    write(shop, "src/name", name);
    let told = shop.trice("build").success().stderr();
    outcomes(&told).into_iter().map(str::to_owned).collect()
}

/// Returns the row of `system df` about builds.
fn row(shop: &Scenario) -> Value {
    let rows = shop.trice("system df --format json").success().stdout();
    let mut rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    rows.find(|row| row["Type"] == "Build Cache").unwrap()
}

fn is_cached(outcomes: &[String]) -> bool {
    outcomes.iter().all(|outcome| outcome == "CACH")
}

#[test]
fn what_builds_may_use_again_stays_when_images_go_and_goes_when_that_is_asked_for() {
    project("", STAGED, |shop| {
        build(shop, "a");
        assert!(row(shop)["Size"].as_str().unwrap().starts_with("2MB"), "two layers: {}", row(shop));
        shop.trice("image rm shop-web").success();
        shop.trice("image prune -af").success();
        assert!(is_cached(&build(shop, "a")), "an image gone is no reason to build");
        let pruned = shop.trice("builder prune -f").success().stdout();
        assert!(pruned.starts_with("Total:\t"), "{pruned}");
        assert_eq!(row(shop)["Size"], "0B");
        // The layers of the image are here: what made them needs no other look but at the files of the stage.
        assert_eq!(build(shop, "a"), ["CACH", "DONE", "DONE", "CACH"]);
        shop.trice("up -d").success();
        shop.trice("system prune -af").success();
        assert_eq!(shop.shell("web", "cat /name"), "a", "what a container has stays");
        shop.trice("down").success();
        shop.trice("system prune -af").success();
        assert_eq!(fs::read_dir(shop.data().join("layers")).unwrap().count(), 0, "nothing is left");
    });
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first() {
    project("", STAGED, |shop| {
        for name in ["a", "b", "c"] {
            build(shop, name);
        }
        shop.trice("builder prune -f --keep-storage 4100kb").success();
        assert!(is_cached(&build(shop, "c")) && is_cached(&build(shop, "b")));
        assert_eq!(build(shop, "a"), ["CACH", "DONE", "DONE", "CACH"]);
        shop.trice("builder prune -f --filter until=1h").success();
        assert!(is_cached(&build(shop, "a")), "it was used a moment ago");
    });
}

#[test]
fn a_folder_that_a_step_has_stays_until_nobody_has_it() {
    let dockerfile = "FROM BASE\nRUN --mount=type=cache,target=/c echo kept > /c/file && sleep 1000\n";
    project("", dockerfile, |shop| {
        let executes = || shop.traces().iter().any(|trace| trace.contains("sleep 1000"));
        let step = shop.begin("build");
        shop.wait_for("the command to run", executes);
        let files = || {
            let all = fs::read_dir(shop.data().join("build/caches")).unwrap().flatten();
            all.filter(|entry| entry.path().join("file").is_file()).count()
        };
        shop.trice("builder prune -f").success();
        assert_eq!(files(), 1);
        step.signal(rustix::process::Signal::INT);
        step.wait();
        shop.wait_for("the command to end", || !executes());
        shop.wait_for("the folder to be free", || row(shop)["Active"] == "0");
        shop.trice("builder prune -f").success();
        assert_eq!(files(), 0);
    });
}
