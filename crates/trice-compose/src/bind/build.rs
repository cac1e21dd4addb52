//! How the image of a service is built.
//!
//! Source: Compose Build Specification.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use trice_model::attestation::{AttestationError, Provenance, Sbom};
use trice_model::build::{Build, BuildNetwork, Context, DockerfileSource, Entitlement, SecretSource};

use crate::bind::{BindMistake, Binder, list_at, texts_at};
use crate::config;
use crate::tree::node::Node;
use crate::tree::path::Path;

impl Binder<'_> {
    /// Returns how the image of `service` is built, if it is.
    pub(super) fn build(&mut self, service: &Node, path: &Path<'_>) -> Option<Build> {
        let node = service.get("build")?;
        node.as_map()?;
        let here = &path.key("build");
        let text = |key: &str| node.text_at(key).filter(|text| !text.is_empty()).map(str::to_owned);
        let flag = |key: &str| node.get(key).is_some_and(Node::is_true);
        let context = self.context(node.get("context")?, &here.key("context"))?;
        let mut additional_contexts = BTreeMap::new();
        for (name, context) in node.entries_at("additional_contexts") {
            let place = here.key("additional_contexts");
            additional_contexts
                .extend(self.context(context, &place.key(name)).map(|context| (name.to_owned(), context)));
        }
        let dockerfile = match text("dockerfile_inline") {
            Some(inline) => DockerfileSource::Inline(inline),
            None => {
                DockerfileSource::File(text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned()).into())
            }
        };
        let platform = self.platform(service);
        let platforms = match (list_at(node, "platforms"), platform) {
            // The one that the service runs on, if it says one.
            (none, platform) if none.is_empty() => platform.into_iter().collect(),
            (all, Some(usual)) if service.text_at("platform").is_none() && !all.contains(&usual) => {
                let path = here.key("platforms");
                let mistake = BindMistake::NoDefaultPlatform(usual);
                self.mistake(node.get("platforms").unwrap_or(node), &path, mistake);
                all
            }
            (all, _) => all,
        };
        Some(Build {
            context,
            dockerfile,
            args: texts_at(node, "args"),
            target: text("target"),
            additional_contexts,
            labels: texts_at(node, "labels"),
            tags: list_at(node, "tags"),
            platforms,
            no_cache: flag("no_cache"),
            no_cache_filter: list_at(node, "no_cache_filter").into_iter().collect(),
            cache_from: self.cache_from(node, here),
            cache_to: self.cache_to(node, here),
            provenance: self.stated(node, "provenance", here, Provenance::read),
            sbom: self.stated(node, "sbom", here, Sbom::read),
            pull: flag("pull"),
            network: self.build_network(node, here),
            extra_hosts: self.extra_hosts(node, here),
            shm_size: node.get("shm_size").and_then(|size| self.size(size, &here.key("shm_size"))),
            ulimits: self.ulimits(node),
            entitlements: self.entitlements(node, here),
            secrets: self.build_secrets(node, here),
            ssh: self.agents(node),
            source_date_epoch: self.variable("SOURCE_DATE_EPOCH").and_then(|epoch| epoch.parse().ok()),
        })
    }

    /// Reads what is to be stated about the image.
    fn stated<T>(
        &mut self,
        node: &Node,
        key: &str,
        path: &Path<'_>,
        read: fn(&str) -> Result<Option<T>, AttestationError>,
    ) -> Option<T> {
        let said = node.get(key)?;
        match read(said.as_text()?) {
            Ok(stated) => stated,
            Err(error) => {
                self.mistake(said, &path.key(key), error);
                None
            }
        }
    }

    /// Reads where files come from.
    fn context(&mut self, node: &Node, path: &Path<'_>) -> Option<Context> {
        let text = node.as_text()?;
        if let Some(service) = text.strip_prefix("service:") {
            return self.value(&Node::text(service, node.span), path).map(Context::Service);
        }
        if let Some(image) = text.strip_prefix("docker-image://") {
            return self.value(&Node::text(image, node.span), path).map(Context::Image);
        }
        let layout = text.strip_prefix("oci-layout://").map(|layout| format!("oci:{layout}"));
        if let Some(layout) = layout {
            return self.value(&Node::text(layout, node.span), path).map(Context::Image);
        }
        let is_remote = text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/");
        Some(if is_remote { Context::Remote(text.to_owned()) } else { Context::Folder(PathBuf::from(text)) })
    }

    fn build_network(&mut self, node: &Node, path: &Path<'_>) -> BuildNetwork {
        let Some(network) = node.get("network") else { return BuildNetwork::Default };
        match network.as_text().unwrap_or_default() {
            "" | "default" | "bridge" => BuildNetwork::Default,
            "none" => BuildNetwork::None,
            "host" => BuildNetwork::Host,
            other => {
                let what = format!("the network `{other}` for the steps of a build");
                self.not_honoured(network, &path.key("network"), what);
                BuildNetwork::Default
            }
        }
    }

    fn entitlements(&mut self, node: &Node, path: &Path<'_>) -> BTreeSet<Entitlement> {
        let list = path.key("entitlements");
        let mut rights = BTreeSet::new();
        for (index, item) in node.list_at("entitlements").iter().enumerate() {
            let text = item.as_text().unwrap_or_default();
            match text.parse() {
                Ok(right) => drop(rights.insert(right)),
                Err(_) => {
                    let wanted = "`network.host` or `security.insecure`";
                    let mistake = BindMistake::NotA { text: text.to_owned(), wanted };
                    self.mistake(item, &list.index(index), mistake);
                }
            }
        }
        if node.get("privileged").is_some_and(Node::is_true) {
            rights.insert(Entitlement::SecurityInsecure);
        }
        rights
    }

    /// Reads the secrets: where each comes from is said at the top level.
    fn build_secrets(&mut self, node: &Node, path: &Path<'_>) -> BTreeMap<String, SecretSource> {
        let list = path.key("secrets");
        let mut secrets = BTreeMap::new();
        for (index, item) in node.list_at("secrets").iter().enumerate() {
            let Some(source) = item.text_at("source") else { continue };
            let id = item.text_at("target").filter(|target| !target.is_empty()).unwrap_or(source);
            let here = list.index(index);
            for key in ["uid", "gid", "mode"] {
                if let Some(value) = item.get(key) {
                    let text =
                        format!("`{key}` is said by the Dockerfile: `--mount=type=secret,id={id},{key}=…`");
                    self.report.warning(value.span, here.key(key), text);
                }
            }
            let defined = self.model.root.get("secrets").and_then(|all| all.get(source));
            let Some(defined) = defined else { continue };
            if let Some(file) = defined.text_at("file") {
                secrets.insert(id.to_owned(), SecretSource::File(file.into()));
            } else if let Some(name) = defined.text_at("environment") {
                // One without a value is missed by the step that needs it.
                let value = self.variable(name).map(|value| SecretSource::Value(value.to_owned()));
                secrets.extend(value.map(|value| (id.to_owned(), value)));
            } else if !defined.get("external").is_some_and(Node::is_true) {
                self.not_honoured(item, &here, format!("secret `{source}` without a file or a variable"));
            }
        }
        secrets
    }

    /// Reads the agents. One without a socket is the caller's.
    fn agents(&self, node: &Node) -> BTreeMap<String, PathBuf> {
        let own = self.variable("SSH_AUTH_SOCK");
        let socket = |node: &Node| node.as_text().filter(|text| !text.is_empty()).or(own).map(PathBuf::from);
        node.entries_at("ssh").filter_map(|(id, node)| Some((id.to_owned(), socket(node)?))).collect()
    }

    /// Returns the platform that a service runs on, if it or the caller says one.
    pub(super) fn platform(&self, service: &Node) -> Option<String> {
        let own = service.text_at("platform").filter(|platform| !platform.is_empty());
        let usual = || self.variable("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
        own.or_else(usual).map(str::to_owned)
    }

    /// Returns a variable as the files see it.
    fn variable(&self, name: &str) -> Option<&str> {
        config::environment(self.model).find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}
