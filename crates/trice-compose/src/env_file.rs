//! `env_file` and `label_file`, read for the active services, and folded into `environment` and `labels`.
//!
//! Variables in an env file are looked up in the environment of the file that names it, then in the service's own
//! `environment`, then in the lines above. That of the naming file: an included model keeps its `.env` to the end.
//!
//! Source: compose-go `types/project.go`.

use crate::dotenv;
use crate::environment::Environment;
use crate::files::FileKind;
use crate::loader::{Cause, Loader};
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Rule, Value};
use crate::tree::path::Path as KeyPath;
use crate::tree::span::Span;

/// What an entry of `env_file` can do wrong.
#[derive(Debug, thiserror::Error)]
enum EnvFileEntryMistake {
    #[error("`{0}` is not a format of env files")]
    Format(String),
}

/// Reads the files of all services of `root`; those with variables only if `variables`.
pub(crate) fn read(root: &mut Node, variables: bool, loader: &mut Loader<'_>) {
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for (name, service) in services.into_iter().flat_map(Mapping::iter_mut) {
        let Some(service) = service.as_map_mut() else { continue };
        let services_path = KeyPath::Root.key("services");
        let path = services_path.key(name);
        if let Some(files) = variables.then(|| service.remove("env_file")).flatten() {
            let own = service.get("environment").and_then(Node::as_map).cloned().unwrap_or_default();
            let mut found = variables_of(&own);
            for (index, file) in files.node.as_list().unwrap_or_default().iter().enumerate() {
                let list = path.key("env_file");
                env_file(file, &own, &mut found, loader, &list.index(index));
            }
            fold(service, "environment", found, own, files.key);
        }
        if let Some(files) = service.remove("label_file") {
            let own = service.get("labels").and_then(Node::as_map).cloned().unwrap_or_default();
            let mut found = Environment::default();
            for (index, file) in files.node.as_list().unwrap_or_default().iter().enumerate() {
                let list = path.key("label_file");
                label_file(file, &mut found, loader, &list.index(index));
            }
            fold(service, "labels", found, own, files.key);
        }
    }
}

fn variables_of(map: &Mapping) -> Environment {
    let mut environment = Environment::default();
    for (name, value) in map.iter() {
        if let Some(text) = value.as_text() {
            environment.assign(name, text.to_owned(), value.span);
        }
    }
    environment
}

fn env_file(
    file: &Node,
    own: &Mapping,
    found: &mut Environment,
    loader: &mut Loader<'_>,
    path: &KeyPath<'_>,
) {
    let Some(name) = file.get("path") else { return };
    let Some(text) = name.as_text() else { return };
    let place = &loader.sources.absolute(text);
    let optional = file.get("required").is_some_and(|required| !required.is_true());
    if optional && loader.files.kind(place) != Some(FileKind::File) {
        return;
    }
    let Some(outer) = loader.sources.environment(name.span).cloned() else { return };
    let Ok((id, content)) = loader.text(place, &outer, Cause::Value(name.span, path)) else { return };
    let lookup = |name: &str| {
        let own = || own.get(name).and_then(Node::as_text);
        outer.get(name).or_else(own).or_else(|| found.get(name))
    };
    let read = match file.text_at("format") {
        None | Some("") => dotenv::parse(&content, id, &lookup),
        Some("raw") => dotenv::parse_raw(&content, id, &lookup),
        Some(other) => {
            let mistake = EnvFileEntryMistake::Format(other.to_owned());
            loader.report.mistake(file.span, path, mistake).hint("write `raw`, or nothing");
            return;
        }
    };
    // A mistake has been noted; there is nothing to stop.
    let _ = loader.take_env_file(read, found);
}

fn label_file(file: &Node, found: &mut Environment, loader: &mut Loader<'_>, path: &KeyPath<'_>) {
    let Some(text) = file.as_text() else { return };
    let Some(outer) = loader.sources.environment(file.span).cloned() else { return };
    let opened = loader.text(&loader.sources.absolute(text), &outer, Cause::Value(file.span, path));
    let Ok((id, content)) = opened else { return };
    let read = dotenv::parse(&content, id, &|name| found.get(name));
    // A mistake has been noted; there is nothing to stop.
    let _ = loader.take_env_file(read, found);
}

/// Puts what the files say under `key`, and over it what stood there.
fn fold(service: &mut Mapping, key: &str, found: Environment, own: Mapping, span: Span) {
    let mut whole = Mapping::default();
    for (name, variable) in found.variables() {
        let place = variable.span.unwrap_or(span);
        whole.insert(name, place, Node::text(&variable.value, place));
    }
    for (name, entry) in own.into_entries() {
        let shadowed = whole.get(&name).filter(|node| node.span != entry.node.span).cloned();
        let node = match shadowed {
            Some(earlier) => entry.node.after(Rule::Overridden, earlier),
            None => entry.node,
        };
        whole.insert(name, entry.key, node);
    }
    if !whole.is_empty() {
        let value = Value::Map(Box::new(whole));
        service.insert(key, span, Node::new(value, span));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{config, request};

    #[test]
    fn env_files_lie_below_the_environment_and_later_ones_above_earlier_ones() {
        let files = [
            (
                "/p/compose.yaml",
                "
name: p
services:
  s:
    image: x
    network_mode: none
    environment: { OWN: own, BARE: , TAKEN: }
    env_file: [a.env, { path: b.env, required: true }, { path: gone.env, required: false }, { path: r.env, format: raw }]
    label_file: l.env
    labels: { b: own }
",
            ),
            ("/p/.env", "TAKEN=outside"),
            ("/p/a.env", "OWN=file\nA=a\nBARE=file\nREF=$OWN"),
            ("/p/b.env", "A=b\nC=$A-$TAKEN\nD=$OWN $COMPOSE_PROJECT_NAME"),
            ("/p/r.env", "RAW='$A'"),
            ("/p/l.env", "a=label\nb=file\nc=$a"),
        ];
        insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          s:
            environment:
              A: b
              BARE: null
              C: a-outside
              D: own p
              OWN: own
              RAW: "'$$A'"
              REF: own
              TAKEN: outside
            image: x
            labels:
              a: label
              b: own
              c: label
            network_mode: none
        "#);
    }

    #[test]
    fn what_is_wrong_with_an_env_file_is_told() {
        let files = [
            (
                "/p/compose.yaml",
                "services: { s: { image: x, env_file: [gone.env, bad.env, { path: ok.env, format: odd }], label_file: gone } }",
            ),
            ("/p/bad.env", "A=1\nB='x"),
            ("/p/ok.env", ""),
        ];
        insta::assert_snapshot!(config(&request(), &files), @"
        compose.yaml:1:39 services.s.env_file[0]: there is no file `gone.env`
        compose.yaml:1:58 services.s.env_file[2]: `odd` is not a format of env files [write `raw`, or nothing]
        compose.yaml:1:102 services.s.label_file[0]: there is no file `gone`
        bad.env:2:3 : the quote is not closed
        ");
    }
}
