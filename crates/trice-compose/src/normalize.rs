//! What a model implies, said aloud: the default network, dependencies that follow from links and shared namespaces,
//! names of networks and volumes, variables that are taken from outside.
//!
//! Source: compose-go `loader/normalize.go`.

use crate::check::mount::clean;
use crate::sources::Sources;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Rule, Value};
use crate::tree::span::Span;

/// Gives variables of services without a value the one that they have outside.
pub(crate) fn take_variables(root: &mut Node, sources: &Sources) {
    for (_, service) in services(root) {
        take_from_outside(service.get_mut("environment"), sources);
    }
}

/// Gives arguments of builds without a value the one that they have outside.
pub(crate) fn take_arguments(root: &mut Node, sources: &Sources) {
    for (_, service) in services(root) {
        take_from_outside(service.get_mut("build").and_then(|build| build.get_mut("args")), sources);
    }
}

/// Says what the model of the project `name` implies.
pub(crate) fn normalize(root: &mut Node, name: &str) {
    let mut default_network = None;
    for (_, service) in services(root) {
        let span = service.span;
        let Some(service) = service.as_map_mut() else { continue };
        if join_default(service, span) {
            default_network = default_network.or(Some(span));
        }
        normalize_service(service, span);
    }
    let span = root.span;
    let Some(root) = root.as_map_mut() else { return };
    if let Some(span) = default_network {
        root.insert_missing("networks", span, || Node::map(Mapping::default(), span));
        if let Some(networks) = root.get_mut("networks").and_then(Node::as_map_mut) {
            networks.insert_missing("default", span, || Node::new(Value::Null, span));
        }
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        let resources = root.get_mut(section).and_then(Node::as_map_mut);
        for (key, resource) in resources.into_iter().flat_map(Mapping::iter_mut) {
            give_name(key, resource, name);
        }
    }
    root.insert("name", span, Node::text(name, span));
}

/// Says the number of replicas in both places, if `scale` says it and there is a `deploy`.
pub(crate) fn agree_on_replicas(root: &mut Node) {
    for (_, service) in services(root) {
        let Some(scale) = service.get("scale").cloned() else { continue };
        if let Some(deploy) = service.get_mut("deploy").and_then(Node::as_map_mut) {
            deploy.insert("replicas", scale.span, scale);
        }
    }
}

fn services(root: &mut Node) -> impl Iterator<Item = (&str, &mut Node)> {
    root.get_mut("services").and_then(Node::as_map_mut).into_iter().flat_map(Mapping::iter_mut)
}

fn take_from_outside(node: Option<&mut Node>, sources: &Sources) {
    let variables = node.and_then(Node::as_map_mut).into_iter().flat_map(Mapping::iter_mut);
    for (name, variable) in variables.filter(|(_, variable)| variable.is_null()) {
        let outside = sources.environment(variable.span).and_then(|environment| environment.get(name));
        if let Some(value) = outside {
            let taken = Node::text(value, variable.span);
            let before = std::mem::replace(variable, Node::new(Value::Null, variable.span));
            *variable = taken.after(Rule::Interpolated, before);
        }
    }
}

/// Puts a service on the default network if it names no other; tells whether it is on it.
fn join_default(service: &mut Mapping, span: Span) -> bool {
    if service.contains("provider") || service.contains("network_mode") {
        return false;
    }
    if service.get("networks").and_then(Node::as_map).is_none_or(Mapping::is_empty) {
        let default = Node::fields([("default", Value::Null)], span);
        service.insert("networks", span, default);
    }
    service.get("networks").is_some_and(|networks| networks.get("default").is_some())
}

fn normalize_service(service: &mut Mapping, span: Span) {
    if service.get("pull_policy").and_then(Node::as_text) == Some("if_not_present") {
        service.insert("pull_policy", span, Node::text("missing", span));
    }
    if let Some(build) = service.get_mut("build").and_then(Node::as_map_mut) {
        build.insert_missing("context", span, || Node::text(".", span));
        if !build.contains("dockerfile_inline") {
            build.insert_missing("dockerfile", span, || Node::text("Dockerfile", span));
        }
        if let Some(args) = build.get_mut("args") {
            drop_unset(args);
        }
    }
    for mount in service.get_mut("volumes").and_then(Node::as_list_mut).into_iter().flatten() {
        if let Some(target) = mount.get_mut("target")
            && let Some(text) = target.as_text()
        {
            target.value = Value::Text(clean(text));
        }
    }
    inherit_hook_images(service);
    depend(service, span);
}

/// Takes out the arguments that have no value. They are a list if variables have not been filled in.
fn drop_unset(args: &mut Node) {
    match &mut args.value {
        Value::Map(map) => map.retain(|_, entry| !entry.node.is_null()),
        Value::List(items) => {
            items.retain(|item| item.as_text().is_none_or(|text| text.contains('=')));
            if items.is_empty() {
                args.value = Value::Null;
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bad => {}
    }
}

fn inherit_hook_images(service: &mut Mapping) {
    let Some(image) = service.get("image").cloned() else { return };
    for hook in service.get_mut("pre_start").and_then(Node::as_list_mut).into_iter().flatten() {
        if let Some(hook) = hook.as_map_mut() {
            hook.insert_missing("image", image.span, || image.clone());
        }
    }
}

/// A dependency that nobody wrote down.
struct Implied {
    service: String,
    span: Span,
    restart: bool,
}

/// Adds the dependencies that follow from links, shared namespaces and mounts of other services.
fn depend(service: &mut Mapping, span: Span) {
    let implied = implied(service);
    if implied.is_empty() {
        return;
    }
    service.insert_missing("depends_on", span, || Node::map(Mapping::default(), span));
    let Some(depends_on) = service.get_mut("depends_on").and_then(Node::as_map_mut) else { return };
    for Implied { service, span, restart } in implied {
        depends_on.insert_missing(&service, span, || {
            let condition = Value::Text("service_started".to_owned());
            let (restart, required) = (Value::Bool(restart), Value::Bool(true));
            Node::fields([("condition", condition), ("restart", restart), ("required", required)], span)
        });
    }
}

fn implied(service: &Mapping) -> Vec<Implied> {
    let texts = |key: &str| {
        let items = service.get(key).and_then(Node::as_list).unwrap_or_default();
        items.iter().filter_map(|item| Some((item.as_text()?, item.span)))
    };
    let before_colon = |text: &str| text.split_once(':').map_or(text, |(name, _)| name).to_owned();
    let links =
        texts("links").map(|(text, span)| Implied { service: before_colon(text), span, restart: true });
    let namespaces = ["network_mode", "ipc", "pid", "uts", "cgroup"].into_iter().filter_map(|key| {
        let node = service.get(key)?;
        let name = node.as_text()?.strip_prefix("service:")?;
        Some(Implied { service: name.to_owned(), span: node.span, restart: true })
    });
    let own = texts("volumes_from").filter(|(text, _)| !text.starts_with("container:"));
    let mounts = own.map(|(text, span)| Implied { service: before_colon(text), span, restart: false });
    links.chain(namespaces).chain(mounts).collect()
}

/// Gives a resource its name on the machine: its key if it is external, else behind the project's name.
fn give_name(key: &str, resource: &mut Node, project: &str) {
    let span = resource.span;
    if resource.is_null() {
        resource.value = Value::Map(Box::default());
    }
    let Some(map) = resource.as_map_mut() else { return };
    // Without interpolation it may still be a text.
    let says_so = |external: &Node| external.is_true() || external.as_text() == Some("true");
    let external = map.get("external").is_some_and(says_so);
    let name = if external { key.to_owned() } else { format!("{project}_{key}") };
    map.insert_missing("name", span, || Node::text(name, span));
}
