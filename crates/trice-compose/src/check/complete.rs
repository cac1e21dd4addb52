//! What all files together say, held against the tables: nothing may be null that needs a value, nothing required may
//! be missing, and a list that is a set may not repeat itself.

use std::collections::BTreeMap;

use crate::report::Report;
use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::{Object, Shape};
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;

/// What a whole can do wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CompleteMistake {
    #[error("this must be {0}, not nothing")]
    Null(&'static str),
    #[error("attribute `{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is in the list twice")]
    Repeated(String),
}

/// Checks the merged tree.
pub(crate) fn check(root: &mut Node, report: &mut Report) {
    object(root, &ROOT, &Path::Root, report);
}

fn value(node: &mut Node, shape: &'static Shape, path: &Path<'_>, report: &mut Report) {
    if node.is_null() {
        if let Some(wanted) = wanted(shape) {
            let finding = report.mistake(node.span, path, CompleteMistake::Null(wanted));
            if matches!(shape, Shape::Object(object) if std::ptr::eq(*object, &raw const SERVICE)) {
                finding.hint("indent what belongs to the service further than its name");
            }
            node.value = Value::Bad;
        }
        return;
    }
    match shape {
        Shape::Object(fields) => object(node, fields, path, report),
        Shape::Keyed { of, .. } => {
            for (key, item) in node.as_map_mut().into_iter().flat_map(|map| map.iter_mut()) {
                value(item, of, &path.key(key), report);
            }
        }
        Shape::List(of) => items(node, of, path, report),
        Shape::Set(of) => {
            items(node, of, path, report);
            repeated(node, path, report);
        }
        Shape::Texts | Shape::Command | Shape::Probe => items(node, &Shape::Text, path, report),
        Shape::Scalars => items(node, &Shape::AnyScalar, path, report),
        Shape::Short(_, long) | Shape::Nullable(long) => value(node, long, path, report),
        Shape::Any
        | Shape::Text
        | Shape::Boolean
        | Shape::Flag
        | Shape::Integer(_)
        | Shape::Number
        | Shape::Scalar
        | Shape::AnyScalar
        | Shape::Bytes(_)
        | Shape::Duration
        | Shape::Mode
        | Shape::OneOf(_)
        | Shape::PullPolicy
        | Shape::ContainerName
        | Shape::Pairs(_)
        | Shape::Options(_)
        | Shape::Hosts => {}
    }
}

fn object(node: &mut Node, object: &'static Object, path: &Path<'_>, report: &mut Report) {
    let span = node.span;
    let Some(map) = node.as_map_mut() else { return };
    for (key, item) in map.iter_mut() {
        if let Some(attribute) = object.find(key) {
            value(item, attribute.shape, &path.key(key), report);
        }
    }
    for attribute in object.attributes.iter().filter(|attribute| attribute.required) {
        if !map.contains(attribute.name) {
            report.mistake(span, path, CompleteMistake::Missing(attribute.name));
            map.insert(attribute.name, span, Node::new(Value::Bad, span));
        }
    }
}

fn items(node: &mut Node, of: &'static Shape, path: &Path<'_>, report: &mut Report) {
    for (index, item) in node.as_list_mut().into_iter().flatten().enumerate() {
        value(item, of, &path.index(index), report);
    }
}

/// Notes what is in a list of texts twice.
pub(crate) fn repeated(node: &Node, path: &Path<'_>, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for (index, item) in node.as_list().unwrap_or_default().iter().enumerate() {
        let Some(text) = item.as_text() else { continue };
        if let Some(first) = seen.insert(text, item.span) {
            let mistake = CompleteMistake::Repeated(text.to_owned());
            report.mistake(item.span, path.index(index), mistake).related(first, "it is first written here");
        }
    }
}

/// Returns what is wanted in place of null; `None` if null is fine.
fn wanted(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::Any | Shape::Nullable(_) | Shape::Command => None,
        Shape::Object(_) | Shape::Keyed { .. } | Shape::Options(_) => Some("a mapping"),
        Shape::List(_) | Shape::Set(_) | Shape::Probe | Shape::Texts | Shape::Scalars => Some("a list"),
        Shape::Pairs(_) | Shape::Hosts => Some("a mapping or a list"),
        Shape::Short(_, long) => wanted(long),
        Shape::Boolean | Shape::Flag => Some("a boolean"),
        Shape::Integer(_) | Shape::Number | Shape::Bytes(_) | Shape::Mode => Some("a number"),
        Shape::Text
        | Shape::Scalar
        | Shape::AnyScalar
        | Shape::Duration
        | Shape::OneOf(_)
        | Shape::PullPolicy
        | Shape::ContainerName => Some("a text"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::completed;

    #[test]
    fn null_missing_and_repeated_values_are_told() {
        let text = "
services:
  web:
    image:
    ports:
    command:
    depends_on: { db: { restart: true } }
    security_opt: [a, b, a]
    devices: [{ target: /x }]
  db:
networks: { n: }
";
        insta::assert_snapshot!(completed(text), @"
        4:11 services.web.image: this must be a text, not nothing
        5:11 services.web.ports: this must be a list, not nothing
        7:23 services.web.depends_on.db: attribute `condition` is missing
        8:26 services.web.security_opt[2]: `a` is in the list twice (it is first written here: line 8)
        9:15 services.web.devices[0]: attribute `source` is missing
        10:6 services.db: this must be a mapping, not nothing
        ");
    }
}
