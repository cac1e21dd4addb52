//! The tables of attributes as a JSON Schema, for editors.
//!
//! It describes files before variables are filled in, so a text is allowed wherever a variable may supply a value.
//!
//! Source: JSON Schema, draft 2020-12.

use serde_json::{Map, Value as Json, json};

use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::{Integer, Keys, Object, Others, Shape, Short, Size};

/// Returns the schema of a Compose file.
pub(crate) fn of_a_file() -> Json {
    let mut whole = object(&ROOT);
    let fields = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("Compose file")),
        ("description", json!("A project of services, networks and volumes, as trice reads it.")),
    ];
    for (name, value) in fields {
        whole.insert(name.to_owned(), value);
    }
    Json::Object(whole)
}

fn object(object: &'static Object) -> Map<String, Json> {
    let mut properties = Map::new();
    for attribute in object.attributes {
        let mut schema = shape(attribute.shape);
        if let Json::Object(fields) = &mut schema {
            fields.insert("description".to_owned(), json!(attribute.says));
        }
        properties.insert(attribute.name.to_owned(), schema);
    }
    if std::ptr::eq(object, &raw const ROOT) || std::ptr::eq(object, &raw const SERVICE) {
        properties.insert("x-trice".to_owned(), x_trice());
    }
    let required: Vec<&str> = object
        .attributes
        .iter()
        .filter(|attribute| attribute.required)
        .map(|attribute| attribute.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Json::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if object.extensible {
        schema.insert("patternProperties".to_owned(), json!({ "^x-": {} }));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

fn x_trice() -> Json {
    json!({
        "type": "object",
        "description": "What trice has beyond Compose.",
        "properties": {
            "links_env": {
                "enum": ["off", "ports", "full"],
                "description": "How much of a linked service is told in variables.",
            },
        },
        "additionalProperties": false,
    })
}

fn shape(of: &'static Shape) -> Json {
    let scalar = || json!({ "type": ["string", "number", "boolean", "null"] });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match of {
        Shape::Any => json!({}),
        Shape::Text | Shape::Duration => json!({ "type": "string" }),
        Shape::ContainerName => json!({ "type": "string", "pattern": "[a-zA-Z0-9][a-zA-Z0-9_.-]+" }),
        Shape::PullPolicy => {
            let words = "always|never|build|if_not_present|missing|refresh|daily|weekly";
            json!({ "type": "string", "pattern": format!("^({words}|every_([0-9]+[wdhms])+|.*\\$.*)$") })
        }
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Flag => json!({ "type": ["boolean", "string"] }),
        Shape::Integer(integer) => whole(*integer),
        Shape::Number | Shape::Bytes(Size::Number) | Shape::Mode => json!({ "type": ["number", "string"] }),
        Shape::Bytes(Size::WholeNumber) => json!({ "type": ["integer", "string"] }),
        Shape::Bytes(Size::Positive) => json!({ "type": ["integer", "string"], "minimum": 0 }),
        Shape::Bytes(Size::TextOnly) => json!({ "type": "string" }),
        Shape::Scalar => json!({ "type": ["string", "integer"] }),
        Shape::AnyScalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Scalars => json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Object(fields) => Json::Object(object(fields)),
        Shape::Keyed { keys: Keys::Any, of } => {
            json!({ "type": "object", "additionalProperties": shape(of) })
        }
        Shape::Keyed { keys: Keys::Names, of } => json!({
            "type": "object",
            "patternProperties": { "^[a-zA-Z0-9._-]+$": shape(of) },
            "additionalProperties": false,
        }),
        Shape::List(of) => json!({ "type": "array", "items": shape(of) }),
        Shape::Set(of) => json!({ "type": "array", "items": shape(of), "uniqueItems": true }),
        Shape::Texts | Shape::Probe => json!({ "anyOf": [{ "type": "string" }, texts()] }),
        Shape::Pairs(_) => {
            json!({ "anyOf": [{ "type": "object", "additionalProperties": scalar() }, texts()] })
        }
        Shape::Options(others) => {
            let kinds: &[&str] = match others {
                Others::None => &["string"],
                Others::Numbers => &["string", "number"],
                Others::NumbersAndNull => &["string", "number", "null"],
            };
            json!({ "type": "object", "additionalProperties": { "type": kinds } })
        }
        Shape::Hosts => {
            let addresses = json!({ "anyOf": [{ "type": "string" }, texts()] });
            json!({ "anyOf": [{ "type": "object", "additionalProperties": addresses }, texts()] })
        }
        Shape::Command => json!({ "anyOf": [{ "type": ["string", "null"] }, texts()] }),
        Shape::Nullable(of) => json!({ "anyOf": [shape(of), { "type": "null" }] }),
        Shape::Short(form, long) => either(*form, long),
    }
}

fn whole(integer: Integer) -> Json {
    let Integer { min, max, text, cut } = integer;
    let mut kinds = vec![if cut { "number" } else { "integer" }];
    kinds.extend(text.then_some("string"));
    let mut schema = Map::from_iter([("type".to_owned(), json!(kinds))]);
    if min > i64::MIN {
        schema.insert("minimum".to_owned(), json!(min));
    }
    if max < i64::MAX {
        schema.insert("maximum".to_owned(), json!(max));
    }
    Json::Object(schema)
}

/// Returns the schema of what has a short form beside its long one.
fn either(form: Short, long: &'static Shape) -> Json {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let short = match form {
        Short::Build | Short::Extends | Short::FileMount | Short::Include | Short::Mount | Short::Device => {
            text
        }
        Short::DependsOn | Short::Names | Short::Ssh => texts,
        Short::EnvFile | Short::Ports => {
            // A list may mix both forms.
            let item = if let Shape::List(item) = long { shape(item) } else { json!({}) };
            let short =
                if form == Short::Ports { json!({ "type": ["string", "integer"] }) } else { text.clone() };
            let list = json!({ "type": "array", "items": { "anyOf": [short, item] } });
            return if form == Short::Ports { list } else { json!({ "anyOf": [text, list] }) };
        }
        Short::External => {
            let name =
                json!({ "type": "string", "description": "Out of use: write `name` beside `external`." });
            json!({ "type": "object", "properties": { "name": name }, "patternProperties": { "^x-": {} } })
        }
        Short::Gpus => json!({ "enum": ["all"] }),
        Short::Ulimit => json!({ "type": ["integer", "string"] }),
        Short::FlagText => json!({ "type": "boolean" }),
        Short::Count => text,
    };
    json!({ "anyOf": [short, shape(long)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_the_repository_is_the_one_of_the_tables() {
        let kept: Json = serde_json::from_str(include_str!("../../../../schemas/compose.schema.json"))
            .expect("the schema is JSON");
        let hint = "write it anew: cargo run -p trice-compose --example schema > schemas/compose.schema.json";
        assert!(kept == of_a_file(), "{hint}");
    }

    #[test]
    fn every_attribute_says_what_it_is_in_a_sentence() {
        fn walk(schema: &Json, path: &str, bad: &mut Vec<String>) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let says = property["description"].as_str().unwrap_or_default();
                if !says.ends_with('.') || !says.starts_with(|c: char| c.is_uppercase() || c == '`') {
                    bad.push(path.clone());
                }
                walk(property, &path, bad);
            }
            for below in ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)) {
                walk(below, path, bad);
            }
            for other in schema["patternProperties"].as_object().into_iter().flatten() {
                walk(other.1, path, bad);
            }
            for other in schema["anyOf"].as_array().into_iter().flatten() {
                walk(other, path, bad);
            }
        }
        let mut bad = Vec::new();
        walk(&of_a_file(), "", &mut bad);
        assert_eq!(bad, [""; 0]);
    }
}
