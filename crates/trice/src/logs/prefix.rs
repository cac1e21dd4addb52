//! Whose line it is: `web-1  | `, padded to one width, in a colour for each service.
//!
//! Source: docker/compose `cmd/formatter/logs.go` and `colors.go`.

use std::collections::BTreeMap;

/// The colours, in the order in which services appear: cyan, yellow, green, magenta, blue, then the same
/// brighter.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// How lines are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// With the container's name before each line.
    pub(crate) names: bool,
    /// In colours.
    pub(crate) colours: bool,
}

/// The prefixes of all containers that were met.
#[derive(Debug)]
pub(crate) struct Prefixes {
    style: Style,
    project: String,
    /// Each container's label.
    labels: BTreeMap<String, String>,
    /// The colours of services.
    colours: BTreeMap<String, &'static str>,
    width: usize,
}

impl Prefixes {
    pub(crate) fn new(project: &str, style: Style) -> Self {
        let (labels, colours) = (BTreeMap::new(), BTreeMap::new());
        Self { style, project: project.to_owned(), labels, colours, width: 0 }
    }

    /// Takes in a container, so that prefixes have its width from the beginning.
    pub(crate) fn meet(&mut self, container: &str) {
        if self.labels.contains_key(container) {
            return;
        }
        let label = label(&self.project, container).to_owned();
        self.width = self.width.max(label.chars().count());
        let next = COLOURS[self.colours.len() % COLOURS.len()];
        self.colours.entry(service(&label).to_owned()).or_insert(next);
        self.labels.insert(container.to_owned(), label);
    }

    /// Returns what stands before a line of `container`.
    pub(crate) fn of(&mut self, container: &str) -> String {
        if !self.style.names {
            return String::new();
        }
        self.meet(container);
        let label = self.labels.get(container).map_or(container, String::as_str);
        let text = format!("{label:<width$}  | ", width = self.width);
        match self.colours.get(service(label)) {
            Some(colour) if self.style.colours => format!("\x1b[{colour}m{text}\x1b[0m"),
            Some(_) | None => text,
        }
    }
}

/// Returns a container's name without its project's.
pub(crate) fn label<'a>(project: &str, container: &'a str) -> &'a str {
    let rest = container.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(container)
}

/// Returns a label without its number: replicas share a colour.
fn service(label: &str) -> &str {
    match label.rsplit_once('-') {
        Some((service, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => service,
        Some(_) | None => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(colours: bool) -> String {
        let mut prefixes = Prefixes::new("shop", Style { names: true, colours });
        let containers = ["shop-web-1", "shop-database-1", "shop-web-2", "mine", "shop-web-run-0a1b"];
        prefixes.meet("shop-database-1");
        let lines = containers.iter().map(|container| prefixes.of(container) + "line");
        lines.collect::<Vec<_>>().join("\n").replace('\x1b', "ESC")
    }

    #[test]
    fn prefixes_have_one_width_and_no_project() {
        insta::assert_snapshot!(prefixes(false), @r"
        web-1       | line
        database-1  | line
        web-2       | line
        mine        | line
        web-run-0a1b  | line
        ");
    }

    #[test]
    fn replicas_share_their_services_colour() {
        insta::assert_snapshot!(prefixes(true), @r"
        ESC[33mweb-1       | ESC[0mline
        ESC[36mdatabase-1  | ESC[0mline
        ESC[33mweb-2       | ESC[0mline
        ESC[32mmine        | ESC[0mline
        ESC[35mweb-run-0a1b  | ESC[0mline
        ");
    }
}
