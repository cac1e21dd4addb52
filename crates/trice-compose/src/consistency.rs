//! What takes more than one attribute to see: references to nothing, attributes that exclude each other, circles.
//!
//! Source: compose-go `loader/validate.go`.

pub(crate) mod cycle;
pub(crate) mod resources;

use std::collections::BTreeMap;

use crate::report::Report;
use crate::tree::mapping::{Entry, Mapping};
use crate::tree::node::Node;
use crate::tree::path::Path;
use crate::tree::span::Span;

/// What does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Inconsistency {
    #[error("there is neither `image` nor `build`")]
    NoImage,
    #[error("`{0}` and `{1}` exclude each other")]
    Exclude(&'static str, &'static str),
    #[error("there is no {kind} `{name}` at the top level")]
    Undefined { kind: &'static str, name: String },
    #[error("`source` is missing: say which {0} it is")]
    NoName(&'static str),
    #[error("there is no service `{0}`")]
    NoService(String),
    #[error("service `{0}` is not active: its profile is not asked for")]
    Inactive(String),
    #[error("service `{0}` has no `build`, so it cannot be a build context")]
    NotBuilt(String),
    #[error("`build.platforms` does not have the service's platform `{0}`")]
    Platform(String),
    #[error("`{0}` is not `CMD`, `CMD-SHELL` or `NONE`")]
    Probe(String),
    #[error("`{0}` and `{1}` say different things")]
    Differ(&'static str, &'static str),
    #[error("this cannot be negative")]
    Negative,
    #[error("a fixed `container_name` can be given to one container, not to {0}")]
    FixedName(i64),
    #[error("container name `{0}` is given twice")]
    SameName(String),
    #[error("`target` is missing: `{0}` needs it")]
    WatchTarget(String),
    #[error("a host path is missing")]
    NoHostPath,
    #[error("`{0}` is mounted twice")]
    SameTarget(String),
    #[error("one of `file` and `environment` must be given")]
    NoSource,
    #[error("services wait for each other in a circle: {0}")]
    Cycle(String),
}

/// The whole model, as the checks see it.
pub(crate) struct Whole<'a> {
    pub(crate) root: &'a Node,
    pub(crate) inactive: &'a Mapping,
}

/// Checks the active services of `root`.
pub(crate) fn check(root: &Node, inactive: &Mapping, report: &mut Report) {
    let whole = Whole { root, inactive };
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for (name, service) in root.entries_at("services") {
        let services = Path::Root.key("services");
        let path = services.key(name);
        if service.as_map().is_none() {
            continue;
        }
        whole.service(name, service, &path, report);
        if let Some(node) = service.get("container_name")
            && let Some(fixed) = node.as_text()
            && let Some(first) = names.insert(fixed, node.span)
        {
            let mistake = Inconsistency::SameName(fixed.to_owned());
            report.mistake(node.span, path.key("container_name"), mistake).related(first, "the other one");
        }
    }
    for (name, secret) in root.entries_at("secrets") {
        // One that says neither is told before; here is what says an empty one, or a driver in its place.
        let said = |key| secret.get(key).is_some_and(|node| node.as_text() != Some(""));
        let named = ["file", "environment", "driver", "external"].iter().any(|key| secret.get(key).is_some());
        if named
            && !secret.get("external").is_some_and(Node::is_true)
            && !said("file")
            && !said("environment")
        {
            report.mistake(secret.span, Path::Root.key("secrets").key(name), Inconsistency::NoSource);
        }
    }
    cycle::check(root, report);
}

impl Whole<'_> {
    fn service(&self, name: &str, service: &Node, path: &Path<'_>, report: &mut Report) {
        let image = ["image", "build", "provider"].iter().any(|key| service.get(key).is_some());
        if !image || service.text_at("image") == Some("") && service.get("build").is_none() {
            let place = self.root.get("services").and_then(|services| services.as_map()?.key_span(name));
            let finding = report.mistake(place.unwrap_or(service.span), path, Inconsistency::NoImage);
            finding.hint("say which image the service runs: `image: NAME`");
        }
        self.build(service, path, report);
        self.references(service, path, report);
        probe(service, path, report);
        resources::check(service, path, report);
        watch(service, path, report);
        targets(service, path, report);
    }

    fn build(&self, service: &Node, path: &Path<'_>, report: &mut Report) {
        let Some(build) = service.get("build") else { return };
        let here = path.key("build");
        if let (Some(_), Some(inline)) = (build.get("dockerfile"), build.get("dockerfile_inline")) {
            let mistake = Inconsistency::Exclude("dockerfile", "dockerfile_inline");
            report.mistake(inline.span, here.key("dockerfile_inline"), mistake);
        }
        for (context, node) in build.entries_at("additional_contexts") {
            let Some(target) = node.as_text().and_then(|text| text.strip_prefix("service:")) else {
                continue;
            };
            let contexts = here.key("additional_contexts");
            let place = contexts.key(context);
            match self.any_service(target) {
                None => {
                    report.mistake(node.span, place, Inconsistency::NoService(target.to_owned()));
                }
                Some(other) if other.get("build").is_none() => {
                    report.mistake(node.span, place, Inconsistency::NotBuilt(target.to_owned()));
                }
                Some(_) => {}
            }
        }
        let platforms = build.list_at("platforms");
        if let Some(platform) = service.get("platform").filter(|_| !platforms.is_empty())
            && !platforms.contains(platform)
            && let Some(text) = platform.as_text()
        {
            report.mistake(platform.span, path.key("platform"), Inconsistency::Platform(text.to_owned()));
        }
        for (index, secret) in build.list_at("secrets").iter().enumerate() {
            let list = here.key("secrets");
            self.source(secret, "secrets", "secret", &list.index(index), report);
        }
    }

    /// Checks the names of networks, services, volumes, secrets and the like.
    fn references(&self, service: &Node, path: &Path<'_>, report: &mut Report) {
        let networks =
            service.get("networks").filter(|node| node.as_map().is_some_and(|map| !map.is_empty()));
        if let (Some(mode), Some(networks)) = (service.get("network_mode"), networks) {
            let mistake = Inconsistency::Exclude("network_mode", "networks");
            let finding = report.mistake(mode.span, path.key("network_mode"), mistake);
            finding.related(networks.span, "the networks");
        }
        for (key, kind) in [("networks", "network"), ("models", "model")] {
            let list = path.key(key);
            for (name, entry) in entries(service, key) {
                self.defined(key, kind, name, entry.key, &list.key(name), report);
            }
        }
        let list = path.key("depends_on");
        for (name, entry) in entries(service, "depends_on") {
            match implied_by(service, entry.key) {
                Some(key) => self.dependency(name, &entry.node, entry.key, &path.key(key), report),
                None => self.dependency(name, &entry.node, entry.key, &list.key(name), report),
            }
        }
        let list = path.key("volumes");
        for (index, mount) in service.list_at("volumes").iter().enumerate() {
            let source = mount.get("source").filter(|_| mount.text_at("type") == Some("volume"));
            if let Some((source, name)) = source.and_then(|node| Some((node, node.as_text()?)))
                && !name.is_empty()
            {
                self.defined("volumes", "volume", name, source.span, &list.index(index), report);
            }
        }
        for (key, kind) in [("configs", "config"), ("secrets", "secret")] {
            let list = path.key(key);
            for (index, item) in service.list_at(key).iter().enumerate() {
                self.source(item, key, kind, &list.index(index), report);
            }
        }
    }

    fn dependency(&self, name: &str, node: &Node, place: Span, path: &Path<'_>, report: &mut Report) {
        let active = self.root.get("services").is_some_and(|services| services.get(name).is_some());
        let required = node.get("required").is_none_or(|required| required.is_true() || required.is_bad());
        if active || (self.inactive.contains(name) && !required) {
            return;
        }
        let Some(inactive) = self.inactive.get(name) else {
            let finding = report.mistake(place, path, Inconsistency::NoService(name.to_owned()));
            // YAML takes an item that is indented further for more text of the one above.
            let merged = name
                .contains(" - ")
                .then(|| "items begin at the same column, each on a line of its own".to_owned());
            finding.hint = merged.or_else(|| self.nearest("services", name));
            return;
        };
        let profile = inactive.list_at("profiles").first().and_then(Node::as_text).unwrap_or_default();
        let hint = format!("activate it with `--profile {profile}`, or write `required: false`");
        report.mistake(place, path, Inconsistency::Inactive(name.to_owned())).hint(hint);
    }

    fn defined(
        &self,
        section: &str,
        kind: &'static str,
        name: &str,
        place: Span,
        path: &Path<'_>,
        report: &mut Report,
    ) {
        if self.root.get(section).is_some_and(|resources| resources.get(name).is_some()) {
            return;
        }
        let finding = report.mistake(place, path, Inconsistency::Undefined { kind, name: name.to_owned() });
        finding.hint = self.nearest(section, name).or_else(|| {
            Some(match kind == "volume" && name.contains('/') {
                true => format!("a path of the host begins with `./` or `/`: `./{name}`"),
                false => format!("add `{name}:` below `{section}:` at the top level"),
            })
        });
    }

    fn source(&self, item: &Node, section: &str, kind: &'static str, path: &Path<'_>, report: &mut Report) {
        match item.get("source").map(|source| (source, source.as_text())) {
            Some((source, Some(name))) => self.defined(section, kind, name, source.span, path, report),
            Some((_, None)) => {}
            None if item.as_map().is_some() => {
                report.mistake(item.span, path, Inconsistency::NoName(kind));
            }
            None => {}
        }
    }

    fn any_service(&self, name: &str) -> Option<&Node> {
        self.root.get("services").and_then(|services| services.get(name)).or_else(|| self.inactive.get(name))
    }

    fn nearest(&self, section: &str, name: &str) -> Option<String> {
        let known = self.root.get(section).and_then(Node::as_map);
        crate::check::suggest::nearest(name, known.into_iter().flat_map(Mapping::keys))
    }
}

/// Returns the attribute that stands at `place` and implies a dependency, if it is not `depends_on` itself.
fn implied_by(service: &Node, place: Span) -> Option<&'static str> {
    ["links", "volumes_from", "network_mode", "ipc", "pid", "uts", "cgroup"].into_iter().find(|key| {
        let node = service.get(key);
        let items = service.list_at(key).iter();
        node.into_iter().chain(items).any(|node| node.as_text().is_some() && node.span == place)
    })
}

/// Returns the keys and values of the mapping under `key`, with the places of the keys.
fn entries<'a>(service: &'a Node, key: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
    service.get(key).and_then(Node::as_map).into_iter().flat_map(Mapping::entries)
}

fn probe(service: &Node, path: &Path<'_>, report: &mut Report) {
    let Some(healthcheck) = service.get("healthcheck") else { return };
    let here = path.key("healthcheck");
    if let Some(first) = healthcheck.list_at("test").first()
        && let Some(text) = first.as_text()
        && !["CMD", "CMD-SHELL", "NONE"].contains(&text)
    {
        let finding = report.mistake(first.span, here.key("test"), Inconsistency::Probe(text.to_owned()));
        finding.hint("begin the list with `CMD`, or write one text for the shell");
    }
}

fn watch(service: &Node, path: &Path<'_>, report: &mut Report) {
    let rules = service.get("develop").map(|develop| develop.list_at("watch")).unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let action = rule.text_at("action").unwrap_or("rebuild");
        let target = rule.get("target").is_some_and(|target| target.as_text() != Some(""));
        if !target && action != "rebuild" && action != "restart" {
            let develop = path.key("develop");
            let list = develop.key("watch");
            report.mistake(rule.span, list.index(index), Inconsistency::WatchTarget(action.to_owned()));
        }
    }
}

/// Finds mounts with one and the same target.
fn targets(service: &Node, path: &Path<'_>, report: &mut Report) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let tmpfs = service.list_at("tmpfs").iter().filter_map(|node| {
        let text = node.as_text()?;
        Some(("tmpfs", text.split_once(':').map_or(text, |(target, _)| target), node.span))
    });
    for (index, mount) in service.list_at("volumes").iter().enumerate() {
        let nowhere = mount.get("source").is_none_or(|source| source.as_text() == Some(""));
        if mount.text_at("type") == Some("bind") && nowhere {
            report.mistake(mount.span, path.key("volumes").index(index), Inconsistency::NoHostPath);
        }
    }
    let mounts = service.list_at("volumes").iter().filter_map(|mount| {
        let target = mount.get("target")?;
        Some(("volumes", target.as_text()?, target.span))
    });
    for (key, target, place) in tmpfs.chain(mounts) {
        if let Some(first) = seen.insert(target, place) {
            let mistake = Inconsistency::SameTarget(target.to_owned());
            report.mistake(place, path.key(key), mistake).related(first, "it is first mounted here");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::told;

    #[test]
    fn references_to_nothing_are_told_with_what_is_near() {
        let text = "
services:
  web:
    image: x
    networks: [frnt]
    volumes: ['dta:/d']
    depends_on: [bd, quiet]
    configs: [c]
    secrets: [s]
    links: [nobody]
  db: { image: x }
  quiet: { image: x, profiles: [test] }
  soft: { image: x, depends_on: { quiet: { condition: service_started, required: false } } }
networks: { front: }
volumes: { data: }
";
        insta::assert_snapshot!(told(text), @"
        compose.yaml:5:16 services.web.networks.frnt: there is no network `frnt` at the top level [did you mean `front`?]
        compose.yaml:6:15 services.web.volumes[0]: there is no volume `dta` at the top level [did you mean `data`?]
        compose.yaml:7:18 services.web.depends_on.bd: there is no service `bd` [did you mean `db`?]
        compose.yaml:7:22 services.web.depends_on.quiet: service `quiet` is not active: its profile is not asked for [activate it with `--profile test`, or write `required: false`]
        compose.yaml:8:15 services.web.configs[0]: there is no config `c` at the top level [add `c:` below `configs:` at the top level]
        compose.yaml:9:15 services.web.secrets[0]: there is no secret `s` at the top level [add `s:` below `secrets:` at the top level]
        compose.yaml:10:13 services.web.links: there is no service `nobody`
        ");
    }

    #[test]
    fn attributes_that_exclude_each_other_are_told() {
        let text = "
services:
  none: {}
  both:
    image: x
    network_mode: host
    networks: [default]
    healthcheck: { test: [run, x] }
    scale: 2
    mem_limit: 1m
    cpus: 1
    container_name: fixed
    tmpfs: /t
    volumes: ['a:/t']
    deploy: { replicas: 3, resources: { limits: { memory: 2m } } }
    develop: { watch: [{ path: ., action: sync }] }
  built:
    container_name: fixed
    platform: linux/arm64
    build: { dockerfile: a, dockerfile_inline: b, platforms: [linux/amd64], additional_contexts: { c: 'service:both', d: 'service:x' } }
  negative: { image: x, scale: -1 }
volumes: { a: , v: { external: true, driver: x } }
secrets: { s: { file: a, environment: b }, t: {} }
configs: { c: { content: a, file: b } }
";
        insta::assert_snapshot!(told(text), @"
        compose.yaml:3:3 services.none: there is neither `image` nor `build` [say which image the service runs: `image: NAME`]
        compose.yaml:6:19 services.both.network_mode: `network_mode` and `networks` exclude each other (compose.yaml:7:15: the networks)
        compose.yaml:8:27 services.both.healthcheck.test: `run` is not `CMD`, `CMD-SHELL` or `NONE` [begin the list with `CMD`, or write one text for the shell]
        compose.yaml:9:12 services.both.scale: `scale` and `deploy.replicas` say different things (compose.yaml:15:25: the other one)
        compose.yaml:10:16 services.both.mem_limit: `mem_limit` and `deploy.resources.limits.memory` say different things (compose.yaml:15:59: the other one)
        compose.yaml:11:11 services.both.cpus: `cpus` and `deploy.resources.limits.cpus` say different things
        compose.yaml:12:21 services.both.container_name: a fixed `container_name` can be given to one container, not to 2 (compose.yaml:9:12: so many are asked for here) [leave `container_name` out]
        compose.yaml:14:15 services.both.volumes: `/t` is mounted twice (compose.yaml:13:12: it is first mounted here)
        compose.yaml:16:24 services.both.develop.watch[0]: `target` is missing: `sync` needs it
        compose.yaml:18:21 services.built.container_name: container name `fixed` is given twice (compose.yaml:12:21: the other one)
        compose.yaml:19:15 services.built.platform: `build.platforms` does not have the service's platform `linux/arm64`
        compose.yaml:20:48 services.built.build.dockerfile_inline: `dockerfile` and `dockerfile_inline` exclude each other
        compose.yaml:20:103 services.built.build.additional_contexts.c: service `both` has no `build`, so it cannot be a build context
        compose.yaml:20:122 services.built.build.additional_contexts.d: there is no service `x`
        compose.yaml:21:32 services.negative: this cannot be negative
        compose.yaml:22:38 volumes.v.driver: an external volume is made elsewhere: `driver` means nothing here
        compose.yaml:23:26 secrets.s: only one of `file` and `environment` can be given (compose.yaml:23:17: the other one)
        compose.yaml:23:47 secrets.t: one of `file` and `environment` must be given
        compose.yaml:24:17 configs.c: only one of `file`, `environment` and `content` can be given (compose.yaml:24:29: the other one)
        ");
    }

    #[test]
    fn circles_are_spelt_out_with_the_place_of_each_step() {
        let text = "
services:
  a: { image: x, depends_on: [b] }
  b: { image: x, links: [c] }
  c: { image: x, depends_on: [d, a] }
  d: { image: x }
  self: { image: x, depends_on: [self] }
";
        insta::assert_snapshot!(told(text), @"
        compose.yaml:5:34 services.c.depends_on.a: services wait for each other in a circle: a -> b -> c -> a (compose.yaml:3:31: `a` waits for `b`) (compose.yaml:4:26: `b` waits for `c`)
        compose.yaml:7:34 services.self.depends_on.self: services wait for each other in a circle: self -> self
        ");
    }

    #[test]
    fn a_long_chain_is_no_circle_and_takes_no_stack() {
        let mut text = "services:\n  s0: { image: x }\n".to_owned();
        for number in 1..5_000 {
            text += &format!("  s{number}: {{ image: x, depends_on: [s{}] }}\n", number - 1);
        }
        assert_eq!(told(&text), "");
    }
}
