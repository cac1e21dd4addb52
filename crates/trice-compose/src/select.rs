//! Which services are active: profiles, then the services that are asked for.
//!
//! Sources: Compose Specification, `15-profiles.md`; compose-go `types/project.go`.

use std::collections::BTreeSet;

use crate::report::Report;
use crate::request::Request;
use crate::tree::mapping::Mapping;
use crate::tree::node::Node;

/// What a selection can do wrong.
#[derive(Debug, thiserror::Error)]
enum SelectMistake {
    #[error("there is no service `{0}`")]
    NoService(String),
}

/// Moves the services of other profiles out of `root`, and returns them. A service that is asked for by its name
/// activates its own profiles.
pub(crate) fn by_profiles(root: &mut Node, profiles: &[String], request: &Request) -> Mapping {
    let mut active: BTreeSet<String> = profiles.iter().cloned().collect();
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return Mapping::default();
    };
    for name in &request.services {
        if let Some(service) = services.get(name).filter(|service| !is_active(service, &active)) {
            active.extend(service.list_at("profiles").iter().filter_map(Node::as_text).map(str::to_owned));
        }
    }
    split(services, |_, service| is_active(service, &active))
}

/// Moves the services that are neither asked for nor needed out of `root` into `inactive`.
pub(crate) fn by_request(root: &mut Node, inactive: &mut Mapping, request: &Request, report: &mut Report) {
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else { return };
    if request.services.is_empty() {
        return;
    }
    let mut chosen = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    for name in &request.services {
        if services.contains(name) {
            waiting.push(name.clone());
        } else {
            report.mistake_nowhere(SelectMistake::NoService(name.clone()));
        }
    }
    while let Some(name) = waiting.pop() {
        let Some(service) = services.get(&name) else { continue };
        if chosen.insert(name) {
            waiting.extend(service.entries_at("depends_on").map(|(name, _)| name.to_owned()));
        }
    }
    let left = split(services, |name, _| chosen.contains(name));
    for (name, entry) in left.into_entries() {
        inactive.insert(name, entry.key, entry.node);
    }
    for (_, service) in services.iter_mut() {
        if let Some(depends_on) = service.get_mut("depends_on").and_then(Node::as_map_mut) {
            depends_on.retain(|name, _| chosen.contains(name));
        }
    }
}

/// Drops the networks, volumes, secrets, configs and models that no active service uses.
pub(crate) fn prune(root: &mut Node) {
    let mut used: [BTreeSet<String>; 5] = Default::default();
    for (_, service) in root.entries_at("services") {
        let [networks, volumes, secrets, configs, models] = &mut used;
        networks.extend(service.entries_at("networks").map(|(name, _)| name.to_owned()));
        models.extend(service.entries_at("models").map(|(name, _)| name.to_owned()));
        let named = service.list_at("volumes").iter().filter(|mount| mount.text_at("type") == Some("volume"));
        volumes.extend(named.filter_map(|mount| mount.text_at("source")).map(str::to_owned));
        let source = |item: &Node| item.text_at("source").map(str::to_owned);
        let build = service.get("build").map(|build| build.list_at("secrets")).unwrap_or_default();
        secrets.extend(service.list_at("secrets").iter().chain(build).filter_map(source));
        configs.extend(service.list_at("configs").iter().filter_map(source));
    }
    let sections = ["networks", "volumes", "secrets", "configs", "models"];
    for (section, used) in sections.into_iter().zip(used) {
        if let Some(resources) = root.get_mut(section).and_then(Node::as_map_mut) {
            resources.retain(|name, _| used.contains(name));
        }
    }
}

fn is_active(service: &Node, profiles: &BTreeSet<String>) -> bool {
    let own = service.list_at("profiles");
    own.is_empty()
        || profiles.contains("*")
        || own.iter().filter_map(Node::as_text).any(|profile| profiles.contains(profile))
}

/// Keeps the services that `keep` says yes to, and returns the others.
fn split(services: &mut Mapping, keep: impl Fn(&str, &Node) -> bool) -> Mapping {
    if services.iter().all(|(name, service)| keep(name, service)) {
        return Mapping::default();
    }
    let (mut kept, mut others) = (Mapping::default(), Mapping::default());
    for (name, entry) in std::mem::take(services).into_entries() {
        let to = if keep(&name, &entry.node) { &mut kept } else { &mut others };
        to.insert(name, entry.key, entry.node);
    }
    *services = kept;
    others
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config;
    use crate::load::model;
    use crate::testing::{Memory, request};

    const TEXT: &str = "
services:
  web: { image: x, depends_on: [db], networks: [front] }
  db: { image: x, volumes: ['data:/d'] }
  other: { image: x, depends_on: [web] }
  debug: { image: x, profiles: [debug] }
  test: { image: x, profiles: [test, ''], depends_on: { debug: { condition: service_started, required: false } } }
networks: { front: , back: }
volumes: { data: , unused: }
";

    /// Says which services, networks and volumes are left.
    fn left(services: &[&str], profiles: &[&str], variable: Option<&str>) -> String {
        let mut request = request();
        request.services = services.iter().map(|name| (*name).to_owned()).collect();
        request.profiles = profiles.iter().map(|name| (*name).to_owned()).collect();
        request.environment = variable
            .map(|list| ("COMPOSE_PROFILES".to_owned(), list.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>();
        match model(&request, &Memory::new(&[("/p/compose.yaml", TEXT)])) {
            Ok((model, _)) => {
                let lists = [config::services(&model), config::networks(&model), config::volumes(&model)];
                lists.map(|list| list.join(" ")).join(" | ")
            }
            Err(mistakes) => mistakes.to_string(),
        }
    }

    #[test]
    fn profiles_choose_services_and_an_empty_one_is_there_when_none_is_asked_for() {
        assert_eq!(left(&[], &[], None), "db other test web | default front | data");
        assert_eq!(left(&[], &["debug"], None), "db debug other web | default front | data");
        assert_eq!(left(&[], &[], Some("debug, test")), "db debug other test web | default front | data");
        assert_eq!(left(&[], &["*"], None), "db debug other test web | default front | data");
    }

    #[test]
    fn services_that_are_asked_for_bring_their_dependencies_and_activate_themselves() {
        assert_eq!(left(&["web"], &["none"], None), "db web | default front | data");
        assert_eq!(left(&["debug"], &["none"], None), "debug | default | ");
        insta::assert_snapshot!(left(&["nobody"], &[], None), @"there is no service `nobody`");
    }
}
