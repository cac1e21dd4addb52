//! The JSON Schema for editors says of a file what the loader says of it.

#![allow(clippy::disallowed_types, reason = "a test that reads the examples of the repository")]

use std::io;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::model;
use trice_compose::request::{Request, Skip};

struct Memory<'a>(&'a str);

impl Files for Memory<'_> {
    fn read(&self, _: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        Ok(self.0.as_bytes()[..self.0.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        (path == Path::new("/p/compose.yaml")).then_some(FileKind::File)
    }
}

/// Tells whether the loader takes `text`, by itself, whatever its attributes say of each other.
fn loads(text: &str) -> bool {
    let skip = Skip { consistency: true, env_files: true, ..Skip::default() };
    let request = Request { current_dir: PathBuf::from("/p"), skip, ..Request::default() };
    model(&request, &Memory(text)).is_ok()
}

fn validator() -> Validator {
    jsonschema::validator_for(&config::schema()).expect("the schema is one")
}

fn valid(validator: &Validator, text: &str) -> bool {
    let mut document: serde_yaml::Value = serde_yaml::from_str(text).expect("it is YAML");
    document.apply_merge().expect("what is merged are mappings");
    let document: Json = serde_json::to_value(document).expect("keys are texts");
    validator.is_valid(&document)
}

#[test]
fn each_form_of_an_attribute_is_taken_or_refused_by_both() {
    let forms = [
        "build: ., command: a b, entrypoint: [a], environment: { A: 1, B: , C: true }",
        "build: { context: ., args: [A], ssh: [default, a=b], secrets: [s], no_cache: 'true', ulimits: { a: 5 } }",
        "environment: [A=1, B], env_file: a, labels: [a=b]",
        "env_file: [a, { path: b, required: false, format: raw }], extends: { service: t }",
        "ports: [80, '8080:80', { target: 80, published: '8080-8090', mode: host }], expose: [80, '90-91']",
        "volumes: ['a:/b', { type: bind, source: ., target: /t, bind: { create_host_path: false, selinux: z } }]",
        "networks: [a], depends_on: [t]",
        "networks: { a: { aliases: [b], priority: 5.5 }, b: }, depends_on: { t: { condition: service_healthy } }",
        "deploy: { replicas: 2, resources: { limits: { cpus: '0.5', memory: 5m } }, update_config: { order: start-first } }",
        "healthcheck: { test: [CMD, a], interval: 5s, retries: '3', disable: false }, mem_limit: 5, shm_size: 5m",
        "gpus: all, devices: [/dev/a, { source: /a, target: /b }], extra_hosts: { a: [b, c] }, ulimits: { n: { soft: 1, hard: 2 } }",
        "configs: [a, { source: b, mode: 0444 }], dns: 1.1.1.1, tmpfs: [/a], develop: { watch: [{ path: ., action: rebuild }] }",
        "x-a: [1], pull_policy: every_12h, cpus: 0.5, oom_score_adj: -5, cgroup: host, develop: , deploy: ",
        "post_start: [{ command: [a], user: b }], provider: { type: x, options: { a: [1, b] } }, logging: { options: { a: } }",
        "tty: 5",
        "image: 5",
        "imgae: x",
        "ports: '80:80'",
        "ports: [[80]]",
        "command: { a: b }",
        "command: [~]",
        "environment: [[A]]",
        "environment: { A: [b] }",
        "mem_limit: [5]",
        "mem_reservation: 1.5",
        "stop_grace_period: 10",
        "depends_on: { t: started }",
        "depends_on: { t: {} }",
        "depends_on: { t: { condition: sometimes } }",
        "networks: x",
        "ulimits: { n: { soft: 1 } }",
        "oom_score_adj: 2000",
        "scale: 1.5",
        "deploy: { resources: { limits: { memory: 5 } } }",
        "security_opt: [a, a]",
        "volumes: [{ type: x, target: /t }]",
        "env_file: [{ required: true }]",
        "env_file: [{ path: a, x-a: b }]",
        "logging: { driver: x, options: { a: true } }",
        "build: { context: ., arg: [A] }",
        "cgroup: mine",
        "gpus: some",
        "container_name: x",
    ];
    let validator = validator();
    for form in forms {
        let text = format!("services: {{ s: {{ {form} }}, t: {{}} }}\n");
        assert_eq!(valid(&validator, &text), loads(&text), "{form}");
    }
    let wholes = [
        ("services: {}", true),
        ("include: [a, { path: [b] }]\nname: x\nversion: '3'", false),
        (
            "networks: { a: , b: { ipam: { config: [{ subnet: 10.0.0.0/8 }] }, external: true, name: b } }",
            true,
        ),
        ("volumes: { a: { driver_opts: { a: 5 } }, b: { external: { name: c } } }", true),
        ("secrets: { a: { file: b } }\nconfigs: { a: { content: b } }\nmodels: { a: { model: b } }", true),
        ("services: []", false),
        ("service: {}", false),
        ("services: { 'a b': {} }", false),
        ("services: { a: }", false),
        ("volumes: { a: [] }", false),
        ("models: { a: {} }", false),
    ];
    for (text, fine) in wholes {
        // A file that includes others cannot be loaded alone.
        assert_eq!(valid(&validator, text), fine || text.starts_with("include"), "{text}");
        assert_eq!(loads(text), fine, "{text}");
    }
}

#[test]
fn the_example_of_the_repository_is_valid() {
    let text = include_str!("../../../docker-compose.example.yml");
    assert!(valid(&validator(), text));
}
