//! A service of the model into a [`Service`].

use std::collections::BTreeMap;
use std::time::Duration;

use trice_model::health::{HealthTest, Healthcheck};
use trice_model::image::ImageRef;
use trice_model::service::{Condition, Dependency, Link, PullPolicy, Service};
use trice_model::units::parse_duration;

use crate::bind::{BindMistake, Binder, Own, list_at, texts_at};
use crate::tree::node::Node;
use crate::tree::path::Path;

/// How often `daily` is.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Binder<'_> {
    /// Returns the service `key`; nothing if it has no image.
    pub(super) fn service(&mut self, key: &str, node: &Node, over: Own, path: &Path<'_>) -> Option<Service> {
        node.as_map()?;
        self.modes(node, path);
        let (network_mode, networks) = self.networking(node, path);
        let own = self.own(node, path);
        Some(Service {
            image: self.image(key, node, path)?,
            platform: self.platform(node),
            pull_policy: self.pull_policy(node),
            replicas: self.replicas(node, path),
            container_name: self.value_at(node, "container_name", path),
            entrypoint: command_at(node, "entrypoint"),
            command: command_at(node, "command"),
            environment: texts_at(node, "environment"),
            working_dir: text_at(node, "working_dir"),
            user: text_at(node, "user"),
            group_add: list_at(node, "group_add"),
            hostname: self.value_at(node, "hostname", path),
            domainname: text_at(node, "domainname"),
            labels: texts_at(node, "labels"),
            depends_on: self.depends_on(node),
            links: self.links(node, path),
            external_links: self.external_links(node, path),
            network_mode,
            networks,
            expose: self.expose(node, path),
            ports: self.ports(node, path),
            dns: self.addresses(node, "dns", path),
            dns_search: node.get("dns_search").map(|_| list_at(node, "dns_search")),
            dns_opt: list_at(node, "dns_opt"),
            extra_hosts: self.extra_hosts(node, path),
            volumes: self.mounts(node, path),
            shm_size: node.get("shm_size").and_then(|size| self.size(size, &path.key("shm_size"))),
            read_only: flag_at(node, "read_only"),
            init: flag_at(node, "init"),
            tty: flag_at(node, "tty"),
            stdin_open: flag_at(node, "stdin_open"),
            healthcheck: self.healthcheck(node, path),
            restart: self.restart(node, path),
            stop_signal: self.value_at(node, "stop_signal", path),
            stop_grace_period: duration_at(node, "stop_grace_period"),
            attach: node.get("attach").is_none_or(Node::is_true),
            cap_add: self.capabilities(node, "cap_add", path),
            cap_drop: self.capabilities(node, "cap_drop", path),
            privileged: flag_at(node, "privileged"),
            security: self.security(node, path),
            sysctls: texts_at(node, "sysctls"),
            ulimits: self.ulimits(node),
            resources: self.resources(node, path),
            oom_score_adj: self.number_at(node, "oom_score_adj", path),
            links_env: own.links_env.or(over.links_env).unwrap_or_default(),
            publish: own.publish.or(over.publish).unwrap_or_default(),
        })
    }

    /// Notes what is honoured in one way only.
    fn modes(&mut self, node: &Node, path: &Path<'_>) {
        if let Some(mode) = node.get("cgroup").filter(|mode| mode.as_text() == Some("host")) {
            self.not_honoured(mode, &path.key("cgroup"), "the host's cgroup namespace");
        }
    }

    /// Reads the image. A path of another transport counts from the project's folder.
    fn image(&mut self, key: &str, node: &Node, path: &Path<'_>) -> Option<ImageRef> {
        if node.get("image").is_some_and(|image| image.as_text() != Some("")) {
            let image: ImageRef = self.value_at(node, "image", path)?;
            return Some(image.resolved(self.folder()));
        }
        // What a build without a name makes; that it is not honoured yet has been noted.
        format!("{}-{}", self.model.name, key.to_lowercase()).parse().ok()
    }

    fn pull_policy(&self, node: &Node) -> PullPolicy {
        match node.text_at("pull_policy").unwrap_or_default() {
            // `refresh` alone does not say how often; Compose takes it so too.
            "" | "missing" | "if_not_present" | "refresh" => PullPolicy::Missing,
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "build" => PullPolicy::Build,
            "daily" => PullPolicy::Refresh(DAY),
            "weekly" => PullPolicy::Refresh(7 * DAY),
            // The form has been checked.
            other => match other.strip_prefix("every_").map(parse_duration) {
                Some(Ok(age)) => PullPolicy::Refresh(age),
                Some(Err(_)) | None => PullPolicy::Missing,
            },
        }
    }

    fn depends_on(&self, node: &Node) -> BTreeMap<trice_model::name::ServiceName, Dependency> {
        let dependency = |node: &Node| Dependency {
            condition: match node.text_at("condition").unwrap_or_default() {
                "service_healthy" => Condition::ServiceHealthy,
                "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            },
            restart: flag_at(node, "restart"),
            required: node.get("required").is_none_or(Node::is_true),
        };
        let known = |name: &str| self.model.root.get("services").is_some_and(|all| all.get(name).is_some());
        let entries = node.entries_at("depends_on").filter(|(name, _)| known(name));
        entries.filter_map(|(name, node)| Some((name.parse().ok()?, dependency(node)))).collect()
    }

    fn links(&mut self, node: &Node, path: &Path<'_>) -> Vec<Link> {
        let list = path.key("links");
        let mut links = Vec::new();
        for (index, item) in node.list_at("links").iter().enumerate() {
            let Some(text) = item.as_text() else { continue };
            let (name, alias) = text.split_once(':').unwrap_or((text, text));
            let name = Node::text(name, item.span);
            let Some(service) = self.value(&name, &list.index(index)) else { continue };
            links.push(Link { service, alias: alias.to_owned() });
        }
        links
    }

    fn healthcheck(&mut self, node: &Node, path: &Path<'_>) -> Option<Healthcheck> {
        let node = node.get("healthcheck")?;
        let here = path.key("healthcheck");
        let words = list_at(node, "test");
        let (first, rest) = match words.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => ("", Default::default()),
        };
        let test = match first {
            "CMD" => Some(HealthTest::Command(rest.to_vec())),
            "CMD-SHELL" => Some(HealthTest::Shell(rest.join(" "))),
            _ => None,
        };
        if let Some(interval) = node.get("start_interval").filter(|_| node.get("start_period").is_none()) {
            self.mistake(interval, &here.key("start_interval"), BindMistake::StartInterval);
        }
        Some(Healthcheck {
            disable: flag_at(node, "disable") || first == "NONE",
            test,
            interval: duration_at(node, "interval"),
            timeout: duration_at(node, "timeout"),
            retries: self.number_at(node, "retries", &here),
            start_period: duration_at(node, "start_period"),
            start_interval: duration_at(node, "start_interval"),
        })
    }
}

fn flag_at(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(Node::is_true)
}

fn text_at(node: &Node, key: &str) -> Option<String> {
    node.text_at(key).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Returns the words under `key`; an empty list says something else than none.
fn command_at(node: &Node, key: &str) -> Option<Vec<String>> {
    node.get(key)?.as_list().map(|_| list_at(node, key))
}

fn duration_at(node: &Node, key: &str) -> Option<Duration> {
    let nanos = node.get(key)?.as_int()?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}
