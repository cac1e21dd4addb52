//! Made-up Compose files: a walk through the JSON Schema that takes one of all that is allowed at each step, and now and
//! then something that is not.

use std::{env, fs};

use serde_json::Value as Json;

use crate::case::{Case, Text};
use crate::mutate::accident;
use crate::numbers::Numbers;
use crate::values::{ODD, number, quoted, text};
use crate::yaml::{Content, Tree};

/// What kinds of cases there are.
pub(crate) const KINDS: [&str; 7] = ["schema", "odd", "pair", "flags", "chain", "yaml", "text"];

const SCHEMA: &str = include_str!("../../../../schemas/compose.schema.json");

/// Makes cases.
pub(crate) struct Generator {
    numbers: Numbers,
    schema: Json,
    /// How many scalars in a hundred are replaced by odd ones.
    odd: usize,
}

impl Generator {
    /// Makes a generator; the same seed makes the same cases.
    pub(crate) fn new(schema: &Json, seed: u64) -> Self {
        Self { numbers: Numbers::new(seed), schema: schema.clone(), odd: 0 }
    }

    /// Makes a case.
    pub(crate) fn case(&mut self, kind: &str) -> Case {
        let kind = if kind == "any" { *self.numbers.pick(&KINDS.each_ref()) } else { kind };
        let name = "compose.yaml".to_owned();
        let mut flags = Vec::new();
        let mut named = 1;
        let mut files = match kind {
            "odd" => {
                self.odd = 8;
                vec![(name, Text::Tree(self.file()))]
            }
            "pair" => {
                named = 2;
                let (first, mut second) = (self.file(), self.file());
                self.tag(&mut second);
                vec![(name, Text::Tree(first)), ("over.yaml".to_owned(), Text::Tree(second))]
            }
            "flags" => {
                let all = [
                    "--no-interpolate",
                    "--no-normalize",
                    "--no-path-resolution",
                    "--no-consistency",
                    "--no-env-resolution",
                ];
                flags.push(*self.numbers.pick(&all.each_ref()));
                vec![(name, Text::Tree(self.file()))]
            }
            "chain" => self.chain(),
            "yaml" => {
                let tree = self.yaml(0);
                let x =
                    Tree::map(vec![("services".to_owned(), Tree::scalar("{}")), ("x-t".to_owned(), tree)]);
                vec![(name, Text::Plain(self.accidents(x.text(), 2)))]
            }
            "text" => {
                let file = self.file().text();
                vec![(name, Text::Plain(self.accidents(file, 2)))]
            }
            _ => vec![(name, Text::Tree(self.file()))],
        };
        files.extend(env_files());
        Case { files, named, flags }
    }

    fn accidents(&mut self, mut text: String, most: usize) -> String {
        for _ in 0..self.numbers.below(most + 1) {
            text = accident(&text, &mut self.numbers);
        }
        text
    }

    /// Makes a whole file.
    fn file(&mut self) -> Tree {
        let services = ["alpha", "beta", "gamma"];
        let count = 1 + self.numbers.below(3);
        let definition = self.at(&["properties", "services", "patternProperties"]);
        let service =
            definition.as_object().and_then(|map| map.values().next()).cloned().unwrap_or(Json::Null);
        let mut entries = Vec::new();
        for name in &services[..count] {
            let mut tree = self.node(&service, &["services", name], 0);
            if let Content::Map(fields) = &mut tree.content
                && self.numbers.chance(92)
                && !fields.iter().any(|(key, _)| key == "image")
            {
                fields.push(("image".to_owned(), Tree::scalar("busybox")));
            }
            entries.push(((*name).to_owned(), tree));
        }
        let mut root = vec![("services".to_owned(), Tree::map(entries))];
        for (section, names) in [
            ("networks", ["front", "back"]),
            ("volumes", ["data", "cache"]),
            ("secrets", ["one", "two"]),
            ("configs", ["one", "two"]),
        ] {
            let definition = self.at(&["properties", section, "patternProperties"]);
            let of =
                definition.as_object().and_then(|map| map.values().next()).cloned().unwrap_or(Json::Null);
            let mut resources = Vec::new();
            for name in names {
                let tree = if self.numbers.chance(30) {
                    self.node(&of, &[section, name], 0)
                } else if matches!(section, "secrets" | "configs") {
                    Tree::map(vec![("file".to_owned(), Tree::scalar("./file"))])
                } else {
                    Tree::scalar(["", "{}", "~"][self.numbers.below(3)])
                };
                resources.push((name.to_owned(), tree));
            }
            root.push((section.to_owned(), Tree::map(resources)));
        }
        if self.numbers.chance(5) {
            root.push(("x-top".to_owned(), self.yaml(2)));
        }
        if self.numbers.chance(3) {
            root.push((self.numbers.pick(&["version", "name", "unknown"]).to_owned(), Tree::scalar("'3.8'")));
        }
        let mut root = Tree::map(root);
        self.flow(&mut root, 0);
        root
    }

    /// A file that includes and extends others.
    fn chain(&mut self) -> Vec<(String, Text)> {
        let mut main = self.file();
        let (mut base, included) = (self.file(), self.file());
        let target = || {
            Tree::map(vec![
                ("file".to_owned(), Tree::scalar("base.yaml")),
                ("service".to_owned(), Tree::scalar("alpha")),
            ])
        };
        if let Some(service) = service_mut(&mut main, 0) {
            let local = self.numbers.chance(30);
            let tree =
                if local { Tree::map(vec![("service".to_owned(), Tree::scalar("beta"))]) } else { target() };
            service.retain(|(key, _)| key != "extends");
            service.push(("extends".to_owned(), tree));
        }
        for at in 0..2 {
            if let Some(service) = service_mut(&mut base, at) {
                service.retain(|(key, _)| key != "extends");
                if at == 0 && self.numbers.chance(30) {
                    service.push(("extends".to_owned(), Tree::scalar("beta")));
                }
            }
        }
        self.tag(&mut main);
        let mut files =
            vec![("compose.yaml".to_owned(), Text::Tree(main)), ("base.yaml".to_owned(), Text::Tree(base))];
        if self.numbers.chance(30)
            && let (Text::Tree(Tree { content: Content::Map(root), .. }), Content::Map(mut other)) =
                (&mut files[0].1, included.content)
        {
            // Only what has a name of its own: 2.40 refuses the rest.
            other.retain(|(key, _)| key == "services");
            for (name, _) in other.iter_mut().filter_map(|(_, tree)| tree.entries_mut()).flatten() {
                name.insert_str(0, "in-");
            }
            root.push(("include".to_owned(), Tree::list(vec![Tree::scalar("included.yaml")])));
            files.push(("included.yaml".to_owned(), Text::Tree(Tree::map(other))));
        }
        files
    }

    /// Puts `!reset` and `!override` here and there.
    fn tag(&mut self, tree: &mut Tree) {
        for (_, service) in service_entries(tree) {
            for (_, value) in service.entries_mut().into_iter().flatten() {
                if self.numbers.chance(5) {
                    value.mark = self.numbers.pick(&["!reset ", "!override "]).to_owned();
                }
            }
        }
    }

    fn at(&self, path: &[&str]) -> Json {
        path.iter().fold(self.schema.clone(), |schema, key| {
            self.resolved(&schema).get(*key).cloned().unwrap_or(Json::Null)
        })
    }

    fn resolved(&self, schema: &Json) -> Json {
        match schema.get("$ref").and_then(Json::as_str) {
            Some(reference) => {
                let found =
                    self.schema.pointer(reference.trim_start_matches('#')).cloned().unwrap_or(Json::Null);
                self.resolved(&found)
            }
            None => schema.clone(),
        }
    }

    /// Makes what `schema` allows at `path`.
    fn node(&mut self, schema: &Json, path: &[&str], depth: usize) -> Tree {
        let schema = self.resolved(schema);
        for key in ["oneOf", "anyOf"] {
            if let Some(branches) = schema.get(key).and_then(Json::as_array).filter(|list| !list.is_empty()) {
                let branch = branches[self.numbers.below(branches.len())].clone();
                return self.node(&branch, path, depth);
            }
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array)
            && !self.numbers.chance(3)
        {
            let word = words[self.numbers.below(words.len())].as_str().unwrap_or_default().to_owned();
            return self.scalar(&word);
        }
        let kinds: Vec<String> = match schema.get("type") {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(several)) => {
                several.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect()
            }
            _ => vec!["string".to_owned()],
        };
        let kind = kinds[self.numbers.below(kinds.len())].clone();
        let key = path.iter().rev().find(|key| **key != "[]").copied().unwrap_or_default();
        let parent = path.iter().rev().filter(|key| **key != "[]").nth(1).copied().unwrap_or_default();
        match kind.as_str() {
            "object" => self.object(&schema, path, depth),
            "array" => {
                let items = schema.get("items").cloned().unwrap_or(Json::Null);
                let count = self.numbers.below(4);
                let below = [path, &["[]"]].concat();
                Tree::list((0..count).map(|_| self.node(&items, &below, depth + 1)).collect())
            }
            "boolean" => {
                let word = self.numbers.pick(&["true", "false", "yes", "'true'", "True"]);
                let word = if self.numbers.chance(80) { self.numbers.pick(&["true", "false"]) } else { word };
                self.oddly(Tree::scalar(word))
            }
            "null" => Tree::scalar(["", "~", "null"][self.numbers.below(3)]),
            "number" | "integer" => {
                let number = number(key, &mut self.numbers);
                self.oddly(Tree::scalar(number))
            }
            _ => {
                let section = path.iter().rev().find(|key| {
                    matches!(
                        **key,
                        "volumes" | "ports" | "secrets" | "configs" | "depends_on" | "env_file" | "devices"
                    )
                });
                let parent = if parent == *section.unwrap_or(&"") || section.is_none() || path.len() < 5 {
                    parent
                } else {
                    section.unwrap_or(&"")
                };
                let parent = if key == "devices" { "services" } else { parent };
                let value = text(key, parent, &mut self.numbers);
                self.scalar(&value)
            }
        }
    }

    fn scalar(&mut self, value: &str) -> Tree {
        let wrapped = match self.numbers.below(40) {
            0 => format!("${{NOPE:-{value}}}"),
            1 => format!("{value}${{EMPTY}}"),
            2 => format!("${{SET:+{value}}}"),
            _ => value.to_owned(),
        };
        let tree = Tree::scalar(quoted(&wrapped, &mut self.numbers));
        self.oddly(tree)
    }

    /// Replaces a scalar by an odd one now and then.
    fn oddly(&mut self, tree: Tree) -> Tree {
        if self.numbers.chance(self.odd) { Tree::scalar(ODD[self.numbers.below(ODD.len())]) } else { tree }
    }

    fn object(&mut self, schema: &Json, path: &[&str], depth: usize) -> Tree {
        let mut entries = Vec::new();
        let properties = schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let wanted = match depth {
            0 => 1 + self.numbers.below(6),
            _ => self.numbers.below(4),
        };
        let names: Vec<&String> = properties.keys().collect();
        let mut chosen: Vec<String> =
            required.iter().filter(|_| !self.numbers.chance(2)).map(|name| (*name).to_owned()).collect();
        for _ in 0..wanted {
            if let Some(name) = names.get(self.numbers.below(names.len()))
                && !chosen.contains(name)
                // These refuse most cases in most forms; they have kinds of their own.
                && !matches!(name.as_str(), "extends" | "provider" | "pre_start" | "models" | "pull_refresh_after" | "no_cache_filter" | "x-trice")
            {
                chosen.push((*name).clone());
            }
        }
        for name in chosen {
            let below = [path, &[name.as_str()]].concat();
            let value = self.node(&properties[&name], &below, depth + 1);
            entries.push((name.clone(), value));
        }
        let free = schema
            .get("patternProperties")
            .and_then(Json::as_object)
            .and_then(|map| map.iter().find(|(pattern, _)| !pattern.starts_with("^x-")))
            .map(|(_, of)| of.clone())
            .or_else(|| schema.get("additionalProperties").filter(|of| of.is_object()).cloned());
        if let Some(of) = free {
            let key = path.last().copied().unwrap_or_default();
            let pool: &[&str] = match key {
                "networks" => &["front", "back", "default"],
                "depends_on" => &["alpha", "beta"],
                "ulimits" => &["nproc", "nofile"],
                "extra_hosts" => &["host", "v6"],
                "additional_contexts" => &["ctx", "svc"],
                "sysctls" => &["net.core.somaxconn", "a"],
                "ssh" => &["default", "key"],
                _ => &["A", "b.c", "SET", "D_1", "e-f", "9", "'1'", "true", "'h i'", "~"],
            };
            for _ in 0..self.numbers.below(4) {
                let name = self.numbers.pick(pool).to_owned();
                if !entries.iter().any(|(known, _)| *known == name) || self.numbers.chance(3) {
                    let below = [path, &[name.as_str()]].concat();
                    let value = self.node(&of, &below, depth + 1);
                    entries.push((name, value));
                }
            }
        }
        if self.numbers.chance(3) {
            let name = self.numbers.pick(&["x-ext", "X-Ext", "unknown", "x-"]).to_owned();
            entries.push((name, Tree::scalar("{a: [1, '2']}")));
        }
        Tree::map(entries)
    }

    /// Puts lists and mappings in brackets here and there, and makes anchors, aliases and merges.
    fn flow(&mut self, tree: &mut Tree, depth: usize) {
        tree.flow = depth > 1 && self.numbers.chance(35);
        for child in tree.children_mut() {
            self.flow(child, depth + 1);
        }
    }

    /// Any YAML at all.
    fn yaml(&mut self, depth: usize) -> Tree {
        let mut tree = match self.numbers.below(if depth > 3 { 6 } else { 11 }) {
            0..=2 => Tree::scalar(ODD[self.numbers.below(ODD.len())]),
            3 => {
                let word = text("", "", &mut self.numbers);
                Tree::scalar(quoted(&word, &mut self.numbers))
            }
            4 => {
                let header = self.numbers.pick(&["|", "|-", "|+", ">", ">-", ">+", "|2", ">1-", "| # c"]);
                let pool = ["a", "", " b", "c: d", "# e", "- f", "  g", "h ", "\ti"];
                let lines =
                    (0..1 + self.numbers.below(4)).map(|_| self.numbers.pick(&pool).to_owned()).collect();
                Tree { mark: String::new(), content: Content::Block(header.to_owned(), lines), flow: false }
            }
            5 => Tree::scalar(self.numbers.pick(&[
                "a\n    b",
                "'a\n\n    b'",
                "\"a \\\n    b\"",
                "a #b",
                "a# b",
                "a: ",
                "- - a",
                "\"\\t\\e\\0\\_\\N\"",
                "*one",
                "[a, b\n    ]",
                "{a: 1,}",
                "[a,]",
                "{a, b: }",
                "{\"a\":1}",
                "[a: b]",
                "{? a : b}",
                "\"a\" b",
                "@a",
                "%a",
                "`a`",
                "a\tb",
                "&two [1]",
                "*two",
                "!!set {a, b}",
                "!!map {a: 1}",
                "!!seq [a]",
                "!!omap []",
                "!<tag:yaml.org,2002:str> 5",
                "!e!x 1",
            ])),
            6..=7 => Tree::list((0..self.numbers.below(4)).map(|_| self.yaml(depth + 1)).collect()),
            _ => {
                let keys = [
                    "a",
                    "b",
                    "c",
                    "'d e'",
                    "\"f\"",
                    "<<",
                    "1",
                    "true",
                    "~",
                    "g.h",
                    "? i",
                    "[j]",
                    "2.5",
                    "yes",
                    "k ",
                    "é",
                    "!!str l",
                    "0x1",
                    "2001-01-01",
                ];
                let mut entries = Vec::new();
                for _ in 0..self.numbers.below(4) {
                    let key = if self.numbers.chance(75) {
                        self.numbers.pick(&["a", "b", "c", "d"])
                    } else {
                        self.numbers.pick(&keys)
                    };
                    if !entries.iter().any(|(known, _)| known == key) || self.numbers.chance(10) {
                        let value = if key == "<<" && self.numbers.chance(80) {
                            Tree::scalar(self.numbers.pick(&[
                                "*one",
                                "[*one]",
                                "{a: 7, z: 8}",
                                "[{a: 1}, {b: 2}]",
                                "*one",
                            ]))
                        } else {
                            self.yaml(depth + 1)
                        };
                        entries.push((key.to_owned(), value));
                    }
                }
                Tree::map(entries)
            }
        };
        tree.flow = self.numbers.chance(25);
        if self.numbers.chance(6) {
            tree.mark = self
                .numbers
                .pick(&["&one ", "&two ", "!!str ", "!x ", "!!map ", "&one !!map ", "!reset ", "!override "])
                .to_owned();
        }
        tree
    }
}

/// Env files that stand beside each Compose file.
pub(crate) fn env_files() -> [(String, Text); 2] {
    let file = |name: &str, text: &str| (name.to_owned(), Text::Plain(text.to_owned()));
    [
        file("a.env", "FROM=a\nSET=file\nREF=$SET-${FROM}\nBARE\n"),
        file("b.env", "FROM='b'\nexport X=\"a\\nb $FIVE\"\nY: z # c\n"),
    ]
}

/// Returns the schema that cases are made from: our own, or the one in the file that `CONFORMANCE_SCHEMA` names.
pub(crate) fn schema() -> Json {
    let text = match env::var("CONFORMANCE_SCHEMA") {
        Ok(path) => fs::read_to_string(path).expect("the schema can be read"),
        Err(_) => SCHEMA.to_owned(),
    };
    serde_json::from_str(&text).expect("the schema is JSON")
}

fn service_entries(root: &mut Tree) -> impl Iterator<Item = &mut (String, Tree)> {
    let services = root.entries_mut().and_then(|root| root.iter_mut().find(|(key, _)| key == "services"));
    services.and_then(|(_, services)| services.entries_mut()).into_iter().flatten()
}

fn service_mut(root: &mut Tree, at: usize) -> Option<&mut Vec<(String, Tree)>> {
    service_entries(root).nth(at).and_then(|(_, service)| service.entries_mut())
}
