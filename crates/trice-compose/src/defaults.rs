//! What an attribute says when it is not written out, where that does not depend on the rest of the model; and what is
//! written out and says nothing.
//!
//! Source: compose-go `transform/defaults.go`.

use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};

/// Fills in the defaults of a merged model. If `raw`, variables have not been filled in, and words stand for numbers.
pub(crate) fn fill(root: &mut Node, raw: bool) {
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for (_, service) in services.into_iter().flat_map(Mapping::iter_mut) {
        if let Some(service) = service.as_map_mut() {
            fill_service(service, raw);
        }
    }
}

fn fill_service(service: &mut Mapping, raw: bool) {
    let text = |text: &str| Value::Text(text.to_owned());
    let depends_on = service.get_mut("depends_on").and_then(Node::as_map_mut);
    for (_, dependency) in depends_on.into_iter().flat_map(Mapping::iter_mut) {
        missing(dependency, "required", Value::Bool(true));
    }
    for file in items(service, "env_file") {
        missing(file, "required", Value::Bool(true));
    }
    if let Some(Value::List(resolvers)) = service.get_mut("dns").map(|dns| &mut dns.value) {
        resolvers.retain(|resolver| resolver.as_text() != Some(""));
    }
    if let Some(build) = service.get_mut("build") {
        missing(build, "context", text("."));
    }
    for secret in items(service, "secrets") {
        let target = format!("/run/secrets/{}", secret.text_at("source").unwrap_or_default());
        missing(secret, "target", Value::Text(target));
    }
    for port in items(service, "ports") {
        missing(port, "protocol", text("tcp"));
        missing(port, "mode", text("ingress"));
    }
    for gpu in items(service, "gpus") {
        all_devices(gpu, raw);
    }
    let below = ["resources", "reservations", "devices"];
    let reserved = below.iter().fold(service.get_mut("deploy"), |node, key| node?.get_mut(key));
    for device in reserved.and_then(Node::as_list_mut).into_iter().flatten() {
        all_devices(device, raw);
    }
}

fn items<'a>(map: &'a mut Mapping, key: &str) -> impl Iterator<Item = &'a mut Node> {
    map.get_mut(key).and_then(Node::as_list_mut).into_iter().flatten()
}

/// Gives a mapping `key` if it has none.
fn missing(node: &mut Node, key: &str, value: Value) {
    let span = node.span;
    if let Some(map) = node.as_map_mut() {
        map.insert_missing(key, span, || Node::new(value, span));
    }
}

fn all_devices(request: &mut Node, raw: bool) {
    if request.get("device_ids").is_none() {
        let all = if raw { Value::Text("all".to_owned()) } else { Value::Int(-1) };
        missing(request, "count", all);
    }
}
