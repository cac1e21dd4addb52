//! Mappings of texts: `KEY: value` or `- KEY=value`, options, and extra hosts.

use crate::check::short::parted;
use crate::check::{Check, CheckMistake};
use crate::schema::shape::{Others, Unset};
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;
use crate::tree::scalar::format_float;

impl Check<'_> {
    pub(super) fn pairs(&mut self, node: &mut Node, unset: Unset, path: &Path<'_>) {
        match &mut node.value {
            Value::Map(map) if self.raw => {
                let nested = map.iter_mut().filter(|(_, value)| is_nested(value));
                nested.for_each(|(key, value)| {
                    self.wrong(value, &path.key(key), "a text, a number or a boolean");
                });
            }
            Value::List(items) if self.raw => {
                let nested = items.iter_mut().enumerate().filter(|(_, item)| is_nested(item));
                nested.for_each(|(index, item)| {
                    self.wrong(item, &path.index(index), "a text such as `KEY=value`");
                });
            }
            Value::Map(map) => {
                for (key, value) in map.iter_mut() {
                    self.pair(value, unset, &path.key(key));
                }
            }
            Value::List(items) => {
                let items = std::mem::take(items);
                node.value = Value::Map(Box::new(self.pairs_of_list(items, unset, path)));
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bad => {
                self.wrong(node, path, "a mapping or a list of `KEY=value`");
            }
        }
    }

    /// Makes the value of a pair a text.
    fn pair(&mut self, node: &mut Node, unset: Unset, path: &Path<'_>) {
        if unset == Unset::Wrong && !matches!(node.value, Value::Text(_) | Value::Bad) {
            self.wrong(node, path, "a text");
            return;
        }
        node.value = match &mut node.value {
            Value::Null if unset == Unset::Empty => Value::Text(String::new()),
            Value::Null => Value::Null,
            Value::Text(text) => Value::Text(std::mem::take(text)),
            Value::Bool(flag) => Value::Text(flag.to_string()),
            Value::Int(number) => Value::Text(number.to_string()),
            Value::Float(number) => Value::Text(format_float(*number)),
            Value::List(_) | Value::Map(_) => {
                self.wrong(node, path, "a text, a number or a boolean");
                return;
            }
            Value::Bad => Value::Bad,
        };
    }

    fn pairs_of_list(&mut self, items: Vec<Node>, unset: Unset, path: &Path<'_>) -> Mapping {
        let mut map = Mapping::default();
        for (index, mut item) in items.into_iter().enumerate() {
            let (span, past) = (item.span, item.past.take());
            let Some((key, value)) = item.as_text().map(|text| split_pair(text, unset)) else {
                if !item.is_bad() {
                    let hint = parted(&item).map(|(key, value)| format!("write `{key}={value}`"));
                    self.wrong(&mut item, &path.index(index), "a text such as `KEY=value`").hint = hint;
                }
                continue;
            };
            if unset == Unset::Wrong && value == Value::Null {
                let mistake = CheckMistake::NoValue(key.to_owned());
                self.report.mistake(span, path.index(index), mistake).hint("write `NAME=PLACE`");
                continue;
            }
            if unset == Unset::Null && key.ends_with(char::is_whitespace) {
                let mistake = CheckMistake::BlankInName(key.to_owned());
                self.report
                    .mistake(span, path.index(index), mistake)
                    .hint("write `KEY=value` without blanks");
                continue;
            }
            map.insert(key, span, Node { past, ..Node::new(value, span) });
        }
        map
    }

    pub(super) fn options(&mut self, node: &mut Node, others: Others, path: &Path<'_>) {
        let Value::Map(map) = &mut node.value else {
            self.wrong(node, path, "a mapping");
            return;
        };
        for (key, value) in map.iter_mut() {
            let here = path.key(key);
            let fine = match &value.value {
                Value::Text(_) | Value::Bad | Value::List(_) | Value::Map(_) => true,
                Value::Int(_) | Value::Float(_) => others != Others::None,
                Value::Null => others == Others::NumbersAndNull,
                Value::Bool(_) => false,
            };
            if fine && self.raw && !is_nested(value) {
                continue;
            }
            if fine {
                self.pair(value, Unset::Empty, &here);
            } else {
                self.wrong(value, &here, "a text").hint("put the value in quotes");
            }
        }
    }

    /// Makes a list of extra hosts. The items of a list stay as they are written, so that a merge finds exact
    /// repetitions only.
    pub(super) fn hosts(&mut self, node: &mut Node, path: &Path<'_>) {
        match &mut node.value {
            Value::Map(_) | Value::List(_) if self.raw => {}
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.host(item, &path.index(index));
                }
            }
            Value::Map(map) => {
                let map = std::mem::take(map.as_mut());
                node.value = Value::List(self.hosts_of_map(map, path));
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bad => {
                self.wrong(node, path, "a mapping or a list of `host=address`");
            }
        }
    }

    fn host(&mut self, item: &mut Node, path: &Path<'_>) {
        match item.as_text() {
            Some(text) if text.find(['=', ':']).is_some_and(|at| at > 0) => {}
            Some(text) => {
                let mistake = CheckMistake::NotAHost(text.to_owned());
                self.refuse(item, path, mistake);
            }
            None if item.is_bad() => {}
            None => {
                self.wrong(item, path, "a text such as `host=address`");
            }
        }
    }

    fn hosts_of_map(&mut self, map: Mapping, path: &Path<'_>) -> Vec<Node> {
        let mut hosts: Vec<Node> = Vec::new();
        for (name, mut entry) in map.into_entries() {
            let here = path.key(&name);
            let addresses = match entry.node.value {
                Value::Text(_) => vec![entry.node],
                Value::List(items) => items,
                Value::Null
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Map(_)
                | Value::Bad => {
                    self.wrong(&mut entry.node, &here, "an address or a list of addresses");
                    continue;
                }
            };
            for mut address in addresses {
                match address.as_text() {
                    Some(text) => hosts.push(Node::text(format!("{name}={text}"), address.span)),
                    None => {
                        self.wrong(&mut address, &here, "an address");
                    }
                }
            }
        }
        hosts.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
        hosts
    }
}

fn is_nested(node: &Node) -> bool {
    matches!(node.value, Value::List(_) | Value::Map(_))
}

/// Splits `KEY=value`, or `KEY` alone.
pub(crate) fn split_pair(text: &str, unset: Unset) -> (&str, Value) {
    match (text.split_once('='), unset) {
        (Some((key, value)), _) => (key, Value::Text(value.to_owned())),
        (None, Unset::Null | Unset::Wrong) => (text, Value::Null),
        (None, Unset::Empty) => (text, Value::Text(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::attribute;

    #[test]
    fn lists_and_mappings_of_pairs_become_the_same() {
        insta::assert_snapshot!(attribute("environment: [A=1, B=, C, 'D=x=y']"), @r#"environment: {A: "1", B: "", C: ~, D: "x=y""#);
        insta::assert_snapshot!(attribute("environment: { A: 1, B: '', C: , D: 1.50, E: true }"), @r#"environment: {A: "1", B: "", C: ~, D: "1.5", E: "true""#);
        insta::assert_snapshot!(attribute("labels: [a, b=c, x-y=z], sysctls: { a: , b: 1 }"), @r#"labels: {a: "", b: "c", x-y: "z"}, sysctls: {a: "", b: "1""#);
        insta::assert_snapshot!(attribute("environment: ['A =1', [x]], labels: { a: [b] }"), @"
        1:32 environment[0]: the name `A ` ends with a blank
        1:40 environment[1]: this must be a text such as `KEY=value`, not a list
        1:59 labels.a: this must be a text, a number or a boolean, not a list
        ");
    }

    #[test]
    fn hosts_become_a_list() {
        insta::assert_snapshot!(attribute("extra_hosts: { b: 1.2.3.4, a: ['::1', host-gateway] }"), @r#"extra_hosts: ["a=::1", "a=host-gateway", "b=1.2.3.4"]"#);
        insta::assert_snapshot!(attribute("extra_hosts: ['a:1.2.3.4', 'b=::1', nothing, 5]"), @"
        1:54 extra_hosts[2]: `nothing` is not `host=address`
        1:63 extra_hosts[3]: this must be a text such as `host=address`, not an integer
        ");
    }

    #[test]
    fn options_become_texts() {
        insta::assert_snapshot!(attribute("logging: { driver: x, options: { a: 1, b: , c: d } }"), @r#"logging: {driver: "x", options: {a: "1", b: "", c: "d""#);
    }
}
