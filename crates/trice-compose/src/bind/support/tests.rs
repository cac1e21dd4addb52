//! Every attribute of the tables is done, or told of: none is dropped in silence.

use serde_json::{Value as Json, json};

use crate::diagnostic::Diagnostic;
use crate::load::{Loaded, load};
use crate::schema::root::ROOT;
use crate::schema::shape::{Attribute, Object, Shape, Support};
use crate::testing::{Memory, briefly, request};

/// Attributes that are told of where they are used, and not where they stand.
const TOLD_WHERE_USED: [&str; 3] = ["configs.k.file", "configs.k.environment", "configs.k.content"];

/// Walks through the tables; `see` is given each attribute, its path, and whether all that it stands in is done.
fn walk(object: &'static Object, path: &str, see: &mut dyn FnMut(&str, &'static Attribute)) {
    for attribute in object.attributes {
        let here =
            if path.is_empty() { attribute.name.to_owned() } else { format!("{path}.{}", attribute.name) };
        see(&here, attribute);
        if attribute.support == Support::Honoured {
            below(attribute.shape, &here, see);
        }
    }
}

fn below(shape: &'static Shape, path: &str, see: &mut dyn FnMut(&str, &'static Attribute)) {
    match shape {
        Shape::Object(object) => walk(object, path, see),
        Shape::Keyed { of, .. } => {
            let key = if path == "services" { "s" } else { "k" };
            below(of, &format!("{path}.{key}"), see);
        }
        Shape::List(of) => below(of, &format!("{path}[]"), see),
        Shape::Short(_, long) | Shape::Nullable(long) => below(long, path, see),
        _ => {}
    }
}

/// Returns whether the attribute has attributes below it.
fn is_leaf(attribute: &'static Attribute) -> bool {
    let mut leaf = true;
    below(attribute.shape, "", &mut |_, _| leaf = false);
    leaf
}

/// Returns a value that asks for something.
fn sample(path: &str, shape: &'static Shape) -> Json {
    let special = SAMPLES.iter().find(|(known, _)| *known == path);
    if let Some((_, text)) = special {
        return serde_json::from_str(text).expect("samples are JSON");
    }
    match shape {
        Shape::Any | Shape::Text | Shape::Scalar | Shape::AnyScalar => json!("word"),
        Shape::Boolean | Shape::Flag => json!(true),
        Shape::Integer(integer) => json!(integer.min.max(7).min(integer.max)),
        Shape::Number => json!(2),
        Shape::Bytes(_) => json!("64m"),
        Shape::Duration => json!("7s"),
        Shape::Mode => json!("0440"),
        Shape::OneOf(words) => json!(words.last()),
        Shape::PullPolicy => json!("always"),
        Shape::ContainerName => json!("fixed"),
        Shape::Object(object) => object
            .attributes
            .iter()
            .filter(|attribute| attribute.required || object.attributes[0].name == attribute.name)
            .map(|attribute| {
                (attribute.name.to_owned(), sample(&format!("{path}.{}", attribute.name), attribute.shape))
            })
            .collect(),
        Shape::Keyed { of, .. } => json!({ "k": sample(&format!("{path}.k"), of) }),
        Shape::List(of) | Shape::Set(of) => json!([sample(&format!("{path}[]"), of)]),
        Shape::Texts | Shape::Scalars => json!(["word"]),
        Shape::Pairs(_) | Shape::Options(_) => json!({ "key": "word" }),
        Shape::Hosts => json!({ "host": "1.2.3.4" }),
        Shape::Command => json!(["word"]),
        Shape::Probe => json!(["CMD", "word"]),
        Shape::Short(_, long) | Shape::Nullable(long) => sample(path, long),
    }
}

/// Values of attributes that do not take any word, or that ask for nothing with most.
const SAMPLES: [(&str, &str); 50] = [
    ("services.s.build.provenance", r#""mode=min""#),
    ("services.s.build.sbom", r#""true""#),
    ("secrets.k.file", r#""d/f""#),
    ("secrets.k.environment", r#""A""#),
    ("services.s.extends.file", r#""other.yaml""#),
    ("services.s.attach", r#"false"#),
    ("include[].path", r#"["other.yaml"]"#),
    ("include[].env_file", r#"["f"]"#),
    ("include[].project_directory", r#""d""#),
    ("services.s.build.entitlements", r#"["network.host"]"#),
    ("services.s.build.secrets[].source", r#""k""#),
    ("services.s.develop", r#"{"watch":[{"path":".","action":"rebuild"}]}"#),
    ("services.s.cap_add", r#"["ALL"]"#),
    ("services.s.cap_drop", r#"["CHOWN"]"#),
    ("services.s.cgroup", r#""host""#),
    ("services.s.configs", r#"["k"]"#),
    ("services.s.deploy.restart_policy.condition", r#""any""#),
    ("services.s.dns", r#"["1.1.1.1"]"#),
    ("services.s.env_file[].required", r#"false"#),
    ("services.s.env_file[].format", r#""raw""#),
    ("services.s.expose", r#"["80"]"#),
    ("services.s.label_file", r#"["f"]"#),
    ("services.s.links", r#"["k"]"#),
    ("services.s.mac_address", r#""02:00:00:00:00:01""#),
    ("services.s.networks.k.mac_address", r#""02:00:00:00:00:01""#),
    ("services.s.networks.k.ipv4_address", r#""10.0.0.7""#),
    ("services.s.networks.k.ipv6_address", r#""fd00::7""#),
    ("services.s.networks.k.link_local_ips", r#"["169.254.1.1"]"#),
    ("services.s.ports[].host_ip", r#""127.0.0.1""#),
    ("services.s.ports[].published", r#""8080""#),
    ("services.s.ports[].protocol", r#""udp""#),
    ("services.s.ports[].mode", r#""host""#),
    ("services.s.restart", r#""always""#),
    ("services.s.secrets", r#"["k"]"#),
    ("services.s.stop_signal", r#""SIGINT""#),
    ("services.s.tmpfs", r#"["/t"]"#),
    ("services.s.volumes[].source", r#""/c""#),
    ("services.s.volumes[].volume.source", r#""k""#),
    ("services.s.volumes_from", r#"["k"]"#),
    ("services.s.volumes[].bind.create_host_path", r#"false"#),
    ("services.s.volumes[].bind.recursive", r#""disabled""#),
    ("services.s.volumes[].bind.propagation", r#""shared""#),
    ("services.s.depends_on.k.required", r#"false"#),
    ("networks.k.driver", r#""macvlan""#),
    ("networks.k.ipam.config[].subnet", r#""10.0.0.0/24""#),
    ("networks.k.ipam.config[].gateway", r#""10.0.0.9""#),
    ("networks.k.ipam.config[].ip_range", r#""10.0.0.128/25""#),
    ("networks.k.ipam.config[].aux_addresses", r#"{"a":"10.0.0.5"}"#),
    ("networks.k.enable_ipv4", r#"false"#),
    ("networks.k.driver_opts", r#"{"com.docker.network.driver.mtu":"1400"}"#),
];

/// What must stand there for an attribute to mean something: it is set first where the path begins so.
const AROUND: [(&str, &str, &str); 26] = [
    ("include[]", "include[].path", r#""other.yaml""#),
    ("services.s.build", "services.s.build.context", r#"".""#),
    ("services.s.build.secrets[]", "services.s.build.secrets[].source", r#""k""#),
    ("services.s.depends_on.k", "services.s.depends_on.k.condition", r#""service_started""#),
    ("services.s.env_file[]", "services.s.env_file[].path", r#""f""#),
    ("services.s.extends", "services.s.extends.service", r#""k""#),
    ("services.s.healthcheck", "services.s.healthcheck.test", r#"["CMD","x"]"#),
    ("services.s.healthcheck.start_interval", "services.s.healthcheck.start_period", r#""9s""#),
    (
        "services.s.networks.k",
        "networks.k.ipam.config",
        r#"[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]"#,
    ),
    ("services.s.networks.k", "networks.k.enable_ipv6", r#"true"#),
    ("services.s.networks.k", "services.s.networks.k", r#"{}"#),
    ("services.s.ports[]", "services.s.ports[].target", r#"80"#),
    ("services.s.volumes[]", "services.s.volumes[]", r#"{"type":"bind","source":"/a","target":"/b"}"#),
    (
        "services.s.volumes[].volume",
        "services.s.volumes[]",
        r#"{"type":"volume","source":"k","target":"/b"}"#,
    ),
    ("services.s.volumes[].tmpfs", "services.s.volumes[]", r#"{"type":"tmpfs","target":"/b"}"#),
    ("services.s.volumes[].image", "services.s.volumes[]", r#"{"type":"image","source":"i","target":"/b"}"#),
    ("networks.k", "services.s.networks.k", r#"{}"#),
    ("networks.k.ipam.config[]", "networks.k.ipam.config[].subnet", r#""10.0.0.0/24""#),
    ("networks.k.enable_ipv4", "networks.k.enable_ipv6", r#"true"#),
    ("volumes.k", "services.s.volumes", r#"["k:/k"]"#),
    (
        "services.s.deploy.restart_policy.max_attempts",
        "services.s.deploy.restart_policy.condition",
        r#""on-failure""#,
    ),
    ("services.s.env_file[].required", "services.s.env_file[].path", r#""gone""#),
    ("services.s.extends.file", "services.s.extends.service", r#""b""#),
    ("configs.k", "services.s.configs", r#"["k"]"#),
    ("secrets.k", "services.s.build", r#"{"context":".","secrets":["k"]}"#),
    ("secrets.k.environment", "secrets.k", r#"{}"#),
];

/// Puts `value` at `path`; a part that ends in `[]` is a list with one item.
fn set(node: &mut Json, path: &str, value: Json) {
    let (part, rest) = path.split_once('.').map_or((path, None), |(part, rest)| (part, Some(rest)));
    let (name, list) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
    if !node.is_object() {
        *node = json!({});
    }
    let mut slot = &mut node[name];
    if list {
        if !slot.is_array() {
            *slot = json!([null]);
        }
        slot = &mut slot[0];
    }
    match rest {
        Some(rest) => set(slot, rest, value),
        None => *slot = value,
    }
}

/// Returns the document in which the attribute at `path` means something, without it.
fn around(path: &str) -> Json {
    let mut document = json!({
        "services": { "s": { "image": "x" }, "k": { "image": "y" } },
        "networks": { "k": {} }, "volumes": { "k": {} }, "secrets": { "k": { "file": "f" } },
        "configs": { "k": { "file": "f" } }, "models": { "k": { "model": "m" } },
    });
    for (_, at, value) in AROUND.iter().filter(|(begin, at, _)| path.starts_with(begin) && *at != path) {
        set(&mut document, at, serde_json::from_str(value).expect("what stands around is JSON"));
    }
    document
}

fn loaded(document: &Json) -> Result<Loaded, String> {
    let text = document.to_string();
    let other = r#"{ "services": { "b": { "image": "z$A", "volumes": ["./a:/a"] } } }"#;
    let files =
        [("/p/compose.yaml", text.as_str()), ("/p/other.yaml", other), ("/p/f", "A=\"b\""), ("/p/d/f", "")];
    load(&request(), &Memory::new(&files)).map_err(|mistakes| briefly(&mistakes.0))
}

fn paths(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|told| told.path.replace("[0]", "[]")).collect()
}

#[test]
fn every_attribute_is_done_or_told_of_with_its_place() {
    let mut wrong = Vec::new();
    let mut count = 0;
    walk(&ROOT, "", &mut |path, attribute| {
        let containers = attribute.support == Support::Honoured && !is_leaf(attribute);
        let used = TOLD_WHERE_USED.contains(&path);
        if attribute.required || containers || used {
            return;
        }
        count += 1;
        let without = around(path);
        let mut with = without.clone();
        set(&mut with, path, sample(path, attribute.shape));
        match (loaded(&without), loaded(&with)) {
            (Ok(before), Ok(after)) => {
                let told = match attribute.support {
                    Support::NotYet => paths(&after.not_honoured).contains(&path.to_owned()),
                    Support::Swarm | Support::Windows => {
                        with["services"]["k"] = with["services"]["s"].clone();
                        let twice = loaded(&with).map(|loaded| paths(&loaded.idle)).unwrap_or_default();
                        let of_k = path.replace("services.s.", "services.k.");
                        let once = twice.iter().filter(|told| **told == path || **told == of_k).count();
                        paths(&after.idle).contains(&path.to_owned()) && once == 1
                    }
                    Support::Elsewhere => true,
                    Support::Honoured => {
                        before.project != after.project
                            || paths(&before.not_honoured) != paths(&after.not_honoured)
                            || paths(&before.warnings) != paths(&after.warnings)
                    }
                };
                if !told {
                    wrong.push(format!("{path}: {:?} and nothing comes of it", attribute.support));
                }
            }
            // There is no going on without it.
            (Err(_), Ok(_)) => {}
            (_, Err(mistakes)) => wrong.push(format!("{path}: {mistakes}")),
        }
    });
    assert!(wrong.is_empty(), "{count} attributes:\n{}", wrong.join("\n"));
}
