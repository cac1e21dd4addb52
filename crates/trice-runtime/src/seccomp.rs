//! The system call filter: a profile of rules becomes a program that the kernel runs at each call.
//!
//! ```text
//! profile, capabilities, machine ─► rules that apply ─► a decision for each number ─► ranges that agree
//!
//! program: architecture? ─► binary search for the number's range ─► verdict
//!                                                               └─► look at arguments ─► verdict
//! ```
//!
//! Few decisions change from one number to the next, so the default profile's program has fewer instructions
//! than there are system calls, and a call is judged after a few comparisons. The kernel keeps the verdicts
//! that depend on the number alone, and then does not run the program at all.
//!
//! Sources: seccomp(2); Linux `Documentation/userspace-api/seccomp_filter.rst`.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::capability::Capability;
use trice_sys::seccomp::SockFilter;

use assembler::Assembler;
use machine::Machine;
use profile::{Action, Call, Condition, Profile};
use syscalls::Abi;

mod assembler;
pub mod machine;
pub mod profile;
pub mod syscalls;

/// The largest program that the kernel takes.
const LONGEST: usize = 4096;

/// Why a profile has no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The kernel would not take it.
    #[error("the system call filter has {length} instructions, and the kernel takes {LONGEST}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
}

/// What is done about a call, once its number is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Decision {
    /// Checks of arguments: the first one whose conditions all hold decides.
    pub(crate) checks: Vec<(Vec<Condition>, Action)>,
    /// What is done if none does.
    pub(crate) otherwise: Action,
}

impl From<Action> for Decision {
    fn from(otherwise: Action) -> Self {
        Self { checks: Vec::new(), otherwise }
    }
}

/// The numbers from `start` to the next range's start have one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) decision: Decision,
}

/// Compiles `profile` for a process with at most these `capabilities` on `machine`.
///
/// The same arguments give the same program: whoever starts many containers keeps it.
///
/// # Errors
/// [`CompileError::TooLong`] for a profile that jumps about too much.
pub fn compile(
    profile: &Profile,
    capabilities: &BTreeSet<Capability>,
    machine: &Machine,
) -> Result<Vec<SockFilter>, CompileError> {
    let spoken = by_name(profile, capabilities, machine);
    let mut sections: BTreeMap<u32, Vec<Range>> = BTreeMap::new();
    for abi in machine.architecture.abis() {
        let decide = |name: &str| decide(profile.default, spoken.get(name).map_or(&[], Vec::as_slice));
        let decisions = abi.numbers().into_iter().map(|(name, number)| (number, decide(name))).collect();
        sections.entry(abi.audit()).or_default().extend(ranges(profile, *abi, &decisions));
    }
    let program = Assembler::program(&sections);
    if program.len() > LONGEST {
        return Err(CompileError::TooLong { length: program.len() });
    }
    Ok(program)
}

/// Writes a program as the kernel's `struct sock_filter` lies in memory, to be handed to a process that
/// installs it.
pub fn to_bytes(program: &[SockFilter]) -> Vec<u8> {
    let instruction = |instruction: &SockFilter| {
        let [code_0, code_1] = instruction.code.to_ne_bytes();
        let [k_0, k_1, k_2, k_3] = instruction.k.to_ne_bytes();
        [code_0, code_1, instruction.jt, instruction.jf, k_0, k_1, k_2, k_3]
    };
    program.iter().flat_map(instruction).collect()
}

/// Returns what the rules that apply say of each call, in the profile's order.
fn by_name<'a>(
    profile: &'a Profile,
    capabilities: &BTreeSet<Capability>,
    machine: &Machine,
) -> BTreeMap<&'a str, Vec<(&'a Call, Action)>> {
    let mut spoken: BTreeMap<&str, Vec<(&Call, Action)>> = BTreeMap::new();
    for rule in profile.rules.iter().filter(|rule| rule.applies(capabilities, machine)) {
        for call in &rule.calls {
            spoken.entry(&call.name).or_default().push((call, rule.action));
        }
    }
    spoken
}

/// Decides about one call. The first rule that holds decides: behind one that always holds there is nothing
/// to add.
fn decide(default: Action, rules: &[(&Call, Action)]) -> Decision {
    let always = rules.iter().position(|(call, _)| call.conditions.is_empty());
    let checks = &rules[..always.unwrap_or(rules.len())];
    Decision {
        checks: checks.iter().map(|(call, action)| (call.conditions.clone(), *action)).collect(),
        otherwise: always.map_or(default, |index| rules[index].1),
    }
}

/// Lays the decisions out over all numbers that `abi` may be called with, holes and the rest beyond the end
/// included, and joins neighbours that agree.
fn ranges(profile: &Profile, abi: Abi, decisions: &BTreeMap<u32, Decision>) -> Vec<Range> {
    let end = abi.end();
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |number: u32, decision: Decision| {
        if ranges.last().is_none_or(|last| last.decision != decision) {
            ranges.push(Range { start: abi.bit() + number, decision });
        }
    };
    let mut next = 0;
    for (number, decision) in decisions {
        if next < *number {
            add(next, if next < end { profile.default } else { profile.unknown }.into());
        }
        add(*number, decision.clone());
        next = number + 1;
    }
    add(next, profile.unknown.into());
    ranges
}

#[cfg(test)]
mod tests;
