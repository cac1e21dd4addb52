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
use crate::schema::shape::{Attribute, Merge, Object, Shape, Short, Unique, Unset};
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
        if attribute.unique != Unique::No {
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
            Shape::Any | Shape::Options => self.maps(earlier, later, path, |merger, earlier, later, path| {
                merger.deep(earlier, later, &Shape::Any, path)
            }),
            Shape::List(_)
            | Shape::Set(_)
            | Shape::Texts
            | Shape::Scalars
            | Shape::Hosts
            | Shape::Text
            | Shape::Boolean
            | Shape::Flag
            | Shape::Integer { .. }
            | Shape::Number
            | Shape::Scalar
            | Shape::Bytes
            | Shape::Duration
            | Shape::Mode
            | Shape::OneOf(_)
            | Shape::PullPolicy
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
mod tests {
    use crate::testing::{config, request};

    /// Resolves the service `s` of two files, the second over the first.
    fn merged(first: &str, second: &str) -> String {
        let service = |text: &str| format!("name: p\nservices: {{ s: {{ network_mode: none, {text} }} }}");
        let (first, second) = (service(first), service(second));
        let files = [("/p/compose.yaml", first.as_str()), ("/p/compose.override.yaml", second.as_str())];
        let whole = config(&request(), &files);
        whole.replace("    network_mode: none\n", "").replace("name: p\nservices:\n  s:\n", "")
    }

    #[test]
    fn scalars_are_replaced_and_null_changes_nothing_but_commands() {
        insta::assert_snapshot!(
            merged(
                "image: a, command: [x], entrypoint: [y], tty: true, hostname: h",
                "image: b, command: , entrypoint: [z], tty: , hostname: "
            ),
            @"
        command: null
        entrypoint:
          - z
        hostname: h
        image: b
        tty: true
        "
        );
    }

    #[test]
    fn pairs_are_merged_by_key_in_whatever_form() {
        insta::assert_snapshot!(
            merged(
                "image: a, environment: [A=1, B=2], labels: { x: 1 }, sysctls: { a: 1 }",
                "environment: { B: 3, C: 4 }, labels: [x=2, y], sysctls: [b=2]"
            ),
            @r#"
        command: null
        entrypoint: null
        environment:
          A: "1"
          B: "3"
          C: "4"
        image: a
        labels:
          x: "2"
          "y": ""
        sysctls:
          a: "1"
          b: "2"
        "#
        );
    }

    #[test]
    fn lists_are_appended_and_unique_where_the_specification_says_so() {
        insta::assert_snapshot!(
            merged(
                "image: a, dns: 1.1.1.1, cap_add: [A], ports: ['80:80', '81:81'], volumes: ['/a:/x', '/b:/y'], expose: [1]",
                "dns: [2.2.2.2, 1.1.1.1], cap_add: [A, B], ports: [{ target: 80, published: 80 }], volumes: ['/c:/x:ro'], expose: ['1', 2]"
            ),
            @r#"
        cap_add:
          - A
          - B
        command: null
        dns:
          - 1.1.1.1
          - 2.2.2.2
        entrypoint: null
        expose:
          - "1"
          - "2"
        image: a
        ports:
          - mode: ingress
            protocol: tcp
            published: "80"
            target: 80
          - mode: ingress
            protocol: tcp
            published: "81"
            target: 81
        volumes:
          - bind:
              create_host_path: true
            read_only: true
            source: /c
            target: /x
            type: bind
          - bind:
              create_host_path: true
            source: /b
            target: /y
            type: bind
        "#
        );
        insta::assert_snapshot!(merged("image: a, security_opt: [x]", "security_opt: [x]"), @"compose.override.yaml:2:53 services.s.security_opt[1]: `x` is in the list twice (compose.yaml:2:63: it is first written here)");
    }

    #[test]
    fn dependencies_networks_hosts_logging_and_limits_follow_their_own_rules() {
        let files = [
            (
                "/p/compose.yaml",
                "
name: p
services:
  db: { image: x, network_mode: none }
  s:
    image: a
    depends_on: { db: { condition: service_healthy, restart: true } }
    networks: { n: { aliases: [a], priority: 1 } }
    logging: { driver: x, options: { a: 1 } }
    ulimits: { nofile: { soft: 1, hard: 2 } }
    extra_hosts: ['a:1.1.1.1']
networks: { n: }
",
            ),
            (
                "/p/compose.override.yaml",
                "
services:
  s:
    depends_on: [db]
    networks: { n: { aliases: [a, b] } }
    logging: { driver: y, options: { b: 1 } }
    ulimits: { nofile: 5 }
    extra_hosts: ['a:1.1.1.1', 'b:2.2.2.2']
",
            ),
        ];
        insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          db:
            command: null
            entrypoint: null
            image: x
            network_mode: none
          s:
            command: null
            depends_on:
              db:
                condition: service_started
                required: true
                restart: true
            entrypoint: null
            extra_hosts:
              - a=1.1.1.1
              - b=2.2.2.2
            image: a
            logging:
              driver: "y"
              options:
                b: "1"
            networks:
              "n":
                aliases:
                  - a
                  - b
                priority: 1
            ulimits:
              nofile: 5
        networks:
          "n":
            ipam: {}
            name: p_n
        "#);
    }

    #[test]
    fn what_does_not_fit_together_is_told_with_both_places() {
        let files = [
            ("/p/compose.yaml", "x-a: { b: 1 }\nservices: { s: { image: x } }"),
            ("/p/compose.override.yaml", "x-a: 5"),
        ];
        insta::assert_snapshot!(config(&request(), &files), @"compose.override.yaml:1:6 x-a: an integer cannot be merged with a mapping (compose.yaml:1:6: the earlier value)");
    }

    #[test]
    fn pools_are_merged_by_subnet_and_tags_forget_what_was_there() {
        let files = [
            (
                "/p/compose.yaml",
                "
name: p
services: { s: { image: x, networks: [a, b], ports: ['1:1'], environment: { A: 1, B: 2 } } }
networks:
  a: { ipam: { config: [{ subnet: 10.0.0.0/24, gateway: 10.0.0.1 }] } }
  b: { ipam: { config: [{ subnet: 10.1.0.0/24 }] } }
",
            ),
            (
                "/p/compose.override.yaml",
                "
services: { s: { ports: !override ['2:2'], environment: !reset , networks: } }
networks:
  a: { ipam: { config: [{ subnet: 10.0.0.0/24, ip_range: 10.0.0.128/25 }] } }
  b: { ipam: { config: [{ subnet: 10.2.0.0/24 }] } }
",
            ),
        ];
        insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          s:
            command: null
            entrypoint: null
            image: x
            networks:
              a: null
              b: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "2"
                target: 2
        networks:
          a:
            ipam:
              config:
                - gateway: 10.0.0.1
                  ip_range: 10.0.0.128/25
                  subnet: 10.0.0.0/24
            name: p_a
          b:
            ipam:
              config:
                - subnet: 10.2.0.0/24
            name: p_b
        "#);
    }
}
