//! What `config` prints: the model as JSON or YAML, and lists of what is in it.
//!
//! The JSON is the one that Docker Compose 2.40 prints: what says nothing is left out, sizes and durations are texts,
//! every dollar is doubled so that the result can be loaded again.

pub(crate) mod json;
pub(crate) mod schema;
pub(crate) mod variables;
pub(crate) mod yaml;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::config::json::Names;
use crate::load::Model;
use crate::tree::node::Node;

pub use crate::config::variables::{Variable, variables};

/// Returns the model as a JSON value, its dollars as they are.
pub fn value(model: &Model) -> Json {
    json::model(model, Names::Labels)
}

/// Returns the model as JSON text, indented by two blanks.
pub fn json(model: &Model) -> String {
    let text = serde_json::to_string_pretty(&value(model)).expect("keys are texts");
    escaped(model, text)
}

/// Returns the model as YAML text.
pub fn yaml(model: &Model) -> String {
    let mut whole = json::model(model, Names::Specified);
    leave_out_what_says_nothing(&mut whole);
    if !model.raw {
        escape(&mut whole);
    }
    yaml::write(&whole)
}

/// Leaves out what Docker Compose has in its JSON only.
fn leave_out_what_says_nothing(model: &mut Json) {
    for service in objects(model.get_mut("services")) {
        service.retain(|key, value| !(matches!(key.as_str(), "command" | "entrypoint") && value.is_null()));
        if let Some(Json::Object(deploy)) = service.get_mut("deploy") {
            deploy
                .retain(|key, value| !(matches!(key.as_str(), "placement" | "resources") && is_empty(value)));
        }
    }
    for network in objects(model.get_mut("networks")) {
        network.retain(|key, value| !(key == "ipam" && is_empty(value)));
    }
}

fn objects(section: Option<&mut Json>) -> impl Iterator<Item = &mut Map<String, Json>> {
    let all = section.and_then(Json::as_object_mut).into_iter().flatten();
    all.filter_map(|(_, one)| one.as_object_mut())
}

fn is_empty(value: &Json) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Doubles the dollars of all values. Keys are not filled in when they are loaded, so they stay as they are: only the
/// JSON is as Docker Compose prints it.
fn escape(value: &mut Json) {
    match value {
        Json::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Json::Array(items) => items.iter_mut().for_each(escape),
        Json::Object(fields) => fields.values_mut().for_each(escape),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn escaped(model: &Model, text: String) -> String {
    if model.raw || !text.contains('$') { text } else { text.replace('$', "$$") }
}

/// Returns the JSON Schema of a Compose file, for editors.
pub fn schema() -> Json {
    schema::of_a_file()
}

/// Returns the names of the active services, sorted.
pub fn services(model: &Model) -> Vec<&str> {
    sorted(model, "services")
}

/// Returns the keys of the volumes, sorted.
pub fn volumes(model: &Model) -> Vec<&str> {
    sorted(model, "volumes")
}

/// Returns the keys of the networks, sorted.
pub fn networks(model: &Model) -> Vec<&str> {
    sorted(model, "networks")
}

/// Returns the models' names, sorted by key.
pub fn models(model: &Model) -> Vec<&str> {
    let keys = sorted(model, "models");
    keys.into_iter().filter_map(|key| model.root.get("models")?.get(key)?.text_at("model")).collect()
}

/// Returns the profiles of all services, the inactive ones included, sorted.
pub fn profiles(model: &Model) -> Vec<&str> {
    let active = model.root.entries_at("services").map(|(_, service)| service);
    let all = active.chain(model.inactive.iter().map(|(_, service)| service));
    let profiles: BTreeSet<&str> =
        all.flat_map(|service| service.list_at("profiles")).filter_map(Node::as_text).collect();
    profiles.into_iter().collect()
}

/// Returns the image of each active service, in the order of their names. A service that is built without a name for
/// its image gets the one that the build gives it.
pub fn images(model: &Model) -> Vec<String> {
    let image = |name: &str| {
        let written = model.root.get("services")?.get(name)?.text_at("image");
        written.filter(|image| !image.is_empty()).map(str::to_owned)
    };
    let names = services(model).into_iter();
    names.map(|name| image(name).unwrap_or_else(|| format!("{}-{name}", model.name))).collect()
}

/// Returns each active service and the digest of what makes its containers what they are, in the order of their names.
///
/// Attributes that another container is not needed for are left out, as Docker Compose leaves them out: the build, the
/// pull policy, the number of replicas, dependencies and profiles.
pub fn hashes(model: &Model) -> Vec<(String, String)> {
    let mut whole = value(model);
    let Some(Json::Object(services)) = whole.get_mut("services").map(Json::take) else { return Vec::new() };
    let hash = |(name, mut service): (String, Json)| {
        if let Json::Object(fields) = &mut service {
            for key in ["build", "pull_policy", "scale", "depends_on", "profiles", "develop"] {
                fields.remove(key);
            }
            if let Some(Json::Object(deploy)) = fields.get_mut("deploy") {
                deploy.remove("replicas");
            }
        }
        (name, blake3::hash(service.to_string().as_bytes()).to_hex().to_string())
    };
    services.into_iter().map(hash).collect()
}

/// Returns the variables that the outermost files are filled in from, sorted by name.
pub fn environment(model: &Model) -> impl Iterator<Item = (&str, &str)> {
    model.environment.iter()
}

fn sorted<'a>(model: &'a Model, section: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = model.root.entries_at(section).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}
