//! What a model says and trice does nothing with: yet, or ever.

use std::collections::BTreeSet;

use crate::report::Report;
use crate::schema::root::ROOT;
use crate::schema::shape::{Attribute, Object, Shape, Support};
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;

/// Notes the attributes of `root` that are not honoured.
pub(crate) fn check(root: &Node, report: &mut Report) {
    let mut walk = Walk { report, told: BTreeSet::new() };
    for section in ["services", "networks", "volumes", "secrets", "configs"] {
        if let (Some(node), Some(attribute)) = (root.get(section), ROOT.find(section)) {
            walk.shape(node, attribute.shape, &Path::Root.key(section));
        }
    }
}

struct Walk<'r> {
    report: &'r mut Report,
    /// What has been told to mean nothing here: once is enough.
    told: BTreeSet<*const Attribute>,
}

impl Walk<'_> {
    fn shape(&mut self, node: &Node, shape: &'static Shape, path: &Path<'_>) {
        match shape {
            Shape::Object(object) => self.object(node, object, path),
            Shape::Keyed { of, .. } => {
                for (key, value) in node.as_map().into_iter().flat_map(|map| map.iter()) {
                    self.shape(value, of, &path.key(key));
                }
            }
            Shape::List(of) => {
                for (index, item) in node.as_list().unwrap_or_default().iter().enumerate() {
                    self.shape(item, of, &path.index(index));
                }
            }
            Shape::Short(_, long) | Shape::Nullable(long) => self.shape(node, long, path),
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
            | Shape::Set(_)
            | Shape::Texts
            | Shape::Scalars
            | Shape::Pairs(_)
            | Shape::Options(_)
            | Shape::Hosts
            | Shape::Command
            | Shape::Probe => {}
        }
    }

    fn object(&mut self, node: &Node, object: &'static Object, path: &Path<'_>) {
        let Some(map) = node.as_map() else { return };
        for (key, entry) in map.entries() {
            let Some(attribute) = object.find(key).filter(|_| is_telling(&entry.node)) else { continue };
            let here = path.key(key);
            match attribute.support {
                Support::Honoured => self.shape(&entry.node, attribute.shape, &here),
                Support::NotYet => {
                    let what = format!("`{key}` is not honoured yet");
                    self.report.not_honoured(entry.key, here, what);
                }
                // Every port has this mode, said or not.
                Support::Swarm if entry.node.as_text() == Some("ingress") => {}
                Support::Swarm => {
                    self.once(attribute, entry.key, &here, "is for Swarm, and means nothing here")
                }
                Support::Windows => {
                    self.once(attribute, entry.key, &here, "is for Windows, and means nothing here");
                }
                Support::Elsewhere => {}
            }
        }
    }

    fn once(
        &mut self,
        attribute: &'static Attribute,
        span: crate::tree::span::Span,
        path: &Path<'_>,
        why: &str,
    ) {
        if self.told.insert(attribute) {
            self.report.idle(span, path, format!("`{}` {why}", attribute.name));
        }
    }
}

/// Tells whether a value asks for anything.
fn is_telling(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => false,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => !map.is_empty(),
        Value::Bool(true) | Value::Int(_) | Value::Float(_) | Value::Bad => true,
    }
}

#[cfg(test)]
mod tests;
