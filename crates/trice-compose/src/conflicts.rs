//! What the attributes of one resource or item say against each other.
//!
//! Source: compose-go `validation`.

use std::net::IpAddr;

use crate::report::Report;
use crate::tree::mapping::Mapping;
use crate::tree::node::Node;
use crate::tree::path::Path;

/// What attributes can say against each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Conflict {
    #[error("an external volume is made elsewhere: `{0}` means nothing here")]
    External(String),
    #[error("only one of {0} can be given")]
    Sources(&'static str),
    #[error("one of {0} must be given")]
    NoSource(&'static str),
    #[error("`{0}` is not an IP address")]
    Address(String),
    #[error("a path to watch cannot be empty")]
    EmptyPath,
    #[error("`count` and `device_ids` exclude each other")]
    CountAndIds,
}

/// Checks a merged model.
pub(crate) fn check(root: &Node, report: &mut Report) {
    let section = |name| root.get(name).and_then(Node::as_map).into_iter().flat_map(Mapping::iter);
    for (name, volume) in section("volumes") {
        external(volume, &Path::Root.key("volumes").key(name), report);
    }
    for (name, config) in section("configs") {
        let path = Path::Root.key("configs");
        sources(config, &["file", "environment", "content"], &path.key(name), report);
    }
    for (name, secret) in section("secrets") {
        sources(secret, &["file", "environment"], &Path::Root.key("secrets").key(name), report);
    }
    for (name, service) in section("services") {
        check_service(service, &Path::Root.key("services").key(name), report);
    }
}

fn external(volume: &Node, path: &Path<'_>, report: &mut Report) {
    let Some(map) = volume.as_map().filter(|_| volume.get("external").is_some_and(Node::is_true)) else {
        return;
    };
    for (key, entry) in map.entries() {
        if !matches!(key, "name" | "external") && !key.starts_with("x-") {
            report.mistake(entry.key, path.key(key), Conflict::External(key.to_owned()));
        }
    }
}

fn sources(object: &Node, keys: &[&'static str], path: &Path<'_>, report: &mut Report) {
    let names =
        if keys.len() == 3 { "`file`, `environment` and `content`" } else { "`file` and `environment`" };
    let Some(map) = object.as_map() else { return };
    let mut given = keys.iter().filter_map(|key| map.key_span(key));
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => {
            report.mistake(second, path, Conflict::Sources(names)).related(first, "the other one");
        }
        (None, _) if !map.contains("driver") && !map.contains("external") => {
            report.mistake(object.span, path, Conflict::NoSource(names));
        }
        _ => {}
    }
}

fn check_service(service: &Node, path: &Path<'_>, report: &mut Report) {
    for (index, port) in service.list_at("ports").iter().enumerate() {
        let Some(address) = port.get("host_ip") else { continue };
        if let Some(text) = address.as_text().filter(|text| text.parse::<IpAddr>().is_err()) {
            let ports = path.key("ports");
            let item = ports.index(index);
            report.mistake(address.span, item.key("host_ip"), Conflict::Address(text.to_owned()));
        }
    }
    let watches = service.get("develop").map(|develop| develop.list_at("watch")).unwrap_or_default();
    for (index, watch) in watches.iter().enumerate() {
        if watch.text_at("path") == Some("") {
            let develop = path.key("develop");
            report.mistake(watch.span, develop.key("watch").index(index), Conflict::EmptyPath);
        }
    }
    let reserved =
        ["resources", "reservations"].iter().fold(service.get("deploy"), |node, key| node?.get(key));
    let reserved = reserved.map(|reserved| reserved.list_at("devices")).unwrap_or_default();
    for request in service.list_at("gpus").iter().chain(reserved) {
        if let (Some(count), Some(_)) = (request.get("count"), request.get("device_ids")) {
            report.mistake(count.span, path, Conflict::CountAndIds);
        }
    }
}
