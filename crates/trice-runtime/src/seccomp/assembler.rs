//! Writes the program, from its end to its beginning.
//!
//! Jumps of BPF go forward only, and conditional ones over 255 instructions at most. Written backwards, each
//! target is known when a jump to it is made, and so is the distance; one that is too far gets a stepping
//! stone in between.
//!
//! ```text
//! load architecture ─► x86_64? ─► load number ─► at least k? ─► … ─► return        (shared by many)
//!                  └─► i386?  ─► …                          └─► … ─► load argument ─► … ─► return
//!                  └─► return kill
//! ```
//!
//! Sources: Linux `Documentation/networking/filter.rst`; `struct seccomp_data` in
//! `include/uapi/linux/seccomp.h`.

use std::collections::{BTreeMap, HashMap};

use trice_sys::seccomp::SockFilter;

use super::profile::{Action, Comparison, Condition, Width};
use super::{Decision, Range};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where the fields of `struct seccomp_data` lie.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// How far a target may be for a conditional jump: 255, less the stepping stones that the two targets of one
/// jump may put in between.
const REACH: usize = 253;

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// The instructions, the last one first.
    reversed: Vec<SockFilter>,
    /// The latest place of each decision.
    decisions: HashMap<Decision, Label>,
}

impl Assembler {
    /// Writes the whole program. Each section is for one architecture, its ranges in order from 0 on; a call
    /// of any other architecture ends the process, since nobody can say what its number means.
    pub(crate) fn program(sections: &BTreeMap<u32, Vec<Range>>) -> Vec<SockFilter> {
        let mut program = Self::default();
        let entries: Vec<(u32, Label)> =
            sections.iter().map(|(architecture, ranges)| (*architecture, program.section(ranges))).collect();
        let mut next = program.decision(&Action::KillProcess.into());
        for (architecture, entry) in entries {
            next = program.branch(JUMP_EQUAL, architecture, entry, next);
        }
        // What was written last is the last branch, or the end of a process if there is no section at all.
        program.push(LOAD, ARCHITECTURE);
        program.reversed.reverse();
        program.reversed
    }

    fn section(&mut self, ranges: &[Range]) -> Label {
        let tree = self.search(ranges);
        self.fall_through(tree);
        self.push(LOAD, NUMBER)
    }

    /// Writes a binary search for the range that the number is in.
    fn search(&mut self, ranges: &[Range]) -> Label {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        match (low, high) {
            (_, []) => self.decision(&Action::KillProcess.into()),
            ([], [only, ..]) => self.decision(&only.decision),
            (low, [first, ..]) => {
                let at_least = self.search(high);
                let below = self.search(low);
                self.branch(JUMP_AT_LEAST, first.start, at_least, below)
            }
        }
    }

    /// Returns a near place where `decision` is carried out; writes one if there is none.
    fn decision(&mut self, decision: &Decision) -> Label {
        let label = match self.decisions.get(decision) {
            Some(label) => self.near(*label),
            None => self.checks(decision),
        };
        self.decisions.insert(decision.clone(), label);
        label
    }

    fn checks(&mut self, decision: &Decision) -> Label {
        if decision.checks.is_empty() {
            return self.push(RETURN, decision.otherwise.verdict());
        }
        let mut next = self.decision(&decision.otherwise.into());
        for (conditions, action) in decision.checks.iter().rev() {
            let mut holds = self.decision(&(*action).into());
            for condition in conditions.iter().rev() {
                holds = self.condition(condition, holds, next);
            }
            next = holds;
        }
        next
    }

    fn condition(&mut self, condition: &Condition, yes: Label, no: Label) -> Label {
        match condition.comparison {
            Comparison::Equal => self.compare(condition, JUMP_EQUAL, yes, no),
            Comparison::NotEqual => self.compare(condition, JUMP_EQUAL, no, yes),
            Comparison::AtLeast => self.compare(condition, JUMP_AT_LEAST, yes, no),
            Comparison::Less => self.compare(condition, JUMP_AT_LEAST, no, yes),
            Comparison::Greater => self.compare(condition, JUMP_GREATER, yes, no),
            Comparison::AtMost => self.compare(condition, JUMP_GREATER, no, yes),
        }
    }

    /// Compares an argument by halves, since the machine of BPF has 32 bits: the low half decides where the
    /// high one is equal.
    fn compare(&mut self, condition: &Condition, jump: u16, yes: Label, no: Label) -> Label {
        let offset = ARGUMENTS + 8 * u32::from(condition.argument);
        let (high_mask, low_mask) = halves(condition.mask);
        let (high, low) = halves(condition.value);
        let low_test = self.branch(jump, low, yes, no);
        self.masked(low_test, low_mask);
        let low_half = self.push(LOAD, offset);
        if condition.width == Width::Int || (high_mask, high) == (0, 0) {
            return low_half;
        }
        let mut high_test = self.branch(JUMP_EQUAL, high, low_half, no);
        if jump != JUMP_EQUAL {
            high_test = self.branch(JUMP_GREATER, high, yes, high_test);
        }
        self.masked(high_test, high_mask);
        self.push(LOAD, offset + 4)
    }

    /// Writes what falls through to `test`: the mask, unless it lets everything through.
    fn masked(&mut self, test: Label, mask: u32) {
        self.fall_through(test);
        if mask != u32::MAX {
            self.push(AND, mask);
        }
    }

    fn branch(&mut self, jump: u16, value: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let offset =
            |label| u8::try_from(self.distance(label)).expect("`near` has brought both within reach");
        let (jt, jf) = (offset(yes), offset(no));
        self.reversed.push(SockFilter { code: jump, jt, jf, k: value });
        Label(self.reversed.len() - 1)
    }

    /// Returns `target`, or a stepping stone to it if it is too far: a copy if it returns at once, or else a
    /// jump.
    fn near(&mut self, target: Label) -> Label {
        if self.distance(target) <= REACH { target } else { self.stone(target) }
    }

    /// Writes a stepping stone to `target`, unless the next instruction falls through to it as it is.
    fn fall_through(&mut self, target: Label) {
        if self.distance(target) > 0 {
            self.stone(target);
        }
    }

    fn stone(&mut self, target: Label) -> Label {
        let instruction = self.reversed[target.0];
        match instruction.code {
            RETURN => self.push(RETURN, instruction.k),
            _ => {
                let distance = self.distance(target) as u32;
                self.push(JUMP, distance)
            }
        }
    }

    fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(SockFilter { code, jt: 0, jf: 0, k });
        Label(self.reversed.len() - 1)
    }

    /// Returns how many instructions the next one would jump over to get to `target`.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - 1 - target.0
    }
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
