//! Judges a call by reading the profile from its first rule to its last, as slowly as it is plain.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::capability::Capability;

use crate::seccomp::machine::Machine;
use crate::seccomp::profile::{Action, Comparison, Condition, Profile, Rule, Width};
use crate::seccomp::syscalls::Abi;

/// A system call as a filter sees it.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

/// A profile, and the names of all numbers.
pub(super) struct Reader<'a> {
    profile: &'a Profile,
    rules: Vec<&'a Rule>,
    abis: Vec<(Abi, u32, BTreeMap<u32, &'static str>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(profile: &'a Profile, capabilities: &BTreeSet<Capability>, machine: &Machine) -> Self {
        let names = |abi: Abi| abi.numbers().into_iter().map(|(name, number)| (number, name)).collect();
        let abis = machine.architecture.abis().iter().map(|abi| (*abi, abi.end(), names(*abi))).collect();
        let rules = profile.rules.iter().filter(|rule| rule.applies(capabilities, machine)).collect();
        Self { profile, rules, abis }
    }

    pub(super) fn judge(&self, data: &Data) -> u32 {
        let marked = data.architecture == Abi::X32.audit() && data.number >= Abi::X32.bit();
        let mut abis = self.abis.iter();
        let abi = abis.find(|(abi, _, _)| abi.audit() == data.architecture && (*abi == Abi::X32) == marked);
        let Some((abi, end, names)) = abi else { return Action::KillProcess.verdict() };
        let number = data.number - abi.bit();
        let Some(name) = names.get(&number) else {
            return if number < *end { self.profile.default } else { self.profile.unknown }.verdict();
        };
        for rule in &self.rules {
            for call in rule.calls.iter().filter(|call| call.name == *name) {
                if call.conditions.iter().all(|condition| holds(condition, data)) {
                    return rule.action.verdict();
                }
            }
        }
        self.profile.default.verdict()
    }
}

fn holds(condition: &Condition, data: &Data) -> bool {
    let argument = data.arguments[usize::from(condition.argument)];
    let argument = match condition.width {
        Width::Long => argument & condition.mask,
        Width::Int => argument & condition.mask & 0xffff_ffff,
    };
    match condition.comparison {
        Comparison::Equal => argument == condition.value,
        Comparison::NotEqual => argument != condition.value,
        Comparison::Less => argument < condition.value,
        Comparison::AtMost => argument <= condition.value,
        Comparison::Greater => argument > condition.value,
        Comparison::AtLeast => argument >= condition.value,
    }
}
