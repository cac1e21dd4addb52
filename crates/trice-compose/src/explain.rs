//! Where values come from: the place of a key path, the history of a value, the history of a variable.
//!
//! ```text
//! services.web.environment.DEBUG
//!   "1"        compose.override.yaml:4:14   overrides
//!   "${D:-0}"  compose.yaml:7:14            filled in to "0"
//! ```

use serde::Serialize;
use serde_json::Value as Json;

use crate::config::json::plain;
use crate::diagnostic::Place;
use crate::load::Model;
use crate::tree::mapping::Entry;
use crate::tree::node::{Node, Rule, Value};
use crate::tree::span::Span;

/// A value, or one that it replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// What it says.
    pub value: Json,
    /// Where it is written.
    pub place: Place,
    /// What it is to the next one of the list.
    pub relation: Relation,
}

/// What a value is to the one that it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It replaced none: so it is written.
    Written,
    /// The next one with its variables filled in.
    FilledIn,
    /// The next one as a path that is counted from the project's folder.
    Resolved,
    /// In the place of the next one: a later file, an extending service or a stronger source.
    Overrides,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableOrigin {
    /// Its value.
    pub value: String,
    /// Where it is written; `None` is the environment of the caller.
    pub place: Option<Place>,
    /// Other values for it, which lost.
    pub shadowed: Vec<(Place, String)>,
}

impl Model {
    /// Returns the place of the value at `path`, such as `services.web.networks.front`, or of the innermost value
    /// around it.
    pub fn place(&self, path: &str) -> Option<Place> {
        let (found, _) = self.find(path);
        found.map(|found| self.sources.place(found.span()))
    }

    /// Tells whether there is a value at `path` that says anything.
    pub fn has(&self, path: &str) -> bool {
        matches!(self.find(path), (Some(_), true))
    }

    /// Returns the value at `path` and those that it replaced, the newest first; nothing if there is no such value.
    pub fn explain(&self, path: &str) -> Vec<Origin> {
        let (Some(found), true) = self.find(path) else { return Vec::new() };
        let mut origins = Vec::new();
        let mut next = Some(found.node());
        while let Some(node) = next {
            let past = node.past.as_deref();
            let relation = match past.map(|past| past.rule) {
                None => Relation::Written,
                Some(Rule::Interpolated) => Relation::FilledIn,
                Some(Rule::Resolved) => Relation::Resolved,
                Some(Rule::Overridden) => Relation::Overrides,
            };
            origins.push(Origin { value: plain(node), place: self.sources.place(node.span), relation });
            next = past.map(|past| &past.node);
        }
        origins
    }

    /// Returns where the variable `name` comes from, in the environment of the outermost files.
    pub fn explain_variable(&self, name: &str) -> Option<VariableOrigin> {
        let variable = self.environment.variable(name)?;
        let place = |span: &Span| self.sources.place(*span);
        Some(VariableOrigin {
            value: variable.value.clone(),
            place: variable.span.as_ref().map(place),
            shadowed: variable.shadowed.iter().map(|(span, value)| (place(span), value.clone())).collect(),
        })
    }

    /// Returns the innermost value on the way to `path`, and whether it is the last one.
    fn find(&self, path: &str) -> (Option<Found<'_>>, bool) {
        let inactive = path.strip_prefix("services.").and_then(|rest| {
            let found = self.inactive.entries().find(|(key, _)| after_key(rest, key).is_some());
            found.and_then(|(key, entry)| Some((entry, after_key(rest, key)?)))
        });
        match inactive {
            Some((entry, rest)) => walk(Found::Entry(entry), rest),
            None => walk(Found::Node(&self.root), path),
        }
    }
}

/// A value on the way.
#[derive(Clone, Copy)]
enum Found<'a> {
    Entry(&'a Entry),
    Node(&'a Node),
}

impl<'a> Found<'a> {
    fn node(self) -> &'a Node {
        match self {
            Self::Entry(entry) => &entry.node,
            Self::Node(node) => node,
        }
    }

    /// Returns the place that is shown: of a mapping or of nothing the key, since what is below may be far away.
    fn span(self) -> Span {
        match self {
            Self::Entry(entry) if matches!(entry.node.value, Value::Map(_) | Value::Null) => entry.key,
            Self::Entry(entry) => entry.node.span,
            Self::Node(node) => node.span,
        }
    }
}

fn walk<'a>(start: Found<'a>, path: &str) -> (Option<Found<'a>>, bool) {
    let (mut found, mut rest) = (start, path);
    while !rest.is_empty() {
        let Some((next, after)) = step(found.node(), rest) else { return (Some(found), false) };
        (found, rest) = (next, after);
    }
    (Some(found), true)
}

/// Returns the value that `path` leads to first, and the rest of the path. A key may hold dots: the longest wins.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(Found<'a>, &'p str)> {
    match &node.value {
        Value::Map(map) => {
            let matching = map.entries().filter_map(|(key, entry)| Some((key, entry, after_key(path, key)?)));
            let (_, entry, rest) = matching.max_by_key(|(key, _, _)| key.len())?;
            Some((Found::Entry(entry), rest))
        }
        Value::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((Found::Node(item), rest.strip_prefix('.').unwrap_or(rest)))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bad => None,
    }
}

/// Returns what follows `key` in `path`, if `path` begins with it.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') { Some(rest) } else { rest.strip_prefix('.') }
}

#[cfg(test)]
mod tests {
    use crate::load::{Model, model};
    use crate::testing::{Memory, request};

    fn loaded() -> Model {
        let files = [
            (
                "/p/compose.yaml",
                "
services:
  web.front:
    image: x
    environment: { DEBUG: '${D:-0}' }
    networks: [back]
    volumes: ['./a:/a', 'data:/d']
  off: { image: y, profiles: [never] }
  web: { image: z, networks: [back] }
networks: { back: }
volumes: { data: }
",
            ),
            ("/p/compose.override.yaml", "services: { web.front: { environment: [DEBUG=$D] } }"),
            ("/p/.env", "D=1\nD=2"),
        ];
        model(&request(), &Memory::new(&files)).expect("the files are right").0
    }

    #[test]
    fn the_history_of_a_value_is_told_from_its_end() {
        let model = loaded();
        let history = |path: &str| {
            let lines = model
                .explain(path)
                .into_iter()
                .map(|origin| format!("{} {} {:?}", origin.place, origin.value, origin.relation));
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(history("services.web.front.environment.DEBUG"), @r#"
        compose.override.yaml:1:40 "2" FilledIn
        compose.override.yaml:1:40 "DEBUG=$D" Overrides
        compose.yaml:5:27 "2" FilledIn
        compose.yaml:5:27 "${D:-0}" Written
        "#);
        insta::assert_snapshot!(history("services.web.front.volumes[0].source"), @r#"
        compose.yaml:7:15 "/p/a" Resolved
        compose.yaml:7:15 "./a" Written
        "#);
        assert_eq!(history("services.web.front.nothing"), "");
    }

    #[test]
    fn the_place_of_a_path_is_found_or_the_nearest_around_it() {
        let model = loaded();
        let place = |path: &str| model.place(path).map(|place| place.to_string()).unwrap_or_default();
        let rows = [
            ("services.web.front", "compose.yaml:3:3"),
            ("services.web.front.networks.back", "compose.yaml:6:16"),
            ("services.web.front.networks.back.ipv4_address", "compose.yaml:6:16"),
            ("services.web.front.volumes[1]", "compose.yaml:7:25"),
            ("services.off.image", "compose.yaml:8:17"),
            ("services.web.image", "compose.yaml:9:17"),
            ("volumes.data", "compose.yaml:11:12"),
        ];
        for (path, at) in rows {
            assert_eq!(place(path), at, "{path}");
        }
    }

    #[test]
    fn the_source_of_a_variable_and_what_it_hides_are_told() {
        let told = loaded().explain_variable("D").expect("it is set");
        assert_eq!(told.value, "2");
        assert_eq!(told.place.map(|place| place.to_string()).as_deref(), Some(".env:2:1"));
        assert_eq!(told.shadowed.len(), 1);
        assert_eq!(loaded().explain_variable("NOBODY"), None);
    }
}
