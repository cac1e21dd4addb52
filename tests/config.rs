//! `config`: each of its flags, on one project.

use std::fs;

use serde_json::{Value, json};

use crate::scenario::{Scenario, scenario_of};

const SHOWN: &str = r#"
name: shown
services:
  web:
    image: nginx:${TAG:-1.27}
    depends_on: [store]
    env_file: web.env
    environment:
      LEVEL: ${LEVEL:?say how much}
      WAY: ${WAY-straight}
    volumes: ["./pages:/pages:ro", "kept:/kept"]
  store:
    image: redis
    networks: [back]
  tool:
    build: ./tool
    profiles: [jobs]
    environment: { QUIET: "${QUIET:+yes}" }
volumes:
  kept: {}
networks:
  back: { internal: true }
"#;

/// Runs `steps` where the project is, with its env files and a second Compose file.
fn shown(steps: impl FnOnce(&Scenario) + Send) {
    scenario_of(SHOWN, |project| {
        let folder = project.file().parent().unwrap();
        for (name, text) in [
            (".env", "LEVEL=3\n"),
            ("web.env", "FROM_FILE=${LEVEL}0\n"),
            ("more.yaml", "services:\n  web:\n    environment: { WAY: round, LEVEL: '4' }\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        steps(project);
        assert!(!project.run_directory().exists(), "`config` needs no engine");
    });
}

fn printed(project: &Scenario, line: &str) -> String {
    project.trice(line).success().stdout()
}

fn model(project: &Scenario, line: &str) -> Value {
    serde_json::from_str(&printed(project, line)).expect("JSON")
}

#[test]
fn lists_have_one_name_a_line() {
    shown(|project| {
        for (line, expected) in [
            ("config --services", "store\nweb\n"),
            ("config --services store", "store\n"),
            ("--profile jobs config --services", "store\ntool\nweb\n"),
            ("config --volumes", "kept\n"),
            ("config --networks", "back\ndefault\n"),
            ("config --profiles", "jobs\n"),
            ("config --models", ""),
            ("config --images web", "redis\nnginx:1.27\n"),
            ("--profile jobs config --images tool", "shown-tool\n"),
            ("config -q", ""),
            ("config --quiet --services", ""),
        ] {
            assert_eq!(printed(project, line), expected, "{line}");
        }
        let environment = printed(project, "config --environment");
        for line in ["COMPOSE_PROJECT_NAME=shown", "LEVEL=3"] {
            assert!(environment.lines().any(|one| one == line), "{line} in {environment}");
        }
    });
}

#[test]
fn hashes_stay_until_what_they_stand_for_changes() {
    shown(|project| {
        let all = printed(project, "config --hash *");
        let (store, web) = all.split_once('\n').unwrap();
        assert!(store.starts_with("store ") && web.starts_with("web "), "{all}");
        assert_eq!(printed(project, "config --hash web"), web);
        assert_eq!(printed(project, "config --hash web,store"), all);
        project.rewrite(&SHOWN.replace("  web:\n", "  web:\n    # a comment is no change\n"));
        assert_eq!(printed(project, "config --hash *"), all);
        project.rewrite(&SHOWN.replace("redis", "redis:7"));
        let changed = printed(project, "config --hash *");
        assert!(changed.ends_with(web) && !changed.contains(store), "{changed}");
    });
}

#[test]
fn variables_are_shown_with_what_stands_in_for_them() {
    shown(|project| {
        assert_eq!(
            printed(project, "config --variables"),
            "NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE\n\
             LEVEL               true                                    \n\
             QUIET               false                                   yes\n\
             TAG                 false               1.27                \n\
             WAY                 false               straight            \n"
                .lines()
                .map(|line| line.trim_end().to_owned() + "\n")
                .collect::<String>()
        );
        let variables = model(project, "config --variables --format json");
        let tag = json!({ "Name": "TAG", "Required": false, "DefaultValue": "1.27", "PresenceValue": "" });
        assert_eq!(variables["TAG"], tag);
        assert_eq!(variables["QUIET"]["PresenceValue"], "yes");
    });
}

#[test]
fn steps_of_the_loader_can_be_left_out() {
    shown(|project| {
        let folder = project.file().parent().unwrap().to_str().unwrap();
        let full = model(project, "config --format json web");
        let web = &full["services"]["web"];
        assert_eq!(web["environment"], json!({ "FROM_FILE": "30", "LEVEL": "3", "WAY": "straight" }));
        assert_eq!(web["networks"], json!({ "default": null }));
        assert_eq!(web["volumes"][0]["source"], format!("{folder}/pages"));
        assert_eq!(full["networks"]["back"]["name"], "shown_back");

        let raw = model(project, "config --format json --no-interpolate");
        assert_eq!(raw["services"]["web"]["image"], "nginx:${TAG:-1.27}");
        assert_eq!(raw["services"]["web"]["environment"]["LEVEL"], "${LEVEL:?say how much}");

        let plain = model(project, "config --format json --no-normalize web");
        assert_eq!(plain["services"]["web"]["networks"], Value::Null);
        assert_eq!(plain["networks"], json!({ "back": { "internal": true, "ipam": {} } }));

        let relative = model(project, "config --format json --no-path-resolution web");
        assert_eq!(relative["services"]["web"]["volumes"][0]["source"], "./pages");

        let unread = model(project, "config --format json --no-env-resolution web");
        assert_eq!(unread["services"]["web"]["environment"], json!({ "LEVEL": "3", "WAY": "straight" }));
        assert_eq!(unread["services"]["web"]["env_file"][0], format!("{folder}/web.env"));

        project.rewrite(&SHOWN.replace("[store]", "[nobody]"));
        let refused = project.trice("config -q").code(1).stderr();
        assert!(refused.contains("nobody"), "{refused}");
        project.rewrite(&SHOWN.replace("networks: [back]", "networks: [nowhere]"));
        project.trice("config -q").code(1);
        let unchecked = model(project, "config --format json --no-consistency");
        assert_eq!(unchecked["services"]["store"]["networks"], json!({ "nowhere": null }));
    });
}

#[test]
fn what_is_printed_loads_again_to_the_same() {
    shown(|project| {
        let yaml = printed(project, "--profile jobs config");
        let as_json = printed(project, "--profile jobs config --format json");
        assert_eq!(printed(project, "--profile jobs config -o out.yaml"), "");
        let file = project.file().with_file_name("out.yaml");
        assert_eq!(fs::read_to_string(&file).unwrap(), yaml);
        assert_eq!(printed(project, "-f out.yaml --profile jobs config --format json"), as_json);
        assert_eq!(printed(project, "-f out.yaml --profile jobs config"), yaml);
    });
}

#[test]
fn a_value_is_explained_with_all_that_it_came_from() {
    shown(|project| {
        for (line, expected) in [
            (
                "config --explain services.web.environment.WAY",
                "compose.yaml:10:12  \"straight\"  filled in from\n\
                 compose.yaml:10:12  \"${WAY-straight}\"  written there\n",
            ),
            (
                "-f compose.yaml -f more.yaml config --explain services.web.environment.WAY",
                "more.yaml:3:25  \"round\"  in place of\n\
                 compose.yaml:10:12  \"straight\"  filled in from\n\
                 compose.yaml:10:12  \"${WAY-straight}\"  written there\n",
            ),
            ("config --explain-var LEVEL", ".env:1:1  3\n"),
        ] {
            assert_eq!(printed(project, line), expected, "{line}");
        }
        let mut command = project.command(&["config", "--explain-var", "LEVEL"]);
        let told = command.env("LEVEL", "9").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&told.stdout), "the environment  9\n.env:1:1  3  not used\n");
    });
}

#[test]
fn what_is_not_there_is_an_error() {
    shown(|project| {
        for (line, expected) in [
            ("config nobody", "there is no service `nobody`"),
            ("config --hash nobody", "there is no service `nobody`"),
            ("config --explain services.web.nothing", "there is nothing at `services.web.nothing`"),
            ("config --explain-var NOTHING", "the variable `NOTHING` is not set"),
            ("config -o no/such/folder", "write `no/such/folder`"),
        ] {
            let told = project.trice(line).code(1).stderr();
            assert!(told.contains(expected), "{line}: {told}");
        }
    });
}
