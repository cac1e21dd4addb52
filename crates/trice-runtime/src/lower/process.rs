//! The process of a plan.

use std::collections::BTreeMap;

use trice_model::container::{ProcessSpec, SeccompSpec};
use trice_model::service::Ulimit;

use super::{Facts, LowerError, Needed, Slots};
use crate::operation::{ProcessLimit, ProcessPlan, Stdio, Stream};
use crate::process::resource_number;

/// Whose the standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// Made for this process.
    Made,
    /// Brought by whoever asks for it.
    Brought,
}

/// Returns the plan of a process.
pub(super) fn plan(
    spec: &ProcessSpec,
    init: bool,
    streams: Streams,
    facts: &Facts,
    needed: &mut Slots,
) -> Result<ProcessPlan, LowerError> {
    let filtered = spec.seccomp == SeccompSpec::Default;
    Ok(ProcessPlan {
        args: spec.args.clone(),
        env: spec.link_env.iter().chain(&spec.env).map(|(key, value)| (key.clone(), value.clone())).collect(),
        cwd: if spec.cwd.is_empty() { "/".to_owned() } else { spec.cwd.clone() },
        user: spec.user.clone(),
        groups: spec.groups.clone(),
        stdio: stdio(spec, streams, needed),
        capabilities: spec.capabilities.iter().map(|capability| capability.number()).collect(),
        no_new_privileges: spec.no_new_privileges,
        seccomp: filtered.then(|| needed.take(Needed::Seccomp)),
        rlimits: rlimits(&spec.ulimits, facts)?,
        init,
    })
}

fn stdio(spec: &ProcessSpec, streams: Streams, needed: &mut Slots) -> Stdio {
    if spec.tty {
        return Stdio::Terminal;
    }
    let own = streams == Streams::Made;
    let mut stream = |what, own| Stream { slot: needed.take(what), own };
    // What it reads may be somebody's file.
    let stdin = stream(if spec.stdin_open { Needed::Stdin } else { Needed::Null }, false);
    Stdio::Streams { stdin, stdout: stream(Needed::Stdout, own), stderr: stream(Needed::Stderr, own) }
}

/// The open files that a program may count on, whatever the engine allows itself; it may raise that.
const USUAL_NOFILE: u64 = 1024;

fn rlimits(ulimits: &BTreeMap<String, Ulimit>, facts: &Facts) -> Result<Vec<ProcessLimit>, LowerError> {
    let usual = Ulimit {
        soft: USUAL_NOFILE.min(facts.hard_nofile) as i64,
        hard: i64::try_from(facts.hard_nofile).unwrap_or(-1),
    };
    let mut wanted = BTreeMap::from([("nofile", usual)]);
    wanted.extend(ulimits.iter().map(|(name, limit)| (name.as_str(), *limit)));
    let limit = |(name, limit): (&str, Ulimit)| {
        let resource = resource_number(name).ok_or_else(|| LowerError::UnknownUlimit(name.to_owned()))?;
        // A negative number is no limit.
        let (soft, hard) = (u64::try_from(limit.soft).ok(), u64::try_from(limit.hard).ok());
        Ok(ProcessLimit { resource, soft, hard })
    };
    wanted.into_iter().map(limit).collect()
}
