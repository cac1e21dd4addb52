//! Circles of services that wait for each other.
//!
//! ```text
//! white ──visited──► on the way ──all dependencies done──► done
//!                        ▲ a dependency that is on the way closes a circle
//! ```

use std::collections::BTreeMap;

use crate::consistency::{Inconsistency, implied_by};
use crate::report::Report;
use crate::tree::mapping::Mapping;
use crate::tree::node::Node;
use crate::tree::path::Path;
use crate::tree::span::Span;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    OnTheWay,
    Done,
}

/// A service whose dependencies are being followed.
struct Step<'a> {
    name: &'a str,
    dependencies: Vec<(&'a str, Span)>,
    /// How many of them have been followed.
    followed: usize,
}

/// Finds the circles in `depends_on` of the services of `root`.
pub(crate) fn check(root: &Node, report: &mut Report) {
    let Some(services) = root.get("services").and_then(Node::as_map) else { return };
    let mut states: BTreeMap<&str, State> = BTreeMap::new();
    let mut names: Vec<&str> = services.keys().collect();
    names.sort_unstable();
    let mut told = 0;
    for start in names {
        if !states.contains_key(start) {
            follow(start, services, &mut states, report, &mut told);
        }
    }
}

/// Follows the dependencies of `start`, without recursion: a chain may be as long as the file.
fn follow<'a>(
    start: &'a str,
    services: &'a Mapping,
    states: &mut BTreeMap<&'a str, State>,
    report: &mut Report,
    told: &mut usize,
) {
    /// There can be as many circles as there are ways through a project, and to spell one out takes time.
    const MOST: usize = 20;
    let mut way = vec![step(start, services)];
    states.insert(start, State::OnTheWay);
    while let Some(current) = way.last_mut() {
        let Some((name, span)) = current.dependencies.get(current.followed).copied() else {
            states.insert(current.name, State::Done);
            way.pop();
            continue;
        };
        current.followed += 1;
        match states.get(name) {
            Some(State::Done) => {}
            Some(State::OnTheWay) if *told < MOST => {
                *told += 1;
                tell(&way, name, span, services, report);
            }
            Some(State::OnTheWay) => {}
            None if services.contains(name) => {
                states.insert(name, State::OnTheWay);
                way.push(step(name, services));
            }
            None => {}
        }
    }
}

fn step<'a>(name: &'a str, services: &'a Mapping) -> Step<'a> {
    let depends_on = services.get(name).and_then(|service| service.get("depends_on")).and_then(Node::as_map);
    let entries = depends_on.into_iter().flat_map(Mapping::entries);
    let mut dependencies: Vec<(&str, Span)> = entries.map(|(name, entry)| (name, entry.key)).collect();
    dependencies.sort_unstable_by_key(|(name, _)| *name);
    Step { name, dependencies, followed: 0 }
}

/// Spells out the circle that `name`, which stands at `span`, closes.
fn tell(way: &[Step<'_>], name: &str, span: Span, services: &Mapping, report: &mut Report) {
    let Some(start) = way.iter().position(|step| step.name == name) else { return };
    let circle = &way[start..];
    let names: Vec<&str> = circle.iter().map(|step| step.name).chain([name]).collect();
    let section = Path::Root.key("services");
    let last = circle.last().map_or(name, |step| step.name);
    let service = section.key(last);
    let depends_on = service.key("depends_on");
    let path = match services.get(last).and_then(|service| implied_by(service, span)) {
        Some(attribute) => service.key(attribute),
        None => depends_on.key(name),
    };
    let finding = report.mistake(span, path, Inconsistency::Cycle(names.join(" -> ")));
    for pair in circle.windows(2) {
        let place = pair[0].dependencies.iter().find(|(name, _)| *name == pair[1].name);
        if let Some((_, place)) = place {
            finding.related(*place, format!("`{}` waits for `{}`", pair[0].name, pair[1].name));
        }
    }
}
