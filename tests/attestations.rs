//! What builds state about their images: what they were made of, and which software is in them.

use std::fs;

use serde_json::Value;

use crate::build::{folder, outcomes, project, write};
use crate::build_cache::begin_anew;
use crate::registry::{Layout, Registry, run, skopeo};
use crate::scenario::Scenario;

/// A generator as BuildKit has them.
const GENERATOR: &str = r#"set -e
test "$BUILDKIT_SCAN_depth" = 3
! touch "$BUILDKIT_SCAN_SOURCE/new" 2> /dev/null
echo "looking at $(cat $BUILDKIT_SCAN_SOURCE/made)"
echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document",' > $BUILDKIT_SCAN_DESTINATION/a.spdx.json
echo "\"predicate\":{\"name\":\"$(cat $BUILDKIT_SCAN_SOURCE/made)\"}}" >> $BUILDKIT_SCAN_DESTINATION/a.spdx.json
"#;

/// Has an image execute its text.
const FROM_TEXT: &str = "--config.entrypoint=/bin/sh --config.entrypoint=/text --clear=config.cmd";

/// Runs `steps` with a registry that has a base and a generator whose program is `generator`, and with the name of the
/// image that is built. `more` is said of the build.
fn shop(generator: &str, more: &str, steps: impl FnOnce(&Scenario, &Registry, &str) + Send) {
    project("", "", |shop| {
        let registry = Registry::open(shop);
        let layouts = [("base", "text", "--config.workingdir=/"), ("generator", generator, FROM_TEXT)];
        for (name, text, options) in layouts {
            registry.fill(
                &Layout::new(shop, &format!("of-{name}"), text, options),
                "1",
                &format!("{name}:1"),
            );
        }
        let dockerfile =
            "FROM BASE\nARG COLOUR\nRUN --mount=type=secret,id=key echo \"made of $COLOUR\" > /made\n";
        write(shop, "Dockerfile", &dockerfile.replace("BASE", &registry.name("base:1")));
        let name = registry.name("shop/web:1");
        let text = fs::read_to_string(shop.file()).unwrap();
        let text = text.replace("    build:\n", &format!("    image: {name}\n    build:\n"));
        let more = more.replace("GENERATOR", &registry.name("generator:1"));
        shop.rewrite(&format!("{text}      args: {{ COLOUR: red }}\n{more}"));
        steps(shop, &registry, &name);
    });
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn raw(name: &str) -> Value {
    json(&skopeo(&format!("inspect --raw --tls-verify=false docker://{name}")))
}

/// Returns what is stated about the images of `name`: the manifest that it is stated of, and the statements.
fn stated(registry: &Registry, name: &str) -> Vec<(Value, Vec<Value>)> {
    let repository = name.rsplit_once(':').unwrap().0;
    let path = repository.split_once('/').unwrap().1;
    let index = raw(name);
    let of_attestations = index["manifests"].as_array().unwrap().iter().filter(|manifest| {
        manifest["annotations"]["vnd.docker.reference.type"] == "attestation-manifest"
            && manifest["platform"]["os"] == "unknown"
    });
    of_attestations
        .map(|manifest| {
            let document = raw(&format!("{repository}@{}", manifest["digest"].as_str().unwrap()));
            let statement = |layer: &Value| {
                assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
                let digest = layer["digest"].as_str().unwrap();
                let statement =
                    json(&run(&format!("curl -s http://{}/v2/{path}/blobs/{digest}", registry.host)));
                assert_eq!(statement["predicateType"], layer["annotations"]["in-toto.io/predicate-type"]);
                statement
            };
            let statements = document["layers"].as_array().unwrap().iter().map(statement).collect();
            (manifest["annotations"]["vnd.docker.reference.digest"].clone(), statements)
        })
        .collect()
}

#[test]
fn what_an_image_was_made_of_and_its_software_are_sent_with_it() {
    let more = "      provenance: true\n      sbom: generator=GENERATOR,depth=3\n";
    shop(GENERATOR, more, |shop, registry, name| {
        let told = shop.trice("build --push").success().stderr();
        assert!(told.contains("looking at made of red"), "{told}");
        let index = raw(name);
        let own = &index["manifests"][0];
        assert_eq!(own["platform"]["architecture"], "amd64");
        let all = stated(registry, name);
        let [(of, statements)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(*of, own["digest"]);
        let [software, provenance] = &statements[..] else { panic!("{statements:?}") };
        for statement in statements {
            let subject = &statement["subject"][0];
            assert_eq!(
                subject["name"],
                format!("pkg:docker/{name}@1?platform=linux%2Famd64").replace(":1@", "@")
            );
            assert_eq!(format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap()), own["digest"]);
        }
        assert_eq!(software["predicateType"], "https://spdx.dev/Document");
        assert_eq!(software["predicate"]["name"], "made of red");
        let made = &provenance["predicate"];
        let base = registry.inspect("base:1")["Digest"].as_str().unwrap().replace("sha256:", "");
        assert_eq!(made["materials"][0]["digest"]["sha256"], base);
        assert_eq!(made["materials"].as_array().unwrap().len(), 1, "{made}");
        let parameters = &made["invocation"]["parameters"];
        assert_eq!(parameters["args"]["build-arg:COLOUR"], "red");
        assert_eq!(parameters["secrets"][0]["id"], "key");
        assert!(made["buildConfig"]["dockerfile"].as_str().unwrap().contains("RUN --mount"), "{made}");

        // The second time nothing is done, and the same is sent, to the time when it was made.
        let again = shop.trice("build --push").success().stderr();
        assert!(outcomes(&again).iter().all(|outcome| *outcome == "CACH"), "{again}");
        assert_eq!(raw(name), index);

        // Less is stated of the same image if less is to be.
        shop.trice("build --push --provenance=mode=min,version=v1 --sbom=false").success();
        let (_, statements) = stated(registry, name).remove(0);
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0]["predicateType"], "https://slsa.dev/provenance/v1");
        assert!(!statements[0].to_string().contains("COLOUR"), "{}", statements[0]);

        // Who wants the image gets it, and an archive has the statements too.
        let id = shop.trice("image ls -q --no-trunc").success().stdout();
        let archive = shop.home().join("saved");
        shop.trice(&format!("image save --format oci -o {} {name}", archive.display())).success();
        let read = skopeo(&format!("inspect --raw oci-archive:{}:1", archive.display()));
        assert_eq!(json(&read), raw(name));
        begin_anew(shop);
        shop.trice(&format!("image pull -q {name}")).success();
        let found = shop.trice("image ls -q --no-trunc").success().stdout();
        assert!(id.contains(&found), "{found} of {id}");
        shop.trice(&format!("image rm {name}")).success();
        shop.trice(&format!("image load -i {}", archive.display())).success();
        assert_eq!(shop.trice("image ls -q --no-trunc").success().stdout(), found);
        // They are for those who get the image: it is none itself.
        shop.trice("build --provenance=false --push --sbom=false").success();
        assert!(raw(name)["manifests"].is_null());
    });
}

#[test]
fn a_generator_that_states_nothing_fails_the_build_and_says_what_it_wrote() {
    let programs = [
        ("echo oops; exit 3\n", "ended with code 3"),
        ("true\n", "the generator has put nothing into `/run/out`"),
        (
            "ln -s /etc/passwd /run/out/a.json\n",
            "the generator's `a.json`: Too many levels of symbolic links",
        ),
        ("echo no > /run/out/a.json\n", "the generator's `a.json`: it is no statement of in-toto"),
    ];
    shop(GENERATOR, "", |shop, registry, name| {
        let layout = Layout::new(shop, "failing", "", FROM_TEXT);
        for (number, (program, wanted)) in programs.into_iter().enumerate() {
            layout.change("2", program);
            let generator = format!("failing:{number}");
            registry.fill(&layout, "2", &generator);
            let told =
                shop.trice(&format!("build --sbom=generator={}", registry.name(&generator))).code(1).stderr();
            assert!(told.contains("build web: list the software of the image by"), "{told}");
            assert!(told.contains(wanted), "{wanted}: {told}");
            assert_eq!(told.contains("\n  oops"), program.contains("oops"), "{told}");
            assert!(!shop.trice("image ls").success().stdout().contains(name), "no half image");
        }
        let nowhere = shop.trice("build --sbom=generator=127.0.0.1:1/nothing").code(1).stderr();
        assert_eq!(nowhere.matches("Connection refused").count(), 1, "{nowhere}");
    });
}

#[test]
fn what_cannot_be_stated_is_a_mistake_with_its_place() {
    project("      provenance: mode=odd\n      sbom: x\n", "FROM BASE\n", |shop| {
        let told = shop.trice("build").code(1).stderr();
        for part in [
            "services.web.build.provenance: `odd` is not `min` or `max`",
            "services.web.build.sbom: `x` is no setting: write `true`, `false`, or `generator=IMAGE`",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let text = fs::read_to_string(folder(shop).join("compose.yaml")).unwrap();
        shop.rewrite(text.split("      provenance").next().unwrap());
        let told = shop.trice("build --provenance=colour=red").code(1).stderr();
        assert!(told.contains("`--provenance`: `colour` is no setting"), "{told}");
    });
}
