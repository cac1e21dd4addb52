//! `extends`: a service that begins as another one, of its own file or of another.
//!
//! ```text
//! web ─extends► base ─extends► common.yaml:app        the chain is walked to its end, then merged on the way back
//! ```
//!
//! A service of another file is taken alone: that file's networks and volumes stay there. Its paths are counted from
//! its own folder. It is checked when it is taken, and the rest of that file is not.
//!
//! Source: Compose Specification, `05-services.md`, "extends"; compose-go `loader/extends.go`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::Check;
use crate::interpolate;
use crate::loader::{Cause, Context, FileMistake, Loader, is_remote};
use crate::merge;
use crate::paths::{self, Base};
use crate::reset::Resets;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::parse::Unreadable;
use crate::tree::path::Path as KeyPath;
use crate::tree::span::Span;

/// The longest chain of services.
const MAX_CHAIN: usize = 100;

/// What `extends` can do wrong.
#[derive(Debug, thiserror::Error)]
enum ExtendsMistake {
    #[error("there is no service `{service}` in {file}")]
    NoService { service: String, file: String },
    #[error("services extend each other in a circle: {0}")]
    Cycle(String),
    #[error("the chain of services that extend each other is longer than {MAX_CHAIN}")]
    TooLong,
    #[error("`service` is missing: say which service is extended")]
    NoTarget,
}

/// A file that services are extended from: its services as they are written, for each of its documents.
#[derive(Debug)]
pub(crate) struct BaseFile {
    documents: Vec<(Mapping, Resets)>,
    /// Its folder, as seen from the folder of the model.
    shown: String,
}

/// A service of a chain.
#[derive(Debug, Clone)]
struct Link {
    file: PathBuf,
    service: String,
    span: Span,
}

impl Loader<'_> {
    /// Merges the services of `document`, which stands in `file`, over those that they extend.
    pub(crate) fn extends(&mut self, document: &mut Node, resets: &Resets, file: &Path, context: &Context) {
        let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) else { return };
        let names: Vec<String> = services
            .iter()
            .filter(|(_, service)| service.get("extends").is_some())
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            self.extend(services, &name, resets, file, context, &mut Vec::new());
        }
    }

    /// Merges the service `name` of `services` over the one that it extends.
    fn extend(
        &mut self,
        services: &mut Mapping,
        name: &str,
        resets: &Resets,
        file: &Path,
        context: &Context,
        chain: &mut Vec<Link>,
    ) {
        let Some(service) = services.get_mut(name) else { return };
        let Some(extends) = service.as_map_mut().and_then(|map| map.remove("extends")) else { return };
        let services_path = KeyPath::Root.key("services");
        let service_path = services_path.key(name);
        let path = service_path.key("extends");
        let span = extends.node.span;
        let Some(target) = self.target(&extends.node, &path) else { return spoil(service) };
        chain.push(Link { file: file.to_owned(), service: name.to_owned(), span });
        let cause = Cause::Value(span, &path);
        let base = match &target.file {
            Some(other) => self.foreign(other, &target.service, &context.folder, context, cause, chain),
            None if !self.may_follow(chain, file, &target.service, cause) => None,
            None => {
                self.extend(services, &target.service, resets, file, context, chain);
                match services.get(&target.service) {
                    Some(base) => self.copy(base, cause).ok(),
                    None => {
                        let file = "this file".to_owned();
                        let mistake = ExtendsMistake::NoService { service: target.service.clone(), file };
                        self.report.mistake(span, path, mistake);
                        None
                    }
                }
            }
        };
        chain.pop();
        let Some(slot) = services.get_mut(name) else { return };
        match base.filter(|base| base.as_map().is_some()) {
            Some(mut base) => {
                resets.apply_below("services", name, &mut base);
                let service = std::mem::replace(slot, Node::new(Value::Null, span));
                *slot = merge::services(base, service, &service_path, &mut self.report);
            }
            None => spoil(slot),
        }
    }

    /// Returns the service `name` of another file, whole. `folder` is what the file's path is counted from.
    fn foreign(
        &mut self,
        file: &str,
        name: &str,
        folder: &Path,
        context: &Context,
        cause: Cause<'_>,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        if is_remote(file) {
            self.refuse(cause, FileMistake::Remote(file.to_owned()));
            return None;
        }
        let path = paths::absolute(folder, file);
        if !self.may_follow(chain, &path, name, cause) {
            return None;
        }
        let key = (context.id, path.clone(), name.to_owned());
        let known = match self.extended.get(&key) {
            Some(known) => known.clone(),
            None => {
                let found = self.base_file(&path, context, cause);
                let whole = found.and_then(|base| self.service_of(&base, &path, name, context, cause, chain));
                let whole = whole.map(Arc::new);
                self.extended.insert(key, whole.clone());
                whole
            }
        };
        self.copy(known.as_deref()?, cause).ok()
    }

    /// Returns the file at `path`, read once for each model.
    fn base_file(&mut self, path: &Path, context: &Context, cause: Cause<'_>) -> Option<Arc<BaseFile>> {
        let key = (context.id, path.to_owned());
        if let Some(known) = self.bases.get(&key) {
            return known.clone();
        }
        let read = self.read_base_file(path, context, cause).ok().map(Arc::new);
        self.bases.insert(key, read.clone());
        read
    }

    fn read_base_file(
        &mut self,
        path: &Path,
        context: &Context,
        cause: Cause<'_>,
    ) -> Result<BaseFile, Unreadable> {
        let parsed = self.parsed(path, &context.environment, cause)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut documents = Vec::new();
        for mut document in parsed.documents {
            let resets = Resets::collect(&mut document);
            if !self.settings.raw {
                interpolate::fill(&mut document, &context.environment, &mut self.report);
            }
            let services = document.as_map_mut().and_then(|map| map.remove("services"));
            if let Some(Value::Map(services)) = services.map(|entry| entry.node.value) {
                documents.push((*services, resets));
            }
        }
        Ok(BaseFile { documents, shown: paths::relative(&context.folder, folder) })
    }

    /// Returns the service `name` of `base` as its documents write it, checked.
    fn written(&mut self, base: &BaseFile, name: &str, path: &KeyPath<'_>) -> Option<Node> {
        let mut whole: Option<Node> = None;
        for (services, resets) in &base.documents {
            let Some(written) = services.get(name) else { continue };
            let mut service = written.clone();
            Check::new(&mut self.report, self.settings.raw).service(&mut service, path);
            whole = Some(match whole {
                None => service,
                Some(mut earlier) => {
                    resets.apply_below("services", name, &mut earlier);
                    merge::services(earlier, service, path, &mut self.report)
                }
            });
        }
        whole
    }

    /// Returns the service `name` of `base`, merged over what it extends itself.
    fn service_of(
        &mut self,
        base: &BaseFile,
        file: &Path,
        name: &str,
        context: &Context,
        cause: Cause<'_>,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        let services_path = KeyPath::Root.key("services");
        let path = services_path.key(name);
        let Some(mut service) = self.written(base, name, &path) else {
            if let Cause::Value(span, path) = cause {
                let file = format!("`{}`", self.sources.shown(file));
                let mistake = ExtendsMistake::NoService { service: name.to_owned(), file };
                self.report.mistake(span, path, mistake);
            }
            return None;
        };
        let extends = service.as_map_mut().and_then(|map| map.remove("extends"));
        let home = self.settings.home.clone();
        paths::resolve_service(&mut service, Base { folder: &base.shown, home: home.as_deref() });
        let Some(extends) = extends else { return Some(service) };
        let here = path.key("extends");
        let Some(target) = self.target(&extends.node, &here) else {
            spoil(&mut service);
            return Some(service);
        };
        let span = extends.node.span;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let other = target.file.unwrap_or_else(|| file.display().to_string());
        chain.push(Link { file: file.to_owned(), service: name.to_owned(), span });
        let below = self.foreign(&other, &target.service, folder, context, Cause::Value(span, &here), chain);
        chain.pop();
        let Some(mut below) = below.filter(|below| below.as_map().is_some()) else {
            spoil(&mut service);
            return Some(service);
        };
        for (_, resets) in &base.documents {
            resets.apply_below("services", name, &mut below);
        }
        Some(merge::services(below, service, &path, &mut self.report))
    }

    /// Reads the long form, which the check has made of every form.
    fn target(&mut self, extends: &Node, path: &KeyPath<'_>) -> Option<Target> {
        if let Some(service) = extends.text_at("service") {
            let file = extends.text_at("file").map(str::to_owned);
            return Some(Target { service: service.to_owned(), file });
        }
        // Anything else that is no target has been told.
        let named = extends.get("service").is_some_and(|service| !service.is_null());
        if (extends.as_map().is_some() && !named) || extends.is_null() {
            self.report.mistake(extends.span, path, ExtendsMistake::NoTarget);
        }
        None
    }

    /// Tells whether the chain may go on to `service` of `file`.
    fn may_follow(&mut self, chain: &[Link], file: &Path, service: &str, cause: Cause<'_>) -> bool {
        let Cause::Value(span, path) = cause else { return false };
        if let Some(start) = chain.iter().position(|link| link.service == service && link.file == file) {
            let circle = &chain[start..];
            let names: Vec<&str> = circle.iter().map(|link| link.service.as_str()).chain([service]).collect();
            let finding = self.report.mistake(span, path, ExtendsMistake::Cycle(names.join(" -> ")));
            for link in &circle[..circle.len() - 1] {
                finding.related(link.span, format!("what `{}` extends", link.service));
            }
            return false;
        }
        if chain.len() >= MAX_CHAIN {
            self.report.mistake(span, path, ExtendsMistake::TooLong);
            return false;
        }
        true
    }
}

/// Gives a service whose base is missing an image that says nothing, so that its absence is not told as well.
fn spoil(service: &mut Node) {
    let span = service.span;
    if let Some(map) = service.as_map_mut() {
        map.insert_missing("image", span, || Node::new(Value::Bad, span));
    }
}

/// What is extended.
struct Target {
    service: String,
    file: Option<String>,
}

#[cfg(test)]
mod tests;
