//! Short forms, made long.

use crate::check::{Check, CheckMistake, mount, port};
use crate::schema::shape::{INTEGER, Shape, Short};
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Tag, Value};
use crate::tree::path::Path;
use crate::tree::span::Span;

impl Check<'_> {
    /// Makes `node` long if it is short, then checks it against `long`.
    pub(super) fn short(&mut self, node: &mut Node, form: Short, long: &'static Shape, path: &Path<'_>) {
        match form {
            Short::Build => wrap(node, "context"),
            Short::Extends => wrap(node, "service"),
            Short::FileMount => wrap(node, "source"),
            Short::Include => wrap(node, "path"),
            Short::DependsOn | Short::Names => return self.names(node, form, long, path),
            Short::EnvFile => env_file(node),
            Short::External => return self.external_value(node, long, path),
            Short::Gpus => {
                if node.as_text() == Some("all") {
                    let count = if self.raw { Value::Text("all".to_owned()) } else { Value::Int(-1) };
                    let all = Node::fields([("count", count)], node.span);
                    node.value = Value::List(vec![all]);
                }
            }
            Short::Ports => return self.ports(node, long, path),
            Short::Mount => return self.mount(node, long, path),
            Short::Device => self.device(node, path),
            Short::Ulimit => match node.value {
                Value::Map(_) => {}
                Value::Float(_) => {
                    self.wrong(node, path, "a whole number");
                    return;
                }
                _ => return self.value(node, &INTEGER, path),
            },
            Short::Ssh => self.ssh(node, path),
            Short::FlagText => {
                if let Value::Bool(flag) = node.value {
                    node.value = Value::Text(flag.to_string());
                }
            }
            Short::Count => {
                if !self.raw && node.as_text().is_some_and(|text| text.eq_ignore_ascii_case("all")) {
                    node.value = Value::Int(-1);
                }
            }
        }
        self.value(node, long, path);
    }

    /// Makes a list of names a mapping.
    fn names(&mut self, node: &mut Node, form: Short, long: &'static Shape, path: &Path<'_>) {
        if let Value::List(items) = &mut node.value {
            let items = std::mem::take(items);
            if !self.make(items.len(), node, path) {
                return;
            }
            let mut map = Mapping::default();
            for (index, mut item) in items.into_iter().enumerate() {
                let span = item.span;
                let Some(name) = item.as_text() else {
                    if !item.is_bad() {
                        self.wrong(&mut item, &path.index(index), "a text");
                    }
                    continue;
                };
                if let Some(first) = map.key_span(name) {
                    let mistake = CheckMistake::Repeated(name.to_owned());
                    self.report
                        .mistake(span, path.index(index), mistake)
                        .related(first, "it is first written here");
                    continue;
                }
                let value =
                    if form == Short::DependsOn { started(span) } else { Node::new(Value::Null, span) };
                map.insert(name, span, value);
            }
            // What the names stand for is told later, by who looks for them: a variable may stand in one.
            node.value = Value::Map(Box::new(map));
            return;
        }
        if node.as_map().is_none() {
            self.wrong(node, path, "a list or a mapping");
            return;
        }
        self.value(node, long, path);
    }

    /// Checks what `external` says; [`crate::external`] takes the name out of a mapping when files are merged.
    fn external_value(&mut self, node: &mut Node, flag: &'static Shape, path: &Path<'_>) {
        let Some(map) = node.as_map_mut() else { return self.value(node, flag, path) };
        for (key, value) in map.iter_mut() {
            if key == "name" {
                self.value(value, &Shape::Text, &path.key(key));
            } else if !key.starts_with("x-") {
                self.report.mistake(value.span, path.key(key), CheckMistake::Unknown(key.to_owned()));
            }
        }
    }

    fn ports(&mut self, node: &mut Node, long: &'static Shape, path: &Path<'_>) {
        let Value::List(items) = &mut node.value else {
            self.wrong(node, path, "a list").hint("write each port on a line of its own, after `- `");
            return;
        };
        let short = if self.raw { items.clone() } else { Vec::new() };
        let mut ports = Vec::with_capacity(items.len());
        for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
            let here = path.index(index);
            let text = match &item.value {
                Value::Int(number) => number.to_string(),
                Value::Text(text) => text.clone(),
                Value::Map(_) | Value::Null | Value::Bad => {
                    ports.push(item);
                    continue;
                }
                Value::Bool(_) | Value::Float(_) | Value::List(_) => {
                    self.wrong(&mut item, &here, "a port, a text such as `8080:80`, or a mapping");
                    ports.push(item);
                    continue;
                }
            };
            match port::parse(&text) {
                Ok(range) if !self.make(range.len(), &mut item, &here) => {}
                Ok(range) => ports.extend(range.ports().into_iter().map(|port| port.into_node(item.span))),
                // One that waits for its variables leaves all of them short, as in Docker Compose.
                Err(_) if self.raw && item.as_text().is_some() => {
                    node.value = Value::List(short);
                    return;
                }
                Err(mistake) => {
                    let hint = mistake.hint();
                    self.refuse(&mut item, &here, mistake).hint = hint;
                    ports.push(item);
                }
            }
        }
        node.value = Value::List(ports);
        if self.raw {
            return;
        }
        self.value(node, long, path);
    }

    fn mount(&mut self, node: &mut Node, long: &'static Shape, path: &Path<'_>) {
        if let Some((source, target)) = parted(node)
            && !["type", "source", "target", "x-"].iter().any(|key| source.starts_with(key))
        {
            let hint = format!("write it in one piece, with no blank behind the colon: `{source}:{target}`");
            self.wrong(node, path, "a text such as `data:/data`").hint(hint);
            return;
        }
        let Some(text) = node.as_text() else { return self.value(node, long, path) };
        match mount::parse(text) {
            Ok(mount) => *node = Node { past: node.past.take(), ..mount.into_node(node.span) },
            Err(_) if self.raw => {}
            Err(mistake) => {
                let hint = mistake.hint();
                self.refuse(node, path, mistake).hint = hint;
            }
        }
    }

    fn device(&mut self, node: &mut Node, path: &Path<'_>) {
        let Some(text) = node.as_text() else { return };
        let parts = mount::parts(text);
        let (source, target, permissions) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] => (source, target, permissions),
            _ => {
                let mistake = CheckMistake::BadDevice(text.to_owned());
                self.refuse(node, path, mistake).hint("write it as a mapping");
                return;
            }
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let target = if target.is_empty() { source } else { target };
        let fields = [("source", text(source)), ("target", text(target)), ("permissions", text(permissions))];
        *node = Node::fields(fields, node.span);
    }

    fn ssh(&mut self, node: &mut Node, path: &Path<'_>) {
        let Value::List(items) = &mut node.value else { return };
        let mut map = Mapping::default();
        for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
            let here = path.index(index);
            match item.as_text() {
                Some(text) => match text.split_once('=') {
                    Some((id, file)) => map.insert(id, item.span, Node::text(file, item.span)),
                    None if text == "default" => {
                        map.insert(text, item.span, Node::new(Value::Null, item.span));
                    }
                    None => {
                        let mistake = CheckMistake::NotASshKey(text.to_owned());
                        self.report.mistake(item.span, here, mistake);
                    }
                },
                None => {
                    self.wrong(&mut item, &here, "a text such as `id=path`");
                }
            }
        }
        node.value = Value::Map(Box::new(map));
    }
}

/// Returns what a dependency means of which the name alone is given.
fn started(span: Span) -> Node {
    let condition = Value::Text("service_started".to_owned());
    Node::fields([("condition", condition), ("required", Value::Bool(true))], span)
}

/// Returns key and value of a mapping that has just one, a text: `- a: b` where `- a:b` was meant.
pub(super) fn parted(node: &Node) -> Option<(&str, &str)> {
    let map = node.as_map().filter(|map| map.len() == 1)?;
    let (key, value) = map.iter().next()?;
    Some((key, value.as_text()?))
}

/// Makes a text the value under `key` of a mapping.
fn wrap(node: &mut Node, key: &str) {
    if node.as_text().is_some() {
        let mut map = Mapping::default();
        let tag = node.tag;
        let text = Node { past: node.past.take(), ..Node::new(node.value.clone(), node.span) };
        map.insert(key, node.span, text);
        *node = Node { tag, ..Node::map(map, node.span) };
    }
}

fn env_file(node: &mut Node) {
    if node.as_text().is_some() {
        let (span, tag) = (node.span, node.tag);
        wrap(node, "path");
        let item = Node { tag: Tag::None, ..node.clone() };
        *node = Node { tag, ..Node::new(Value::List(vec![item]), span) };
    }
    for item in node.as_list_mut().into_iter().flatten() {
        wrap(item, "path");
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::attribute;

    #[test]
    fn short_forms_become_long_ones() {
        insta::assert_snapshot!(attribute("build: ., extends: base, secrets: [s], gpus: all"), @r#"build: {context: "."}, extends: {service: "base"}, secrets: [{source: "s"}], gpus: [{count: -1}]"#);
        insta::assert_snapshot!(attribute("depends_on: [db], networks: [front], models: [llm]"), @r#"depends_on: {db: {condition: "service_started", required: true}}, networks: {front: ~}, models: {llm: ~"#);
        insta::assert_snapshot!(attribute("env_file: .env, label_file: l, dns: 1.1.1.1, tmpfs: /t"), @r#"env_file: [{path: ".env"}], label_file: ["l"], dns: ["1.1.1.1"], tmpfs: ["/t"]"#);
        insta::assert_snapshot!(attribute("env_file: [a, { path: b, required: false }]"), @r#"env_file: [{path: "a"}, {path: "b", required: false}]"#);
        insta::assert_snapshot!(attribute("devices: [/dev/a, '/dev/a:/dev/b', 'a:b:r', 'a:b:c:d']"), @"1:62 devices[3]: a device is `source:target:permissions`, and `a:b:c:d` has more parts");
        insta::assert_snapshot!(attribute("ulimits: { nproc: 5, nofile: { soft: 1, hard: '2' } }"), @"ulimits: {nproc: 5, nofile: {soft: 1, hard: 2");
        insta::assert_snapshot!(attribute("build: { ssh: [default, a=b], provenance: true, args: [X] }"), @r#"build: {ssh: {default: ~, a: "b"}, provenance: "true", args: {X: ~"#);
        insta::assert_snapshot!(attribute("healthcheck: { test: curl x, interval: 1.5s }"), @r#"healthcheck: {test: ["CMD-SHELL", "curl x"], interval: 1500000000"#);
    }
}
