//! Images: from registries and to them, in use and out of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::registry::{Layout, Registry, run, skopeo};
use crate::scenario::{Ran, Scenario, scenario_of};

/// A project with one service of an image that the registry has.
fn project(image: &str) -> String {
    format!(
        "name: shop\nservices:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 0s\n"
    )
}

/// Runs `steps` with a registry that has `app:1`, and a project that wants it.
fn shop(steps: impl FnOnce(&Scenario, &Registry, &Layout) + Send) {
    scenario_of(&project("nothing"), |shop| {
        let registry = Registry::open(shop);
        let layout = Layout::new(shop, "layout", "one", "--config.label=tier=front");
        registry.fill(&layout, "1", "app:1");
        shop.rewrite(&project(&registry.name("app:1")));
        steps(shop, &registry, &layout);
    });
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout()).expect("JSON")
}

fn text(shop: &Scenario) -> String {
    shop.shell("web", "cat /text")
}

#[test]
fn up_pulls_what_is_not_here_and_nothing_that_is() {
    shop(|shop, registry, _| {
        let name = registry.name("app:1");
        let plan = shop.trice("plan").success().stdout();
        assert!(plan.contains(&format!("fetch image {name}")), "{plan}");
        let first = shop.trice("up -d").success().stderr();
        assert!(first.contains(&format!(" Image {name}  Pulled\n")), "{first}");
        assert_eq!(text(shop), "one");
        let again = shop.trice("up -d --force-recreate").success().stderr();
        assert!(!again.contains("Image"), "{again}");
        let quiet = shop.trice("up -d --force-recreate --pull always --quiet-pull").success().stderr();
        assert!(!quiet.contains("Image"), "{quiet}");
        let hurried = shop.trice("--progress json up -d --force-recreate --pull always").success().stderr();
        assert!(hurried.contains(r#""status":"Done","text":"Pulled""#), "{hurried}");
        let images = shop.trice("images --format json").success();
        assert_eq!(json(&images)[0]["ContainerName"], "shop-web-1");
        assert_eq!(json(&images)[0]["Repository"], registry.name("app"));
    });
}

#[test]
fn a_service_gets_the_new_image_of_its_tag_when_its_policy_says_so() {
    shop(|shop, registry, layout| {
        let with = |policy: &str| {
            shop.rewrite(&format!("{}    pull_policy: {policy}\n", project(&registry.name("app:1"))));
            shop.trice("up -d")
        };
        let refused = with("never").code(1).stderr();
        assert!(refused.contains("`pull_policy: never` forbids to fetch it"), "{refused}");
        with("missing").success();
        let id = shop.ids();
        layout.change("2", "two");
        registry.fill(layout, "2", "app:1");
        for policy in ["missing", "if_not_present", "never", "daily", "weekly", "every_12h"] {
            with(policy).success();
            assert_eq!((shop.ids(), text(shop).as_str()), (id.clone(), "one"), "{policy}");
        }
        with("every_1ms").success();
        assert_eq!(text(shop), "two");
        layout.change("3", "three");
        registry.fill(layout, "3", "app:1");
        with("always").success();
        assert_eq!(text(shop), "three");
        let id = shop.ids();
        with("always").success();
        assert_eq!(shop.ids(), id, "the same image makes no other container");
    });
}

#[test]
fn pull_fetches_what_the_services_name_and_says_what_it_could_not() {
    shop(|shop, registry, _| {
        let (there, gone) = (registry.name("app:1"), registry.name("gone:1"));
        let services =
            [("web", &there, "depends_on: [db]"), ("db", &gone, ""), ("own", &gone, "pull_policy: never")];
        let services =
            services.map(|(name, image, more)| format!("  {name}: {{ image: '{image}', {more} }}\n"));
        shop.rewrite(&format!("name: shop\nservices:\n{}", services.concat()));
        let failed = shop.trice("pull").code(1);
        assert!(failed.stderr().contains(&format!("error: pull `{gone}`")), "{}", failed.stderr());
        assert!(failed.stderr().contains(&format!(" Image {there}  Pulled")), "{}", failed.stderr());
        shop.trice("image rm").code(1);
        shop.trice(&format!("image rm {there}")).success();
        shop.trice("pull web").success();
        shop.trice("pull --include-deps web").code(1);
        let ignored = shop.trice("pull --ignore-pull-failures").success().stderr();
        assert!(ignored.contains(&format!("warning: pull `{gone}`")), "{ignored}");
        assert_eq!(shop.trice("pull -q web").success().stderr(), "");
        let plain = shop.trice("pull --policy missing web").success().stderr();
        assert!(!plain.contains("Pull"), "{plain}");
        let dry = shop.trice("--dry-run pull web").success().stdout();
        assert_eq!(dry, format!("pull image {there}\n"));
    });
}

#[test]
fn an_image_gets_another_name_and_is_sent_where_that_says() {
    shop(|shop, registry, _| {
        let (one, two) = (registry.name("app:1"), registry.name("team/shop:2"));
        assert_eq!(shop.trice(&format!("image pull {one}")).success().stdout(), format!("{one}\n"));
        assert_eq!(shop.trice(&format!("image tag {one} {two}")).success().stdout(), "");
        let pushed = shop.trice(&format!("image push {two}")).success();
        let there = registry.inspect("team/shop:2");
        assert_eq!(pushed.stdout(), format!("{two}: digest: {}\n", there["Digest"].as_str().unwrap()));
        assert_eq!(there["Layers"], registry.inspect("app:1")["Layers"]);
        assert_eq!(shop.trice(&format!("image push -q {two}")).success().stdout(), format!("{two}\n"));
        shop.trice("image push nothing:1").code(1);
        shop.trice("image tag nothing:1 x").code(1);
        let digest = format!("{}@{}", registry.name("team/shop"), there["Digest"].as_str().unwrap());
        shop.trice(&format!("image rm {one} {two}")).success();
        assert_eq!(shop.trice("image ls -q").success().stdout(), "");
        shop.trice(&format!("image pull {digest}")).success();
        let listed = shop.trice("image ls --digests --format json").success();
        assert_eq!(json(&listed)["Digest"], there["Digest"]);
    });
}

#[test]
fn images_are_shown_as_docker_shows_them() {
    shop(|shop, registry, _| {
        let name = registry.name("app:1");
        shop.trice("up -d").success();
        let row = json(&shop.trice("image ls --format json").success());
        assert_eq!((&row["Repository"], &row["Tag"]), (&registry.name("app").into(), &"1".into()));
        assert_eq!(row["Containers"], "1");
        let whole = shop.trice("image ls -q --no-trunc").success().stdout();
        let all = json(&shop.trice(&format!("image inspect {name}")).success());
        assert_eq!(format!("{}\n", all[0]["Id"].as_str().unwrap()), whole);
        assert_eq!(all[0]["RepoTags"][0], name.as_str());
        assert_eq!(all[0]["Config"]["Cmd"], serde_json::json!(["sleep", "1000"]));
        assert_eq!(all[0]["Config"]["Labels"]["tier"], "front");
        assert_eq!(all[0]["RootFS"]["Layers"].as_array().unwrap().len(), 2);
        let id = shop.trice(&format!("image inspect --format {{{{.Id}}}} {name}")).success().stdout();
        assert_eq!(id, whole);
        let partly = shop.trice(&format!("image inspect nothing {name}")).code(1);
        assert_eq!(json(&partly).as_array().unwrap().len(), 1);
        assert!(partly.stderr().contains("there is no image `nothing` here"), "{}", partly.stderr());
        let history = shop.trice(&format!("image history --format json {name}")).success().stdout();
        assert_eq!(history.lines().count(), 3, "{history}");
    });
}

#[test]
fn what_a_container_uses_stays_until_that_is_gone() {
    shop(|shop, registry, _| {
        let name = registry.name("app:1");
        shop.trice("up -d").success();
        let refused = shop.trice(&format!("image rm {name}")).code(1);
        assert!(refused.stderr().contains("in use by a container"), "{}", refused.stderr());
        assert_eq!(shop.trice("image prune -af").success().stdout(), "Total reclaimed space: 0B\n");
        let untagged = shop.trice(&format!("image rm -f {name}")).success().stdout();
        assert!(
            untagged.contains(&format!("Untagged: {name}\n")) && !untagged.contains("Deleted"),
            "{untagged}"
        );
        shop.trice("image prune -f").success();
        shop.trice("restart").success();
        assert_eq!(text(shop), "one");
        shop.trice("down").success();
        let pruned = shop.trice("image prune -f").success().stdout();
        assert!(pruned.contains("deleted: sha256:") && !pruned.contains("space: 0B"), "{pruned}");
        assert_eq!(shop.trice("image ls -q").success().stdout(), "");
        shop.trice("up -d").success();
        assert_eq!(text(shop), "one");
    });
}

#[test]
fn a_guarded_registry_lets_in_whoever_has_logged_in() {
    scenario_of(&project("nothing"), |shop| {
        let registry = Registry::guarded(shop);
        let layout = Layout::new(shop, "layout", "guarded", "");
        registry.fill(&layout, "1", "app:1");
        shop.rewrite(&project(&registry.name("app:1")));
        let host = &registry.host;
        let folder = shop.home().join("docker");
        let with_config = |line: &str, input: &str| {
            let mut command = shop.command(&line.split_whitespace().collect::<Vec<_>>());
            command.env("DOCKER_CONFIG", &folder);
            Ran::with_input(command, line, input)
        };
        let refused = with_config("up -d", "").code(1);
        assert!(refused.stderr().contains("trice login"), "{}", refused.stderr());
        let login = format!("login -u me --password-stdin {host}");
        with_config(&login, "wrong\n").code(1);
        assert!(!folder.join("config.json").exists(), "what lets nobody in is not kept");
        let entered = with_config(&login, "secret\n").success();
        assert_eq!(entered.stdout(), "Login Succeeded\n");
        assert!(entered.stderr().contains("kept unencrypted in"), "{}", entered.stderr());
        let file = fs::metadata(folder.join("config.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        with_config(&format!("login {host}"), "").success();
        with_config("up -d", "").success();
        assert_eq!(text(shop), "guarded");
        let (one, two) = (registry.name("app:1"), registry.name("other:1"));
        with_config(&format!("image tag {one} {two}"), "").success();
        with_config(&format!("image push {two}"), "").success();
        assert_eq!(registry.inspect("other:1")["Layers"], registry.inspect("app:1")["Layers"]);
        let found = with_config(&format!("search {host}/o --format {{{{.Name}}}}"), "").success();
        assert_eq!(found.stdout(), "other\n");
        let left = with_config(&format!("logout {host}"), "").success();
        assert_eq!(left.stdout(), format!("Removing login credentials for {host}\n"));
        assert_eq!(
            with_config(&format!("logout {host}"), "").success().stdout(),
            format!("Not logged in to {host}\n")
        );
        with_config(&format!("image push {two}"), "").code(1);
        let log = shop.log();
        assert!(!log.contains("secret"), "{log}");
    });
}

#[test]
fn a_program_that_keeps_credentials_is_asked_for_what_is_used_and_one_that_is_gone_stops_no_pull() {
    scenario_of(&project("nothing"), |shop| {
        let (open, guarded) = (Registry::open(shop), Registry::guarded(shop));
        let layout = Layout::new(shop, "layout", "kept", "");
        open.fill(&layout, "1", "app:1");
        guarded.fill(&layout, "1", "app:1");
        let programs = shop.home().join("programs");
        fs::create_dir(&programs).unwrap();
        let helper = programs.join("docker-credential-vault");
        let answer = format!(r#"{{"ServerURL":"{}","Username":"me","Secret":"secret"}}"#, guarded.host);
        fs::write(
            &helper,
            format!("#!/bin/sh\necho asked >>{}/asked\necho '{answer}'\n", shop.home().display()),
        )
        .unwrap();
        fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
        let config = shop.home().join("docker/config.json");
        fs::create_dir(config.parent().unwrap()).unwrap();
        let helpers = serde_json::json!({ "credHelpers": { &guarded.host: "vault", &open.host: "gone" } });
        fs::write(&config, helpers.to_string()).unwrap();
        let trice = |line: &str| {
            let mut command = shop.command(&line.split_whitespace().collect::<Vec<_>>());
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("DOCKER_CONFIG", config.parent().unwrap());
            command.env("PATH", format!("{}:{path}", programs.display()));
            Ran::with_input(command, line, "")
        };
        let asked = || fs::read_to_string(shop.home().join("asked")).unwrap_or_default().lines().count();
        shop.rewrite(&project(&guarded.name("app:1")));
        trice("up -d").success();
        assert_eq!((text(shop).as_str(), asked()), ("kept", 1));
        trice("up -d --force-recreate").success();
        assert_eq!(asked(), 1, "what is here needs no credentials");
        let pulled = trice(&format!("image pull {}", open.name("app:1"))).success();
        assert!(pulled.stderr().contains("going on without credentials for"), "{}", pulled.stderr());
        trice(&format!("image push {}", open.name("app:1"))).code(1);
    });
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_itself_where_that_has_nothing() {
    scenario_of(&project("nothing"), |shop| {
        let registry = Registry::start(shop, "registry", "");
        let mirror = Registry::start(shop, "mirror", "");
        let layout = Layout::new(shop, "layout", "original", "");
        layout.change("2", "mirrored");
        registry.fill(&layout, "1", "app:1");
        registry.fill(&layout, "1", "only:1");
        mirror.fill(&layout, "2", "app:1");
        let settings = shop.home().join("config/trice/registries.json");
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        let mirrors =
            serde_json::json!({ "mirrors": { &registry.host: [format!("http://{}", mirror.host)] } });
        fs::write(&settings, mirrors.to_string()).unwrap();
        let trice = |line: &str| {
            let mut command = shop.command(&line.split_whitespace().collect::<Vec<_>>());
            command.env("XDG_CONFIG_HOME", shop.home().join("config"));
            Ran::with_input(command, line, "")
        };
        for (image, content) in [("app:1", "mirrored"), ("only:1", "original")] {
            shop.rewrite(&project(&registry.name(image)));
            trice("up -d").success();
            assert_eq!(text(shop), content, "{image}");
        }
        fs::write(&settings, r#"{ "miror": {} }"#).unwrap();
        let wrong = trice("up -d").code(1).stderr();
        assert!(wrong.contains("unknown field `miror`"), "{wrong}");
    });
}

#[test]
fn images_leave_as_archives_that_others_read_and_come_back() {
    shop(|shop, registry, _| {
        let (one, two) = (registry.name("app:1"), registry.name("app:2"));
        shop.trice(&format!("image pull -q {one}")).success();
        shop.trice(&format!("image tag {one} {two}")).success();
        let file = shop.home().join("images.tar");
        shop.trice(&format!("image save -o {} {one} {two}", file.display())).success();
        let read = skopeo(&format!("inspect docker-archive:{}:{one}", file.display()));
        let read: Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read["Labels"]["tier"], "front");
        assert!(!shop.home().join("images.tar.part").exists());
        let oci = shop.command(&["image", "save", "--format", "oci", &one]).output().unwrap();
        assert!(oci.status.success());
        shop.trice(&format!("image rm {one} {two}")).success();
        let loaded = shop.trice(&format!("image load -i {}", file.display())).success();
        assert_eq!(loaded.lines(), [format!("Loaded image: {one}"), format!("Loaded image: {two}")].into());
        shop.trice(&format!("image rm {one} {two}")).success();
        let piped = Ran::with_bytes(shop.command(&["image", "load"]), "image load", &oci.stdout).success();
        assert_eq!(piped.stdout(), format!("Loaded image: {one}\n"));
        shop.trice("up -d").success();
        assert_eq!(text(shop), "one");
        let missing = shop.home().join("nothing.tar");
        shop.trice(&format!("image save -o {} nothing", missing.display())).code(1);
        assert!(!missing.exists(), "half an archive is none");
        Ran::with_bytes(shop.command(&["image", "load"]), "image load", b"no archive").code(1);
    });
}

#[test]
fn what_podman_saves_is_read() {
    shop(|shop, _, layout| {
        let home = shop.home().join("podman");
        let of_podman = format!(
            "podman --root {} --runroot {} --tmpdir {} --storage-driver vfs --log-level error",
            home.join("root").display(),
            home.join("run").display(),
            home.join("tmp").display()
        );
        let podman = |line: &str| run(&format!("{of_podman} {line}"));
        podman(&format!("pull --quiet oci:{}:1", layout.path().display()));
        let id = podman("images --quiet --no-trunc");
        podman(&format!("tag {} docker.io/library/saved:1 docker.io/library/saved:2", id.trim()));
        for (format, flags) in [
            ("docker-archive", ""),
            ("docker-archive", "--multi-image-archive"),
            ("oci-archive", ""),
            ("oci-dir", ""),
        ] {
            let to = shop.home().join(format!("{format}{flags}"));
            let names = if flags.contains("multi") { "saved:1 saved:2" } else { "saved:1" };
            podman(&format!("save --quiet --format {format} {flags} -o {} {names}", to.display()));
            let kind = if format == "oci-dir" { "oci" } else { format };
            shop.rewrite(&project(&format!("{kind}:{}", to.display())));
            shop.trice("up -d").success();
            assert_eq!(text(shop), "one", "{format} {flags}");
            shop.trice("down --timeout 0").success();
            if kind != "oci" {
                let loaded = shop.trice(&format!("image load -i {}", to.display())).success();
                let wanted = names.split(' ').map(|name| format!("Loaded image: {name}")).collect();
                assert_eq!(loaded.lines(), wanted, "{format} {flags}");
                shop.trice(&format!("image rm {names}")).success();
            }
        }
    });
}

#[test]
fn an_archive_of_files_becomes_an_image() {
    shop(|shop, _, layout| {
        let files = layout.files();
        let archive = shop.home().join("files.tar");
        run(&format!("tar --create --file {} --directory {} .", archive.display(), files.display()));
        let id =
            shop.trice(&format!("image import -m hello {} made:1", archive.display())).success().stdout();
        let made = json(&shop.trice("image inspect made:1").success());
        assert_eq!(
            (format!("{}\n", made[0]["Id"].as_str().unwrap()), &made[0]["Comment"]),
            (id, &"hello".into())
        );
        shop.rewrite(&format!("{}    command: /bin/sleep 1000\n", project("made:1")));
        shop.trice("up -d").success();
        assert_eq!(shop.trice("exec -T web /bin/cat /text").success().stdout(), "one");
    });
}

#[test]
fn what_takes_room_is_added_up_and_goes_when_nobody_uses_it() {
    shop(|shop, registry, _| {
        shop.trice("up -d").success();
        shop.shell("web", "head -c 5000 /dev/zero >/big");
        let rows = |line: &str| {
            let shown = shop.trice(line).success().stdout();
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        let used = rows("system df --format json");
        assert_eq!((&used[0]["TotalCount"], &used[0]["Active"]), (&"1".into(), &"1".into()));
        assert_eq!((&used[1]["Size"], &used[1]["Reclaimable"]), (&"5kB".into(), &"0B (0%)".into()));
        let layers = shop.data().join("layers");
        let bytes: u64 = run(&format!("du --bytes --summarize --apparent-size {}", layers.display()))
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(bytes > 1_900_000, "{bytes}");
        assert!(used[0]["Size"].as_str().unwrap().ends_with("MB"), "{used:?}");
        assert_eq!(shop.trice("system prune -af").success().stdout(), "Total reclaimed space: 0B\n");
        shop.trice("stop -t 0").success();
        let pruned = shop.trice("system prune -af").success().stdout();
        assert!(pruned.contains("Deleted Containers:\n"), "{pruned}");
        assert!(pruned.contains(&format!("untagged: {}\n", registry.name("app:1"))), "{pruned}");
        assert!(shop.states().is_empty());
        let left = rows("system df --format json");
        assert!(left.iter().all(|row| row["TotalCount"] == "0" && row["Size"] == "0B"), "{left:?}");
    });
}

#[test]
fn what_services_build_is_sent_where_its_name_says_and_what_they_do_not_is_not() {
    shop(|shop, registry, _| {
        let (base, made) = (registry.name("app:1"), registry.name("made:1"));
        let dockerfile = format!("FROM {base}\\nLABEL made=here\\n");
        shop.rewrite(&format!(
            "name: shop\nservices:\n  made:\n    image: {made}\n    build: {{ dockerfile_inline: \"{dockerfile}\" }}\n  web: {{ image: '{base}' }}\n"
        ));
        let pulled = shop.trice("pull made").success().stderr();
        let warned = format!("warning: pull `{made}`");
        assert!(pulled.contains(&warned) && pulled.contains("`trice build` makes"), "{pulled}");
        shop.trice("push made").code(1);
        shop.trice("build").success();
        let sent = shop.trice("push").success().stderr();
        assert!(sent.contains(&format!(" Image {made}  Pushed")) && !sent.contains(&base), "{sent}");
        assert_eq!(registry.inspect("made:1")["Labels"]["made"], "here");
        let gone = project_of_two(&made, &registry.name("none:1"));
        shop.rewrite(&gone);
        shop.trice("push").code(1);
        shop.trice("push --ignore-push-failures").success();
    });
}

/// A project with two services that build their images, of which only the first is there.
fn project_of_two(one: &str, two: &str) -> String {
    format!(
        "name: shop\nservices:\n  made: {{ image: '{one}', build: . }}\n  none: {{ image: '{two}', build: . }}\n"
    )
}
