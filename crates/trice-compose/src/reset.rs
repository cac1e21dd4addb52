//! `!reset` and `!override`: what earlier files say at these places is forgotten.
//!
//! Both are collected from a document before anything is merged, and applied to what was there before: to the files
//! read so far, to an included resource of the same name, to the service that is extended.
//!
//! Source: Compose Specification, `13-merge.md`, "Reset value" and "Replace value".

use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Tag};

/// The places of one document whose earlier values are forgotten, as keys from the root.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Resets(Vec<Vec<String>>);

impl Resets {
    /// Collects the places of `root`, and takes the values that are reset out of it.
    pub(crate) fn collect(root: &mut Node) -> Self {
        let mut resets = Self::default();
        resets.visit(root, &mut Vec::new());
        resets
    }

    fn visit(&mut self, node: &mut Node, path: &mut Vec<String>) {
        if node.tag == Tag::Override {
            self.0.push(path.clone());
        }
        if let Some(items) = node.as_list_mut() {
            // A place in a list has no earlier value, so only what is below is looked at, for its own tags to go.
            items.retain(|item| item.tag != Tag::Reset);
            let mut below = Self::default();
            items.iter_mut().for_each(|item| below.visit(item, path));
        }
        let Some(map) = node.as_map_mut() else { return };
        let mut reset = false;
        for (key, value) in map.iter_mut() {
            path.push(key.to_owned());
            if value.tag == Tag::Reset {
                self.0.push(path.clone());
                reset = true;
            } else {
                self.visit(value, path);
            }
            path.pop();
        }
        if reset {
            map.retain(|_, entry| entry.node.tag != Tag::Reset);
        }
    }

    /// Takes the places out of a whole model.
    pub(crate) fn apply(&self, root: &mut Node) {
        for path in &self.0 {
            remove(root.as_map_mut(), path);
        }
    }

    /// Takes the places below `section.name` out of `resource`, which stands there.
    pub(crate) fn apply_below(&self, section: &str, name: &str, resource: &mut Node) {
        for path in &self.0 {
            if let [first, second, rest @ ..] = path.as_slice()
                && first == section
                && second == name
            {
                remove(resource.as_map_mut(), rest);
            }
        }
    }
}

fn remove(map: Option<&mut Mapping>, path: &[String]) {
    let Some(map) = map else { return };
    match path {
        [] => {}
        [key] => {
            map.remove(key);
        }
        [key, rest @ ..] => remove(map.get_mut(key).and_then(Node::as_map_mut), rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{outline, tree};

    #[test]
    fn tagged_places_are_forgotten_below_and_reset_ones_here_too() {
        let mut later =
            tree("a: !reset x\nb: { c: !override [1], d: !reset ~ }\nl: [!reset 1, 2, { m: !reset 3 }]");
        let resets = Resets::collect(&mut later);
        assert_eq!(outline(&later), "{b: {c: !override [1]}, l: [2, {}]}");
        let mut earlier = tree("a: 1\nb: { c: [0], d: 1, e: 2 }\nl: [1]");
        resets.apply(&mut earlier);
        assert_eq!(outline(&earlier), "{b: {e: 2}, l: [1]}");
    }

    #[test]
    fn a_resource_forgets_what_stands_below_its_own_name() {
        let mut later =
            tree("services: { web: { ports: !override [], image: !reset ~ }, db: { image: !reset ~ } }");
        let resets = Resets::collect(&mut later);
        let mut web = tree("image: a\nports: [1]\ntty: true");
        resets.apply_below("services", "web", &mut web);
        assert_eq!(outline(&web), "{tty: true}");
    }
}
