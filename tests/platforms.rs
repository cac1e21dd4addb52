//! Images for several platforms: built at once, and one name for all of them.

use std::fs;

use serde_json::{Value, json};

use crate::build::{folder, outcomes, project, write};
use crate::build_cache::begin_anew;
use crate::registry::{Registry, run, skopeo};
use crate::scenario::Scenario;

/// A stage that this machine carries out makes something for others: what does not depend on them, once.
const DOCKERFILE: &str = "FROM --platform=$BUILDPLATFORM BASE AS tools\n\
    COPY src/ /src/\n\
    RUN echo \"once of $(cat /src/file)\" > /shared\n\
    ARG TARGETPLATFORM\n\
    RUN echo \"for $TARGETPLATFORM, $(cat /shared)\" > /made\n\
    FROM scratch\n\
    COPY --from=tools /made /made\n\
    ENTRYPOINT [\"/made\"]\n";

/// Has `web` built for a machine like this one and for another kind, with a name in `registry`.
fn for_two(shop: &Scenario, registry: &Registry) -> String {
    write(shop, "src/file", "one");
    let name = registry.name("shop/web:1");
    let text = fs::read_to_string(shop.file()).unwrap();
    let platforms = "      platforms: [linux/amd64, linux/arm64]\n";
    let text = text.replace("    build:\n", &format!("    image: {name}\n    build:\n"));
    shop.rewrite(&format!("{text}{platforms}"));
    name
}

#[test]
fn images_for_several_platforms_are_built_at_once_and_sent_under_one_name() {
    project("", DOCKERFILE, |shop| {
        let registry = Registry::open(shop);
        let name = for_two(shop, &registry);
        let told = shop.trice("build --push").success().stderr();
        assert_eq!(told.matches("RUN echo \"once").count(), 1, "{told}");
        assert_eq!(told.matches("RUN echo \"for").count(), 2, "{told}");
        assert!(told.contains("[linux/arm64 stage-1 1/1] COPY"), "{told}");
        assert_eq!(told.lines().filter(|line| line.starts_with("built sha256:")).count(), 2, "{told}");

        // Others find one for each.
        let index: Value =
            serde_json::from_str(&skopeo(&format!("inspect --raw --tls-verify=false docker://{name}")))
                .unwrap();
        let platforms: Vec<Value> =
            index["manifests"].as_array().unwrap().iter().map(|one| one["platform"].clone()).collect();
        let of = |architecture: &str| json!({ "architecture": architecture, "os": "linux" });
        assert_eq!(platforms, [of("amd64"), of("arm64")]);
        for architecture in ["amd64", "arm64"] {
            let layout = shop.home().join(architecture);
            skopeo(&format!(
                "--override-arch {architecture} copy --src-tls-verify=false docker://{name} oci:{}:1",
                layout.display()
            ));
            let bundle = shop.home().join(format!("{architecture}-files"));
            run(&format!("umoci unpack --image {}:1 {}", layout.display(), bundle.display()));
            let made = fs::read_to_string(bundle.join("rootfs/made")).unwrap();
            assert!(made.starts_with(&format!("for linux/{architecture}, ")), "{made}");
            assert!(made.ends_with(", once of one\n"), "{made}");
        }

        // The second time nothing is done, and the same is sent.
        let again = shop.trice("build --push").success().stderr();
        assert!(outcomes(&again).iter().all(|outcome| *outcome == "CACH"), "{again}");
        let same = skopeo(&format!("inspect --raw --tls-verify=false docker://{name}"));
        assert_eq!(serde_json::from_str::<Value>(&same).unwrap(), index);

        // All that is done with the name is done with both.
        let other = registry.name("shop/web:2");
        shop.trice(&format!("image tag {name} {other}")).success();
        shop.trice(&format!("image rm {name}")).success();
        shop.trice(&format!("image push -q {other}")).success();
        let same = skopeo(&format!("inspect --raw --tls-verify=false docker://{other}"));
        assert_eq!(serde_json::from_str::<Value>(&same).unwrap(), index);
        let archive = shop.home().join("both");
        shop.trice(&format!("image save --format oci -o {} {other}", archive.display())).success();
        let saved = skopeo(&format!("inspect --raw oci-archive:{}:2", archive.display()));
        assert_eq!(serde_json::from_str::<Value>(&saved).unwrap(), index);
        // One platform alone can be sent, and removed.
        shop.trice(&format!("image push -q --platform linux/arm64 {other}")).success();
        let one = registry.inspect("shop/web:2");
        assert_eq!(one["Architecture"], "arm64");
        let digest = one["Digest"].as_str().unwrap();
        let by_digest = format!("image inspect {}@{digest}", registry.name("shop/web"));
        let found = shop.trice(&by_digest).success().stdout();
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap()[0]["Architecture"], "arm64", "{found}");
        let ids = || shop.trice("image ls -q").success().stdout().lines().count();
        assert_eq!(ids(), 2);
        shop.trice(&format!("image rm --platform linux/arm64 {other}")).success();
        assert_eq!(ids(), 1);
        shop.trice(&format!("image rm {other}")).success();
        assert_eq!(ids(), 0);
    });
}

#[test]
fn a_cache_has_the_steps_for_all_platforms() {
    // What lies on a folder of this machine is in no cache.
    let dockerfile = DOCKERFILE.replace(
        "BASE AS tools",
        "BASE AS base\nFROM --platform=$BUILDPLATFORM scratch AS tools\nCOPY --from=base / /",
    );
    project("", &dockerfile, |shop| {
        let registry = Registry::open(shop);
        let name = for_two(shop, &registry);
        let text = fs::read_to_string(shop.file()).unwrap();
        for (to, from, known) in [
            // The image's own steps, one for each; what the stage makes of files must be made to be compared.
            ("type=inline", name.clone(), 2),
            ("type=local,dest=cache,mode=max", "type=local,src=cache".to_owned(), 7),
        ] {
            shop.rewrite(&format!("{text}      cache_to: ['{to}']\n      cache_from: ['{from}']\n"));
            begin_anew(shop);
            shop.trice("build --push").success();
            begin_anew(shop);
            let again = shop.trice("build").success().stderr();
            let cached = outcomes(&again).iter().filter(|outcome| **outcome == "CACH").count();
            // The folder that the stage begins with is always there.
            assert_eq!(cached, 1 + known, "{to}: {again}");
        }
    });
}

#[test]
fn what_is_about_to_run_is_built_for_this_machine_alone() {
    project("", DOCKERFILE, |shop| {
        let registry = Registry::open(shop);
        for_two(shop, &registry);
        let told = shop.trice("create").success().stderr();
        assert_eq!(told.matches("RUN echo \"for").count(), 1, "{told}");
        assert!(!told.contains("arm64"), "{told}");
    });
}

#[test]
fn a_service_has_the_image_of_its_platform() {
    // Nothing in it is a program of another processor: it can be started.
    let dockerfile = "FROM scratch\nCOPY --from=BASE / /\nARG TARGETARCH\nCOPY src/$TARGETARCH /text\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        let registry = Registry::open(shop);
        let name = for_two(shop, &registry);
        for architecture in ["amd64", "arm64"] {
            write(shop, &format!("src/{architecture}"), architecture);
        }
        let built = fs::read_to_string(shop.file()).unwrap();
        shop.rewrite(&built.replace("    build:\n", "    platform: linux/arm64\n    build:\n"));
        let told = shop.trice("up -d").success().stderr();
        assert!(told.contains("[linux/arm64 1/2] COPY") && !told.contains("[1/2] COPY"), "{told}");
        assert_eq!(shop.shell("web", "cat /text"), "arm64");
        let ids = shop.ids();
        let again = shop.trice("up -d").success().stderr();
        assert!(!again.contains("COPY"), "it is here: {again}");
        assert_eq!(shop.ids(), ids);
        shop.trice("build --push").success();

        begin_anew(shop);
        let service =
            |more: &str| format!("{{ image: '{name}', network_mode: none, stop_grace_period: 0s{more} }}");
        let (own, other) = (service(""), service(", platform: linux/arm64"));
        shop.rewrite(&format!("name: shop\nservices:\n  own: {own}\n  other: {other}\n"));
        let plan = shop.trice("plan").success().stdout();
        assert!(plan.contains(&format!("fetch image {name} for linux/arm64")), "{plan}");
        shop.trice("pull -q").success();
        let told = shop.trice("up -d").success().stderr();
        assert!(!told.contains("Pull"), "both are here: {told}");
        assert_eq!(
            (shop.shell("own", "cat /text"), shop.shell("other", "cat /text")),
            ("amd64".into(), "arm64".into())
        );
        shop.rewrite(&format!("name: shop\nservices:\n  own: {}\n", service(", platform: linux/riscv64")));
        let told = shop.trice("up -d").code(1).stderr();
        assert!(told.contains("linux/riscv64") && told.contains("linux/amd64"), "{told}");
        shop.rewrite(&format!("name: shop\nservices:\n  own: {}\n", service(", platform: a b")));
        let told = shop.trice("up -d").code(1).stderr();
        assert!(told.contains("services.own.platform: `a b` is not a platform"), "{told}");
    });
}

#[test]
fn a_command_of_another_processor_is_refused_with_what_is_missing() {
    let dockerfile = "FROM scratch\nCOPY program /bin/sh\nRUN echo hello\n";
    project("      platforms: [linux/s390x]\n", dockerfile, |shop| {
        // The beginning of a program for that processor, as the kernel reads it.
        let mut program = vec![0; 64];
        program[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
        program[16..20].copy_from_slice(&[0, 2, 0, 22]);
        let path = folder(shop).join("program");
        fs::write(&path, program).unwrap();
        run(&format!("chmod 755 {}", path.display()));
        let told = shop.trice("build").code(1).stderr();
        assert!(told.contains("Dockerfile:3: "), "{told}");
        assert!(told.contains("linux/s390x") && told.contains("qemu-user-static"), "{told}");
    });
}
