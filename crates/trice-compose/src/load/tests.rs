//! The whole way.

use proptest::collection::vec;
use proptest::prelude::{prop_assert, proptest};
use proptest::sample::select;

use super::*;
use crate::config;
use crate::request::Skip;
use crate::testing::{Memory, request};

const TEXT: &str = "
name: shop
services:
  web:
    image: 'web:${TAG:-1}'
    command: echo '$$HOME' 1_000
    environment: { A: '010', B: 'yes', C: \"a\\nb\", D: '$$x' }
    ports: ['127.0.0.1:8080-8081:80-81', '90']
    volumes: ['data:/d:ro', './x:/y']
    healthcheck: { test: curl x, interval: 1m30s }
    deploy: { resources: { limits: { cpus: '0.1', memory: 1.5g } } }
    extra_hosts: { h: ['::1', 1.2.3.4] }
    depends_on: [db]
  db: { image: db, ulimits: { nofile: 5 }, secrets: [s], stop_grace_period: 2d }
volumes: { data: }
secrets: { s: { file: ./s } }
x-note: [1, 2.5, ~]
";

#[test]
fn yaml_leaves_out_what_says_nothing_and_json_has_it() {
    let text = "services: { s: { image: a, deploy: { placement: {}, replicas: 2 }, networks: [n] } }\nnetworks: { n: }\n";
    let loaded = model(&request(), &Memory::new(&[("/p/compose.yaml", text)])).unwrap().0;
    let (yaml, json) = (config::yaml(&loaded), config::json(&loaded));
    for word in ["command", "entrypoint", "placement", "ipam"] {
        assert!(!yaml.contains(word) && json.contains(word), "{word}\n{yaml}\n{json}");
    }
}

#[test]
fn what_config_prints_loads_to_what_config_prints() {
    let first = model(&request(), &Memory::new(&[("/p/compose.yaml", TEXT)])).unwrap().0;
    for printed in [config::yaml(&first), config::json(&first)] {
        let again = model(&request(), &Memory::new(&[("/p/compose.yaml", &printed)])).unwrap().0;
        assert_eq!(config::value(&again), config::value(&first), "{printed}");
    }
}

#[test]
fn a_step_that_is_left_out_leaves_its_work_undone() {
    let left = |skip: Skip| {
        let request = Request { skip, ..request() };
        let files = [
            (
                "/p/compose.yaml",
                "services: { s: { image: '$V', volumes: ['./a:/a'], env_file: e, networks: [n] } }",
            ),
            ("/p/e", "A=1"),
        ];
        match model(&request, &Memory::new(&files)) {
            Ok((model, _)) => config::value(&model)["services"]["s"].to_string(),
            Err(mistakes) => mistakes.0.into_iter().map(|told| told.message).collect::<Vec<_>>().join("; "),
        }
    };
    let all =
        Skip { interpolation: true, normalisation: true, paths: true, consistency: true, env_files: true };
    insta::assert_snapshot!(left(all), @r#"{"env_file":[{"path":"e","required":true}],"image":"$V","networks":{"n":null},"volumes":[{"bind":{"create_host_path":true},"source":"./a","target":"/a","type":"bind"}]}"#);
    insta::assert_snapshot!(left(Skip { interpolation: false, ..all }), @r#"{"command":null,"entrypoint":null,"env_file":["e"],"networks":{"n":null},"volumes":[{"bind":{"create_host_path":true},"source":"./a","target":"/a","type":"bind"}]}"#);
    insta::assert_snapshot!(left(Skip { consistency: true, ..Skip::default() }), @r#"{"command":null,"entrypoint":null,"environment":{"A":"1"},"networks":{"n":null},"volumes":[{"bind":{"create_host_path":true},"source":"/p/a","target":"/a","type":"bind"}]}"#);
    insta::assert_snapshot!(left(Skip::default()), @"there is neither `image` nor `build`; there is no network `n` at the top level");
}

#[test]
fn lists_of_what_is_in_a_project_are_sorted() {
    let model = model(&request(), &Memory::new(&[("/p/compose.yaml", TEXT)])).unwrap().0;
    assert_eq!(config::services(&model), ["db", "web"]);
    assert_eq!(config::images(&model), ["db", "web:1"]);
    assert_eq!(config::volumes(&model), ["data"]);
    assert_eq!(config::networks(&model), ["default"]);
}

#[test]
fn the_hash_of_a_service_changes_with_what_its_containers_are_made_of_and_with_nothing_else() {
    let hash = |text: &str| {
        let text = format!("services: {{ s: {{ image: x, {text} }}, t: {{ image: x }} }}");
        let model = model(&request(), &Memory::new(&[("/p/compose.yaml", &text)])).unwrap().0;
        config::hashes(&model).remove(0).1
    };
    assert_eq!(hash("scale: 2, depends_on: [t], pull_policy: always"), hash(""));
    assert_ne!(hash("tty: true"), hash(""));
}

#[test]
fn the_variables_that_files_name_are_listed_without_filling_them_in() {
    let request = Request { skip: Skip { interpolation: true, ..Skip::default() }, ..request() };
    let text = "services: { s: { image: '${A:-x}', command: ['${B:?need}', '${C+y}', '$$D'] } }";
    let model = model(&request, &Memory::new(&[("/p/compose.yaml", text)])).unwrap().0;
    let told = config::variables(&model).into_values().map(|variable| {
        format!(
            "{} [{}] [{}] {}",
            variable.name, variable.default_value, variable.presence_value, variable.required
        )
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
        A [x] [] false
        B [] [] true
        C [] [y] false
        ");
}

#[test]
fn what_is_implied_and_what_is_the_default_is_said() {
    let text = "
name: p
services:
  s:
    image: x
    scale: 2
    mem_limit: 0
    build: { args: { SET: 1, TAKEN: , UNSET: } }
    deploy: { labels: { a: b } }
    extra_hosts: ['b=2.2.2.2', 'a:1.1.1.1']
    gpus: [{ driver: d }, { device_ids: [a] }]
    network_mode: none
    pre_start: [{ command: a }, { command: b, image: other }]
    secrets: [key]
    volumes_from: [t, 'container:c']
  t: { image: x, ipc: 'service:s2', network_mode: none, volumes: ['v:/v', 'w:/w'] }
  s2: { image: x, network_mode: none }
secrets: { key: { environment: KEY } }
volumes:
  v: { driver: local, driver_opts: { type: none, o: bind, device: ./v } }
  w: { driver: other, driver_opts: { o: bind, device: ./w } }
";
    let mut request = request();
    request.environment.insert("TAKEN".to_owned(), "outside".to_owned());
    insta::assert_snapshot!(crate::testing::config(&request, &[("/p/compose.yaml", text)]), @r#"
    name: p
    services:
      s:
        build:
          args:
            SET: "1"
            TAKEN: outside
          context: /p
          dockerfile: Dockerfile
        depends_on:
          t:
            condition: service_started
            required: true
        deploy:
          labels:
            a: b
          replicas: 2
        extra_hosts:
          - a=1.1.1.1
          - b=2.2.2.2
        gpus:
          - count: -1
            driver: d
          - device_ids:
              - a
        image: x
        network_mode: none
        pre_start:
          - command:
              - a
            image: x
          - command:
              - b
            image: other
        scale: 2
        secrets:
          - source: key
            target: /run/secrets/key
        volumes_from:
          - t
          - container:c
      s2:
        image: x
        network_mode: none
      t:
        depends_on:
          s2:
            condition: service_started
            required: true
            restart: true
        image: x
        ipc: service:s2
        network_mode: none
        volumes:
          - source: v
            target: /v
            type: volume
            volume: {}
          - source: w
            target: /w
            type: volume
            volume: {}
    volumes:
      v:
        driver: local
        driver_opts:
          device: /p/v
          o: bind
          type: none
        name: p_v
      w:
        driver: other
        driver_opts:
          device: ./w
          o: bind
        name: p_w
    secrets:
      key:
        environment: KEY
        name: p_key
    "#);
}

#[test]
fn an_old_version_is_dropped_with_a_warning() {
    insta::assert_snapshot!(crate::testing::told("version: '3'\nservices: { s: { image: x } }"), @"warning: compose.yaml:1:1 version: `version` is out of use, and says nothing [remove it]");
}

#[test]
fn ranges_variables_and_mistakes_beyond_measure_are_cut_off() {
    let told = |text: &str| {
        let told = crate::testing::told(text);
        let lines: Vec<&str> = told.lines().collect();
        format!("{} lines, the last: {}", lines.len(), lines.last().unwrap_or(&""))
    };
    let ports = ["'1-40000'", "'1-40000/udp'", "'1-40000/sctp'"].join(", ");
    insta::assert_snapshot!(told(&format!("services: {{ s: {{ image: x, ports: [{ports}] }} }}")), @"1 lines, the last: compose.yaml:1:47 services.s.ports[1]: the short forms of this file stand for more than 70000 values");
    let unknown: String = (0..1_500).map(|number| format!("k{number}: 1\n")).collect();
    insta::assert_snapshot!(told(&unknown), @"1001 lines, the last: : and 500 more like these");
    let mut request = request();
    request.environment.insert("LONG".to_owned(), "x".repeat(1 << 19));
    let text = format!("x-a: [{}]\nservices: {{}}", "'$LONG', ".repeat(100));
    insta::assert_snapshot!(crate::testing::config(&request, &[("/p/compose.yaml", &text)]), @"compose.yaml:1:295 x-a[32]: variables make the document more than 16 MiB larger");
}

proptest! {
    #[test]
    fn no_text_takes_the_loader_down(
        words in vec(select(WORDS.to_vec()), 0..40),
        over in vec(select(WORDS.to_vec()), 0..12),
    ) {
        let main = format!("services:\n  s:\n    image: x\n    {}", words.concat());
        let over = over.concat();
        let files = Memory::new(&[
            ("/p/compose.yaml", &main),
            ("/p/compose.override.yaml", &over),
            ("/p/.env", &over),
        ]);
        // Whatever it is, it is loaded or refused, and what is refused says why.
        if let Err(mistakes) = load(&request(), &files) {
            prop_assert!(!mistakes.0.is_empty());
        }
    }
}

/// What hostile files are made of.
const WORDS: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "<<: ",
    "!reset ",
    "!override ",
    "services",
    "networks",
    "volumes",
    "configs",
    "include",
    "extends",
    "x-a",
    "image",
    "build",
    "ports",
    "environment",
    "depends_on",
    "command",
    "deploy",
    "resources",
    "limits",
    "healthcheck",
    "test",
    "external",
    "name",
    "ulimits",
    "secrets",
    "gpus",
    "env_file",
    "label_file",
    "extra_hosts",
    "logging",
    "driver",
    "ipam",
    "config",
    "subnet",
    "scale",
    "s",
    "t",
    "compose.yaml",
    "'",
    "\"",
    "$A",
    "${A:-",
    "}",
    "$",
    "80:80",
    "1-65535",
    "/x",
    "a:/b:ro",
    "~",
    "null",
    "true",
    "1",
    "-1",
    "1e400",
    "0x10",
    ".5",
    "1m30s",
    "64m",
    "|\n   ",
    ">-\n   ",
    "---\n",
    "...\n",
    "#",
    "\t",
    "é",
    "\u{2028}",
];
