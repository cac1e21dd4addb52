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
