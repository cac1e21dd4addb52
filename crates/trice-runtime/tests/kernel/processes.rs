//! The process of a container: who it is, where it is, what it reads, how it ends.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use trice_model::service::Ulimit;

use crate::realm::{Ended, Realm, in_realm, read_all};
use crate::spec::{container, shell};
use crate::tests;

tests![
    output_and_errors_are_kept_apart,
    codes_and_signals_are_told_as_they_are,
    a_command_that_is_not_there_says_where_it_was_looked_for,
    a_command_that_cannot_be_run_says_why,
    variables_are_those_that_were_asked_for_and_a_home,
    users_and_groups_are_those_of_the_containers_files,
    what_is_no_user_never_becomes_root,
    the_working_directory_is_made_where_it_is_missing,
    a_user_may_open_its_output_again,
    standard_input_is_empty_or_what_somebody_gives,
    limits_are_set_and_one_that_cannot_be_is_named,
    a_process_begins_with_no_signal_ignored_or_held_back,
];

fn output_and_errors_are_kept_apart() {
    in_realm(|realm| {
        let ended = realm.run(shell("echo out; echo err >&2; echo more"));
        assert_eq!(ended, Ended { status: 0, out: "out\nmore\n".to_owned(), err: "err\n".to_owned() });
    });
}

fn codes_and_signals_are_told_as_they_are() {
    in_realm(|realm| {
        assert_eq!(realm.run(shell("exit 7")).status, 7 << 8);
        assert_eq!(realm.run(shell("exit 255")).status, 255 << 8);
        let mut spec = shell("kill -SEGV $$; exit 3");
        // Process 1 of a container does not hear its own signals, but one below an init does.
        spec.init = true;
        assert_eq!(realm.run(spec).status, (128 + 11) << 8);
        let running = realm.start(shell("sleep 1000"));
        assert_eq!(realm.kill(running).status, 9);
    });
}

fn failure(realm: &Realm, spec: trice_model::container::ContainerSpec) -> (String, i32) {
    let mut prepared = realm.prepare(&spec).unwrap();
    let error = prepared.start().unwrap_err().to_string();
    let status = realm.exit_of(spec.id.as_str());
    realm.containers.link().forget(spec.id.as_str()).unwrap();
    realm.containers.remove(&spec.id).unwrap();
    (error, status)
}

fn a_command_that_is_not_there_says_where_it_was_looked_for() {
    in_realm(|realm| {
        let mut spec = container(["no-such-program"]);
        spec.process.env.insert("PATH".to_owned(), "/bin:/usr/bin".to_owned());
        let expected = "command `no-such-program` not found in PATH=/bin:/usr/bin, as user 0";
        assert_eq!(failure(realm, spec), (expected.to_owned(), 127 << 8));
        let spec = container(["/no/such/program"]);
        assert_eq!(
            failure(realm, spec),
            ("command `/no/such/program` not found, as user 0".to_owned(), 127 << 8)
        );
    });
}

fn a_command_that_cannot_be_run_says_why() {
    in_realm(|realm| {
        let write = |name: &str, text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let path = realm.folders.volume().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("plain", "text", 0o644);
        write("orphan", "#!/no/such/interpreter\n", 0o755);
        write("bytes", "neither", 0o755);
        for (name, why) in [
            ("plain", "Permission denied (os error 13)"),
            ("orphan", "the interpreter that it names is missing"),
            ("bytes", "it is neither a program for this machine nor begins with `#!`"),
        ] {
            let mut spec = container([]);
            spec.process.args = vec![format!("/opt/v/{name}")];
            spec.mounts = vec![crate::spec::volume("/opt/v", None, false)];
            let expected = format!("command `/opt/v/{name}` cannot be run as user 0: {why}");
            assert_eq!(failure(realm, spec), (expected, 126 << 8));
        }
    });
}

fn variables_are_those_that_were_asked_for_and_a_home() {
    in_realm(|realm| {
        let mut spec = container(["env"]);
        spec.process.env.insert("A".to_owned(), "with blanks\nand lines".to_owned());
        spec.process.link_env.insert("DB_PORT".to_owned(), "tcp://10.0.0.2:5432".to_owned());
        spec.process.link_env.insert("A".to_owned(), "hidden".to_owned());
        spec.mounts = craft_user_files(realm);
        let found = realm.run(spec).ok();
        let path = &crate::spec::process([]).env["PATH"];
        let expected =
            format!("A=with blanks\nand lines\nDB_PORT=tcp://10.0.0.2:5432\nHOME=/root\nPATH={path}\n");
        assert_eq!(found, expected);
    });
}

/// Writes user files that have nothing to do with the machine's, and returns the mounts that put them in their place.
fn craft_user_files(realm: &Realm) -> Vec<trice_model::mount::MountSpec> {
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:100::/home/app:/bin/sh\n";
    let group = "root:x:0:\nusers:x:100:\nvideo:x:44:app\naudio:x:29:\n";
    let mounts = [("passwd", passwd), ("group", group)].map(|(name, text)| {
        let path = realm.folders.volume().join(name);
        std::fs::write(&path, text).unwrap();
        crate::spec::bind(path, &format!("/etc/{name}"), true)
    });
    mounts.to_vec()
}

/// Returns the user, groups and home of a process in a container with crafted files.
fn identity(realm: &Realm, user: &str, groups: &[&str]) -> Result<String, String> {
    let mut spec = shell("echo $(id -u) $(id -g) $(id -G) $HOME");
    spec.process.user = user.to_owned();
    spec.process.groups = groups.iter().map(|&group| group.to_owned()).collect();
    spec.mounts = craft_user_files(realm);
    match realm.prepare(&spec) {
        Ok(mut prepared) => {
            prepared.start().unwrap();
            Ok(realm.end(crate::realm::Running { spec, prepared }).ok().trim().to_owned())
        }
        Err(error) => {
            realm.exit_of(spec.id.as_str());
            realm.containers.link().forget(spec.id.as_str()).unwrap();
            realm.containers.remove(&spec.id).unwrap();
            Err(error.to_string())
        }
    }
}

fn users_and_groups_are_those_of_the_containers_files() {
    in_realm(|realm| {
        for (user, groups, expected) in [
            ("", &[][..], "0 0 0 /root"),
            ("app", &[], "1000 100 100 44 /home/app"),
            ("1000", &["audio"], "1000 100 100 29 44 /home/app"),
            ("1000:29", &[], "1000 29 29 /home/app"),
            ("app:video", &["7"], "1000 44 44 7 /home/app"),
            ("4242", &[], "4242 0 0 /"),
        ] {
            assert_eq!(identity(realm, user, groups).as_deref(), Ok(expected), "{user}");
        }
    });
}

fn what_is_no_user_never_becomes_root() {
    in_realm(|realm| {
        for user in ["nobody-here", "-1", "4294967295", " 1", "1x", "app:nogroup"] {
            assert!(identity(realm, user, &[]).is_err(), "{user}");
        }
        let error = identity(realm, "ghost", &[]).unwrap_err();
        assert_eq!(error, "user `ghost` is not in the container's /etc/passwd");
    });
}

fn the_working_directory_is_made_where_it_is_missing() {
    in_realm(|realm| {
        for read_only in [false, true] {
            let mut spec = shell("pwd");
            spec.process.cwd = "/srv/deep/new".to_owned();
            spec.read_only = read_only;
            assert_eq!(realm.run(spec).ok(), "/srv/deep/new\n");
        }
        let running = realm.start(shell("sleep 1000"));
        let mut process = crate::spec::process(["/bin/pwd"]);
        process.cwd = "/srv/deep/new".to_owned();
        let error = realm.exec(&running, process).unwrap_err().to_string();
        assert_eq!(
            error,
            "enter the working directory /srv/deep/new: No such file or directory (os error 2)"
        );
        realm.kill(running);
    });
}

fn a_user_may_open_its_output_again() {
    in_realm(|realm| {
        let script = "echo out > /dev/stdout; echo err > /dev/stderr";
        let mut spec = shell(script);
        spec.process.user = "1000:1000".to_owned();
        let ended = realm.run(spec);
        assert_eq!(ended, Ended { status: 0, out: "out\n".to_owned(), err: "err\n".to_owned() });
        let running = realm.start(shell("sleep 1000"));
        let mut process = crate::spec::process(["/bin/sh", "-c", script]);
        process.user = "1000:1000".to_owned();
        let ended = realm.exec(&running, process).unwrap();
        assert_eq!(ended, Ended { status: 0, out: "out\n".to_owned(), err: "err\n".to_owned() });
        realm.kill(running);
    });
}

fn standard_input_is_empty_or_what_somebody_gives() {
    in_realm(|realm| {
        assert_eq!(realm.run(shell("cat; echo end")).ok(), "end\n");
        let (reads, writes) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writes, b"given\n").unwrap();
        drop(writes);
        let mut spec = shell("cat; echo end");
        spec.process.stdin_open = true;
        let mut prepared = realm.prepare_with(&spec, Some(reads)).unwrap();
        prepared.start().unwrap();
        let ended = realm.end(crate::realm::Running { spec, prepared });
        assert_eq!(ended.ok(), "given\nend\n");

        // Somebody's own file stays his: neither the standard input of a container nor the output of what is run in
        // it changes its owner.
        let [input, errors] = ["input", "errors"].map(|name| realm.folders.outside().join(name));
        std::fs::write(&input, "mine\n").unwrap();
        let mut spec = shell("cat; sleep 1000");
        spec.process.stdin_open = true;
        spec.process.user = "1000".to_owned();
        let mut prepared = realm.prepare_with(&spec, Some(File::open(&input).unwrap().into())).unwrap();
        prepared.start().unwrap();
        let running = crate::realm::Running { spec, prepared };
        let (out, stdout) = rustix::pipe::pipe().unwrap();
        // The container has read its input when the program after `cat` runs.
        let script =
            "until grep -qs sleep /proc/[0-9]*/comm; do :; done; echo for the caller; echo error >&2";
        let mut process = crate::spec::process(["/bin/sh", "-c", script]);
        process.user = "1000".to_owned();
        let stderr = File::create(&errors).unwrap().into();
        let stdio = trice_runtime::container::ExecStdio::Streams { stdin: None, stdout, stderr };
        realm.begin_exec(&running, "exec/mine", process, stdio).unwrap();
        realm.exit_of("exec/mine");
        realm.containers.link().forget("exec/mine").unwrap();
        assert_eq!(read_all(out), "for the caller\n");
        for path in [input, errors] {
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), 0, "{}", path.display());
        }
        assert_eq!(realm.kill(running).out, "mine\n");
    });
}

fn limits_are_set_and_one_that_cannot_be_is_named() {
    in_realm(|realm| {
        let mut spec = shell("ulimit -n; ulimit -Hn; ulimit -c");
        spec.process.ulimits.insert("nofile".to_owned(), Ulimit { soft: 100, hard: 200 });
        spec.process.ulimits.insert("core".to_owned(), Ulimit { soft: 0, hard: 0 });
        assert_eq!(realm.run(spec).ok(), "100\n200\n0\n");
        assert_eq!(realm.run(shell("ulimit -n")).ok(), "1024\n");
        let mut spec = shell("true");
        let beyond = i64::MAX;
        spec.process.ulimits.insert("nofile".to_owned(), Ulimit { soft: beyond, hard: beyond });
        let (error, status) = failure(realm, spec);
        assert!(error.starts_with("set the limit nofile: "), "{error}");
        assert_eq!(status, 125 << 8);
    });
}

fn a_process_begins_with_no_signal_ignored_or_held_back() {
    in_realm(|realm| {
        for init in [false, true] {
            let mut spec = container(["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]);
            spec.init = init;
            let found = realm.run(spec).ok();
            assert_eq!(found, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
        }
    });
}
