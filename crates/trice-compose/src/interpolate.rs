//! Variables in the values of a document, filled in from one environment. Keys stay as they are.

use crate::environment::Environment;
use crate::report::Report;
use crate::template::{self, Lookup};
use crate::tree::node::{Node, Rule, Value};
use crate::tree::path::Path;

/// The most text that variables may add to a document, in bytes.
const MAX_ADDED: usize = 16 << 20;

/// A document grows beyond measure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variables make the document more than {} MiB larger", MAX_ADDED >> 20)]
struct TooLarge;

/// Fills in the variables of `root`.
pub(crate) fn fill(root: &mut Node, environment: &Environment, report: &mut Report) {
    Interpolation { environment, report, added: 0 }.node(root, &Path::Root);
}

struct Interpolation<'a> {
    environment: &'a Environment,
    report: &'a mut Report,
    added: usize,
}

impl Interpolation<'_> {
    fn node(&mut self, node: &mut Node, path: &Path<'_>) {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => {
                let template = std::mem::take(text);
                self.text(node, template, path);
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &path.index(index));
                }
            }
            Value::Map(map) => {
                for (key, value) in map.iter_mut() {
                    self.node(value, &path.key(key));
                }
            }
            Value::Text(_) | Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bad => {}
        }
    }

    fn text(&mut self, node: &mut Node, template: String, path: &Path<'_>) {
        let span = node.span;
        let mut variables = Variables { environment: self.environment, missing: Vec::new() };
        let filled = template::fill(&template, &mut variables);
        for name in variables.missing {
            let warning = format!("variable `{name}` is not set, and is taken for an empty text");
            let hint = format!("write `${{{name}:-}}` if that is meant");
            self.report.warning(span, path, warning).hint(hint);
        }
        node.value = match filled {
            Err(error) => {
                let hint = error.mistake.hint();
                self.report.mistake(span, path, error.mistake).hint = hint;
                Value::Bad
            }
            Ok(_) if self.added > MAX_ADDED => Value::Bad,
            Ok(text) => {
                self.added += text.len();
                if self.added > MAX_ADDED {
                    self.report.mistake(span, path, TooLarge);
                }
                Value::Text(text)
            }
        };
        let before = Node::text(template, span);
        let filled = std::mem::replace(node, Node::new(Value::Null, span));
        *node = filled.after(Rule::Interpolated, before);
    }
}

struct Variables<'a> {
    environment: &'a Environment,
    missing: Vec<String>,
}

impl Lookup for Variables<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }

    fn missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{outline, problems, tree};

    #[test]
    fn values_are_filled_in_and_keys_and_numbers_are_not() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let mut root = tree("$A: { b: [$A, 5, '${B:-x}$$'], c: $C }\nd: ${}\n");
        let mut report = Report::default();
        fill(&mut root, &Environment::of_caller(&variables), &mut report);
        insta::assert_snapshot!(outline(&root), @r#"{$A: {b: ["1", 5, "x$"], c: ""}, d: BAD}"#);
        insta::assert_snapshot!(problems(&report.mistakes), @"2:4 d: `${}` is not a variable");
        insta::assert_snapshot!(problems(&report.warnings), @"1:35 $A.c: variable `C` is not set, and is taken for an empty text");
    }
}
