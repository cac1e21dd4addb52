//! The model into a [`Project`]: the nouns that the rest of trice speaks in.
//!
//! Whatever the model says and a `Project` cannot carry, or trice does not do yet, is noted as not honoured, with its
//! place: `config` shows it, `up` refuses it. Nothing is dropped in silence.

pub(crate) mod attachment;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod security;
pub(crate) mod service;
pub(crate) mod support;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path as FilePath;
use std::str::FromStr;

use trice_model::name::{Key, ProjectName};
use trice_model::project::Project;
use trice_model::service::{LinksEnv, PublishMode};
use trice_model::volume::Volume;

use crate::check::suggest;
use crate::load::Model;
use crate::report::{Finding, Report};
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;

/// What a value can do wrong that only its use shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindMistake {
    #[error("this cannot be {0}")]
    OutOfRange(i64),
    #[error("`{0}` is not an address")]
    Address(String),
    #[error("`{text}` is not {wanted}")]
    NotA { text: String, wanted: &'static str },
    #[error("`{0}` and `{1}` say different things")]
    Differ(&'static str, &'static str),
    #[error("`build.platforms` does not have `{0}`, which DOCKER_DEFAULT_PLATFORM asks for")]
    NoDefaultPlatform(String),
    #[error("an image is missing")]
    NoImage,
    #[error("a mount must stand at an absolute path, and `{0}` is none")]
    RelativeTarget(String),
    #[error("`start_interval` means nothing without `start_period`")]
    StartInterval,
    #[error("the service is on no network whose interface could have it")]
    NoInterface,
    #[error("{0} is not in the subnet {1}")]
    OutsideSubnet(String, String),
}

/// Returns the project of `model`; nothing if a mistake was noted that leaves no value to go on with.
pub(crate) fn project(model: &Model, report: &mut Report) -> Option<Project> {
    let mut binder = Binder { model, report };
    support::check(&model.root, binder.report);
    let own = binder.own(&model.root, &Path::Root);
    let (mut services, mut builds) = (BTreeMap::new(), BTreeMap::new());
    for (key, node) in model.root.entries_at("services") {
        let section = Path::Root.key("services");
        let path = section.key(key);
        let service = binder.service(key, node, own, &path);
        services.extend(key.parse::<Key>().ok().zip(service));
        builds.extend(key.parse::<Key>().ok().zip(binder.build(node, &path)));
    }
    for (key, node) in model.inactive.iter() {
        // Another one's build may need its image, whatever its profile.
        let section = Path::Root.key("services");
        builds.extend(key.parse::<Key>().ok().zip(binder.build(node, &section.key(key))));
    }
    let networks = binder.networks(services.values().any(|service| service.networks.contains_key("default")));
    let volumes = binder.volumes();
    Some(Project {
        name: binder.value::<ProjectName>(&Node::text(&*model.name, model.root.span), &Path::Root)?,
        working_dir: model.folder.clone(),
        files: model.files.clone(),
        services,
        builds,
        inactive: model.inactive.keys().filter_map(|key| key.parse().ok()).collect(),
        networks,
        volumes,
    })
}

/// What `x-trice` says, of a service or of all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Own {
    pub(crate) links_env: Option<LinksEnv>,
    pub(crate) publish: Option<PublishMode>,
}

/// What `x-trice` knows.
const OWN: [&str; 2] = ["links_env", "publish"];

/// A model on its way to a project.
pub(crate) struct Binder<'a> {
    pub(crate) model: &'a Model,
    pub(crate) report: &'a mut Report,
}

impl Binder<'_> {
    fn mistake(&mut self, node: &Node, path: &Path<'_>, mistake: impl Display) -> &mut Finding {
        self.report.mistake(node.span, path, mistake)
    }

    fn not_honoured(&mut self, node: &Node, path: &Path<'_>, what: impl Display) {
        self.report.not_honoured(node.span, path, format!("{what} is not honoured yet"));
    }

    /// Parses a text.
    fn value<T: FromStr<Err: Display>>(&mut self, node: &Node, path: &Path<'_>) -> Option<T> {
        let text = node.as_text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(node, path, error);
                None
            }
        }
    }

    /// Parses the text under `key`, if it is there and not empty.
    fn value_at<T: FromStr<Err: Display>>(&mut self, node: &Node, key: &str, path: &Path<'_>) -> Option<T> {
        let value = node.get(key).filter(|value| value.as_text() != Some(""))?;
        self.value(value, &path.key(key))
    }

    /// Returns the number under `key` as one of another type.
    fn number_at<T: TryFrom<i64>>(&mut self, node: &Node, key: &str, path: &Path<'_>) -> Option<T> {
        let node = node.get(key)?;
        let number = node.as_int()?;
        let value = T::try_from(number).ok();
        if value.is_none() {
            self.mistake(node, &path.key(key), BindMistake::OutOfRange(number));
        }
        value
    }

    /// Returns what `x-trice` says.
    fn own(&mut self, node: &Node, path: &Path<'_>) -> Own {
        let Some(own) = node.get("x-trice") else { return Own::default() };
        let here = path.key("x-trice");
        let Some(map) = own.as_map() else {
            let mistake = BindMistake::NotA { text: own.kind().to_owned(), wanted: "a mapping" };
            self.mistake(own, &here, mistake);
            return Own::default();
        };
        for (key, entry) in map.entries().filter(|(key, _)| !OWN.contains(key)) {
            let finding = self.report.mistake(entry.key, here.key(key), format!("unknown attribute `{key}`"));
            finding.hint = suggest::nearest(key, OWN.into_iter());
        }
        let links_env = map.get("links_env").and_then(|value| {
            let word = match value.as_text() {
                // YAML 1.1 reads `off` as false; our reader does not, but a writer may put it so.
                Some("off") => Some(LinksEnv::Off),
                Some("ports") => Some(LinksEnv::Ports),
                Some("full") => Some(LinksEnv::Full),
                Some(_) | None => None,
            };
            self.own_word(value, word, "`off`, `ports` or `full`", &here.key("links_env"))
        });
        let publish = map.get("publish").and_then(|value| {
            let word = match value.as_text() {
                Some("direct") => Some(PublishMode::Direct),
                Some("respect-firewall") => Some(PublishMode::RespectFirewall),
                Some(_) | None => None,
            };
            self.own_word(value, word, "`direct` or `respect-firewall`", &here.key("publish"))
        });
        Own { links_env, publish }
    }

    /// Notes that an attribute of ours has a word that it does not know.
    fn own_word<T>(
        &mut self,
        value: &Node,
        word: Option<T>,
        wanted: &'static str,
        path: &Path<'_>,
    ) -> Option<T> {
        if word.is_none() {
            let text =
                if let Value::Text(text) = &value.value { text.clone() } else { value.kind().to_owned() };
            self.mistake(value, path, BindMistake::NotA { text, wanted });
        }
        word
    }

    fn volumes(&mut self) -> BTreeMap<Key, Volume> {
        let model = self.model;
        let mut volumes = BTreeMap::new();
        for (key, node) in model.root.entries_at("volumes") {
            let section = Path::Root.key("volumes");
            let path = section.key(key);
            if let Some(driver) =
                node.get("driver").filter(|driver| !matches!(driver.as_text(), Some("" | "local")))
            {
                let what = format!("volume driver `{}`", driver.as_text().unwrap_or_default());
                self.not_honoured(driver, &path.key("driver"), what);
            }
            let Some(name) = self.value_at(node, "name", &path) else { continue };
            let external = node.get("external").is_some_and(Node::is_true);
            let volume = Volume { name, external, labels: texts_at(node, "labels") };
            volumes.extend(key.parse::<Key>().ok().zip(Some(volume)));
        }
        volumes
    }

    fn folder(&self) -> &FilePath {
        &self.model.folder
    }
}

/// Returns the texts of the mapping under `key`, without those that have no value.
fn texts_at(node: &Node, key: &str) -> BTreeMap<String, String> {
    let pairs = node.entries_at(key);
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.as_text()?.to_owned()))).collect()
}

/// Returns the texts of the list under `key`.
fn list_at(node: &Node, key: &str) -> Vec<String> {
    node.list_at(key).iter().filter_map(Node::as_text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
