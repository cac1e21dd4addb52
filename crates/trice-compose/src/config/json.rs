//! The model as JSON: the tables of [`crate::schema`] say what is shown.

use std::time::Duration;

use serde_json::{Map, Value as Json};
use trice_model::units::format_duration;

use crate::bind::network::split_host;
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
        return plain(&model.root);
    }
    let mut whole = object(Some(&model.root), &ROOT, names);
    whole.insert("name".to_owned(), Json::String(model.name.clone()));
    for (key, value) in model.root.as_map().into_iter().flat_map(Mapping::iter) {
        if key.starts_with("x-") {
            whole.insert(key.to_owned(), plain(value));
        }
    }
    Json::Object(whole)
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
        Shape::Flag => Json::Bool(false),
        Shape::Integer { .. } | Shape::Number => Json::from(0),
        Shape::Text | Shape::OneOf(_) => Json::String(String::new()),
        Shape::Bytes => Json::String("0".to_owned()),
        _ => Json::Null,
    }
}

fn value(node: &Node, shape: &'static Shape, names: Names) -> Json {
    match (shape, &node.value) {
        (_, Value::Null) if is_resource(shape) => Json::Object(resource(shape, names)),
        (_, Value::Null | Value::Bad) => Json::Null,
        (Shape::Object(fields), Value::Map(_)) => Json::Object(object(Some(node), fields, names)),
        (Shape::Keyed { of, .. }, Value::Map(map)) => {
            // Networks and volumes of the top level are there even if nothing is said of them.
            Json::Object(map.iter().map(|(key, item)| (key.to_owned(), value(item, of, names))).collect())
        }
        (Shape::List(of) | Shape::Set(of), Value::List(items)) => {
            Json::Array(items.iter().map(|item| value(item, of, names)).collect())
        }
        (Shape::Short(Short::EnvFile, _), Value::List(items)) => {
            Json::Array(items.iter().map(env_file).collect())
        }
        (Shape::Short(Short::Ssh, _), Value::Map(map)) => Json::Array(ssh(map)),
        (Shape::Short(_, long) | Shape::Nullable(long), _) => value(node, long, names),
        (Shape::Bytes, Value::Int(bytes)) => Json::String(bytes.to_string()),
        (Shape::Duration, Value::Int(nanos)) => {
            let nanos = u64::try_from(*nanos).unwrap_or_default();
            Json::String(if nanos == 0 {
                "0s".to_owned()
            } else {
                format_duration(Duration::from_nanos(nanos))
            })
        }
        (Shape::Mode, Value::Int(mode)) => Json::String(format!("0{mode:o}")),
        (Shape::Number, Value::Float(number)) => single(*number),
        (Shape::Hosts, Value::List(items)) => hosts(items),
        (Shape::Scalars, Value::Text(_)) => Json::Array(vec![plain(node)]),
        _ => plain(node),
    }
}

/// Tells whether `shape` is that of a network or volume of the top level.
fn is_resource(shape: &'static Shape) -> bool {
    let sections = ["networks", "volumes"].into_iter().filter_map(|section| ROOT.find(section));
    sections.into_iter().any(|section| match section.shape {
        Shape::Keyed { of, .. } => std::ptr::eq(*of, shape),
        _ => false,
    })
}

fn resource(shape: &'static Shape, names: Names) -> Map<String, Json> {
    match shape {
        Shape::Nullable(Shape::Object(fields)) => object(None, fields, names),
        _ => Map::new(),
    }
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
