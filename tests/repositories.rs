//! Builds of what is elsewhere: git repositories, archives and Dockerfiles on servers.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::build::{make_base, outcomes};
use crate::scenario::{Scenario, run, scenario_of};

/// A repository that this scenario works in, and that its servers give.
struct Repository(PathBuf);

impl Repository {
    fn new(shop: &Scenario, name: &str) -> Self {
        let path = shop.home().join("srv").join(name);
        fs::create_dir_all(&path).unwrap();
        let repository = Self(path);
        repository.git("init --quiet --initial-branch=main");
        repository
    }

    fn git(&self, line: &str) -> String {
        let user = ["-c", "user.name=x", "-c", "user.email=x@test", "-c", "protocol.file.allow=always"];
        let words: Vec<&str> =
            ["-C", self.0.to_str().unwrap()].into_iter().chain(user).chain(line.split(' ')).collect();
        run("git", &words).trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self) -> String {
        self.git("add --all");
        self.git("commit --quiet --message=x");
        // For servers that only give files.
        self.git("update-server-info");
        self.git("rev-parse HEAD")
    }
}

/// A server of all repositories, for as long as this is there.
struct Daemon(Child);

impl Daemon {
    fn of(shop: &Scenario) -> Self {
        let base = format!("--base-path={}", shop.home().join("srv").display());
        let words = ["--export-all", "--listen=127.0.0.1", "--reuseaddr", &base];
        // `git daemon` would be two processes.
        let program = Path::new(run("git", &["--exec-path"]).trim()).join("git-daemon");
        let child = Command::new(program).args(words).stderr(Stdio::null()).spawn().unwrap();
        shop.wait_for("the repositories to be served", || TcpStream::connect("127.0.0.1:9418").is_ok());
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers for the files in `folder`; those who ask must show `authorization`, if there is one.
fn serve(folder: &Path, authorization: Option<&'static str>) {
    let (folder, server) = (folder.to_owned(), TcpListener::bind("127.0.0.1:8080").unwrap());
    let answer = move |mut stream: TcpStream| -> std::io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        let request = String::from_utf8_lossy(&request);
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let file = fs::read(folder.join(path.trim_start_matches('/')));
        let may = authorization.is_none_or(|shown| request.contains(&format!("Authorization: {shown}\r\n")));
        match file.ok().filter(|_| may) {
            Some(content) => {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    content.len()
                )?;
                stream.write_all(&content)
            }
            None => {
                let status = if may { "404 Not Found" } else { "401 Unauthorized" };
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
        }
    };
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            // Whoever went away wants no answer.
            let _ = answer(stream);
        }
    });
}

/// A project whose one service is built from `context`.
fn compose(context: &str, more: &str) -> String {
    format!(
        "name: shop\nservices:\n  web:\n    network_mode: none\n    stop_grace_period: 0s\n    build:\n      context: {context}\n\
         \x20     additional_contexts: {{ base: ../base }}\n{more}"
    )
}

const DOCKERFILE: &str = "FROM base\nCOPY . /app/\nCMD [\"sleep\", \"1000\"]\n";

/// Runs `steps` with a repository `app` that is served, and a base.
fn with_app(context: &str, steps: impl FnOnce(&Scenario, &Repository) + Send) {
    scenario_of(&compose(context, ""), |shop| {
        make_base(shop);
        let app = Repository::new(shop, "app.git");
        app.write("web/Dockerfile", DOCKERFILE);
        app.write("web/.dockerignore", "ignored\n");
        app.write("web/file", "first");
        app.write("web/ignored", "");
        app.commit();
        let _daemon = Daemon::of(shop);
        steps(shop, &app);
    });
}

#[test]
fn a_context_is_the_folder_of_a_branch_a_tag_or_a_commit_and_is_fetched_when_it_changed() {
    with_app("git://127.0.0.1/app.git#main:web", |shop, app| {
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /app/file; ls -A /app"), "first.dockerignore\nDockerfile\nfile\n");
        let again = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&again), ["CACH", "CACH"], "{again}");
        let first = app.git("rev-parse HEAD");
        app.git("tag --annotate --message=x v1");
        app.write("web/file", "second");
        app.commit();
        let changed = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&changed), ["CACH", "DONE"], "{changed}");
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /app/file"), "second");
        let named =
            ["v1:web", "refs/tags/v1:web", &format!("{first}:web")].map(|name| format!("app.git#{name}"));
        let asked = format!("app.git?ref=main&subdir=web&checksum={}", &app.git("rev-parse HEAD")[..9]);
        for (address, content) in named.iter().map(|named| (named, "first")).chain([(&asked, "second")]) {
            shop.rewrite(&compose(&format!("'git://127.0.0.1/{address}'"), ""));
            shop.trice("up -d --build").success();
            assert_eq!(shop.shell("web", "cat /app/file"), content, "{address}");
        }
    });
}

#[test]
fn what_a_repository_does_not_have_is_named() {
    with_app("git://127.0.0.1/app.git#other:web", |shop, app| {
        let refused = |address: &str| {
            shop.rewrite(&compose(&format!("'git://127.0.0.1/{address}'"), ""));
            shop.trice("build").code(1).stderr()
        };
        let told = refused("app.git#other:web");
        assert!(told.contains("`git://127.0.0.1/app.git` has no branch and no tag `other`"), "{told}");
        let told = refused("app.git#main:none");
        assert!(told.contains("open `none` in it"), "{told}");
        let told = refused("app.git#main");
        assert!(told.contains("read the Dockerfile `Dockerfile`"), "{told}");
        let told = refused("app.git?ref=main&subdir=web&checksum=0123456");
        assert!(told.contains("should be at a commit that begins with 0123456"), "{told}");
        let told = refused("none.git");
        assert!(told.contains("`git ls-remote` with `git://127.0.0.1/none.git`"), "{told}");
        assert!(told.contains("none.git") && !told.contains(app.0.to_str().unwrap()), "{told}");
        let told = refused("app.git?depth=1");
        assert!(told.contains("`depth` says nothing about a repository"), "{told}");
    });
}

#[test]
fn a_repository_that_is_added_has_its_submodules_and_its_own_folder_where_it_is_wanted() {
    with_app("git://127.0.0.1/app.git#main:web", |shop, app| {
        let part = Repository::new(shop, "part.git");
        part.write("of/it", "part");
        part.commit();
        // Where it is, is said from where the repository is.
        app.git(&format!("submodule --quiet add {} sub", part.0.display()));
        app.git("config --file .gitmodules submodule.sub.url ../part.git");
        app.write(
            "web/Dockerfile",
            "FROM base\nADD git://127.0.0.1/app.git /whole\nADD --keep-git-dir git://127.0.0.1/app.git#main:web /kept/\n\
             ADD git://127.0.0.1/app.git?submodules=false /less\nCMD [\"sleep\", \"1000\"]\n",
        );
        let commit = app.commit();
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /whole/sub/of/it /whole/web/file; ls /less/sub"), "partfirst");
        assert_eq!(shop.shell("web", "ls -A /whole"), ".gitmodules\nsub\nweb\n");
        assert_eq!(shop.shell("web", "ls -A /whole/sub"), "of\n");
        let again = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&again), ["CACH"; 4], "{again}");
        // Of a folder, what is git's own lies above it.
        let text = fs::read_to_string(app.0.join("web/Dockerfile")).unwrap();
        app.write("web/Dockerfile", &text.replace("app.git#main:web", "app.git"));
        let next = app.commit();
        assert_ne!(next, commit);
        shop.trice("up -d --build").success();
        assert_eq!(shop.shell("web", "cat /kept/.git/HEAD"), format!("{next}\n"));
    });
}

#[test]
fn a_repository_reaches_nothing_of_this_machine() {
    with_app("git://127.0.0.1/app.git#main:web", |shop, app| {
        fs::write(shop.home().join("secret"), "a secret of this machine").unwrap();
        let secret = shop.home().join("secret");
        for (path, target) in [("etc", shop.home().to_owned()), ("linked/Dockerfile", secret.clone())] {
            fs::create_dir_all(app.0.join(path).parent().unwrap()).unwrap();
            symlink(target, app.0.join(path)).unwrap();
        }
        app.write("base/Dockerfile", "FROM rootfs:/\nRUN true\n");
        app.write("up/Dockerfile", DOCKERFILE);
        app.git(&format!("submodule --quiet add {} sub", app.0.display()));
        app.commit();
        let mut attacks = vec![
            ("app.git#main:etc", "open `etc` in it"),
            ("app.git#main:linked", "read the Dockerfile `Dockerfile`"),
            ("app.git#main:up", "transport 'file' not allowed"),
            ("app.git#--upload-pack=touch", "is no name that git knows"),
        ];
        let told = |address: &str| {
            shop.rewrite(&compose(&format!("'git://127.0.0.1/{address}'"), ""));
            let told = shop.trice("build").code(1).stderr();
            assert!(!told.contains("a secret of this machine"), "{told}");
            told
        };
        // The submodule is on this machine: it hinders every folder until it is left out.
        let told_of_submodule = told("app.git#main:up");
        assert!(told_of_submodule.contains(attacks.remove(2).1), "{told_of_submodule}");
        app.git("rm --quiet --force sub");
        app.git("rm --quiet --force .gitmodules");
        app.commit();
        attacks.push(("app.git#main:base", "takes no files of this machine"));
        for (address, reason) in attacks {
            let told = told(address);
            assert!(told.contains(reason), "{address}: {told}");
        }
        shop.rewrite(&compose("'git://127.0.0.1/app.git#main:../../up'", ""));
        shop.trice("build").success();
        shop.rewrite(&compose("'ext::sh -c touch% /tmp/x'", ""));
        shop.trice("build").code(1);
    });
}

#[test]
fn a_server_is_shown_the_token_that_the_build_has_and_nobody_else_sees_it() {
    let private = |more: &str| compose("http://127.0.0.1:8080/app.git/.git#main:web", more);
    // An address that does not end like one of a repository is none.
    let private = |more: &str| private(more).replace("app.git/.git", "app.git");
    let token = "      secrets: [GIT_AUTH_TOKEN]\nsecrets: { GIT_AUTH_TOKEN: { file: ../token } }\n";
    scenario_of(&private(token), |shop| {
        make_base(shop);
        let app = Repository::new(shop, "app.git");
        app.write("web/Dockerfile", DOCKERFILE);
        app.write("web/file", "private");
        app.commit();
        // A server of plain files knows nothing of commits without those before them.
        let bare = shop.home().join("web/app.git");
        fs::create_dir_all(bare.parent().unwrap()).unwrap();
        run("cp", &["-r", app.0.join(".git").to_str().unwrap(), bare.to_str().unwrap()]);
        serve(bare.parent().unwrap(), Some("basic eC1hY2Nlc3MtdG9rZW46aHVzaA=="));
        fs::write(shop.home().join("token"), "hush\n").unwrap();
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /app/file"), "private");
        shop.rewrite(&private(""));
        let refused = shop.trice("build").code(1).stderr();
        assert!(refused.contains("`git ls-remote` with `http://127.0.0.1:8080/app.git`"), "{refused}");
    });
}

#[test]
fn a_repository_behind_ssh_is_fetched_with_the_builds_agent_and_no_settings_of_the_users() {
    scenario_of(&compose("git@far.test:app.git#main:web", "      ssh: [default=../agent]\n"), |shop| {
        make_base(shop);
        let app = Repository::new(shop, "app.git");
        app.write("web/Dockerfile", DOCKERFILE);
        app.commit();
        let _agent = UnixListener::bind(shop.home().join("agent")).unwrap();
        // It does on this machine what it is told to do on another.
        let program = shop.home().join("bin/ssh");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        let home = shop.home().display();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$SSH_AUTH_SOCK\" \"$@\" > {home}/asked\nfor last; do :; done\n\
             cd {home}/srv && exec sh -c \"$last\"\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{home}/bin:{}", std::env::var("PATH").unwrap());
        assert!(shop.command(&["up", "-d"]).env("PATH", path).status().unwrap().success());
        assert_eq!(shop.shell("web", "ls -A /app"), "Dockerfile\n");
        let asked = fs::read_to_string(shop.home().join("asked")).unwrap();
        let words: Vec<&str> = asked.lines().collect();
        assert!(words[0].ends_with("/agent"), "{asked}");
        for word in ["BatchMode=yes", "StrictHostKeyChecking=accept-new", "none", "git@far.test"] {
            assert!(words.contains(&word), "{word} in {asked}");
        }
    });
}

#[test]
fn an_archive_of_a_server_is_a_context_and_so_is_a_dockerfile() {
    scenario_of(&compose("http://127.0.0.1:8080/app.tar.xz", ""), |shop| {
        make_base(shop);
        let (web, files) = (shop.home().join("web"), shop.home().join("files"));
        fs::create_dir_all(&web).unwrap();
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("Dockerfile"), DOCKERFILE).unwrap();
        fs::write(files.join("file"), "packed").unwrap();
        let (archive, files) = (web.join("app.tar.xz"), files.to_str().unwrap());
        run("tar", &["--create", "--xz", "--file", archive.to_str().unwrap(), "--directory", files, "."]);
        fs::write(web.join("Dockerfile"), DOCKERFILE.replace("COPY . /app/", "RUN echo alone > /said"))
            .unwrap();
        serve(&web, None);
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /app/file"), "packed");
        let again = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&again), ["CACH", "CACH"], "{again}");
        shop.rewrite(&compose("http://127.0.0.1:8080/Dockerfile", ""));
        shop.trice("up -d --build").success();
        assert_eq!(shop.shell("web", "cat /said"), "alone\n");
        shop.rewrite(&compose("http://127.0.0.1:8080/none", ""));
        let refused = shop.trice("build").code(1).stderr();
        assert!(refused.contains("http://127.0.0.1:8080/none"), "{refused}");
    });
}
