//! A template's parts into text.

use serde_json::Value;

use super::{Command, Node, Operand, Pipeline, TemplateError};

/// Appends what `nodes` make of `dot`.
pub(super) fn nodes(nodes: &[Node], dot: &Value, out: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Output(pipeline) => out.push_str(&written(&value(pipeline, dot)?)),
            Node::If(branches, otherwise) => condition(branches, otherwise, dot, out)?,
            Node::Range(items, body, otherwise) => repeat(&value(items, dot)?, body, otherwise, dot, out)?,
        }
    }
    Ok(())
}

fn condition(
    branches: &[(Pipeline, Vec<Node>)],
    otherwise: &[Node],
    dot: &Value,
    out: &mut String,
) -> Result<(), TemplateError> {
    for (pipeline, body) in branches {
        if is_true(&value(pipeline, dot)?) {
            return nodes(body, dot, out);
        }
    }
    nodes(otherwise, dot, out)
}

fn repeat(
    items: &Value,
    body: &[Node],
    otherwise: &[Node],
    dot: &Value,
    out: &mut String,
) -> Result<(), TemplateError> {
    let items: Vec<&Value> = match items {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    if items.is_empty() {
        return nodes(otherwise, dot, out);
    }
    items.into_iter().try_for_each(|item| nodes(body, item, out))
}

/// Carries out a pipeline.
fn value(pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
    let mut former: Option<Value> = None;
    for command in pipeline {
        former = Some(carry_out(command, former, dot)?);
    }
    Ok(former.unwrap_or_default())
}

fn carry_out(command: &Command, former: Option<Value>, dot: &Value) -> Result<Value, TemplateError> {
    match command.split_first() {
        Some((Operand::Function(name), arguments)) => {
            let arguments = arguments.iter().map(|argument| operand(argument, dot));
            let mut arguments = arguments.collect::<Result<Vec<Value>, TemplateError>>()?;
            arguments.extend(former);
            call(name, &arguments)
        }
        Some((Operand::Field(names), [])) => match &former {
            Some(value) => field(names, value),
            None => field(names, dot),
        },
        Some((first, [])) => operand(first, dot),
        Some((_, [second, ..])) => Err(TemplateError::Unexpected(format!("{second:?}"))),
        None => Ok(Value::Null),
    }
}

fn operand(operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
    match operand {
        Operand::Field(names) => field(names, dot),
        Operand::Literal(value) => Ok(value.clone()),
        Operand::Nested(pipeline) => value(pipeline, dot),
        Operand::Function(name) => call(name, &[]),
    }
}

fn field(names: &[String], value: &Value) -> Result<Value, TemplateError> {
    let mut found = value;
    for name in names {
        let fields = found.as_object();
        found = fields.and_then(|fields| fields.get(name)).ok_or_else(|| {
            let known = fields.map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
            TemplateError::NoField(name.clone(), known.unwrap_or_else(|| "none".to_owned()))
        })?;
    }
    Ok(found.clone())
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    match (name, arguments) {
        ("json", [value]) => Ok(value.to_string().into()),
        ("upper", [Value::String(text)]) => Ok(text.to_uppercase().into()),
        ("lower", [Value::String(text)]) => Ok(text.to_lowercase().into()),
        ("title", [Value::String(text)]) => Ok(title(text).into()),
        ("split", [Value::String(text), Value::String(at)]) => Ok(text.split(at.as_str()).collect()),
        ("join", [Value::Array(items), Value::String(with)]) => {
            Ok(items.iter().map(written).collect::<Vec<_>>().join(with).into())
        }
        ("truncate", [Value::String(text), Value::Number(length)]) => {
            Ok(text.chars().take(as_index(length)).collect::<String>().into())
        }
        ("len", [Value::String(text)]) => Ok(text.len().into()),
        ("len", [Value::Array(items)]) => Ok(items.len().into()),
        ("len", [Value::Object(fields)]) => Ok(fields.len().into()),
        ("index", [Value::Array(items), Value::Number(at)]) => {
            items.get(as_index(at)).cloned().ok_or(TemplateError::Arguments("index"))
        }
        ("index", [Value::Object(fields), Value::String(at)]) => {
            Ok(fields.get(at).cloned().unwrap_or_default())
        }
        ("print", values) => Ok(values.iter().map(written).collect::<String>().into()),
        ("println", values) => Ok((values.iter().map(written).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [Value::String(format), values @ ..]) => printf(format, values).map(Value::from),
        ("not", [value]) => Ok((!is_true(value)).into()),
        ("and", values) => {
            Ok(values.iter().find(|value| !is_true(value)).or(values.last()).cloned().unwrap_or_default())
        }
        ("or", values) => {
            Ok(values.iter().find(|value| is_true(value)).or(values.last()).cloned().unwrap_or_default())
        }
        ("eq", [first, others @ ..]) => Ok(others.contains(first).into()),
        ("ne", [first, second]) => Ok((first != second).into()),
        (other, _) => Err(misused(other)),
    }
}

/// Tells whether a function got what it does not take or is not there at all.
fn misused(name: &str) -> TemplateError {
    const FUNCTIONS: [&str; 16] = [
        "json", "upper", "lower", "title", "split", "join", "truncate", "len", "index", "print", "println",
        "printf", "not", "and", "or", "eq",
    ];
    let known = FUNCTIONS.iter().chain(&["ne"]).find(|function| **function == name);
    known.map_or_else(|| TemplateError::NoFunction(name.to_owned()), |known| TemplateError::Arguments(known))
}

/// Writes `%s`, `%v`, `%d` and `%q` with a value each.
fn printf(format: &str, values: &[Value]) -> Result<String, TemplateError> {
    let mut values = values.iter();
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut next = || values.next().ok_or(TemplateError::Arguments("printf"));
        match characters.next() {
            Some('s' | 'v' | 'd') => out.push_str(&written(next()?)),
            Some('q') => out.push_str(&format!("{:?}", written(next()?))),
            Some('%') => out.push('%'),
            Some(_) | None => return Err(TemplateError::Arguments("printf")),
        }
    }
    Ok(out)
}

fn as_index(number: &serde_json::Number) -> usize {
    number.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
}

fn title(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

/// Writes a value as a template does.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Tells whether a value counts as true: all but nothing, zero and what is empty.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
