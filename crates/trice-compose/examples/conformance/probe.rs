//! Each attribute of the schema with one value of each kind, all else right: what is taken, and what is made of it.

use serde_json::Value as Json;

use crate::case::{Case, Text};
use crate::generate::env_files;
use crate::yaml::Tree;

/// The values that each attribute is given.
const VALUES: [&str; 20] = [
    "true",
    "'true'",
    "5",
    "'5'",
    "-1",
    "1.5",
    "text",
    "''",
    "~",
    "[]",
    "{}",
    "[text, text]",
    "['A=1', 'A=1']",
    "[5]",
    "[true]",
    "[~]",
    "{a: 5}",
    "{a: true}",
    "{a: ~}",
    "[{}]",
];

/// Returns all cases.
pub(crate) fn cases(schema: &Json) -> Vec<Case> {
    let walk = Walk { schema };
    let mut paths = Vec::new();
    walk.paths(schema, &mut Vec::new(), &mut paths);
    let mut cases = Vec::new();
    for path in &paths {
        for value in VALUES {
            let Some(mut tree) = walk.build(schema, path, value) else { continue };
            complete(&mut tree, path);
            let mut files = vec![("compose.yaml".to_owned(), Text::Tree(tree))];
            files.extend(env_files());
            cases.push(Case { files, named: 1, flags: Vec::new() });
        }
    }
    cases
}

/// Adds what the value needs to be looked at.
fn complete(tree: &mut Tree, path: &[String]) {
    let Some(root) = tree.entries_mut() else { return };
    if !root.iter().any(|(key, _)| key == "services") {
        root.push(("services".to_owned(), Tree::scalar("{other: {image: x}}")));
    }
    let image = || ("image".to_owned(), Tree::scalar("busybox"));
    for (_, service) in root
        .iter_mut()
        .filter(|(key, _)| key == "services")
        .filter_map(|(_, tree)| tree.entries_mut())
        .flatten()
    {
        if let Some(fields) =
            service.entries_mut().filter(|fields| !fields.iter().any(|(key, _)| key == "image"))
        {
            fields.push(image());
        }
    }
    if path.first().is_some_and(|first| first == "services") {
        for (section, text) in [
            ("networks", "{text: , a: }"),
            ("volumes", "{text: , data: }"),
            ("secrets", "{text: {file: x}, one: {file: x}}"),
            ("configs", "{text: {file: x}, one: {file: x}}"),
        ] {
            root.push((section.to_owned(), Tree::scalar(text)));
        }
    }
}

struct Walk<'a> {
    schema: &'a Json,
}

impl Walk<'_> {
    fn resolved<'b>(&'b self, schema: &'b Json) -> &'b Json {
        match schema.get("$ref").and_then(Json::as_str) {
            Some(reference) => self
                .schema
                .pointer(reference.trim_start_matches('#'))
                .map_or(schema, |found| self.resolved(found)),
            None => schema,
        }
    }

    /// Returns what `schema` may be: itself, or one of several.
    fn branches<'b>(&'b self, schema: &'b Json) -> Vec<&'b Json> {
        let schema = self.resolved(schema);
        let several = ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(key).and_then(Json::as_array));
        let branches: Vec<&Json> = several.flatten().flat_map(|branch| self.branches(branch)).collect();
        if branches.is_empty() { vec![schema] } else { branches }
    }

    fn paths(&self, schema: &Json, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if !path.is_empty() && !found.contains(path) {
            found.push(path.clone());
        }
        for branch in self.branches(schema) {
            let mut follow = |key: &str, below: &Json| {
                path.push(key.to_owned());
                self.paths(below, path, found);
                path.pop();
            };
            for (key, below) in branch.get("properties").and_then(Json::as_object).into_iter().flatten() {
                follow(key, below);
            }
            if let Some(items) = branch.get("items") {
                follow("[]", items);
            }
            if let Some(free) = free(branch) {
                follow("*", free);
            }
        }
    }

    /// Returns a tree with `value` at `path`.
    fn build(&self, schema: &Json, path: &[String], value: &str) -> Option<Tree> {
        let Some((key, rest)) = path.split_first() else { return Some(Tree::scalar(value)) };
        self.branches(schema).into_iter().find_map(|branch| match key.as_str() {
            "[]" => Some(Tree::list(vec![self.build(branch.get("items")?, rest, value)?])),
            "*" => Some(Tree::map(vec![("text".to_owned(), self.build(free(branch)?, rest, value)?)])),
            _ => {
                let below = self.build(branch.get("properties")?.get(key)?, rest, value)?;
                let required = branch.get("required").and_then(Json::as_array).into_iter().flatten();
                let others = required.filter_map(Json::as_str).filter(|other| other != key);
                let other = |name: &str| (name.to_owned(), Tree::scalar(usual(name)));
                Some(Tree::map(others.map(other).chain([(key.clone(), below)]).collect()))
            }
        })
    }
}

fn free(schema: &Json) -> Option<&Json> {
    let patterns = schema.get("patternProperties").and_then(Json::as_object);
    let pattern = patterns.and_then(|map| map.iter().find(|(pattern, _)| !pattern.starts_with("^x-")));
    pattern.map(|(_, of)| of).or_else(|| schema.get("additionalProperties").filter(|of| of.is_object()))
}

/// Returns a value that is right for an attribute that may not be missing.
fn usual(name: &str) -> &'static str {
    match name {
        "condition" => "service_started",
        "type" => "volume",
        "source" => "data",
        "target" => "/t",
        "action" => "rebuild",
        "soft" | "hard" => "5",
        "capabilities" => "[gpu]",
        "service" => "text",
        "path" => "a.env",
        _ => "x",
    }
}
