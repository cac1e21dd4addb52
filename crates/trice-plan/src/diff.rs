//! What makes a container another one, in Compose's words.
//!
//! The recorded container is compared with the wanted one attribute by attribute, and not by a hash: so the
//! cause can be told, and a new version of trice that knows one attribute more finds it at its default on
//! both sides and recreates nothing. Ids, addresses, the folders of layers and the engine's version are no
//! attributes, and neither are the variables of links, which follow addresses, nor `depends_on`, which
//! matters at starts and stops only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use trice_model::container::{ContainerSpec, NetworkNamespace};
use trice_model::mount::{MountSpec, MountSpecSource};
use trice_model::port::ContainerPort;
use trice_model::service::PublishMode;

use crate::digest;
use crate::label;
use crate::lower::process::HOSTNAME;

const ENVIRONMENT: &str = "environment";
const LABELS: &str = "labels";
const VOLUMES: &str = "volumes";

/// Returns what makes `wanted` another container than `there`, or `None` if nothing does.
pub(crate) fn difference(there: &ContainerSpec, wanted: &ContainerSpec) -> Option<String> {
    let mut changes = Vec::new();
    if there.name != wanted.name {
        changes.push(format!("container_name changed from {}", there.name));
    }
    if there.image != wanted.image {
        changes.push(format!("image changed from {}", there.image));
    } else if there.image_id != wanted.image_id {
        changes.push(format!("image {} has another content", there.image));
    }
    let pairs = attributes(there).into_iter().zip(attributes(wanted));
    changes.extend(pairs.filter(|(old, new)| old.1 != new.1).map(|(old, new)| change(old.0, &old.1, &new.1)));
    (!changes.is_empty()).then(|| changes.join("; "))
}

/// Returns the digest of the container's image and attributes.
///
/// An attribute that says nothing is left out, so that today's digest outlives the attributes of tomorrow.
pub(crate) fn config_hash(spec: &ContainerSpec) -> String {
    hash(spec, attributes(spec))
}

fn hash(spec: &ContainerSpec, attributes: Vec<(&'static str, Value)>) -> String {
    let said: BTreeMap<&str, Value> =
        attributes.into_iter().filter(|(_, value)| !says_nothing(value)).collect();
    digest::hex(json!([spec.image, spec.image_id, said]).to_string().as_bytes())
}

/// Returns all attributes but name and image, each under Compose's word, always in the same order.
fn attributes(spec: &ContainerSpec) -> Vec<(&'static str, Value)> {
    let process = &spec.process;
    vec![
        ("command", value(&process.args)),
        (ENVIRONMENT, value(environment(spec))),
        ("working_dir", value(&process.cwd)),
        ("user", value(&process.user)),
        ("group_add", value(&process.groups)),
        ("tty", value(process.tty)),
        ("stdin_open", value(process.stdin_open)),
        ("capabilities", value(&process.capabilities)),
        ("privileged", value(spec.privileged)),
        (
            "security_opt",
            value((process.no_new_privileges, process.seccomp, &spec.masked_paths, &spec.readonly_paths)),
        ),
        ("ulimits", value(&process.ulimits)),
        ("oom_score_adj", value(process.oom_score_adj)),
        (LABELS, value(label::given(&spec.labels))),
        ("hostname", value(own_hostname(spec))),
        ("domainname", value(&spec.domainname)),
        (VOLUMES, value(volumes(&spec.mounts))),
        ("shm_size", value(spec.shm_size)),
        ("read_only", value(spec.read_only)),
        ("init", value(spec.init)),
        ("network_mode", whose_network(spec)),
        ("networks", value(&spec.aliases)),
        ("links", value((&spec.links, spec.links_env))),
        ("external_links", value(&spec.external_links)),
        ("expose", value(exposed(spec))),
        ("ports", value(spec.published.iter().collect::<BTreeSet<_>>())),
        ("x-trice.publish", value(publish(spec))),
        ("extra_hosts", value(&spec.hosts)),
        ("dns", value(&spec.resolver)),
        ("sysctls", value(&spec.sysctls)),
        ("resources", value(spec.resources)),
        ("stop_signal", value(spec.stop_signal)),
        ("stop_grace_period", value(spec.stop_grace)),
        ("restart", value(spec.restart)),
        ("healthcheck", value(&spec.health)),
        ("attach", value(spec.attach)),
    ]
}

fn value(attribute: impl Serialize) -> Value {
    serde_json::to_value(attribute).expect("the model's maps have keys that are text, all JSON needs")
}

/// Returns the variables, but the one that follows from an id.
fn environment(spec: &ContainerSpec) -> BTreeMap<&str, &str> {
    let follows = |name: &str, value: &str| name == HOSTNAME && value == spec.hostname.as_str();
    let all = spec.process.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, value)| !follows(name, value)).collect()
}

/// Returns the ports that are listened on and not published: those that are have a word of their own.
fn exposed(spec: &ContainerSpec) -> BTreeSet<ContainerPort> {
    let published: BTreeSet<ContainerPort> = spec.published.iter().map(|port| port.target).collect();
    &spec.exposed - &published
}

/// Returns the host name, unless it follows from the id.
fn own_hostname(spec: &ContainerSpec) -> Option<&str> {
    Some(spec.hostname.as_str()).filter(|name| *name != spec.id.short())
}

/// Returns the mounts by target, without the names that nobody gave.
fn volumes(mounts: &[MountSpec]) -> BTreeMap<String, Value> {
    let source = |mount: &MountSpec| match &mount.source {
        MountSpecSource::Volume { subpath, nocopy, anonymous: true, .. } => value((subpath, nocopy)),
        MountSpecSource::Volume { .. }
        | MountSpecSource::Bind(_)
        | MountSpecSource::Tmpfs(_)
        | MountSpecSource::Image { .. } => value(&mount.source),
    };
    let entry =
        |mount: &MountSpec| (mount.target.display().to_string(), value((source(mount), mount.read_only)));
    mounts.iter().map(entry).collect()
}

/// Returns nothing of a container with a network of its own, the host's as true, and another container's by its name.
fn whose_network(spec: &ContainerSpec) -> Value {
    match &spec.network {
        NetworkNamespace::Host => value(true),
        NetworkNamespace::Instance(name) if spec.is_guest() => value(name),
        NetworkNamespace::Instance(_) => value(false),
    }
}

/// Returns how ports get to the container, unless in the usual way.
fn publish(spec: &ContainerSpec) -> Option<PublishMode> {
    match spec.publish {
        PublishMode::Direct => None,
        PublishMode::RespectFirewall => Some(spec.publish),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Tells of one attribute; of those that have entries by name, which ones.
fn change(word: &str, old: &Value, new: &Value) -> String {
    match (word, old, new) {
        (ENVIRONMENT | LABELS | VOLUMES, Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> =
                old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).collect();
            let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
            format!("{word} changed: {}", names.join(" "))
        }
        _ => format!("{word} changed"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;
    use trice_model::service::LinksEnv;

    /// Changes a container's record and returns what `difference` says.
    fn change(with: impl FnOnce(&mut ContainerSpec)) -> Option<String> {
        let there = testing::container("web", 1).spec;
        let mut wanted = there.clone();
        with(&mut wanted);
        difference(&there, &wanted)
    }

    #[test]
    fn each_attribute_is_told_by_its_name_in_compose() {
        type Change = fn(&mut ContainerSpec);
        let cases: [(&str, Change); 15] = [
            ("container_name changed from shop-web-1", |spec| {
                spec.name = testing::name("front");
                spec.network = NetworkNamespace::Instance(spec.name.clone());
            }),
            ("image changed from app:1", |spec| spec.image = testing::name("app:2")),
            ("image app:1 has another content", |spec| spec.image_id = "sha256:other".into()),
            ("command changed", |spec| spec.process.args.push("-v".into())),
            ("environment changed: A PATH", |spec| {
                spec.process.env.insert("A".into(), "1".into());
                spec.process.env.remove("PATH");
            }),
            ("labels changed: team", |spec| _ = spec.labels.insert("team".into(), "shop".into())),
            ("hostname changed", |spec| {
                spec.hostname = testing::name("box");
                spec.process.env.insert(HOSTNAME.into(), "box".into());
            }),
            ("network_mode changed", |spec| spec.network = NetworkNamespace::Host),
            ("network_mode changed", |spec| {
                spec.network = NetworkNamespace::Instance(testing::name("shop-db-1"));
            }),
            ("x-trice.publish changed", |spec| spec.publish = PublishMode::RespectFirewall),
            ("networks changed", |spec| spec.aliases.clear()),
            ("links changed", |spec| spec.links_env = LinksEnv::Off),
            ("security_opt changed", |spec| spec.masked_paths.clear()),
            ("stop_grace_period changed", |spec| spec.stop_grace = Duration::from_secs(3)),
            ("tty changed; restart changed", |spec| {
                spec.process.tty = true;
                spec.restart = testing::name("always");
            }),
        ];
        for (expected, with) in cases {
            assert_eq!(change(with).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_attribute_makes_no_other_container() {
        let unchanged = change(|spec| {
            spec.layers.clear();
            spec.process.link_env.insert("DB_PORT".into(), "tcp://10.0.0.2:5432".into());
            spec.depends_on.clear();
            spec.config_hash = "of another version of trice".into();
            spec.labels.insert("com.docker.compose.version".into(), "9.9".into());
        });
        assert_eq!(unchanged, None);
        // Another id brings another host name, and another variable that tells of it.
        let (one, two) = (testing::container("web", 1).spec, testing::container("web", 2).spec);
        assert_ne!(one.hostname, two.hostname);
        assert_eq!(config_hash(&one), config_hash(&two));
    }

    #[test]
    fn the_hash_follows_what_the_difference_sees_and_skips_what_says_nothing() {
        let there = testing::container("web", 1).spec;
        assert_eq!(there.config_hash, config_hash(&there));
        let mut wanted = there.clone();
        wanted.process.tty = true;
        assert_ne!(config_hash(&there), config_hash(&wanted));
        // An attribute that a later version knows, and that these containers do not use.
        for silent in [Value::Null, json!(false), json!(""), json!([]), json!({})] {
            let more = attributes(&there).into_iter().chain([("tomorrow", silent)]).collect();
            assert_eq!(hash(&there, more), there.config_hash);
        }
    }
}
