//! The variables that the files of a project name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::Model;
use crate::template::{self, Operator};
use crate::tree::node::{Node, Value};

/// A variable that a file names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What takes its place when it has no value.
    pub default_value: String,
    /// What takes its place when it has one.
    pub presence_value: String,
    /// Without it there is an error.
    pub required: bool,
}

/// Returns the variables that the files of `model` name, by name. The model must have been resolved without
/// interpolation.
pub fn variables(model: &Model) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    collect(&model.root, &mut found);
    found
}

fn collect(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.value {
        Value::Text(text) => {
            for reference in template::references(text) {
                let mut variable = Variable { name: reference.name.to_owned(), ..Variable::default() };
                match reference.operator {
                    Some(Operator::Default { .. }) => variable.default_value = reference.argument.to_owned(),
                    Some(Operator::Replacement { .. }) => {
                        variable.presence_value = reference.argument.to_owned()
                    }
                    Some(Operator::Required { .. }) => variable.required = true,
                    None => {}
                }
                found.insert(reference.name.to_owned(), variable);
            }
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => map.iter().for_each(|(_, value)| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bad => {}
    }
}
