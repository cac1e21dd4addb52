//! What a service may use, and how often there is one: limits, replicas, restarts.

use std::collections::BTreeMap;

use trice_model::restart::RestartPolicy;
use trice_model::service::{Resources, Ulimit};
use trice_model::units::Bytes;

use crate::bind::{BindMistake, Binder};
use crate::tree::node::Node;
use crate::tree::path::Path;

impl Binder<'_> {
    pub(super) fn replicas(&mut self, service: &Node, path: &Path<'_>) -> u32 {
        // A negative number has been told.
        let counts = |node: &&Node| node.as_int().is_some_and(|count| count >= 0);
        if service.get("scale").is_some_and(|node| counts(&node)) {
            return self.number_at(service, "scale", path).unwrap_or(1);
        }
        let Some(deploy) = service.get("deploy") else { return 1 };
        let replicas = deploy.get("replicas").filter(counts);
        replicas.and_then(|_| self.number_at(deploy, "replicas", &path.key("deploy"))).unwrap_or(1)
    }

    /// Reads the restart policy. That of `deploy` comes first.
    pub(super) fn restart(&mut self, service: &Node, path: &Path<'_>) -> RestartPolicy {
        let Some(policy) = service.get("deploy").and_then(|deploy| deploy.get("restart_policy")) else {
            return self.value_at(service, "restart", path).unwrap_or_default();
        };
        let deploy = path.key("deploy");
        let here = deploy.key("restart_policy");
        let max = self.number_at(policy, "max_attempts", &here);
        match policy.text_at("condition").unwrap_or("any") {
            "none" | "no" => RestartPolicy::No,
            "on-failure" => RestartPolicy::OnFailure { max_retries: max.filter(|max| *max > 0) },
            "any" | "always" | "" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            other => {
                let mistake =
                    BindMistake::NotA { text: other.to_owned(), wanted: "`none`, `on-failure` or `any`" };
                self.mistake(policy, &here.key("condition"), mistake);
                RestartPolicy::No
            }
        }
    }

    /// Reads the limits: the service's own attributes, else those of `deploy`; consistent ones agree.
    pub(super) fn resources(&mut self, service: &Node, path: &Path<'_>) -> Resources {
        let below = |part: &str| service.get("deploy")?.get("resources")?.get(part);
        let limit = |part: &str, key: &str| below(part).and_then(|part| part.get(key));
        let either = |own: &str, part: &str, key: &str| {
            let own = service.get(own).filter(|node| node.as_number() != Some(0.0));
            own.or(limit(part, key)).filter(|node| node.as_number() != Some(0.0))
        };
        let memory = either("mem_limit", "limits", "memory");
        let reservation = either("mem_reservation", "reservations", "memory");
        let cpus = either("cpus", "limits", "cpus").and_then(Node::as_number);
        let pids = either("pids_limit", "limits", "pids").and_then(Node::as_int);
        let nonzero = |number: i64| (number != 0).then_some(number);
        Resources {
            memory: memory.and_then(|node| self.size(node, &path.key("mem_limit"))),
            memory_reservation: reservation.and_then(|node| self.size(node, &path.key("mem_reservation"))),
            memory_swap: self.number_at(service, "memswap_limit", path).and_then(nonzero),
            nano_cpus: cpus.filter(|cpus| *cpus > 0.0).map(|cpus| (cpus * 1e9).round() as u64),
            cpu_quota_us: self.number_at(service, "cpu_quota", path).and_then(nonzero),
            cpu_period_us: self.number_at(service, "cpu_period", path).filter(|period| *period != 0),
            cpu_shares: self.number_at(service, "cpu_shares", path).filter(|shares| *shares != 0),
            pids: pids.filter(|pids| *pids > 0),
        }
    }

    /// Reads a size; zero is none.
    pub(super) fn size(&mut self, node: &Node, path: &Path<'_>) -> Option<Bytes> {
        let number = node.as_int()?;
        match u64::try_from(number) {
            Ok(0) => None,
            Ok(bytes) => Some(Bytes(bytes)),
            Err(_) => {
                self.mistake(node, path, BindMistake::OutOfRange(number));
                None
            }
        }
    }

    pub(super) fn ulimits(&self, service: &Node) -> BTreeMap<String, Ulimit> {
        let mut limits = BTreeMap::new();
        for (name, node) in service.entries_at("ulimits") {
            let at = |key: &str| node.get(key).and_then(Node::as_int);
            let limit = match node.as_int() {
                Some(both) => Some(Ulimit { soft: both, hard: both }),
                None => at("soft").zip(at("hard")).map(|(soft, hard)| Ulimit { soft, hard }),
            };
            limits.extend(limit.map(|limit| (name.to_ascii_lowercase(), limit)));
        }
        limits
    }
}
