//! Images that are made of Dockerfiles, and started.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::scenario::{Scenario, run, scenario_of};

const TOOLS: [&str; 23] = [
    "sh", "cat", "echo", "ls", "mkdir", "rm", "sleep", "id", "test", "wc", "true", "ln", "mv", "touch",
    "sed", "ip", "wget", "nslookup", "httpd", "hostname", "nc", "grep", "cut",
];

/// Runs `steps` with a project that builds `web`, whose base is a small folder.
pub(crate) fn project(build: &str, dockerfile: &str, steps: impl FnOnce(&Scenario) + Send) {
    let compose = format!(
        "name: shop\nservices:\n  web:\n    network_mode: none\n    stop_grace_period: 0s\n    build:\n      context: .\n{build}"
    );
    scenario_of(&compose, |shop| {
        let root = make_base(shop);
        write(shop, "Dockerfile", &dockerfile.replace("BASE", &format!("rootfs:{}", root.display())));
        steps(shop);
    });
}

/// Makes a small root file system beside the project.
pub(crate) fn make_base(shop: &Scenario) -> PathBuf {
    let root = folder(shop).join("../base");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for tool in TOOLS {
        symlink("busybox", root.join("bin").join(tool)).unwrap();
    }
    root
}

pub(crate) fn folder(shop: &Scenario) -> PathBuf {
    shop.file().parent().unwrap().to_owned()
}

pub(crate) fn write(shop: &Scenario, path: &str, text: &str) {
    let path = folder(shop).join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns the words after the steps of a build: what became of each.
pub(crate) fn outcomes(told: &str) -> Vec<&str> {
    let words = told.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
    words
        .map(|(_, rest)| rest)
        .filter(|rest| *rest == "CACHED" || *rest == "ERROR" || rest.starts_with("DONE"))
        .map(|rest| &rest[..4])
        .collect()
}

/// Tells whether any file below `folder` holds `text`.
fn holds(folder: &Path, text: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holds(&path, text),
            Ok(kind) if kind.is_file() => {
                fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
            }
            _ => false,
        }
    })
}

const SIMPLE: &str = "FROM BASE\nENV A=1\nWORKDIR /app\nCOPY src/ .\nRUN echo \"$A $(cat file)\" > made\nCMD [\"sleep\", \"1000\"]\n";

#[test]
fn what_is_mounted_in_a_folder_that_an_image_begins_with_is_no_part_of_it() {
    project("", "FROM BASE\nRUN ls -A /on && cat /names\n", |shop| {
        let base = folder(shop).join("../base").canonicalize().unwrap();
        fs::create_dir(base.join("on")).unwrap();
        fs::write(base.join("names"), "below").unwrap();
        let path = |name: &str| base.join(name).to_str().unwrap().to_owned();
        // A file system, and a namespace, which no program can read.
        run("mount", &["-t", "tmpfs", "tmpfs", &path("on")]);
        fs::write(base.join("on/mounted"), "").unwrap();
        run("mount", &["--bind", "/proc/self/ns/net", &path("names")]);
        let built = shop.trice("build --progress plain");
        run("umount", &[&path("on")]);
        run("umount", &[&path("names")]);
        let told = built.success().stderr();
        assert!(told.contains(" below\n") && !told.contains("mounted"), "{told}");
    });
}

#[test]
fn a_build_whose_client_has_gone_ends_what_it_executes() {
    project("", "FROM BASE\nRUN sleep 1000\n", |shop| {
        let executes = || shop.traces().iter().any(|trace| trace.contains("sleep 1000"));
        for signal in [Signal::INT, Signal::KILL] {
            let build = shop.begin("build");
            shop.wait_for("the command to run", executes);
            build.signal(signal);
            build.wait();
            shop.wait_for("the command to end", || !executes());
        }
    });
}

#[test]
fn an_image_is_built_when_it_is_missing_and_again_when_that_is_asked_for() {
    project("", SIMPLE, |shop| {
        write(shop, "src/file", "one");
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /app/made"), "1 one\n");
        write(shop, "src/file", "two");
        let ids = shop.ids();
        shop.trice("up -d").success();
        assert_eq!(shop.ids(), ids, "the image is here");
        shop.trice("up -d --build").success();
        assert_ne!(shop.ids(), ids);
        assert_eq!(shop.shell("web", "cat /app/made"), "1 two\n");
        let ids = shop.ids();
        shop.trice("up -d --build").success();
        assert_eq!(shop.ids(), ids, "the same image again");
    });
}

#[test]
fn a_second_build_does_nothing_wherever_and_whenever_its_files_were_made() {
    project("", SIMPLE, |shop| {
        write(shop, "src/file", "one");
        let first = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&first), ["CACH", "DONE", "DONE", "DONE"], "{first}");
        write(shop, "src/file", "one");
        write(shop, "beside", "does not matter");
        let second = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&second), ["CACH", "CACH", "CACH", "CACH"], "{second}");
        assert_eq!(first.lines().last(), second.lines().last(), "the same image");
        write(shop, "src/file", "two");
        let third = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&third), ["CACH", "CACH", "DONE", "DONE"], "{third}");
        let fresh = shop.trice("build --no-cache").success().stderr();
        assert_eq!(outcomes(&fresh), ["CACH", "DONE", "DONE", "DONE"], "{fresh}");
    });
}

#[test]
fn a_step_that_fails_is_shown_with_its_lines_and_leaves_no_image() {
    let dockerfile = "FROM BASE\nRUN true\nRUN echo before && \\\n  echo oops >&2 && test -e /none\nCMD x\n";
    project("", dockerfile, |shop| {
        let told = shop.trice("build").code(1).stderr();
        for part in [
            "Dockerfile:3: ",
            "   3 > RUN echo before",
            "   4 >   echo oops",
            "   5 | CMD x",
            "\n  before",
            "\n  oops",
            "ended with code 1",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!shop.trice("image ls").success().stdout().contains("shop-web"));
        shop.trice("up -d").code(1);
        let again = shop.trice("build").code(1).stderr();
        assert_eq!(outcomes(&again), ["CACH", "CACH", "ERRO"], "what succeeded is of use: {again}");
    });
}

#[test]
fn mistakes_are_told_at_once_with_their_lines() {
    project("", "FROM BASE\nRNU x\nCOPY --form=y a b\n", |shop| {
        let told = shop.trice("build").code(1).stderr();
        for part in [
            "Dockerfile:2: there is no instruction `RNU`",
            "did you mean `RUN`?",
            "Dockerfile:3: ",
            "`--from`",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    });
}

#[test]
fn a_secret_is_seen_by_its_step_and_kept_nowhere() {
    let build = "      secrets: [token]\nsecrets: { token: { file: ./token.txt } }\n";
    let dockerfile = "FROM BASE\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size\n\
        RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 14\nCMD [\"sleep\", \"1000\"]\n";
    project(build, dockerfile, |shop| {
        write(shop, "token.txt", "hush-hush-4711");
        shop.trice("up -d").success();
        assert_eq!(
            shop.shell("web", "cat /size; ls /run 2>&1 | wc -l").split_whitespace().next(),
            Some("14")
        );
        for folder in [shop.data(), shop.run_directory()] {
            assert!(!holds(&folder, b"hush-hush-4711"), "{} has it", folder.display());
        }
    });
}

#[test]
fn a_stage_that_nobody_needs_does_not_run_and_the_image_of_another_service_can_be_a_base() {
    let build = "      additional_contexts: { lower: 'service:lower' }\n  lower:\n    profiles: [never]\n    build:\n      context: .\n      dockerfile: lower.Dockerfile\n";
    let dockerfile = "FROM BASE AS unused\nRUN test -e /none\nFROM lower\nRUN cat /lower > /upper\nCMD [\"sleep\", \"1000\"]\n";
    project(build, dockerfile, |shop| {
        let base = fs::read_to_string(folder(shop).join("Dockerfile")).unwrap();
        let base = base.lines().next().unwrap().replace(" AS unused", "");
        write(shop, "lower.Dockerfile", &format!("{base}\nRUN echo from below > /lower\n"));
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /upper"), "from below\n");
    });
}

#[test]
fn commands_have_the_isolation_of_services_and_no_way_out_of_their_mounts() {
    let dockerfile = "FROM BASE\nRUN --network=none test \"$(ls /sys/class/net)\" = lo\nRUN ! echo x 2>&1 > /proc/sys/kernel/hostname && test ! -s /proc/kcore\n\
        RUN --mount=type=bind,target=/ctx test ! -e /ctx/ignored && ln -s / /door\nRUN --mount=type=cache,id=../../../../escape,target=/c echo x > /c/f\n\
        COPY file /door/copied\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        write(shop, "file", "text");
        write(shop, "ignored", "hidden");
        write(shop, ".dockerignore", "ignored\n");
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /copied"), "text");
        assert!(!Path::new("/copied").exists());
        assert!(!shop.home().join("escape").exists() && !Path::new("/escape").exists());
    });
}

#[test]
fn archives_are_unpacked_whatever_they_are_compressed_with_and_files_that_are_called_like_one_are_copied() {
    let packers = ["gzip", "bzip2", "xz"];
    let added: String = packers.iter().map(|packer| format!("ADD {packer}.tar /{packer}/\n")).collect();
    let dockerfile = format!(
        "FROM BASE\n{added}ADD text.tar.xz /\nADD --unpack=false xz.tar /kept/\nCMD [\"sleep\", \"1000\"]\n"
    );
    project("", &dockerfile, |shop| {
        let path = |name: &str| folder(shop).join(name).to_str().unwrap().to_owned();
        write(shop, "packed/folder/file", "text");
        for packer in packers {
            let (archive, files) = (path(&format!("{packer}.tar")), path("packed"));
            run(
                "tar",
                &["--create", &format!("--{packer}"), "--file", &archive, "--directory", &files, "folder"],
            );
        }
        write(shop, "text.tar.xz", "no archive");
        shop.trice("up -d").success();
        for packer in packers {
            assert_eq!(shop.shell("web", &format!("cat /{packer}/folder/file")), "text", "{packer}");
        }
        assert_eq!(shop.shell("web", "cat /text.tar.xz"), "no archive");
        assert_eq!(shop.shell("web", "ls /kept"), "xz.tar\n");
    });
}

#[test]
fn files_of_servers_are_added_and_must_be_what_they_should_be() {
    let dockerfile =
        "FROM BASE\nADD http://127.0.0.1:8080/way/file.txt?x=y /got/\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        let server = std::net::TcpListener::bind("127.0.0.1:8080").unwrap();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext");
            }
        });
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /got/file.txt; ls -l /got | wc -l"), "text2\n");
        let again = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&again), ["CACH", "CACH"], "{again}");
        let text = fs::read_to_string(folder(shop).join("Dockerfile")).unwrap();
        let wrong = format!("ADD --checksum=sha256:{} http", "0".repeat(64));
        write(shop, "Dockerfile", &text.replace("ADD http", &wrong));
        let refused = shop.trice("build").code(1).stderr();
        assert!(refused.contains("should have the digest sha256:000"), "{refused}");
        assert!(refused.contains("   2 > ADD --checksum"), "{refused}");
    });
}

#[test]
fn steps_at_the_same_time_make_a_cache_once_and_share_it() {
    let numbers = || 1..=30;
    let mounts: String =
        numbers().map(|number| format!("--mount=type=cache,target=/c/{number},id={number} ")).collect();
    let stage = |name: &str| {
        format!(
            "FROM BASE AS {name}\nRUN {mounts} for at in /c/*; do touch $at/{name}; done; touch /{name}\n"
        )
    };
    // The third comes when the others have ended.
    let last = format!(
        "FROM BASE\nCOPY --from=one /one /\nCOPY --from=two /two /\nRUN {mounts} ls /c/*/one /c/*/two | wc -l > /count\n\
         CMD [\"sleep\", \"1000\"]\n"
    );
    project("", &(stage("one") + &stage("two") + &last), |shop| {
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /count").trim(), "60");
    });
}

#[test]
fn an_image_on_a_folder_of_this_machine_has_its_files_as_they_stand_and_stays_here() {
    let dockerfile = "FROM BASE AS tools\nRUN echo made > /made\n\
        FROM BASE\nCOPY --from=tools /tool /made /from-tools/\nRUN echo own > /own\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        let base = folder(shop).join("../base");
        fs::write(base.join("tool"), "one").unwrap();
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /tool /from-tools/* /own"), "onemade\noneown\n");
        // What steps took of it is looked at by each build; what is below them is there without one.
        fs::write(base.join("tool"), "two").unwrap();
        let told = shop.trice("up -d --build").success().stderr();
        assert_eq!(outcomes(&told), ["CACH", "CACH", "DONE", "DONE"], "{told}");
        assert_eq!(shop.shell("web", "cat /tool /from-tools/tool"), "twotwo");
        // What lies on the image lies on the folder too.
        shop.trice("commit web shop:committed").success();
        write(shop, "above/Dockerfile", "FROM shop:committed\nRUN cat /tool /own > /above\n");
        let above = "services:\n  web:\n    build: above\n    command: [sleep, '1000']\n";
        write(shop, "above.yaml", &format!("name: above\n{above}    network_mode: none\n"));
        shop.trice("-f above.yaml up -d").success();
        let seen = shop.trice("-f above.yaml exec -T web cat /above /tool").success().stdout();
        assert_eq!(seen, "twoown\ntwo");
        shop.trice("-f above.yaml down --timeout 0").success();
        for line in
            ["image push shop-web", "image save shop-web -o web.tar", "image save above-web -o web.tar"]
        {
            let told = shop.trice(line).code(1).stderr();
            assert!(told.contains("the image begins with `rootfs:"), "{line}: {told}");
        }
    });
}

#[test]
fn a_host_name_is_the_images_own_and_files_of_nobody_are_roots() {
    let dockerfile = "FROM BASE\nRUN mkdir -p /etc && echo own > /etc/hostname\nRUN cat /etc/hostname; echo x >> /etc/hosts\n\
        COPY --chown=walter src/ /walter/\nCOPY --chown=5:walter src/ /five/\nRUN ls -ln /walter /five; ls /etc\n";
    project("", dockerfile, |shop| {
        write(shop, "src/file", "");
        let told = shop.trice("build").success().stderr();
        assert!(told.contains("#3 own\n"), "{told}");
        for part in [
            "warning: user `walter` is not in the container's /etc/passwd: the files become root's",
            "warning: group `walter` is not in the container's /etc/group: the files get the user's own group",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let owners: Vec<Vec<&str>> = told
            .lines()
            .filter(|line| line.ends_with(" file"))
            .map(|line| line.split_whitespace().skip(3).take(2).collect())
            .collect();
        assert_eq!(owners, [["5", "5"], ["0", "0"]], "{told}");
    });
}

#[test]
fn of_several_files_in_one_place_the_last_one_stays_and_that_is_said() {
    let dockerfile = "FROM BASE\nCOPY src/* /one\nCOPY src/a src/b /many/\nRUN cat /one /many/*\n";
    project("", dockerfile, |shop| {
        write(shop, "src/a", "first\n");
        write(shop, "src/b", "last\n");
        let told = shop.trice("build").success().stderr();
        let warning =
            "warning: 2 files become `/one`, and only the last one stays: `/one/` is a folder for all\n";
        assert_eq!(told.matches("warning:").count(), 1, "{told}");
        assert!(told.contains(warning) && told.contains("#4 last\n#4 first\n#4 last\n"), "{told}");
    });
}

#[test]
fn down_takes_the_images_that_it_is_told_to() {
    project("", "FROM BASE\nCMD [\"sleep\", \"1000\"]\n", |shop| {
        let web = fs::read_to_string(shop.file()).unwrap();
        let own = "  own: { image: 'own:1', build: ., network_mode: none, stop_grace_period: 0s }\n";
        shop.rewrite(&format!("{web}{own}"));
        let names = || shop.trice("image ls --format {{.Repository}}:{{.Tag}}").success().lines();
        shop.trice("up -d").success();
        assert_eq!(names(), ["own:1", "shop-web:latest"].map(str::to_owned).into());
        let told = shop.trice("--dry-run down --rmi local").success().stdout();
        assert!(told.contains("remove image shop-web:latest") && !told.contains("image own"), "{told}");
        let told = shop.trice("down --rmi local").success().stderr();
        assert!(told.contains(" Image shop-web:latest  Removed"), "{told}");
        assert_eq!(names(), ["own:1".to_owned()].into());

        // Of one service, and of all.
        shop.trice("up -d").success();
        shop.trice("down own --rmi all").success();
        assert_eq!(names(), ["shop-web:latest".to_owned()].into());
        shop.trice("up -d").success();
        shop.trice("down --rmi all").success();
        assert_eq!(names(), [].into());

        // Without files it is known by its labels, and what others use stays.
        shop.trice("up -d").success();
        shop.trice("run -d own").success();
        let told = shop.trice("down web --rmi all").success().stderr();
        assert!(told.contains("Image shop-web:latest  Removed"), "{told}");
        shop.trice("image tag own:1 kept:1").success();
        fs::remove_file(shop.file()).unwrap();
        shop.trice("-p shop down --rmi all").success();
        assert_eq!(names(), [].into());
        shop.rewrite(&web);
        shop.trice("down --rmi some").code(1);
    });
}

#[test]
fn a_stage_on_the_whole_machine_costs_no_copy_of_it() {
    let dockerfile = "FROM rootfs:/ AS tools\nRUN python3 -c 'print(6 * 7)' > /answer\n\
        FROM BASE\nCOPY --from=tools /answer /\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /answer"), "42\n");
        let data = run("du", &["-sk", shop.data().to_str().unwrap()]);
        let kilobytes: u64 = data.split('\t').next().unwrap().parse().unwrap();
        assert!(kilobytes < 16 << 10, "{data}");
    });
}
