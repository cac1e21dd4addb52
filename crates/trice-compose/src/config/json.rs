//! The model as JSON: the tables of [`crate::schema`] say what is shown.

use std::time::Duration;

use serde_json::{Map, Value as Json};
use trice_model::units::format_duration;

use crate::bind::attachment::split_host;
use crate::load::Model;
use crate::schema::root::ROOT;
use crate::schema::shape::{Attribute, Object, Output, Shape, Short};
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::scalar::format_float;

/// What the attributes are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As Docker Compose calls them in JSON, which does not load again in all cases.
    Labels,
    /// As the specification does.
    Specified,
}

/// Returns the model as Docker Compose prints it.
pub(crate) fn model(model: &Model, names: Names) -> Json {
    if model.raw {
        return raw_object(&model.root, &ROOT, names);
    }
    let mut whole = object(Some(&model.root), &ROOT, names);
    whole.insert("name".to_owned(), Json::String(model.name.clone()));
    for (key, value) in model.root.as_map().into_iter().flat_map(Mapping::iter) {
        if key.starts_with("x-") {
            whole.insert(key.to_owned(), extension(plain(value), names));
        }
    }
    Json::Object(whole)
}

/// Shows the attributes of `node` as they are written.
fn raw_object(node: &Node, object: &'static Object, names: Names) -> Json {
    let Some(map) = node.as_map() else { return extension(plain(node), names) };
    let shown = map.iter().map(|(key, value)| {
        let shown = match object.find(key) {
            // Where it looks for what is there twice, Docker Compose keeps the list that it makes.
            Some(Attribute { unique, .. }) if is_empty_list(value) && unique.replaces() => {
                Json::Array(Vec::new())
            }
            Some(attribute) => raw(value, attribute.shape, names),
            None => extension(plain(value), names),
        };
        (key.to_owned(), shown)
    });
    Json::Object(shown.collect())
}

fn is_empty_list(node: &Node) -> bool {
    node.as_list().is_some_and(<[Node]>::is_empty)
}

fn raw(node: &Node, shape: &'static Shape, names: Names) -> Json {
    match (shape, &node.value) {
        (Shape::Object(object), _) => raw_object(node, object, names),
        (Shape::Short(_, long) | Shape::Nullable(long), _) => raw(node, long, names),
        (Shape::Keyed { of, .. }, Value::Map(map)) => {
            Json::Object(map.iter().map(|(key, item)| (key.to_owned(), raw(item, of, names))).collect())
        }
        (Shape::List(of) | Shape::Set(of), Value::List(items)) if !items.is_empty() => {
            items.iter().map(|item| raw(item, of, names)).collect()
        }
        _ => extension(plain(node), names),
    }
}

/// Shows what was not looked into. Docker Compose makes null of an empty list there.
fn extension(value: Json, names: Names) -> Json {
    match value {
        Json::Array(items) if items.is_empty() && names == Names::Labels => Json::Null,
        Json::Array(items) => items.into_iter().map(|item| extension(item, names)).collect(),
        Json::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, extension(value, names))).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

/// Returns the attributes of `node` that are shown; those that are shown always if there is no node.
fn object(node: Option<&Node>, object: &'static Object, names: Names) -> Map<String, Json> {
    let mut fields = Map::new();
    for attribute in object.attributes {
        let value = node.and_then(|node| node.get(attribute.name)).filter(|value| !value.is_null());
        let name = if names == Names::Labels { attribute.label } else { attribute.name };
        if let Some(shown) = field(value, attribute, names) {
            fields.insert(name.to_owned(), shown);
        }
    }
    fields
}

fn field(node: Option<&Node>, attribute: &'static Attribute, names: Names) -> Option<Json> {
    match (attribute.output, node) {
        (Output::Never, _) | (Output::Telling | Output::Said, None) => None,
        (Output::Telling, Some(node)) if matches!(node.value, Value::Int(0)) => None,
        (Output::Always, None) => Some(nothing(attribute.shape, names)),
        (Output::Always | Output::Said, Some(node)) => Some(value(node, attribute.shape, names)),
        (Output::Telling, Some(node)) => Some(value(node, attribute.shape, names)).filter(is_telling),
    }
}

/// Returns what is shown for an attribute that is shown always and was not said.
fn nothing(shape: &'static Shape, names: Names) -> Json {
    match shape {
        Shape::Object(fields) => Json::Object(object(None, fields, names)),
        Shape::Keyed { .. } => Json::Object(Map::new()),
        Shape::Boolean | Shape::Flag => Json::Bool(false),
        Shape::Integer(_) | Shape::Number => Json::from(0),
        Shape::Text | Shape::OneOf(_) => Json::String(String::new()),
        Shape::Bytes(_) => Json::String("0".to_owned()),
        Shape::Any
        | Shape::Scalar
        | Shape::AnyScalar
        | Shape::Duration
        | Shape::Mode
        | Shape::PullPolicy
        | Shape::ContainerName
        | Shape::List(_)
        | Shape::Set(_)
        | Shape::Texts
        | Shape::Scalars
        | Shape::Pairs(_)
        | Shape::Options(_)
        | Shape::Hosts
        | Shape::Command
        | Shape::Probe
        | Shape::Short(..)
        | Shape::Nullable(_) => Json::Null,
    }
}

/// Shows a value; one that does not have its shape, as it is.
fn value(node: &Node, shape: &'static Shape, names: Names) -> Json {
    if node.is_null() {
        return if is_resource(shape) { Json::Object(resource(shape, names)) } else { Json::Null };
    }
    let shown = match shape {
        Shape::Object(fields) => node.as_map().map(|_| Json::Object(object(Some(node), fields, names))),
        Shape::Keyed { of, .. } => node.as_map().map(|map| {
            Json::Object(map.iter().map(|(key, item)| (key.to_owned(), value(item, of, names))).collect())
        }),
        Shape::List(of) | Shape::Set(of) => {
            node.as_list().map(|items| items.iter().map(|item| value(item, of, names)).collect())
        }
        Shape::Short(Short::EnvFile, _) => node.as_list().map(|items| items.iter().map(env_file).collect()),
        Shape::Short(Short::Ssh, _) => node.as_map().map(|map| Json::Array(ssh(map))),
        Shape::Short(_, long) | Shape::Nullable(long) => Some(value(node, long, names)),
        // No limit is a number only.
        Shape::Bytes(_) if names == Names::Specified && node.as_int().is_some_and(|bytes| bytes < 0) => {
            Some(plain(node))
        }
        Shape::Bytes(_) => node.as_int().map(|bytes| Json::String(bytes.to_string())),
        Shape::Duration => node.as_int().map(|nanos| Json::String(duration(nanos))),
        Shape::Mode => node.as_int().map(|mode| Json::String(format!("0{mode:o}"))),
        Shape::Number => node.as_number().map(single),
        Shape::Hosts => node.as_list().map(hosts),
        Shape::Scalars => node.as_text().map(|_| Json::Array(vec![plain(node)])),
        Shape::Any
        | Shape::Text
        | Shape::Boolean
        | Shape::Flag
        | Shape::Integer(_)
        | Shape::Scalar
        | Shape::AnyScalar
        | Shape::OneOf(_)
        | Shape::PullPolicy
        | Shape::ContainerName
        | Shape::Texts
        | Shape::Pairs(_)
        | Shape::Options(_)
        | Shape::Command
        | Shape::Probe => None,
    };
    shown.unwrap_or_else(|| plain(node))
}

fn duration(nanos: i64) -> String {
    format_duration(Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()))
}

/// Tells whether `shape` is that of a network or volume of the top level.
fn is_resource(shape: &'static Shape) -> bool {
    ["networks", "volumes"].into_iter().filter_map(|section| ROOT.find(section)).any(|section| {
        if let Shape::Keyed { of, .. } = section.shape { std::ptr::eq(*of, shape) } else { false }
    })
}

/// Shows a network or volume of which nothing is said: it is there nevertheless.
fn resource(shape: &'static Shape, names: Names) -> Map<String, Json> {
    if let Shape::Nullable(Shape::Object(fields)) = shape { object(None, fields, names) } else { Map::new() }
}

/// Shows an env file that was not read: its path alone if it must be there.
fn env_file(node: &Node) -> Json {
    if node.get("required").is_none_or(Node::is_true) {
        return Json::String(node.text_at("path").unwrap_or_default().to_owned());
    }
    plain(node)
}

/// Shows keys as the list that loads again; Docker Compose prints one that does not.
fn ssh(map: &Mapping) -> Vec<Json> {
    let key = |(id, path): (&str, &Node)| match path.as_text() {
        Some(path) => Json::String(format!("{id}={path}")),
        None => Json::String(id.to_owned()),
    };
    map.iter().map(key).collect()
}

fn hosts(items: &[Node]) -> Json {
    let mut lines = Vec::new();
    for (host, addresses) in items.iter().filter_map(|item| split_host(item.as_text()?)) {
        for address in addresses.split(',') {
            let bare = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
            lines.push(format!("{host}={bare}"));
        }
    }
    lines.sort();
    Json::from(lines)
}

/// Shows a number with the digits that single precision has, which is what Docker Compose keeps.
fn single(number: f64) -> Json {
    let shortest = (number as f32).to_string();
    shortest.parse().map_or(Json::Null, float)
}

/// Shows a number; a whole one without a fraction, since Go writes it so.
fn float(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return Json::from(number as i64);
    }
    if number.is_finite() { Json::from(number) } else { Json::String(format_float(number)) }
}

/// Shows a value as it is.
pub(crate) fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Bad => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => float(*number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (key.to_owned(), plain(value))).collect())
        }
    }
}

fn is_telling(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => false,
        Json::Bool(true) => true,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty() && text != "0s",
        Json::Array(items) => !items.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}
