//! Replicas and limits: two attributes can say each of them, and then they must agree.

use crate::consistency::Inconsistency;
use crate::report::Report;
use crate::tree::node::Node;
use crate::tree::path::Path;

/// Checks the replicas and limits of a service.
pub(crate) fn check(service: &Node, path: &Path<'_>, report: &mut Report) {
    let deploy = service.get("deploy");
    let (scale, replicas) = (service.get("scale"), deploy.and_then(|deploy| deploy.get("replicas")));
    differ(("scale", scale), ("deploy.replicas", replicas), path, report);
    for count in [scale, replicas].into_iter().flatten() {
        if count.as_int().is_some_and(|count| count < 0) {
            report.mistake(count.span, path, Inconsistency::Negative);
        }
    }
    let resources = deploy.and_then(|deploy| deploy.get("resources"));
    let below = |part: &str| resources.and_then(|resources| resources.get(part));
    let pairs = [
        ("cpus", "limits", "cpus", "deploy.resources.limits.cpus"),
        ("mem_limit", "limits", "memory", "deploy.resources.limits.memory"),
        ("pids_limit", "limits", "pids", "deploy.resources.limits.pids"),
        ("mem_reservation", "reservations", "memory", "deploy.resources.reservations.memory"),
    ];
    for (key, part, other, name) in pairs {
        // A part that is there and does not say it says zero, as Docker Compose has it.
        let Some(part) = below(part) else { continue };
        match (service.get(key), part.get(other)) {
            (Some(own), None) if own.as_number().is_some_and(|own| own != 0.0) => {
                report.mistake(own.span, path.key(key), Inconsistency::Differ(key, name));
            }
            (own, other) => differ((key, own.filter(|own| !is_zero(own))), (name, other), path, report),
        }
    }
    fixed_name(service, scale.or(replicas), path, report);
}

fn is_zero(node: &Node) -> bool {
    node.as_number() == Some(0.0)
}

fn differ(
    (name, one): (&'static str, Option<&Node>),
    (other_name, other): (&'static str, Option<&Node>),
    path: &Path<'_>,
    report: &mut Report,
) {
    if let (Some(one), Some(other)) = (one, other)
        && let (Some(a), Some(b)) = (one.as_number(), other.as_number())
        && a as f32 != b as f32
    {
        let mistake = Inconsistency::Differ(name, other_name);
        report.mistake(one.span, path.key(name), mistake).related(other.span, "the other one");
    }
}

fn fixed_name(service: &Node, count: Option<&Node>, path: &Path<'_>, report: &mut Report) {
    let Some(name) = service.get("container_name").filter(|name| name.as_text() != Some("")) else { return };
    let Some((node, count)) = count.and_then(|node| Some((node, node.as_int()?))) else { return };
    if count > 1 {
        let finding = report.mistake(name.span, path.key("container_name"), Inconsistency::FixedName(count));
        finding.related(node.span, "so many are asked for here").hint("leave `container_name` out");
    }
}
