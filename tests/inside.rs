//! The files of containers: copied in and out, compared, exported, committed, and put into fresh volumes.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use serde_json::Value;

use crate::registry::{Layout, Registry, run};
use crate::scenario::{Ran, Scenario, scenario_of};

/// Runs `steps` on a project with the service `web`, whose image has `options`, and `more` in its Compose file.
fn shop(options: &str, more: &str, steps: impl FnOnce(&Scenario) + Send) {
    scenario_of("services: {}", |shop| {
        let registry = Registry::open(shop);
        let layout = Layout::new(shop, "layout", "one", options);
        registry.fill(&layout, "1", "app:1");
        let image = registry.name("app:1");
        shop.rewrite(&format!(
            "name: shop\nservices:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 0s\n{more}"
        ));
        steps(shop);
    });
}

fn write(shop: &Scenario, path: &str, content: &str) {
    let path = shop.home().join("project").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(shop: &Scenario, path: &str) -> Option<String> {
    fs::read_to_string(shop.home().join("project").join(path)).ok()
}

#[test]
fn files_go_into_containers_and_come_out_of_them_whether_they_run_or_not() {
    shop("", "    volumes: ['data:/vol']\nvolumes: { data: {} }\n", |shop| {
        shop.trice("up -d").success();
        write(shop, "tree/deep/file", "here");
        for state in ["running", "stopped"] {
            if state == "stopped" {
                shop.trice("stop").success();
            }
            for folder in ["tmp", "vol"] {
                let (into, out) = (format!("web:/{folder}/{state}"), format!("{folder}-{state}"));
                shop.trice(&format!("cp tree {into}")).success();
                shop.trice(&format!("cp {into} {out}")).success();
                assert_eq!(read(shop, &format!("{out}/deep/file")).as_deref(), Some("here"), "{out}");
                shop.trice(&format!("cp tree/deep/file web:/{folder}/{state}/")).success();
                shop.trice(&format!("cp {into}/file {out}/again")).success();
                assert_eq!(read(shop, &format!("{out}/again")).as_deref(), Some("here"));
                shop.trice(&format!("cp nothing {into}")).code(1);
                shop.trice(&format!("cp {into}/nothing .")).code(1);
                shop.trice(&format!("cp tree web:/{folder}/nowhere/deep")).code(1);
            }
        }
        shop.trice("start").success();
        assert_eq!(shop.shell("web", "cat /tmp/stopped/deep/file /vol/stopped/file"), "herehere");
        assert_eq!(shop.shell("web", "stat -c %u:%g /tmp/running/deep/file"), "0:0\n");
        shop.shell("web", "chown 7:8 /tmp/running/file");
        shop.trice("cp -a web:/tmp/running/file kept").success();
        let kept = fs::metadata(shop.home().join("project/kept")).unwrap();
        assert_eq!((kept.uid(), kept.gid()), (7, 8));
    });
}

#[test]
fn archives_go_in_and_come_out_as_streams() {
    shop("", "", |shop| {
        shop.trice("up -d").success();
        write(shop, "tree/file", "here");
        let archive = shop.home().join("tree.tar");
        run(&format!(
            "tar --create --file {} --directory {}/project tree",
            archive.display(),
            shop.home().display()
        ));
        let bytes = fs::read(&archive).unwrap();
        Ran::with_bytes(shop.command(&["cp", "-", "web:/tmp"]), "cp - web:/tmp", &bytes).success();
        assert_eq!(shop.shell("web", "cat /tmp/tree/file"), "here");
        Ran::with_bytes(shop.command(&["cp", "-", "web:/nowhere"]), "cp -", &bytes).code(1);
        Ran::with_bytes(shop.command(&["cp", "-", "web:/tmp"]), "cp -", b"no archive").code(1);
        for (path, names) in
            [("/tmp/tree", "tree/ tree/file "), ("/tmp/tree/.", "file "), ("/tmp/tree/file", "file ")]
        {
            let out = shop.command(&["cp", &format!("web:{path}"), "-"]).output().unwrap();
            fs::write(&archive, &out.stdout).unwrap();
            let listed = run(&format!("tar --list --file {}", archive.display())).replace('\n', " ");
            assert_eq!(listed, names, "{path}");
        }
    });
}

#[test]
fn the_root_of_a_running_container_is_copied_without_what_the_kernel_shows_in_it() {
    shop("", "", |shop| {
        shop.trice("up -d").success();
        shop.shell("web", "echo here > /tmp/file");
        shop.trice("cp web:/ whole").success();
        let out = shop.command(&["cp", "web:/", "-"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let project = shop.home().join("project");
        fs::create_dir(project.join("unpacked")).unwrap();
        fs::write(project.join("whole.tar"), &out.stdout).unwrap();
        run(&format!("tar --extract --file {0}/whole.tar --directory {0}/unpacked", project.display()));
        for copy in ["whole", "unpacked"] {
            assert_eq!(read(shop, &format!("{copy}/tmp/file")).as_deref(), Some("here\n"), "{copy}");
            for folder in ["dev", "proc", "sys"] {
                let folder = project.join(copy).join(folder);
                assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{}", folder.display());
            }
        }
        // What is asked for by its name is copied.
        shop.trice("cp -L web:/proc/1/comm comm").success();
        assert!(read(shop, "comm").is_some_and(|text| !text.is_empty()));
    });
}

/// CVE-2018-15664, CVE-2019-14271 and their like: a container's links lead nowhere but into the container.
#[test]
fn what_a_container_does_to_its_files_leads_no_copy_out_of_it() {
    shop("", "", |shop| {
        shop.trice("up -d").success();
        let marker = shop.home().join("marker");
        fs::write(&marker, "the host's").unwrap();
        let outside = shop.home().display().to_string();
        shop.shell(
            "web",
            &format!(
                "ln -s {outside} /out; ln -s /proc/1/root{outside} /magic; ln -s ../../../..{outside} /up"
            ),
        );
        write(shop, "file", "mine");
        for link in ["out", "magic", "up"] {
            shop.trice(&format!("cp web:/{link}/marker taken")).code(1);
            shop.trice(&format!("cp -L web:/{link}/marker taken")).code(1);
            shop.trice(&format!("cp file web:/{link}/marker")).code(1);
        }
        assert_eq!(
            (read(shop, "taken"), fs::read_to_string(&marker).unwrap().as_str()),
            (None, "the host's")
        );
        shop.shell("web", &format!(
            "mkdir -p /race /swap{outside} && echo inside >/swap{outside}/marker && ln -s {outside} /link; \
             (while true; do mv /race /aside; mv /link /race; mv /race /link; mv /aside /race; done) >/dev/null 2>&1 &"
        ));
        for _ in 0..30 {
            shop.trice("cp file web:/race/marker");
            shop.trice("cp -L web:/race/marker taken");
            assert_ne!(read(shop, "taken").as_deref(), Some("the host's"));
        }
        assert_eq!(fs::read_to_string(&marker).unwrap(), "the host's");
    });
}

#[test]
fn what_a_container_has_changed_is_told_as_docker_tells_it() {
    shop("", "    volumes: ['data:/new/place']\nvolumes: { data: {} }\n", |shop| {
        shop.trice("up -d").success();
        assert_eq!(shop.trice("diff web").success().stdout(), "");
        shop.shell("web", "echo x >/added; rm /etc/group; echo x >>/etc/passwd; mkdir -p /d/e; chmod 700 /tmp; echo v >/new/place/v");
        let wanted = "A /added\nA /d\nA /d/e\nC /etc\nD /etc/group\nC /etc/passwd\nC /tmp\n";
        assert_eq!(shop.trice("diff web").success().stdout(), wanted);
        shop.trice("stop").success();
        assert_eq!(shop.trice("diff web").success().stdout(), wanted);
        shop.trice("diff nobody").code(1);
    });
}

#[test]
fn a_container_becomes_an_archive_and_an_image() {
    let labels = "    labels: { kept: 'yes' }\n    environment: { A: b }\n";
    shop("--config.label=tier=front", labels, |shop| {
        shop.trice("up -d").success();
        shop.shell("web", "echo two >/text; rm /etc/group");
        let archive = shop.home().join("files.tar");
        shop.trice(&format!("export -o {} web", archive.display())).success();
        let listed = run(&format!("tar --list --file {}", archive.display()));
        assert!(listed.contains("text\n") && listed.contains("bin/busybox\n"), "{listed}");
        assert!(!listed.contains("etc/group") && !listed.contains("proc/1"), "{listed}");
        let id = shop.trice("commit -a me -m hello web made:1").success().stdout();
        let made: Value =
            serde_json::from_str(&shop.trice("image inspect made:1").success().stdout()).unwrap();
        let made = &made[0];
        assert_eq!(format!("{}\n", made["Id"].as_str().unwrap()), id);
        assert_eq!((&made["Author"], &made["Comment"]), (&"me".into(), &"hello".into()));
        assert_eq!(made["Config"]["Cmd"], serde_json::json!(["sleep", "1000"]));
        assert_eq!(made["Config"]["Labels"], serde_json::json!({ "kept": "yes", "tier": "front" }));
        assert!(made["Config"]["Env"].as_array().unwrap().contains(&"A=b".into()));
        assert_eq!(made["RootFS"]["Layers"].as_array().unwrap().len(), 3);
        shop.trice("down").success();
        shop.rewrite(
            "name: shop\nservices: { web: { image: 'made:1', network_mode: none, stop_grace_period: 0s } }\n",
        );
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /text; ls /etc"), "two\nhostname\nhosts\npasswd\nresolv.conf\n");
    });
}

#[test]
fn a_fresh_volume_gets_what_the_image_has_there_and_one_with_content_keeps_it() {
    let more = "    volumes:\n      - data:/data\n      - { type: volume, source: bare, target: /etc, volume: { nocopy: true } }\n      \
                - kept:/bin/../data/deep\nvolumes: { data: {}, bare: {}, kept: {} }\n";
    shop("--config.volume=/tmp", more, |shop| {
        shop.trice("up -d").success();
        let volume = |name: &str| shop.data().join("volumes").join(name).join("_data");
        assert_eq!(fs::read_to_string(volume("shop_data").join("deep/file")).unwrap(), "from the image");
        assert!(!volume("shop_bare").join("passwd").exists(), "nocopy");
        assert!(!shop.data().join("volumes/shop_data/_filling").exists());
        fs::write(volume("shop_data").join("deep/file"), "mine").unwrap();
        fs::write(volume("shop_data").join("more"), "").unwrap();
        shop.trice("down").success();
        shop.trice("up -d").success();
        assert_eq!(fs::read_to_string(volume("shop_data").join("deep/file")).unwrap(), "mine");
        // A kill in the middle of it leaves a mark, and what was to be there comes all the same.
        shop.trice("down --volumes").success();
        shop.trice("create").success();
        fs::remove_file(volume("shop_data").join("deep/file")).unwrap();
        fs::write(shop.data().join("volumes/shop_data/_filling"), "").unwrap();
        shop.trice("start").success();
        assert_eq!(fs::read_to_string(volume("shop_data").join("deep/file")).unwrap(), "from the image");
    });
}

#[test]
fn a_volume_has_the_owner_and_the_permissions_of_the_images_folder() {
    scenario_of("services: {}", |shop| {
        let registry = Registry::open(shop);
        let files = shop.home().join("more");
        fs::create_dir_all(files.join("own")).unwrap();
        fs::set_permissions(files.join("own"), std::os::unix::fs::PermissionsExt::from_mode(0o2770)).unwrap();
        std::os::unix::fs::chown(files.join("own"), Some(1000), Some(1001)).unwrap();
        symlink("own", files.join("link")).unwrap();
        let layout = Layout::new(shop, "layout", "one", "--config.volume=/more/own");
        layout.add(&files, "/more");
        registry.fill(&layout, "1", "app:1");
        shop.rewrite(&format!(
            "name: shop\nservices:\n  web:\n    image: {}\n    user: me\n    network_mode: none\n    stop_grace_period: 0s\n    \
             volumes: ['data:/more/link']\nvolumes: {{ data: {{}} }}\n",
            registry.name("app:1")
        ));
        shop.trice("up -d").success();
        let volume = fs::metadata(shop.data().join("volumes/shop_data/_data")).unwrap();
        assert_eq!((volume.uid(), volume.gid(), volume.mode() & 0o7777), (1000, 1001, 0o2770));
        assert_eq!(shop.shell("web", "touch /more/own/x && stat -c %u /more/own/x"), "1000\n");
        assert!(Path::new(&shop.data().join("volumes/shop_data/_data")).is_dir());
    });
}

#[test]
fn the_files_of_an_image_are_mounted_to_be_read_and_stay_while_they_are() {
    scenario_of("services: {}", |shop| {
        let registry = Registry::open(shop);
        let layout = Layout::new(shop, "layout", "one", "");
        registry.fill(&layout, "1", "app:1");
        layout.change("2", "other");
        registry.fill(&layout, "2", "files:1");
        let (image, files) = (registry.name("app:1"), registry.name("files:1"));
        let mount =
            |more: &str| format!("      - {{ type: image, source: '{files}', target: /seen{more} }}\n");
        shop.rewrite(&format!(
            "name: shop\nservices:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 0s\n    volumes:\n{}{}",
            mount(""),
            mount("-part, image: { subpath: data/deep }"),
        ));
        let talk = shop.trice("up -d").success().stderr();
        assert!(talk.contains(&format!(" Image {files}  Pulled\n")), "{talk}");
        assert_eq!(shop.shell("web", "cat /seen/text /seen-part/file"), "otherfrom the image");
        assert_eq!(shop.shell("web", "touch /seen/x 2>/dev/null; echo $?"), "1\n");
        shop.trice(&format!("image rm {files}")).code(1);
        assert_eq!(shop.trice("image prune -af").success().stdout(), "Total reclaimed space: 0B\n");
        shop.trice("restart").success();
        assert_eq!(shop.shell("web", "cat /seen/text"), "other");
        layout.change("3", "newer");
        registry.fill(&layout, "3", "files:1");
        shop.trice(&format!("image pull -q {files}")).success();
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /seen/text"), "newer", "another image makes another container");
    });
}

#[test]
fn instructions_change_what_an_image_made_by_hand_says() {
    shop("", "", |shop| {
        shop.trice("up -d").success();
        let cmd = r#"CMD ["sh", "-c", "echo $A > /told; sleep 1000"]"#;
        shop.trice_with(&["commit", "-c", "ENV A=changed", "--change", cmd, "web", "made:1"]).success();
        let archive = shop.home().join("files.tar");
        shop.trice(&format!("export -o {} web", archive.display())).success();
        let archive = archive.to_str().unwrap();
        shop.trice_with(&["image", "import", "-c", "ENV A=taken PATH=/bin", "-c", cmd, archive, "made:2"])
            .success();
        let refused = shop.trice_with(&["commit", "-c", "RUN rm /text", "web"]).code(1).stderr();
        assert!(refused.contains("`RUN rm /text` cannot be a change"), "{refused}");
        let refused = shop.trice_with(&["commit", "-c", "EXPOSE x", "web"]).code(1).stderr();
        assert!(refused.contains("--change:2: "), "{refused}");
        shop.trice("down").success();
        let service = |name: &str| {
            format!("  no{name}: {{ image: 'made:{name}', network_mode: none, stop_grace_period: 0s }}\n")
        };
        shop.rewrite(&format!("name: shop\nservices:\n{}{}", service("1"), service("2")));
        shop.trice("up -d").success();
        for (name, word) in [("1", "changed\n"), ("2", "taken\n")] {
            shop.wait_for("it to be told", || {
                shop.shell(&format!("no{name}"), "cat /told 2>/dev/null; true") == word
            });
        }
    });
}

#[test]
fn a_container_stands_still_while_it_becomes_an_image_and_goes_on_whoever_dies() {
    let command = "    command: [sh, -c, 'head -c 40000000 /dev/zero > /m; while :; do echo >> /a; done']\n";
    shop("", command, |shop| {
        shop.trice("up -d").success();
        let count =
            || shop.shell("web", "busybox wc -l < /a 2>/dev/null || echo 0").trim().parse::<u64>().unwrap();
        let goes_on = || {
            let before = count();
            shop.wait_for("it to go on", || count() > before);
        };
        shop.wait_for("it to count", || count() > 0);
        let switch = shop.freezer("shop-web-1");
        let stands_still = || fs::read_to_string(&switch).unwrap() == "1\n";
        let commit = shop.begin("commit --pause=false web made:1");
        let mut stood_still = false;
        shop.wait_for("an image", || {
            stood_still |= stands_still();
            shop.trice("image inspect made:1").ended_with() == Some(0)
        });
        commit.wait().success();
        assert!(!stood_still, "that was not asked for");
        let commit = shop.begin("commit web made:2");
        shop.wait_for("it to stand still", stands_still);
        commit.wait().success();
        goes_on();
        let commit = shop.begin("commit web made:3");
        shop.wait_for("it to stand still", stands_still);
        // The client would ask the next engine again.
        commit.signal(rustix::process::Signal::KILL);
        shop.kill("trice-engine");
        commit.wait();
        goes_on();
    });
}
