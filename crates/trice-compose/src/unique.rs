//! Items of a list that are one and the same: the later replaces the earlier, and takes its place.
//!
//! Source: Compose Specification, `13-merge.md`, "Unique resources"; compose-go `override/uncity.go`.

use std::collections::BTreeMap;

use crate::schema::shape::Unique;
use crate::tree::node::{Node, Value};

/// Drops the items of `node` that a later one replaces.
pub(crate) fn keep_last(node: &mut Node, rule: Unique) {
    let Value::List(items) = &mut node.value else { return };
    if !rule.replaces() || items.len() < 2 {
        return;
    }
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for item in std::mem::take(items) {
        let Some(identity) = identity(&item, rule) else {
            kept.push(item);
            continue;
        };
        match places.get(&identity) {
            Some(place) => kept[*place] = item,
            None => {
                places.insert(identity, kept.len());
                kept.push(item);
            }
        }
    }
    *items = kept;
}

/// Returns what makes `item` one and the same as another; `None` for an item that stands for itself.
fn identity(item: &Node, rule: Unique) -> Option<String> {
    let or = |text: Option<&str>, default: &str| text.unwrap_or(default).to_owned();
    match rule {
        Unique::No | Unique::Refused => None,
        Unique::Text => {
            let text = item.as_text()?;
            Some(text.split_once('=').map_or(text, |(key, _)| key).to_owned())
        }
        Unique::Field(name) => item.text_at(name).map(str::to_owned),
        Unique::File(folder) => match item.text_at("target") {
            Some(target) => Some(target.to_owned()),
            None => Some(format!("{folder}/{}", item.text_at("source")?)),
        },
        Unique::Port => {
            let address = or(item.text_at("host_ip"), "0.0.0.0");
            let published = or(item.text_at("published"), "any");
            let target = item.get("target")?.as_int()?;
            let protocol = or(item.text_at("protocol"), "tcp");
            Some(format!("{address}:{published}:{target}/{protocol}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::checked;

    #[test]
    fn the_later_of_two_takes_the_place_of_the_earlier() {
        let text = "
services:
  s:
    dns: [1.1.1.1, 8.8.8.8, 1.1.1.1]
    volumes: ['a:/x', 'b:/y', './c:/x/']
    ports: ['80:80', '81:81', '0.0.0.0:80:80', '80:80/udp']
    secrets: [a, { source: b, target: /run/secrets/a }]
    env_file: [a, { path: a, required: false }]
";
        insta::assert_snapshot!(checked(text).replace("], ", "],\n"), @r#"
        {services: {s: {dns: ["1.1.1.1", "8.8.8.8"],
        volumes: [{type: "bind", source: "./c", target: "/x", bind: {create_host_path: true}}, {type: "volume", source: "b", target: "/y", volume: {}}],
        ports: [{mode: "ingress", host_ip: "0.0.0.0", target: 80, published: "80", protocol: "tcp"}, {mode: "ingress", target: 81, published: "81", protocol: "tcp"}, {mode: "ingress", target: 80, published: "80", protocol: "udp"}],
        secrets: [{source: "b", target: "/run/secrets/a"}],
        env_file: [{path: "a", required: false}]}}}
        "#);
    }
}
