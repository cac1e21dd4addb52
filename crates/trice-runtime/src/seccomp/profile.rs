//! A profile: which system calls are allowed, to whom, on what, and with which arguments.
//!
//! Its text form is described at the head of `default.profile`, the profile of a container that asks for no
//! other.

use std::collections::BTreeSet;
use std::str::FromStr;

use trice_model::capability::{Capability, CapabilityError};

use super::machine::{Architecture, KernelVersion, Machine, MachineError};

/// Rules, of which the first one that holds decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What is done about a call for which no rule holds.
    pub default: Action,
    /// What is done about a call whose number is above all that the tables know.
    pub unknown: Action,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// What is done about some calls, under some circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// All of these must hold.
    pub when: Vec<Circumstance>,
    /// None of these may hold.
    pub unless: Vec<Circumstance>,
    /// The calls.
    pub calls: Vec<Call>,
}

/// What is known when a filter is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Circumstance {
    /// The process may have one of these capabilities.
    Capability(Vec<Capability>),
    /// The machine has one of these architectures. It may still be called in another one's way.
    Machine(Vec<Architecture>),
    /// The kernel is not older.
    Kernel(KernelVersion),
}

/// A system call, and what its arguments must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// What is asked of one argument: that it, masked, compares to the value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which one, counted from 0.
    pub argument: u8,
    /// How much of it.
    pub width: Width,
    /// The bits that count.
    pub mask: u64,
    /// How it compares, without regard to signs.
    pub comparison: Comparison,
    /// To what.
    pub value: u64,
}

/// How much of an argument the kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// All 64 bits.
    Long,
    /// The low 32 bits; the others may be anything.
    Int,
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What the kernel does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Carries it out.
    Allow,
    /// Carries it out and logs it.
    Log,
    /// Fails it with this error number.
    Errno(u16),
    /// Sends SIGSYS.
    Trap,
    /// Asks the process that listens on the filter.
    Notify,
    /// Ends the thread.
    KillThread,
    /// Ends the process.
    KillProcess,
}

/// A text that is no profile.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the system call profile")]
pub struct ProfileError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: Problem,
}

/// What is wrong in a line of a profile.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It names no action.
    #[error(
        "`{0}` is not an action: there are allow, log, errno N, trap, notify, kill-thread and kill-process"
    )]
    Action(String),
    /// It names no circumstance.
    #[error("`{0}` is not a circumstance: there are capability, machine and kernel, behind `if` or `unless`")]
    Circumstance(String),
    /// A call stands before any action.
    #[error("a system call stands here before any action")]
    NoAction,
    /// It is no condition.
    #[error("`{0}` is not a condition: write it like `arg0 & 0xff == 3`")]
    Condition(String),
    /// It names no capability.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// It names no machine, or no kernel.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

impl Profile {
    /// Returns the profile of a container that asks for no other.
    pub fn default_profile() -> Self {
        include_str!("default.profile").parse().expect("a test reads it")
    }
}

impl Rule {
    /// Says whether the rule is for a process with these `capabilities` on `machine`.
    pub fn applies(&self, capabilities: &BTreeSet<Capability>, machine: &Machine) -> bool {
        let holds = |circumstance: &Circumstance| match circumstance {
            Circumstance::Capability(any) => any.iter().any(|one| capabilities.contains(one)),
            Circumstance::Machine(any) => any.contains(&machine.architecture),
            Circumstance::Kernel(version) => machine.kernel >= *version,
        };
        self.when.iter().all(holds) && !self.unless.iter().any(holds)
    }
}

impl Action {
    /// Returns the number by which a filter tells the kernel.
    ///
    /// Source: seccomp(2), "Seccomp return values".
    pub fn verdict(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0x0000_0000,
            Self::Trap => 0x0003_0000,
            Self::Errno(number) => 0x0005_0000 | u32::from(number),
            Self::Notify => 0x7fc0_0000,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut profile = Self { default: Action::Errno(1), unknown: Action::Errno(38), rules: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(code, _comment)| code).trim_end();
            profile.read_line(line).map_err(|problem| ProfileError { line: index + 1, problem })?;
        }
        Ok(profile)
    }
}

impl Profile {
    fn read_line(&mut self, line: &str) -> Result<(), Problem> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["default", action @ ..] => self.default = whole_action(action)?,
            ["unknown", action @ ..] => self.unknown = whole_action(action)?,
            _ if line.starts_with(' ') => {
                let rule = self.rules.last_mut().ok_or(Problem::NoAction)?;
                rule.calls.extend(calls(line)?);
            }
            words => self.rules.push(rule(words)?),
        }
        Ok(())
    }
}

fn rule(words: &[&str]) -> Result<Rule, Problem> {
    let (action, mut rest) = action(words)?;
    let mut rule = Rule { action, when: Vec::new(), unless: Vec::new(), calls: Vec::new() };
    while let [kind, words @ ..] = rest {
        let end = words.iter().position(|word| matches!(*word, "if" | "unless")).unwrap_or(words.len());
        let circumstance = circumstance(&words[..end])?;
        match *kind {
            "if" => rule.when.push(circumstance),
            "unless" => rule.unless.push(circumstance),
            other => return Err(Problem::Circumstance(other.to_owned())),
        }
        rest = &words[end..];
    }
    Ok(rule)
}

fn whole_action(words: &[&str]) -> Result<Action, Problem> {
    match action(words)? {
        (action, []) => Ok(action),
        (_, [_, ..]) => Err(Problem::Action(words.join(" "))),
    }
}

/// Reads an action and returns the words behind it.
fn action<'a, 'b>(words: &'b [&'a str]) -> Result<(Action, &'b [&'a str]), Problem> {
    let fail = || Problem::Action(words.join(" "));
    let action = match words {
        ["errno", number, rest @ ..] => {
            return Ok((Action::Errno(number.parse().map_err(|_| fail())?), rest));
        }
        ["allow", ..] => Action::Allow,
        ["log", ..] => Action::Log,
        ["trap", ..] => Action::Trap,
        ["notify", ..] => Action::Notify,
        ["kill-thread", ..] => Action::KillThread,
        ["kill-process", ..] => Action::KillProcess,
        _ => return Err(fail()),
    };
    Ok((action, &words[1..]))
}

fn circumstance(words: &[&str]) -> Result<Circumstance, Problem> {
    match words {
        ["capability", names @ ..] if !names.is_empty() => {
            let capabilities = names.iter().map(|name| name.parse()).collect::<Result<_, CapabilityError>>();
            Ok(Circumstance::Capability(capabilities?))
        }
        ["machine", names @ ..] if !names.is_empty() => {
            let machines = names.iter().map(|name| name.parse()).collect::<Result<_, MachineError>>();
            Ok(Circumstance::Machine(machines?))
        }
        ["kernel", version] => Ok(Circumstance::Kernel(version.parse()?)),
        words => Err(Problem::Circumstance(words.join(" "))),
    }
}

/// Reads calls without conditions, or one with.
fn calls(line: &str) -> Result<Vec<Call>, Problem> {
    let Some((name, conditions)) = line.split_once(':') else {
        let call = |name: &str| Call { name: name.to_owned(), conditions: Vec::new() };
        return Ok(line.split_whitespace().map(call).collect());
    };
    let conditions = conditions.split(',').map(condition).collect::<Result<_, _>>()?;
    Ok(vec![Call { name: name.trim().to_owned(), conditions }])
}

fn condition(text: &str) -> Result<Condition, Problem> {
    let fail = || Problem::Condition(text.trim().to_owned());
    let words: Vec<&str> = text.split_whitespace().collect();
    let (argument, mask, comparison, value) = match words.as_slice() {
        [argument, comparison, value] => (argument, u64::MAX, comparison, value),
        [argument, "&", mask, comparison, value] => {
            (argument, number(mask).ok_or_else(fail)?, comparison, value)
        }
        _ => return Err(fail()),
    };
    let (width, index) = match (argument.strip_prefix("arg"), argument.strip_prefix("int")) {
        (Some(index), _) => (Width::Long, index),
        (None, Some(index)) => (Width::Int, index),
        (None, None) => return Err(fail()),
    };
    let argument = index.parse().ok().filter(|index| *index < 6).ok_or_else(fail)?;
    let comparison = match *comparison {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::AtMost,
        ">" => Comparison::Greater,
        ">=" => Comparison::AtLeast,
        _ => return Err(fail()),
    };
    let value = number(value).ok_or_else(fail)?;
    let fits = width == Width::Long || value <= u64::from(u32::MAX);
    if fits { Ok(Condition { argument, width, mask, comparison, value }) } else { Err(fail()) }
}

/// Reads a number, in decimal or with `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::seccomp::syscalls::Abi;

    #[test]
    fn the_default_profile_is_read_and_names_only_calls_that_some_table_has() {
        let profile = Profile::default_profile();
        assert_eq!((profile.default, profile.unknown), (Action::Errno(1), Action::Errno(38)));
        let abis = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];
        let tables = abis.map(Abi::numbers);
        for call in profile.rules.iter().flat_map(|rule| &rule.calls) {
            assert!(tables.iter().any(|table| table.contains_key(call.name.as_str())), "{}", call.name);
        }
    }

    #[test]
    fn rules_are_read_with_their_circumstances_and_conditions() {
        let text = "unknown kill-process\n\
                    errno 5 if machine x86_64 aarch64 unless kernel 4.8 unless capability bpf # why\n  \
                    one two\n  three: arg1 & 0x10 >= 16, int2 != 3\n";
        let profile: Profile = text.parse().expect("a profile");
        assert_eq!((profile.default, profile.unknown), (Action::Errno(1), Action::KillProcess));
        let [rule] = profile.rules.as_slice() else { panic!("{:?}", profile.rules) };
        assert_eq!(rule.action, Action::Errno(5));
        assert_eq!(rule.when, [Circumstance::Machine(vec![Architecture::X86_64, Architecture::Aarch64])]);
        assert_eq!(
            rule.unless,
            [
                Circumstance::Kernel(KernelVersion { major: 4, minor: 8 }),
                Circumstance::Capability(vec!["BPF".parse().expect("a capability")]),
            ]
        );
        let names: Vec<&str> = rule.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["one", "two", "three"]);
        let [first, second] = rule.calls[2].conditions.as_slice() else { panic!("two conditions") };
        assert_eq!((first.argument, first.width, first.mask), (1, Width::Long, 0x10));
        assert_eq!((first.comparison, first.value), (Comparison::AtLeast, 16));
        assert_eq!((second.argument, second.width, second.mask), (2, Width::Int, u64::MAX));
        assert_eq!((second.comparison, second.value), (Comparison::NotEqual, 3));
    }

    #[test]
    fn a_rule_applies_when_all_that_it_wants_holds_and_nothing_that_it_excludes() {
        let machine = Machine::from_uname("x86_64", "5.15").expect("both are understood");
        let capabilities = BTreeSet::from(["BPF".parse().expect("a capability")]);
        let cases = [
            ("allow", true),
            ("allow if capability BPF CHOWN", true),
            ("allow if capability CHOWN", false),
            ("allow unless capability BPF CHOWN", false),
            ("allow unless capability CHOWN unless machine aarch64", true),
            ("allow unless capability CHOWN unless machine aarch64 x86_64", false),
            ("allow if machine x86_64 if kernel 5.15", true),
            ("allow if machine x86_64 if kernel 5.16", false),
        ];
        for (text, applies) in cases {
            let profile: Profile = text.parse().expect("a profile");
            assert_eq!(profile.rules[0].applies(&capabilities, &machine), applies, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let cases = [
            ("permit", "action"),
            ("errno many", "action"),
            ("default allow if kernel 4.8", "action"),
            ("allow if", "circumstance"),
            ("allow when kernel 4.8", "circumstance"),
            ("allow if capability", "circumstance"),
            ("allow if capability EVERYTHING", "capability"),
            ("allow if machine vax", "machine"),
            ("allow if kernel new", "kernel"),
            ("allow\n  read: arg6 == 1", "condition"),
            ("allow\n  read: arg0 = 1", "condition"),
            ("allow\n  read: int0 == 0x100000000", "condition"),
            ("allow\n  read: arg0 & == 1", "condition"),
        ];
        for (text, word) in cases {
            let error = format!("# a comment\n\n{text}").parse::<Profile>().expect_err(text);
            assert_eq!(error.line, 2 + text.lines().count(), "{text}");
            assert!(
                error.source().is_some_and(|cause| cause.to_string().contains(word)),
                "{text}: {error:?}"
            );
        }
        assert!(matches!(
            "  read".parse::<Profile>(),
            Err(ProfileError { line: 1, problem: Problem::NoAction })
        ));
    }
}
