//! Bad input: a clear error, and nothing left behind.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::scenario::{Scenario, run, scenario_of};

/// Has `up` fail with the Compose file `text`, and returns what it says. Nothing may be left.
fn failure_of(text: &str) -> String {
    let mut said = String::new();
    scenario_of(text, |scenario| {
        said = errors(scenario, "up -d");
        assert_eq!(scenario.states(), [""; 0], "{said}");
        scenario.must_be_gone();
    });
    said
}

/// Has a Compose file refused before anything is asked for, and returns what is said.
fn refusal_of(text: &[u8]) -> String {
    let mut said = String::new();
    scenario_of("", |scenario| {
        fs::write(scenario.file(), text).unwrap();
        said = errors(scenario, "up -d");
        assert!(!scenario.run_directory().exists(), "nothing was started");
    });
    said
}

/// Returns what a command says that fails, but for its progress.
fn errors(scenario: &Scenario, line: &str) -> String {
    let said = scenario.trice(line).code(1).stderr();
    let is_progress = |line: &&str| line.starts_with(' ') && !line.starts_with("  ");
    let errors: String =
        said.lines().filter(|line| !is_progress(line)).map(|line| format!("{line}\n")).collect();
    errors.replace(&scenario.home().display().to_string(), "HOME")
}

fn service(lines: &str) -> String {
    format!("name: bad\nservices:\n  web:\n    image: rootfs:/\n    command: sleep 1000\n{lines}")
}

#[test]
fn a_port_in_use_is_named_with_a_way_to_see_who_has_it() {
    scenario_of(&service("    ports: ['127.0.0.1:7999:80']\n"), |scenario| {
        let listener = TcpListener::bind("127.0.0.1:7999").unwrap();
        assert_eq!(
            errors(scenario, "up -d"),
            "error: start container bad-web-1: 127.0.0.1:7999/tcp: address already in use\n\
             hint: `ss -ltnp 'sport = :7999'` shows who has it\n"
        );
        scenario.must_be_gone();
        drop(listener);
        scenario.trice("up -d").success();
    });
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let with = |image: &str| service("").replace("rootfs:/", image);
    for (image, wanted) in [
        (
            "docker-archive:nowhere.tar",
            "error: load `docker-archive:HOME/project/nowhere.tar`: open `HOME/project/nowhere.tar`: No such file or directory",
        ),
        ("oci:nowhere", "error: load `oci:HOME/project/nowhere`: "),
        (
            "rootfs:/no/where",
            "error: image rootfs:/no/where: open the root file system `/no/where`: No such file or directory",
        ),
    ] {
        let said = failure_of(&with(image));
        assert!(said.starts_with(wanted), "{said}");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_named_with_its_user_and_path() {
    let with =
        |command: &str, user: &str| service(&format!("    user: '{user}'\n")).replace("sleep 1000", command);
    let said = failure_of(&with("slep 1000", "65534"));
    assert_eq!(
        said,
        "error: start container bad-web-1: command `slep` not found in \
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin, as user 65534\n\
         hint: check `command` and `entrypoint`, and that the image has the program\n"
    );
    let said = failure_of(&with("/etc/passwd", "0"));
    assert!(said.contains("command `/etc/passwd` cannot be run as user 0: Permission denied"), "{said}");
    let said = failure_of(&with("sleep 1", "walter"));
    assert!(said.contains("user `walter` is not in the container's /etc/passwd"), "{said}");
}

#[test]
fn a_path_that_is_missing_is_named() {
    let bind =
        "    volumes: [{ type: bind, source: ./missing, target: /x, bind: { create_host_path: false } }]\n";
    let said = failure_of(&service(bind));
    assert!(said.contains("HOME/project/missing"), "{said}");
    let inner = "    volumes: [{ type: volume, source: data, target: /x, volume: { subpath: no/such } }]\nvolumes: { data: }\n";
    let said = failure_of(&service(inner));
    assert!(said.contains("open `no/such` of volume `bad_data`: No such file or directory"), "{said}");
}

#[test]
fn a_circle_of_dependencies_is_spelt_out() {
    let text = "services:\n  a: { image: x, depends_on: [b] }\n  b: { image: x, depends_on: [a] }\n";
    let said = refusal_of(text.as_bytes());
    assert!(said.contains("compose.yaml:3:31: "), "{said}");
    assert!(said.contains("services wait for each other in a circle: a -> b -> a"), "{said}");
}

#[test]
fn files_that_are_no_compose_files_are_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                services: { web: { image: x, command: *f } }\n";
    let said = refusal_of(bomb.as_bytes());
    assert!(said.contains("values, those that aliases repeat included"), "{said}");
    let said = refusal_of(b"services: { web: { image: \"\xff\" } }\n");
    assert!(
        said.contains("compose.yaml:1:28: byte 0xff is not UTF-8\nhint: save the file as UTF-8"),
        "{said}"
    );
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_to_people_and_to_programs() {
    let text = "services:\n  web:\n    imag: x\n    ports: ['80:abc']\n    restart: sometimes\n";
    let said = refusal_of(text.as_bytes());
    for place in [
        "compose.yaml:3:5: services.web.imag",
        "compose.yaml:4:13: services.web.ports[0]",
        "compose.yaml:5:14: services.web.restart",
    ] {
        assert!(said.contains(place), "{place}\n{said}");
    }
    assert!(said.contains("did you mean `image`?"), "{said}");
    scenario_of(text, |scenario| {
        let said = scenario.trice("--progress json up -d").code(1).stderr();
        let reports: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let places: Vec<_> = reports
            .iter()
            .map(|report| (report["place"]["line"].clone(), report["place"]["column"].clone()))
            .collect();
        assert!(places.contains(&(3.into(), 5.into())) && places.contains(&(5.into(), 14.into())), "{said}");
    });
}

#[test]
fn a_service_that_does_not_get_healthy_is_told_and_can_be_looked_at() {
    let probe = "    healthcheck: { test: ['CMD', 'false'], interval: 50ms, retries: 2 }\n";
    scenario_of(&service(probe), |scenario| {
        let said = errors(scenario, "up --wait");
        assert_eq!(
            said,
            "error: container bad-web-1 is unhealthy\nhint: `trice logs web` shows what it wrote\n"
        );
        assert_eq!(scenario.states(), ["bad-web-1 running"]);
    });
    scenario_of(
        &service("    healthcheck: { test: ['CMD', 'false'], interval: 1h, start_period: 1h }\n"),
        |scenario| {
            let said = scenario.trice("up --wait --wait-timeout 1").code(1).stderr();
            assert!(said.contains("bad-web-1"), "{said}");
        },
    );
}

#[test]
fn a_dependency_that_fails_lets_nothing_begin_that_needs_it() {
    let text = "
name: bad
services:
  job: { image: 'rootfs:/', command: sh -c 'exit 4' }
  app: { image: 'rootfs:/', command: sleep 1000, depends_on: { job: { condition: service_completed_successfully } } }
";
    scenario_of(text, |scenario| {
        let said = scenario.trice("up -d").code(1).stderr();
        assert!(said.contains("error: container bad-job-1 exited (4)"), "{said}");
        assert_eq!(scenario.states(), ["bad-job-1 exited"], "whose log can be looked at");
    });
}

#[test]
fn a_subnet_that_the_host_has_is_refused() {
    let text = service("networks: { default: { ipam: { config: [{ subnet: 172.30.5.0/24 }] } } }\n");
    scenario_of(&text, |scenario| {
        run("ip", &["link", "add", "lan0", "type", "bridge"]);
        run("ip", &["address", "add", "172.30.5.1/24", "dev", "lan0"]);
        run("ip", &["link", "set", "lan0", "up"]);
        let said = scenario.trice("up -d").code(1).stderr();
        assert!(said.contains("compose.yaml:6:"), "{said}");
        assert!(said.contains("subnet 172.30.5.0/24 overlaps 172.30.5.1/24 of interface `lan0`"), "{said}");
        run("ip", &["link", "delete", "lan0"]);
        scenario.trice("up -d").success();
    });
}

#[test]
fn what_is_known_and_not_honoured_yet_is_refused_in_its_place() {
    let said = refusal_of(service("    gpus: all\n").as_bytes());
    assert!(said.contains("compose.yaml:6:5: services.web.gpus: `gpus` is not honoured yet"), "{said}");
    let said = failure_of(&service("    sysctls: { kernel.core_pattern: '|/x' }\n"));
    assert!(said.contains("`kernel.core_pattern` cannot be set for a container alone"), "{said}");
}

#[test]
fn what_means_nothing_here_is_told_once_and_when_it_is_started() {
    let attributes =
        "    deploy: { mode: global }\n    isolation: process\n    ports: [{ target: 80, mode: host }]\n";
    scenario_of(&service(attributes), |scenario| {
        let said = scenario.trice("up -d").success().stderr();
        let told: Vec<&str> = said.lines().filter(|line| line.contains("means nothing here")).collect();
        assert_eq!(
            told,
            [
                "warning: compose.yaml:6:15: services.web.deploy.mode: `mode` is for Swarm, and means nothing here",
                "warning: compose.yaml:7:5: services.web.isolation: `isolation` is for Windows, and means nothing here",
                "warning: compose.yaml:8:27: services.web.ports[0].mode: `mode` is for Swarm, and means nothing here",
            ]
        );
        for command in ["ps", "logs", "stop -t 0", "down -t 0"] {
            let said = scenario.trice(command).success().stderr();
            assert!(!said.contains("means nothing here"), "{command}: {said}");
        }
    });
}

#[test]
fn who_is_not_root_is_told_what_to_do() {
    scenario_of(&service(""), |scenario| {
        let trice = env!("CARGO_BIN_EXE_trice");
        let said = std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--clear-groups", trice, "up", "-d"])
            .env("COMPOSE_FILE", scenario.file())
            .output()
            .expect("setpriv(1)");
        assert_eq!(said.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&said.stderr),
            "error: trice needs root to run containers\n\
             hint: run it with `sudo`; `config`, `version` and `--help` work without\n"
        );
    });
}
