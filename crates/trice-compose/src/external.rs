//! `external: {name: NAME}`, an old way to say `external: true` and `name: NAME`.
//!
//! It is rewritten when a file has been merged, so that a name of an earlier file is seen.
//!
//! Source: compose-go `transform/external.go`.

use crate::report::Report;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;

/// What the two names can do wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`name` and `external.name` say different things")]
struct TwoNames;

/// Rewrites the old form in all resources of `root`.
pub(crate) fn rewrite(root: &mut Node, report: &mut Report) {
    for section in ["networks", "volumes", "secrets", "configs"] {
        let resources = root.get_mut(section).and_then(Node::as_map_mut);
        for (key, resource) in resources.into_iter().flat_map(Mapping::iter_mut) {
            if let Some(resource) = resource.as_map_mut() {
                rewrite_one(resource, &Path::Root.key(section).key(key), report);
            }
        }
    }
}

fn rewrite_one(resource: &mut Mapping, path: &Path<'_>, report: &mut Report) {
    let Some(external) = resource.get_mut("external").filter(|external| external.as_map().is_some()) else {
        return;
    };
    let span = external.span;
    let value = std::mem::replace(&mut external.value, Value::Bool(true));
    let Value::Map(mut long) = value else { return };
    let Some(name) = long.remove("name") else { return };
    let here = path.key("external");
    report
        .warning(span, here, "`external.name` is out of use")
        .hint("write `external: true` and `name` beside it");
    match resource.get("name") {
        Some(other) if *other != name.node => {
            let other = other.span;
            report.mistake(span, here, TwoNames).related(other, "the other name");
        }
        Some(_) => {}
        None => resource.insert("name", name.key, name.node),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{config, request};

    #[test]
    fn the_old_form_becomes_the_new_one_and_meets_earlier_names() {
        let resolved = |text: &str, over: &str| {
            let text = format!(
                "name: p\nservices: {{ s: {{ image: x, network_mode: none, volumes: ['a:/a'] }} }}\n{text}"
            );
            config(&request(), &[("/p/compose.yaml", &text), ("/p/compose.override.yaml", over)])
        };
        insta::assert_snapshot!(resolved("volumes: { a: { external: { name: b } } }", "x-a: 1"), @"
        name: p
        services:
          s:
            image: x
            network_mode: none
            volumes:
              - source: a
                target: /a
                type: volume
                volume: {}
        volumes:
          a:
            external: true
            name: b
        x-a: 1
        ");
        insta::assert_snapshot!(resolved("volumes: { a: { name: x, external: { name: b } } }", "x-a: 1"), @"compose.yaml:3:36 volumes.a.external: `name` and `external.name` say different things (compose.yaml:3:23: the other name)");
        insta::assert_snapshot!(resolved("volumes: { a: { name: x } }", "volumes: { a: { external: { name: b } } }"), @"compose.override.yaml:1:27 volumes.a.external: `name` and `external.name` say different things (compose.yaml:3:23: the other name)");
    }
}
