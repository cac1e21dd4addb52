//! `include`: other Compose models, whose resources become this one's.
//!
//! An included model goes through all steps by itself, with a folder and an environment of its own, and comes out with
//! its paths counted from the including one's folder. What both define is merged, the including model winning.
//!
//! Source: Compose Specification, `14-include.md`; compose-go `loader/include.go` of 2026-07: before, what both define
//! was an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dotenv;
use crate::environment::Environment;
use crate::files::FileKind;
use crate::loader::{Cause, Context, FileMistake, Loader, is_remote};
use crate::merge;
use crate::paths;
use crate::reset::Resets;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::parse::Unreadable;
use crate::tree::path::Path as KeyPath;

/// The sections of a model that are copied.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// What `include` can do wrong.
#[derive(Debug, thiserror::Error)]
enum IncludeMistake {
    #[error("files include each other in a circle: {0}")]
    Cycle(String),
    #[error("`path` is missing: say which file is included")]
    NoPath,
    #[error("files include each other more than {MAX_DEPTH} deep")]
    TooDeep,
}

/// The longest chain of files that include each other.
const MAX_DEPTH: usize = 32;

impl Loader<'_> {
    /// Copies what `document`, which stands in `file`, includes into it.
    pub(crate) fn include(&mut self, document: &mut Node, resets: &Resets, file: &Path, context: &Context) {
        let Some(map) = document.as_map_mut() else { return };
        let Some(include) = map.remove("include") else { return };
        let section = KeyPath::Root.key("include");
        for (index, entry) in include.node.as_list().unwrap_or_default().iter().enumerate() {
            let path = section.index(index);
            if let Ok(imported) = self.included(entry, &path, file, context) {
                self.import(map, imported, resets);
            }
        }
    }

    /// Returns the model that `entry` names.
    fn included(
        &mut self,
        entry: &Node,
        path: &KeyPath<'_>,
        file: &Path,
        context: &Context,
    ) -> Result<Node, Unreadable> {
        let files = self.paths_of(entry, path, file, context)?;
        let (folder, shown) = match (entry.text_at("project_directory"), files[0].parent()) {
            (Some(folder), _) if folder.starts_with('/') => (PathBuf::from(folder), folder.to_owned()),
            (Some(folder), _) => {
                let whole = paths::absolute(&context.folder, folder);
                let shown = paths::relative(&context.folder, &whole);
                (whole, shown)
            }
            (None, parent) => {
                let folder = parent.unwrap_or(Path::new("/")).to_owned();
                let shown = paths::relative(&context.folder, &folder);
                (folder, shown)
            }
        };
        let environment = self.environment_of(entry, path, &folder, context)?;
        let mut chain = context.chain.clone();
        chain.push(file.to_owned());
        let below = self.context(&environment, folder, shown, chain);
        let mut parsed = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let (span, place) = place_of(entry, index);
            let here = path.key("path");
            let here = if place { here.index(index) } else { here };
            parsed.push(self.parsed(file, &environment, Cause::Value(span, &here))?);
        }
        let mut model = self.model(parsed, &below);
        self.resolve_paths(&mut model, &below.shown);
        Ok(model)
    }

    /// Returns the files of `entry`, if none of them is being read already.
    fn paths_of(
        &mut self,
        entry: &Node,
        path: &KeyPath<'_>,
        file: &Path,
        context: &Context,
    ) -> Result<Vec<PathBuf>, Unreadable> {
        let mut found = Vec::new();
        for item in entry.list_at("path") {
            let Some(text) = item.as_text() else {
                if item.is_null() {
                    self.report.mistake(item.span, path, IncludeMistake::NoPath);
                }
                return Err(Unreadable);
            };
            if is_remote(text) {
                self.refuse(Cause::Value(item.span, path), FileMistake::Remote(text.to_owned()));
                return Err(Unreadable);
            }
            let whole = paths::absolute(&context.folder, text);
            let open = || context.chain.iter().map(PathBuf::as_path).chain([file]);
            if let Some(start) = open().position(|open| open == whole) {
                let circle = open().skip(start).chain([whole.as_path()]).map(|file| self.sources.shown(file));
                let names: Vec<String> = circle.collect();
                self.report.mistake(item.span, path, IncludeMistake::Cycle(names.join(" -> ")));
                return Err(Unreadable);
            }
            found.push(whole);
        }
        if context.chain.len() >= MAX_DEPTH {
            self.report.mistake(entry.span, path, IncludeMistake::TooDeep);
            return Err(Unreadable);
        }
        if found.is_empty() {
            if !entry.is_bad() {
                self.report.mistake(entry.span, path, IncludeMistake::NoPath);
            }
            return Err(Unreadable);
        }
        Ok(found)
    }

    /// Returns the environment that `entry` is read under: what the env files of the included model say, and over it
    /// the including model's.
    fn environment_of(
        &mut self,
        entry: &Node,
        path: &KeyPath<'_>,
        folder: &Path,
        context: &Context,
    ) -> Result<Arc<Environment>, Unreadable> {
        let named = entry.list_at("env_file");
        let default = folder.join(".env");
        if named.is_empty() && self.files.kind(&default) != Some(FileKind::File) {
            return Ok(Arc::clone(&context.environment));
        }
        let mut environment = (*context.environment).clone();
        let mut later = Environment::default();
        if named.is_empty() {
            self.env_file(&default, &context.environment, &mut later, Cause::Value(entry.span, path))?;
        }
        for item in named {
            let Some(text) = item.as_text() else { continue };
            if text == "/dev/null" {
                continue;
            }
            let file = paths::absolute(&context.folder, text);
            let here = path.key("env_file");
            self.env_file(&file, &context.environment, &mut later, Cause::Value(item.span, &here))?;
        }
        environment.add(later);
        Ok(Arc::new(environment))
    }

    /// Reads the env file at `path` into `into`. Variables are looked up in `outer`, then in `into`.
    pub(crate) fn env_file(
        &mut self,
        path: &Path,
        outer: &Arc<Environment>,
        into: &mut Environment,
        cause: Cause<'_>,
    ) -> Result<(), Unreadable> {
        let (file, text) = self.text(path, outer, cause)?;
        let found = dotenv::parse(&text, file, &|name| outer.get(name).or_else(|| into.get(name)));
        self.take_env_file(found, into)
    }

    /// Takes what an env file says, and notes what is wrong with it.
    pub(crate) fn take_env_file(
        &mut self,
        found: dotenv::EnvFile,
        into: &mut Environment,
    ) -> Result<(), Unreadable> {
        for (span, name) in found.missing {
            let warning = format!("variable `{name}` is not set, and is taken for an empty text");
            self.report.warning(span, "", warning);
        }
        if let Some((span, mistake)) = found.mistake {
            self.report.mistake(span, "", mistake);
            return Err(Unreadable);
        }
        into.assign_all(found.variables);
        Ok(())
    }

    /// Copies the resources of an included model into `map`.
    fn import(&mut self, map: &mut Mapping, mut imported: Node, resets: &Resets) {
        for section in SECTIONS {
            let entry = imported.as_map_mut().and_then(|map| map.remove(section));
            let Some(entry) = entry else { continue };
            let Value::Map(resources) = entry.node.value else { continue };
            map.insert_missing(section, entry.key, || Node::map(Mapping::default(), entry.node.span));
            let Some(target) = map.get_mut(section).and_then(Node::as_map_mut) else { continue };
            let section_path = KeyPath::Root.key(section);
            for (name, mut entry) in resources.into_entries() {
                let Some(slot) = target.get_mut(&name) else {
                    target.insert(name, entry.key, entry.node);
                    continue;
                };
                resets.apply_below(section, &name, &mut entry.node);
                let own = std::mem::replace(slot, Node::new(Value::Null, entry.key));
                let path = section_path.key(&name);
                *slot = merge::resources(section, entry.node, own, &path, &mut self.report);
            }
        }
    }
}

/// Returns the place of the path `index` of `entry`, and whether it stands in a list.
fn place_of(entry: &Node, index: usize) -> (crate::tree::span::Span, bool) {
    let items = entry.list_at("path");
    (items.get(index).map_or(entry.span, |item| item.span), items.len() > 1)
}

#[cfg(test)]
mod tests {
    use crate::testing::{config, request};

    #[test]
    fn an_included_model_keeps_its_folder_and_its_environment() {
        let files = [
            (
                "/p/compose.yaml",
                "name: p\ninclude: [sub/compose.yaml]\nservices: { web: { image: '$V', depends_on: [db] } }",
            ),
            ("/p/.env", "V=outer"),
            (
                "/p/sub/compose.yaml",
                "services: { db: { image: '$V-$W', env_file: e, environment: [W], volumes: ['./d:/d', 'data:/x'] } }\nvolumes: { data: }",
            ),
            ("/p/sub/.env", "V=inner\nW=only"),
            ("/p/sub/e", "FROM_FILE=$W"),
        ];
        insta::assert_snapshot!(config(&request(), &files), @"
        name: p
        services:
          db:
            environment:
              FROM_FILE: only
              W: only
            image: outer-only
            networks:
              default: null
            volumes:
              - bind:
                  create_host_path: true
                source: /p/sub/d
                target: /d
                type: bind
              - source: data
                target: /x
                type: volume
                volume: {}
          web:
            depends_on:
              db:
                condition: service_started
                required: true
            image: outer
            networks:
              default: null
        networks:
          default:
            name: p_default
        volumes:
          data:
            name: p_data
        ");
    }

    #[test]
    fn what_both_define_is_merged_and_the_including_model_wins() {
        let files = [
            (
                "/p/compose.yaml",
                "
name: p
include:
  - path: [a.yaml, b.yaml]
    project_directory: sub
    env_file: my.env
services:
  web: { image: local, ports: !override ['82:82'] }
",
            ),
            ("/p/a.yaml", "services: { web: { image: '$X', command: [a], ports: ['80:80'], build: . } }"),
            ("/p/b.yaml", "services: { web: { command: [b] } }"),
            ("/p/my.env", "X=from-env"),
        ];
        insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          web:
            build:
              context: /p/sub
              dockerfile: Dockerfile
            command:
              - b
            image: local
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "82"
                target: 82
        networks:
          default:
            name: p_default
        "#);
    }

    #[test]
    fn circles_missing_and_remote_files_are_told() {
        let files = [
            (
                "/p/compose.yaml",
                "include:\n  - a.yaml\n  - gone.yaml\n  - oci://example.com/x\n  - sub\n  - {}\nservices: {}",
            ),
            ("/p/a.yaml", "include: [{ path: ./b.yaml }]"),
            ("/p/b.yaml", "include: [./a.yaml]"),
            ("/p/sub/x", ""),
        ];
        insta::assert_snapshot!(config(&request(), &files), @"
        compose.yaml:3:5 include[1].path: there is no file `gone.yaml`
        compose.yaml:4:5 include[2]: `oci://example.com/x` is not on this machine, and trice cannot fetch it yet
        compose.yaml:5:5 include[3].path: `sub` is a folder
        compose.yaml:6:5 include[4]: `path` is missing: say which file is included
        b.yaml:1:11 include[0]: files include each other in a circle: a.yaml -> b.yaml -> a.yaml
        ");
    }

    #[test]
    fn files_that_include_each_other_without_end_are_refused() {
        let texts: Vec<(String, String)> = (0..20)
            .map(|number| {
                let next = number + 1;
                (format!("/p/{number}.yaml"), format!("include: [./{next}.yaml, {{ path: {next}.yaml }}]"))
            })
            .collect();
        let mut files: Vec<(&str, &str)> =
            texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.extend([
            ("/p/compose.yaml", "include: [0.yaml]"),
            ("/p/20.yaml", "services: { a: { image: x } }"),
        ]);
        let told = config(&request(), &files);
        assert!(told.contains("made of more than 10000 Compose files"), "{told}");
    }
}
