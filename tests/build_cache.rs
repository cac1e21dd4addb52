//! What one machine has built, another one finds: in a registry, a folder, or an image.

use std::fs;

use crate::build::{folder, outcomes, project, write};
use crate::registry::Registry;
use crate::scenario::Scenario;

/// A stage that the image takes one file of, and its own steps. What lies on a folder of this machine is no use to others:
/// all begin with a copy of it.
const DOCKERFILE: &str = "FROM scratch AS base\nCOPY --from=BASE / /\n\
    FROM base AS tools\nCOPY src/ /src/\nRUN cat /src/file > /tool\n\
    FROM base\nCOPY --from=tools /tool /tool\nRUN echo \"made of $(cat /tool)\" > /made\nCMD [\"sleep\", \"1000\"]\n";

/// Puts `lines` into the section `build`.
fn say(shop: &Scenario, lines: &str) {
    let text = fs::read_to_string(shop.file()).unwrap();
    let (before, _) = text.split_once("      context: .\n").unwrap();
    shop.rewrite(&format!("{before}      context: .\n{lines}"));
}

/// Has the next engine know nothing of what was built.
pub(crate) fn begin_anew(shop: &Scenario) {
    shop.trice("down").success();
    let is_gone = |role: &str| shop.processes(role).is_empty();
    shop.wait_for("the engine to leave", || is_gone("trice-engine") && is_gone("trice-keeper"));
    let _ = fs::remove_dir_all(shop.data()); // there is none before the first build
}

/// Builds and returns what became of each step, and the image's id.
fn build(shop: &Scenario) -> (Vec<String>, String) {
    let told = shop.trice("build").success().stderr();
    let id = shop.trice("image ls -q --no-trunc").success().stdout();
    (outcomes(&told).into_iter().map(str::to_owned).collect(), id)
}

/// The first is the folder itself.
const ALL_DONE: [&str; 6] = ["CACH", "DONE", "DONE", "DONE", "DONE", "DONE"];
const ALL_CACHED: [&str; 6] = ["CACH"; 6];

/// A cache of all steps, from `to` to `from`, is worth a build.
fn is_worth_a_build(shop: &Scenario, to: &str, from: &str) {
    write(shop, "src/file", "one");
    say(shop, &format!("      cache_from: ['{from}']\n      cache_to: ['{to},mode=max']\n"));
    let (first, image) = build(shop);
    assert_eq!(first, ALL_DONE);
    begin_anew(shop);
    let (second, same) = build(shop);
    assert_eq!(second, ALL_CACHED);
    assert_eq!(same, image, "the same image, to the time");
    shop.trice("up -d").success();
    assert_eq!(shop.shell("web", "cat /made"), "made of one\n");
    write(shop, "src/file", "two");
    assert_eq!(build(shop).0, ["CACH", "CACH", "DONE", "DONE", "DONE", "DONE"], "what changed is done");
    begin_anew(shop);
    assert_eq!(build(shop).0, ALL_CACHED, "and sent");
}

#[test]
fn a_cache_in_a_folder_is_worth_a_build() {
    project("", DOCKERFILE, |shop| {
        is_worth_a_build(shop, "type=local,dest=cache", "type=local,src=cache");
    });
}

#[test]
fn a_cache_in_a_registry_is_worth_a_build() {
    project("", DOCKERFILE, |shop| {
        let registry = Registry::open(shop);
        let name = registry.name("shop/cache:steps");
        is_worth_a_build(shop, &format!("type=registry,ref={name}"), &name);
    });
}

#[test]
fn an_image_brings_the_steps_of_its_own_layers() {
    project("", DOCKERFILE, |shop| {
        let registry = Registry::open(shop);
        let name = registry.name("shop/web:1");
        write(shop, "src/file", "one");
        say(
            shop,
            &format!("      cache_from: ['{name}']\n      cache_to: [type=inline]\n      tags: ['{name}']\n"),
        );
        let told = shop.trice("build").success().stderr();
        assert!(told.contains(&format!("the cache `{name}` cannot be had")), "{told}");
        shop.trice_with(&["image", "push", &name]).success();
        begin_anew(shop);
        // The file that is copied must be made to be compared; the stage that makes it is no part of the image.
        let (outcomes, _) = build(shop);
        assert_eq!(outcomes.iter().filter(|word| *word == "CACH").count(), 4, "{outcomes:?}");
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /made"), "made of one\n");
    });
}

#[test]
fn a_cache_that_cannot_be_written_fails_the_build_unless_that_is_said() {
    project("", "FROM BASE\nCMD x\n", |shop| {
        let nowhere = "type=registry,ref=127.0.0.1:1/shop/cache";
        say(shop, &format!("      cache_to: ['{nowhere}']\n"));
        let told = shop.trice("build").code(1).stderr();
        assert!(told.contains("build web: write the cache `127.0.0.1:1/shop/cache:latest`"), "{told}");
        assert!(!shop.trice("image ls").success().stdout().contains("shop-web"), "no image is left of it");
        say(shop, &format!("      cache_to: ['{nowhere},ignore-error=true']\n"));
        let told = shop.trice("build").success().stderr();
        assert!(told.contains("was not written"), "{told}");
    });
}

#[test]
fn what_a_cache_cannot_be_is_told_with_its_place() {
    project("", "FROM BASE\nCMD x\n", |shop| {
        say(shop, "      cache_from: [type=local]\n      cache_to: ['type=inline,mode=most']\n");
        let told = shop.trice("build").code(1).stderr();
        for part in [
            "services.web.build.cache_from[0]: `type=local` is not `type=local` with `src=FOLDER`",
            "services.web.build.cache_to[0]: `most` is not `min` or `max`",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        say(
            shop,
            "      cache_from: [type=gha]\n      cache_to: ['type=local,dest=c,compression=zstd,mood=good']\n",
        );
        let told = shop.trice("build").success().stderr();
        for part in ["a cache of type `gha` is not honoured yet", "`compression` of a cache", "no `mood`"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    });
}

#[test]
fn a_cache_that_is_damaged_costs_time_and_nothing_else() {
    project("", DOCKERFILE, |shop| {
        write(shop, "src/file", "one");
        say(
            shop,
            "      cache_from: ['type=local,src=cache']\n      cache_to: ['type=local,dest=cache,mode=max']\n",
        );
        assert_eq!(build(shop).0, ALL_DONE);
        for entry in fs::read_dir(folder(shop).join("cache/blobs/sha256")).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            if bytes.starts_with(&[0x1f, 0x8b]) {
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(path, bytes).unwrap();
            }
        }
        begin_anew(shop);
        let told = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&told), ALL_DONE, "{told}");
        assert!(told.contains("the cache `"), "{told}");
    });
}
