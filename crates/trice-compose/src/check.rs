//! What one file says, held against the tables: unknown keys, wrong types, bad values.
//!
//! The check comes right after interpolation, so that all later steps can rely on the shapes. It also gives values
//! their type (`"30s"` becomes nanoseconds) and their long form (`"8080:80"` becomes a mapping): nothing is parsed
//! twice. What it cannot judge yet, since another file may still say it, is left to [`complete`]: null in place of a
//! value, missing attributes, repeated items.
//!
//! A value with a mistake becomes [`Value::Bad`], which all later steps pass over in silence.

pub(crate) mod command;
pub(crate) mod complete;
pub(crate) mod mount;
pub(crate) mod pairs;
pub(crate) mod port;
pub(crate) mod scalar;
pub(crate) mod short;
pub(crate) mod suggest;

use crate::check::command::CommandMistake;
use crate::check::mount::MountMistake;
use crate::check::port::PortMistake;
use crate::check::scalar::ScalarMistake;
use crate::report::{Finding, Report};
use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::{Keys, Object, Shape, Unique};
use crate::tree::mapping::Entry;
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;
use crate::unique;

/// What a value can do wrong, looked at alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckMistake {
    #[error("this must be {wanted}, not {found}")]
    WrongKind { wanted: &'static str, found: &'static str },
    #[error("unknown attribute `{0}`")]
    Unknown(String),
    #[error("`{0}` cannot be a name: names have a-z, A-Z, 0-9, `.`, `_` and `-`")]
    BadName(String),
    #[error("the name `{0}` ends with a blank")]
    BlankInName(String),
    #[error("`{0}` is in the list twice")]
    Repeated(String),
    #[error("`{0}` has no value")]
    NoValue(String),
    #[error("`{0}` is not `host=address`")]
    NotAHost(String),
    #[error("`{0}` is not an id or `id=path`")]
    NotASshKey(String),
    #[error("a device is `source:target:permissions`, and `{0}` has more parts")]
    BadDevice(String),
    #[error("the short forms of this file stand for more than {MAX_MADE} values")]
    TooMany,
    #[error("there are more than {MAX_NAMES} here")]
    TooManyNames,
    #[error(transparent)]
    Scalar(#[from] ScalarMistake),
    #[error(transparent)]
    Command(#[from] CommandMistake),
    #[error(transparent)]
    Port(#[from] PortMistake),
    #[error(transparent)]
    Mount(#[from] MountMistake),
}

/// How many values the short forms of a file may stand for together: `1-65535:1-65535` is as long as `80:80`.
const MAX_MADE: usize = 70_000;

/// How many services, networks and the like a file may have.
const MAX_NAMES: usize = 10_000;

/// A check that goes on.
pub(crate) struct Check<'r> {
    report: &'r mut Report,
    /// Variables have not been filled in: texts are let through as they are.
    raw: bool,
    /// How many values short forms have been made into.
    made: usize,
}

impl<'r> Check<'r> {
    /// Begins a check. If `raw`, variables have not been filled in.
    pub(crate) fn new(report: &'r mut Report, raw: bool) -> Self {
        Self { report, raw, made: 0 }
    }
}

impl Check<'_> {
    /// Checks a whole document.
    pub(crate) fn document(&mut self, root: &mut Node) {
        if root.as_map().is_none() {
            self.wrong(root, &Path::Root, "a mapping");
            return;
        }
        self.object(root, &ROOT, &Path::Root);
    }

    /// Checks a service that was taken out of a file that is otherwise left alone.
    pub(crate) fn service(&mut self, service: &mut Node, path: &Path<'_>) {
        self.object(service, &SERVICE, path);
    }

    /// Checks `node` against `shape`.
    pub(crate) fn value(&mut self, node: &mut Node, shape: &'static Shape, path: &Path<'_>) {
        if matches!(node.value, Value::Null | Value::Bad) {
            return;
        }
        match shape {
            Shape::Any => {}
            Shape::Text
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
            | Shape::ContainerName => self.scalar(node, shape, path),
            Shape::Object(object) => self.object(node, object, path),
            Shape::Keyed { keys, of } => self.keyed(node, *keys, of, path),
            Shape::List(of) | Shape::Set(of) => self.list(node, of, path),
            Shape::Texts => self.texts(node, path),
            Shape::Scalars if node.as_list().is_some() => self.list(node, &Shape::AnyScalar, path),
            Shape::Scalars => self.scalar(node, &Shape::AnyScalar, path),
            Shape::Pairs(unset) => self.pairs(node, *unset, path),
            Shape::Options(others) => self.options(node, *others, path),
            Shape::Hosts => self.hosts(node, path),
            Shape::Command => self.command(node, path),
            Shape::Probe => self.probe(node, path),
            Shape::Short(form, long) => self.short(node, *form, long, path),
            Shape::Nullable(of) => self.value(node, of, path),
        }
    }

    /// Counts the values that the short form at `node` stands for; tells whether they are within bounds.
    fn make(&mut self, values: usize, node: &mut Node, path: &Path<'_>) -> bool {
        let before = self.made;
        self.made = self.made.saturating_add(values);
        if before <= MAX_MADE && self.made > MAX_MADE {
            self.refuse(node, path, CheckMistake::TooMany);
        }
        self.made <= MAX_MADE
    }

    /// Notes what is wrong with `node`, and makes it say nothing more.
    pub(crate) fn refuse(
        &mut self,
        node: &mut Node,
        path: &Path<'_>,
        mistake: impl Into<CheckMistake>,
    ) -> &mut Finding {
        node.value = Value::Bad;
        self.report.mistake(node.span, path, mistake.into())
    }

    /// Notes that `node` should be something else.
    pub(crate) fn wrong(&mut self, node: &mut Node, path: &Path<'_>, wanted: &'static str) -> &mut Finding {
        let mistake = CheckMistake::WrongKind { wanted, found: node.kind() };
        let item = node.as_text().is_some_and(|text| text.starts_with('-')) && wanted.contains("list");
        let finding = self.refuse(node, path, mistake);
        if item {
            finding.hint("a blank follows the dash of an item: `- item`");
        }
        finding
    }

    fn object(&mut self, node: &mut Node, object: &'static Object, path: &Path<'_>) {
        let Value::Map(map) = &mut node.value else {
            let finding = self.wrong(node, path, "a mapping");
            if let Path::Key(_, name) = path
                && std::ptr::eq(object, &raw const SERVICE)
                && SERVICE.find(name).is_some()
            {
                finding.hint(format!(
                    "`{name}` belongs to a service: indent it further than the service's name"
                ));
            }
            return;
        };
        let mut meant = Vec::new();
        map.retain(|key, entry| {
            let here = path.key(key);
            if let Some(attribute) = object.find(key) {
                if attribute.unique == Unique::Refused {
                    self.repeated(&entry.node, &here);
                }
                self.value(&mut entry.node, attribute.shape, &here);
                unique::keep_last(&mut entry.node, attribute.unique);
                return true;
            }
            let extension = object.extensible && key.starts_with("x-");
            if !extension {
                // After so many, nobody reads what may be meant.
                let hint =
                    (!self.report.mistakes.is_full()).then(|| suggest::for_unknown(key, &entry.node, object));
                let mistake = CheckMistake::Unknown(key.to_owned());
                let known = hint.as_ref().and_then(|_| suggest::meant(key, &entry.node, object));
                self.report.mistake(entry.key, here, mistake).hint = hint.flatten();
                let node = std::mem::replace(&mut entry.node, Node::new(Value::Bad, entry.key));
                meant.extend(known.map(|known| (known, Entry { key: entry.key, node })));
            }
            extension
        });
        // What was probably meant is read as if it stood there: its own mistakes are told too, and nothing is missed
        // for want of it.
        for (attribute, mut entry) in meant {
            self.value(&mut entry.node, attribute.shape, &path.key(attribute.name));
            map.insert_missing(attribute.name, entry.key, || entry.node);
        }
    }

    /// Notes what is in a list of texts twice.
    fn repeated(&mut self, node: &Node, path: &Path<'_>) {
        complete::repeated(node, path, self.report);
    }

    fn keyed(&mut self, node: &mut Node, keys: Keys, of: &'static Shape, path: &Path<'_>) {
        let Value::Map(map) = &mut node.value else {
            let list = node.as_list().is_some();
            let finding = self.wrong(node, path, "a mapping");
            if list {
                finding.hint("names stand without a dash before them, and with a colon behind");
            }
            return;
        };
        if keys == Keys::Names && map.len() > MAX_NAMES {
            self.refuse(node, path, CheckMistake::TooManyNames);
            return;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let valid = |key: &str| keys == Keys::Any || (!key.is_empty() && key.chars().all(is_name));
        map.retain(|key, entry| {
            let here = path.key(key);
            if valid(key) {
                self.value(&mut entry.node, of, &here);
            } else {
                self.report.mistake(entry.key, here, CheckMistake::BadName(key.to_owned()));
            }
            valid(key)
        });
    }

    fn list(&mut self, node: &mut Node, of: &'static Shape, path: &Path<'_>) {
        let Value::List(items) = &mut node.value else {
            self.wrong(node, path, "a list").hint("write each item on a line of its own, after `- `");
            return;
        };
        for (index, item) in items.iter_mut().enumerate() {
            self.value(item, of, &path.index(index));
        }
    }

    fn texts(&mut self, node: &mut Node, path: &Path<'_>) {
        match &mut node.value {
            Value::Text(_) => {
                let (span, item) = (node.span, node.clone());
                *node = Node { tag: node.tag, ..Node::new(Value::List(vec![item]), span) };
            }
            Value::List(_) => self.list(node, &Shape::Text, path),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) | Value::Bad => {
                self.wrong(node, path, "a text or a list of texts");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{outline, problems, tree};

    /// Checks `text` as a document; returns what became of it, or what is wrong with it.
    fn check(text: &str) -> String {
        let mut root = tree(text);
        let mut report = Report::default();
        Check::new(&mut report, false).document(&mut root);
        let warnings = problems(&report.warnings);
        match (report.mistakes.is_empty(), warnings.is_empty()) {
            (true, true) => outline(&root),
            (true, false) => format!("{}\nwarning {warnings}", outline(&root)),
            (false, _) => problems(&report.mistakes),
        }
    }

    /// Checks `text` as one attribute of a service.
    pub(super) fn attribute(text: &str) -> String {
        check(&format!("services: {{ s: {{ {text} }} }}"))
            .replace("{services: {s: {", "")
            .trim_end_matches('}')
            .replace("}}}\n", "\n")
            .replace(" services.s.", " ")
    }

    #[test]
    fn an_unknown_attribute_is_told_with_the_one_that_was_meant() {
        let mut root = tree("service: {}\nimage: x\nservices: { web: { imgae: x, x-mine: 1 } }\nx-top: 1");
        let mut report = Report::default();
        Check::new(&mut report, false).document(&mut root);
        let told: Vec<String> = report
            .mistakes
            .iter()
            .map(|found| {
                format!("{}: {} ({})", found.path, found.message, found.hint.as_deref().unwrap_or("-"))
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        service: unknown attribute `service` (did you mean `services`?)
        image: unknown attribute `image` (`image` belongs to a service: indent it below the service's name)
        services.web.imgae: unknown attribute `imgae` (did you mean `image`?)
        ");
        assert_eq!(outline(&root), r#"{services: {web: {x-mine: 1, image: "x"}}, x-top: 1}"#);
    }

    #[test]
    fn wrong_types_are_told_all_at_once_and_leave_the_rest_alone() {
        let text = "
name: 5
services:
  web:
    image: 7
    ports: 80
    command: { a: b }
    environment: [1]
    tty: perhaps
    scale: many
    mem_limit: big
    stop_grace_period: 10
    depends_on: { db: started }
    networks: x
    restart: no
  b/d: {}
  list: []
volumes: []
";
        insta::assert_snapshot!(check(text), @"
        2:7 name: this must be a text, not an integer
        5:12 services.web.image: this must be a text, not an integer
        6:12 services.web.ports: this must be a list, not an integer
        7:14 services.web.command: this must be a text or a list of texts, not a mapping
        8:19 services.web.environment[0]: this must be a text such as `KEY=value`, not an integer
        9:10 services.web.tty: `perhaps` is not a boolean
        10:12 services.web.scale: `many` is not a whole number
        11:16 services.web.mem_limit: `big` is not a size: write a number and one of b, k, m, g, t, p, such as `64m`
        12:24 services.web.stop_grace_period: this must be a duration such as `30s`, not an integer
        13:23 services.web.depends_on.db: this must be a mapping, not a text
        14:15 services.web.networks: this must be a list or a mapping, not a text
        16:3 services.b/d: `b/d` cannot be a name: names have a-z, A-Z, 0-9, `.`, `_` and `-`
        17:9 services.list: this must be a mapping, not a list
        18:10 volumes: this must be a mapping, not a list
        ");
        insta::assert_snapshot!(check("- a"), @"1:1 : this must be a mapping, not a list");
    }

    #[test]
    fn scalars_take_the_type_of_their_attribute() {
        insta::assert_snapshot!(attribute("tty: 'yes', init: 'TRUE', cpus: '0.5', scale: '3', mem_limit: 1.5g, shm_size: 64"), @"
        tty: true, init: true, cpus: 0.5f, scale: 3, mem_limit: 1610612736, shm_size: 64
        warning 1:23 tty: `yes` is a boolean in YAML 1.1 only
        ");
        insta::assert_snapshot!(attribute("stop_grace_period: 1m30s, pids_limit: -1, expose: [80, '90-91'], group_add: [5, wheel]"), @r#"stop_grace_period: 90000000000, pids_limit: -1, expose: ["80", "90-91"], group_add: ["5", "wheel"]"#);
        insta::assert_snapshot!(attribute("oom_score_adj: 2000, cpu_percent: x, scale: 1.5, mem_limit: -1"), @"
        1:33 oom_score_adj: 2000 is not between -1000 and 1000
        1:52 cpu_percent: `x` is not a whole number
        1:62 scale: `1.5` is not a whole number
        ");
    }

    #[test]
    fn null_is_left_for_the_whole_to_judge() {
        insta::assert_snapshot!(check("services: { s: { image: ~, ports: ~, command: ~ } }\nnetworks: { n: }"), @"{services: {s: {image: ~, ports: ~, command: ~}}, networks: {n: ~}}");
    }
}
