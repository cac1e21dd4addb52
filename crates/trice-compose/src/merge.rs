//! A later file over an earlier one, and a service over the one it extends.
//!
//! Mappings are merged key by key, lists are appended, anything else is replaced, and null changes nothing; the
//! exceptions stand in the tables of [`crate::schema`]. Both sides have been checked, so they are in their long forms.
//!
//! Source: Compose Specification, `13-merge.md`; compose-go `override/merge.go`.

use crate::check::pairs::split_pair;
use crate::report::Report;
use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::{Attribute, Merge, Object, Shape, Short, Unset};
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Rule, Value};
use crate::tree::path::Path;
use crate::tree::span::Span;
use crate::unique;

/// What cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum MergeMistake {
    #[error("{later} cannot be merged with {earlier}")]
    Kinds { earlier: &'static str, later: &'static str },
}

/// Merges `later` over `earlier`, two whole models.
pub(crate) fn models(earlier: Node, later: Node, report: &mut Report) -> Node {
    Merger { report }.object(earlier, later, &ROOT, &Path::Root)
}

/// Merges `later` over `earlier`, two services.
pub(crate) fn services(earlier: Node, later: Node, path: &Path<'_>, report: &mut Report) -> Node {
    Merger { report }.object(earlier, later, &SERVICE, path)
}

/// Merges `later` over `earlier`, two resources under the top-level key `section`.
pub(crate) fn resources(
    section: &str,
    earlier: Node,
    later: Node,
    path: &Path<'_>,
    report: &mut Report,
) -> Node {
    let shape = ROOT.find(section).map_or(&Shape::Any, |attribute| attribute.shape);
    let shape = if let Shape::Keyed { of, .. } = shape { of } else { &Shape::Any };
    Merger { report }.deep(earlier, later, shape, path)
}

struct Merger<'r> {
    report: &'r mut Report,
}

impl Merger<'_> {
    fn attribute(&mut self, earlier: Node, later: Node, attribute: &Attribute, path: &Path<'_>) -> Node {
        let mut merged = match attribute.merge {
            Merge::Deep => self.deep(earlier, later, attribute.shape, path),
            Merge::Replace => later.after(Rule::Overridden, earlier),
            Merge::Logging => self.logging(earlier, later, attribute.shape, path),
            Merge::Pools => self.pools(earlier, later, attribute.shape, path),
            Merge::Hosts => hosts(earlier, later),
        };
        if attribute.unique.replaces() {
            unique::keep_last(&mut merged, attribute.unique);
        }
        merged
    }

    fn deep(&mut self, earlier: Node, later: Node, shape: &'static Shape, path: &Path<'_>) -> Node {
        if later.is_null() {
            return earlier;
        }
        match shape {
            Shape::Object(object) => self.object(earlier, later, object, path),
            Shape::Keyed { of, .. } => self.maps(earlier, later, path, |merger, earlier, later, path| {
                merger.deep(earlier, later, of, path)
            }),
            Shape::Pairs(unset) => {
                // Without interpolation they still have the form in which they are written.
                let (earlier, later) = (pairs(earlier, *unset), pairs(later, *unset));
                self.maps(earlier, later, path, |_, earlier, later, _| later.after(Rule::Overridden, earlier))
            }
            Shape::Short(Short::Ulimit, _) => later.after(Rule::Overridden, earlier),
            Shape::Short(_, long) | Shape::Nullable(long) => self.deep(earlier, later, long, path),
            Shape::Any | Shape::Options(_) => {
                self.maps(earlier, later, path, |merger, earlier, later, path| {
                    merger.deep(earlier, later, &Shape::Any, path)
                })
            }
            Shape::List(_)
            | Shape::Set(_)
            | Shape::Texts
            | Shape::Scalars
            | Shape::Hosts
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
            | Shape::Command
            | Shape::Probe => self.plain(earlier, later, path),
        }
    }

    fn object(&mut self, earlier: Node, later: Node, object: &'static Object, path: &Path<'_>) -> Node {
        self.maps(earlier, later, path, |merger, earlier, later, path| {
            let Path::Key(_, key) = path else { return later };
            match object.find(key) {
                Some(attribute) => merger.attribute(earlier, later, attribute, path),
                None => merger.deep(earlier, later, &Shape::Any, path),
            }
        })
    }

    /// Merges two mappings key by key; whatever else meets is merged as it stands.
    fn maps(
        &mut self,
        mut earlier: Node,
        mut later: Node,
        path: &Path<'_>,
        merge: impl Fn(&mut Self, Node, Node, &Path<'_>) -> Node,
    ) -> Node {
        let (Value::Map(base), Value::Map(over)) = (&mut earlier.value, &mut later.value) else {
            return self.plain(earlier, later, path);
        };
        for (key, entry) in std::mem::take(over.as_mut()).into_entries() {
            let Some(slot) = base.get_mut(&key) else {
                base.insert(key, entry.key, entry.node);
                continue;
            };
            let before = std::mem::replace(slot, Node::new(Value::Null, entry.key));
            *slot = merge(self, before, entry.node, &path.key(&key));
        }
        earlier
    }

    /// Merges what has no keys, or what does not fit together.
    fn plain(&mut self, mut earlier: Node, later: Node, path: &Path<'_>) -> Node {
        let (span, kinds) = (later.span, (earlier.kind(), later.kind()));
        match (&mut earlier.value, later.value) {
            (_, Value::Null) => {}
            (Value::List(base), Value::List(over)) => base.extend(over),
            (Value::List(_) | Value::Map(_), Value::Bad) => earlier.value = Value::Bad,
            (Value::List(_) | Value::Map(_), _) => {
                let mistake = MergeMistake::Kinds { earlier: kinds.0, later: kinds.1 };
                let place = earlier.span;
                self.report.mistake(span, path, mistake).related(place, "the earlier value");
                earlier.value = Value::Bad;
            }
            (_, value) => {
                let later = Node { value, span, tag: later.tag, past: later.past };
                return later.after(Rule::Overridden, earlier);
            }
        }
        earlier
    }

    /// Options are of one driver: another driver starts anew.
    fn logging(&mut self, earlier: Node, later: Node, shape: &'static Shape, path: &Path<'_>) -> Node {
        let drivers = (earlier.text_at("driver"), later.text_at("driver"));
        match drivers {
            (Some(base), Some(over)) if base != over => later.after(Rule::Overridden, earlier),
            _ => self.deep(earlier, later, shape, path),
        }
    }

    /// Pools of the same subnet are merged. A pool that the later file does not name is gone.
    fn pools(&mut self, earlier: Node, mut later: Node, shape: &'static Shape, path: &Path<'_>) -> Node {
        let (Value::List(base), Value::List(over)) = (&earlier.value, &mut later.value) else {
            return self.deep(earlier, later, shape, path);
        };
        for pool in over {
            let same = base.iter().find(|known| known.text_at("subnet") == pool.text_at("subnet"));
            if let Some(same) = same {
                let later = std::mem::replace(pool, Node::new(Value::Null, pool.span));
                *pool = self.deep(same.clone(), later, &Shape::Any, path);
            }
        }
        later
    }
}

/// Returns a list of pairs as the mapping that it stands for, and anything else as it is.
fn pairs(mut node: Node, unset: Unset) -> Node {
    let Value::List(items) = &mut node.value else { return node };
    let mut map = Mapping::default();
    for item in std::mem::take(items) {
        if let Some((key, value)) = item.as_text().map(|text| split_pair(text, unset)) {
            map.insert(key, item.span, Node::new(value, item.span));
        }
    }
    Node { value: Value::Map(Box::new(map)), ..node }
}

fn hosts(mut earlier: Node, later: Node) -> Node {
    match (&mut earlier.value, later.value) {
        (Value::List(base), Value::List(over)) => {
            let new: Vec<Node> = over.into_iter().filter(|host| !base.contains(host)).collect();
            base.extend(new);
            earlier
        }
        (_, Value::Null) => earlier,
        (_, value) => Node { value, span: later.span, tag: later.tag, past: later.past },
    }
}

/// Returns an empty model, which everything is merged over.
pub(crate) fn empty(span: Span) -> Node {
    Node::map(Mapping::default(), span)
}

#[cfg(test)]
mod tests;
