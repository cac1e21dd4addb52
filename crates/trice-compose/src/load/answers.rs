//! What Docker Compose 2.40 was asked, and we answer alike: forms that are taken and forms that are refused.
//!
//! Each row differed once, in files that a program had made up.

use serde_json::Value as Json;

use crate::config::json;
use crate::load::model;
use crate::request::{Request, Skip};
use crate::testing::{Memory, briefly, config, request};

/// Returns what is wrong with a service that has these attributes, or `fine`.
fn answer(attributes: &str) -> String {
    let text = format!(
        "services: {{ s: {{ image: x, {attributes} }} }}\nnetworks: {{ n: }}\nsecrets: {{ f: {{ file: f }} }}\n"
    );
    match model(&request(), &Memory::new(&[("/p/compose.yaml", &text)])) {
        Ok(_) => "fine".to_owned(),
        Err(mistakes) => mistakes.0.iter().map(told).collect::<Vec<_>>().join("; "),
    }
}

fn told(mistake: &crate::diagnostic::Diagnostic) -> String {
    let path = mistake.path.strip_prefix("services.s.").unwrap_or(&mistake.path);
    format!("{path}: {}", mistake.message)
}

#[test]
fn scalars_are_taken_where_docker_compose_takes_them() {
    let rows = [
        ("cpu_shares: 1.5, pids_limit: 2.9", "fine"),
        ("networks: { n: { priority: 1.5 } }", "fine"),
        (
            "networks: { n: { priority: '5' } }",
            "networks.n.priority: this must be a whole number, not a text",
        ),
        ("cpu_shares: '1.5'", "cpu_shares: `1.5` is not a whole number"),
        ("healthcheck: { test: x, retries: 2.5 }", "fine"),
        ("scale: 1.5", "scale: `1.5` is not a whole number"),
        ("group_add: [wheel, 5]", "fine"),
        ("group_add: [1.5]", "group_add[0]: this must be a text or a whole number, not a number"),
        ("expose: [true]", "expose[0]: this must be a text or a whole number, not a boolean"),
        ("external_links: [18446744073709551616]", "external_links[0]: this must be a text, not a number"),
        ("mem_limit: -1, memswap_limit: -1", "fine"),
        (
            "memswap_limit: '-1'",
            "memswap_limit: `-1` is not a size: write a number and one of b, k, m, g, t, p, such as `64m`",
        ),
        ("volumes: [{ type: tmpfs, target: /t, tmpfs: { mode: 1.5, size: 2 } }]", "fine"),
        (
            "volumes: [{ type: tmpfs, target: /t, tmpfs: { mode: -1, size: -1 } }]",
            "volumes[0].tmpfs.mode: -1 is not between 0 and 4294967295; volumes[0].tmpfs.size: -1 is not between 0 and 9223372036854775807",
        ),
        ("volumes: [{ type: bind, target: /t }]", "volumes[0]: a host path is missing"),
        ("mem_reservation: 1.5", "mem_reservation: this must be a size such as `64m`, not a number"),
        (
            "deploy: { resources: { limits: { memory: 64 } } }",
            "deploy.resources.limits.memory: this must be a size such as `64m`, in quotes if it is a number, not an integer",
        ),
        (
            "deploy: { update_config: { parallelism: -1 } }",
            "deploy.update_config.parallelism: -1 is not between 0 and 9223372036854775807",
        ),
    ];
    for (attributes, expected) in rows {
        assert_eq!(answer(attributes), expected, "{attributes}");
    }
}

#[test]
fn texts_in_mappings_are_texts() {
    let rows = [
        ("networks: { n: { driver_opts: { a: 5 } } }", "fine"),
        (
            "networks: { n: { driver_opts: { a: true } } }",
            "networks.n.driver_opts.a: this must be a text, not a boolean",
        ),
        (
            "networks: { n: { driver_opts: { a: } } }",
            "networks.n.driver_opts.a: this must be a text, not nothing",
        ),
        ("logging: { options: { a: , b: 5 } }", "fine"),
        ("logging: { options: { a: true } }", "logging.options.a: this must be a text, not a boolean"),
        ("build: { additional_contexts: { a: b } }", "fine"),
        (
            "build: { additional_contexts: { a: 5 } }",
            "build.additional_contexts.a: this must be a text, not an integer",
        ),
        ("build: { additional_contexts: [a] }", "build.additional_contexts[0]: `a` has no value"),
        ("build: { ssh: { a: [b] } }", "build.ssh.a: this must be a text, a number or a boolean, not a list"),
        ("provider: { type: x, options: { a: [b, true, 1.5] } }", "fine"),
    ];
    for (attributes, expected) in rows {
        assert_eq!(answer(attributes), expected, "{attributes}");
    }
}

#[test]
fn items_that_are_nothing_or_there_twice_are_refused() {
    let rows = [
        ("command: [~]", "command[0]: this must be a text, not nothing"),
        ("healthcheck: { test: [CMD, ~] }", "healthcheck.test[1]: this must be a text, not nothing"),
        ("networks: [~]", "networks[0]: this must be a text, not nothing"),
        ("networks: [n, n]", "networks[1]: `n` is in the list twice"),
        (
            "depends_on: [s, s]",
            "depends_on.s: services wait for each other in a circle: s -> s; depends_on[1]: `s` is in the list twice",
        ),
        ("extra_hosts: ['a=1', 'a=1']", "extra_hosts[1]: `a=1` is in the list twice"),
        ("environment: [A=1, A=1], labels: [a, a]", "fine"),
        ("profiles: [x], depends_on: ['a:b']", "fine"),
        ("ulimits: { nofile: 1e2 }", "ulimits.nofile: this must be a whole number, not a number"),
        ("extra_hosts: ['=1.2.3.4']", "extra_hosts[0]: `=1.2.3.4` is not `host=address`"),
        ("build: { ssh: [a=b, a=b] }", "build.ssh[1]: `a=b` is in the list twice"),
        (
            "post_start: [{ command: x, environment: [A=1, A=1] }]",
            "post_start[0].environment[1]: `A=1` is in the list twice",
        ),
        ("label_file: []", "fine"),
    ];
    for (attributes, expected) in rows {
        assert_eq!(answer(attributes), expected, "{attributes}");
    }
}

#[test]
fn what_is_named_must_have_a_name() {
    let rows = [
        ("secrets: [{}]", "secrets[0]: `source` is missing: say which secret it is"),
        ("configs: [{ target: /x }]", "configs[0]: `source` is missing: say which config it is"),
        ("build: { secrets: [{}] }", "build.secrets[0]: `source` is missing: say which secret it is"),
        ("extends: { service: }", "extends: `service` is missing: say which service is extended"),
    ];
    for (attributes, expected) in rows {
        assert_eq!(answer(attributes), expected, "{attributes}");
    }
}

#[test]
fn a_secret_says_where_its_content_is_even_if_nobody_uses_it() {
    let secret = |attributes: &str| {
        let text = format!("services: {{ s: {{ image: x }} }}\nsecrets: {{ a: {{ {attributes} }} }}\n");
        let loaded = model(&request(), &Memory::new(&[("/p/compose.yaml", &text)]));
        loaded.map_or_else(|mistakes| briefly(&mistakes.0), |_| "fine".to_owned())
    };
    let wrong = "compose.yaml:2:15 secrets.a: one of `file` and `environment` must be given";
    for attributes in ["external: false", "driver: d", "environment: ''"] {
        assert_eq!(secret(attributes), wrong, "{attributes}");
    }
    for attributes in ["external: true", "driver: d, file: f", "environment: E"] {
        assert_eq!(secret(attributes), "fine", "{attributes}");
    }
}

#[test]
fn what_says_nothing_is_not_shown() {
    let text = "
name: p
services: { s: { image: x, network_mode: none, dns: [''], volumes: [/a] } }
x-a: [9223372036854775808]
";
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", text)]), @"
    name: p
    services:
      s:
        image: x
        network_mode: none
        volumes:
          - target: /a
            type: volume
    x-a:
      - 9.223372036854776e+18
    ");
}

#[test]
fn lists_of_nothing_are_shown_as_docker_compose_shows_them_without_interpolation() {
    let request = Request { skip: Skip { interpolation: true, ..Skip::default() }, ..request() };
    let text =
        "services: { s: { image: $A, cap_add: [], labels: [], command: [], group_add: [] } }\nx-a: []\n";
    let (model, _) = model(&request, &Memory::new(&[("/p/compose.yaml", text)])).expect("it is right");
    let shown: Json = serde_json::from_str(&json(&model)).expect("it is JSON");
    let of_service = &shown["services"]["s"];
    let lists = ["cap_add", "labels", "command", "group_add"].map(|key| of_service[key].to_string());
    assert_eq!(lists, ["[]", "[]", "null", "null"]);
    assert_eq!(shown["x-a"], Json::Null);
}

#[test]
fn without_interpolation_short_forms_are_still_split_and_nothing_is_taken_from_outside() {
    let request = Request { skip: Skip { interpolation: true, ..Skip::default() }, ..request() };
    let text = "
services:
  s:
    image: x
    build: { args: [SET, A=b] }
    environment: { SET: }
    volumes: ['${A:-./b}/c:/d:ro', './${A}:/e']
    devices: ['${A:-b}:/dev/c']
    ports: [80, '${A}:80']
    gpus: [{ driver: y }]
    memswap_limit: 1.5
    pids_limit: 2.5
  t: { image: x, build: { args: [SET] }, ports: [80] }
networks: { n: { external: 'true' } }
";
    let files = [("/p/compose.yaml", text), ("/p/.env", "SET=x")];
    let (model, _) = model(&request, &Memory::new(&files)).expect("it is right");
    let shown: Json = serde_json::from_str(&json(&model)).expect("it is JSON");
    let of = |service: &str, key: &str| shown["services"][service][key].to_string();
    let rows = ["environment", "volumes", "devices", "ports", "gpus", "memswap_limit", "pids_limit"]
        .map(|key| of("s", key));
    insta::assert_snapshot!(rows.join("\n"), @r#"
    {"SET":null}
    [{"read_only":true,"source":"${A:-./b}/c","target":"/d","type":"volume","volume":{}},{"bind":{"create_host_path":true},"source":"/p/${A}","target":"/e","type":"bind"}]
    [{"permissions":"rwm","source":"${A:-b}","target":"/dev/c"}]
    [80,"${A}:80"]
    [{"count":"all","driver":"y"}]
    1.5
    2.5
    "#);
    assert_eq!(shown["services"]["s"]["build"]["args"].to_string(), r#"["A=b"]"#);
    assert_eq!(shown["services"]["t"]["build"]["args"], Json::Null);
    assert_eq!(shown["networks"]["n"]["name"], "n");
    assert_eq!(of("t", "ports"), r#"[{"mode":"ingress","protocol":"tcp","target":80}]"#);
}

#[test]
fn without_interpolation_values_have_their_types_all_the_same() {
    let request = Request { skip: Skip { interpolation: true, ..Skip::default() }, ..request() };
    let text = "
services: { s: { image: x, sysctls: { a: { b: c } }, environment: [A, [b]], storage_opt: { a: '$B' }, ports: [-1] } }
networks: { n: { driver_opts: { a: true, b: [c], d: 1 } } }
";
    let mistakes = model(&request, &Memory::new(&[("/p/compose.yaml", text)])).expect_err("it is wrong");
    insta::assert_snapshot!(briefly(&mistakes.0), @"
    compose.yaml:2:42 services.s.sysctls.a: this must be a text, a number or a boolean, not a mapping
    compose.yaml:2:71 services.s.environment[1]: this must be a text such as `KEY=value`, not a list
    compose.yaml:2:111 services.s.ports[0]: container port `-1` is not a number or a range of numbers [write `8080:80`: the host's port, then the container's]
    compose.yaml:3:36 networks.n.driver_opts.a: this must be a text, not a boolean [put the value in quotes]
    compose.yaml:3:45 networks.n.driver_opts.b: this must be a text, a number or a boolean, not a list
    ");
}

#[test]
fn arguments_of_builds_are_taken_from_outside_with_the_rest_that_is_implied() {
    let request = Request { skip: Skip { normalisation: true, ..Skip::default() }, ..request() };
    let text = "services: { s: { build: { args: [SET] }, environment: [SET] } }\n";
    let files = [("/p/compose.yaml", text), ("/p/.env", "SET=x")];
    let (model, _) = model(&request, &Memory::new(&files)).expect("it is right");
    let shown: Json = serde_json::from_str(&json(&model)).expect("it is JSON");
    let of_service = &shown["services"]["s"];
    assert_eq!(of_service["build"]["args"]["SET"], Json::Null);
    assert_eq!(of_service["environment"]["SET"], "x");
}

#[test]
fn what_new_users_do_is_told_with_a_way_out() {
    let rows = [
        (
            "web: { image: x }\n",
            "compose.yaml:1:1 web: unknown attribute `web` [is `web` a service? indent it below a line `services:`]",
        ),
        (
            "services:\n  - web: { image: x }\n",
            "compose.yaml:2:3 services: this must be a mapping, not a list [names stand without a dash before them, and with a colon behind]",
        ),
        (
            "services:\n  web:\n    image: x\n    environment:\n      A: b\n      - C=d\n",
            "compose.yaml:6:7 services.web.environment: this is not YAML: did not find expected key (compose.yaml:5:7: while parsing a block mapping) [keys and items cannot stand side by side: write `key: value`, or indent all items alike]",
        ),
        (
            "services: { web: { image: x, volumes: [{ type: bind, src: /a, target: /b }] } }\n",
            "compose.yaml:1:54 services.web.volumes[0].src: unknown attribute `src` [did you mean `source`?]",
        ),
        (
            "services: { web: { image: x, network_mode: 'service:db' } }\n",
            "compose.yaml:1:44 services.web.network_mode: there is no service `db`",
        ),
        (
            "Services:\n  web:\n    imagee: x\n    healthchek: { test: x, interval: 5 seconds }\n",
            "compose.yaml:1:1 Services: unknown attribute `Services` [did you mean `services`?]\ncompose.yaml:3:5 services.web.imagee: unknown attribute `imagee` [did you mean `image`?]\ncompose.yaml:4:5 services.web.healthchek: unknown attribute `healthchek` [did you mean `healthcheck`?]\ncompose.yaml:4:38 services.web.healthcheck.interval: `5 seconds` is not a duration: units are ns, us, ms, s, m, h, d and w",
        ),
        (
            "services: { web: { image: x, networks: [n] } }\nnetwork: { n: }\n",
            "compose.yaml:2:1 network: unknown attribute `network` [did you mean `networks`?]",
        ),
        (
            "services:\n  web:\n    command:\n      - 'a'b'\n",
            "compose.yaml:4:12 services.web.command[1]: this is not YAML: did not find expected '-' indicator [a quoted text ends right before this: is a quote above left open? a quote inside of it is `''` or `\\\"`]",
        ),
        (
            "services:\n  web:\n    image: \"x\n    command:\n      - \"a\"\n",
            "compose.yaml:5:10 services.web: this is not YAML: did not find expected key (compose.yaml:3:5: while parsing a block mapping) [a quoted text ends right before this: is a quote above left open? a quote inside of it is `''` or `\\\"`]",
        ),
        (
            "services:\n  web:\n    image: a: b\n",
            "compose.yaml:3:13 services.web: this is not YAML: mapping values are not allowed in this context [put the value in quotes: it has a colon with a blank behind it]",
        ),
        (
            "services: { web: { image: x, command: [a \"b\"], ports: [\"1\" \"2\"] } }\n",
            "compose.yaml:1:60 services.web.ports[1]: this is not YAML: did not find expected ',' or ']' [is a comma missing here, or a bracket above left open?]",
        ),
        (
            "x-a: &defaults { image: x }\nservices: { web: { <<: *default } }\n",
            "compose.yaml:2:24 services.web: there is no anchor `&default` above [did you mean `*defaults`?]",
        ),
        (
            "x-a: &defaults { image: x }\nservices: { web: { <<: defaults } }\n",
            "compose.yaml:2:13 services.web: there is neither `image` nor `build` [say which image the service runs: `image: NAME`]\ncompose.yaml:2:24 services.web: `<<` takes a mapping or a list of mappings, not a text [an anchor is named with a star: `*defaults`]",
        ),
        (
            "services:\n  web:\n    image: x\n    depends_on:\n      -db\n",
            "compose.yaml:5:7 services.web.depends_on: this must be a list or a mapping, not a text [a blank follows the dash of an item: `- item`]",
        ),
        (
            "services:\n  web:\n    image: x\n    depends_on:\n      - db\n       - web\n",
            "compose.yaml:5:9 services.web.depends_on.db - web: there is no service `db - web` [items begin at the same column, each on a line of its own]",
        ),
        (
            "services: { web: { image: x, volumes: ['data/db:/x', { a: /b }], environment: [{ A: b }] } }\n",
            "compose.yaml:1:40 services.web.volumes[0]: there is no volume `data/db` at the top level [a path of the host begins with `./` or `/`: `./data/db`]\ncompose.yaml:1:54 services.web.volumes[1]: this must be a text such as `data:/data`, not a mapping [write it in one piece, with no blank behind the colon: `a:/b`]\ncompose.yaml:1:80 services.web.environment[0]: this must be a text such as `KEY=value`, not a mapping [write `A=b`]",
        ),
        (
            "services:\n  web:\n    image: ${A\n    ports:\n      - 8080: 80\n      - 1::2\n",
            "compose.yaml:3:12 services.web.image: `${A` has no closing brace [close it with `}`, or write `$$` for a dollar that begins no variable]\ncompose.yaml:5:9 services.web.ports[0]: key `8080` is an integer, and keys are texts [write the port in one piece, with no blank behind the colon: `8080:80`]\ncompose.yaml:5:9 services.web.ports[0]: attribute `target` is missing\ncompose.yaml:6:9 services.web.ports[1]: `1` is not an IP address here [write `8080:80`: of three parts, the first is an address]",
        ),
        (
            "services:\n  web:\n  image: x\n  ports:\n    - '80:80'\n",
            "compose.yaml:2:7 services.web: this must be a mapping, not nothing [indent what belongs to the service further than its name]\ncompose.yaml:3:10 services.image: this must be a mapping, not a text [`image` belongs to a service: indent it further than the service's name]\ncompose.yaml:5:5 services.ports: this must be a mapping, not a list [`ports` belongs to a service: indent it further than the service's name]",
        ),
        (
            "services:\n  web:\n    image: x\n<<<<<<< HEAD\n    ports: [80]\n=======\n    ports: [81]\n>>>>>>> b\n",
            "compose.yaml:5:10 services.web: this is not YAML: could not find expected ':' (compose.yaml:4:1: while scanning a simple key) [the file has the marks of a merge that was not brought to its end]",
        ),
        (
            "services: { web: { image: x, network: [default] } }\n",
            "compose.yaml:1:30 services.web.network: unknown attribute `network` [did you mean `networks`?]",
        ),
        (
            "services: { a: { image: x, depends_on: [b] }, b: { image: x, network_mode: 'service:a' } }\n",
            "compose.yaml:1:76 services.b.network_mode: services wait for each other in a circle: a -> b -> a (compose.yaml:1:41: `a` waits for `b`)",
        ),
    ];
    let answer = |text: &str| {
        let loaded = model(&request(), &Memory::new(&[("/p/compose.yaml", text)]));
        loaded.map_or_else(|mistakes| briefly(&mistakes.0), |_| "fine".to_owned())
    };
    for (text, told) in rows {
        assert_eq!(answer(text), told);
    }
}

#[test]
fn dollars_are_doubled_in_what_is_loaded_again_and_not_in_names() {
    let text = "name: p\nx-a: { $A: $$B }\nservices: {}\n";
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", text)]), @"
    name: p
    services: {}
    x-a:
      $A: $$B
    ");
}

#[test]
fn no_limit_is_printed_so_that_it_loads_again() {
    let text =
        "name: p\nservices: { s: { image: x, network_mode: none, memswap_limit: -1, mem_limit: 5k } }\n";
    let printed = config(&request(), &[("/p/compose.yaml", text)]);
    assert!(
        printed.contains("memswap_limit: -1\n") && printed.contains("mem_limit: \"5120\"\n"),
        "{printed}"
    );
    assert_eq!(config(&request(), &[("/p/compose.yaml", &printed)]), printed);
}
