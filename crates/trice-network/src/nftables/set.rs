//! Sets and maps: what varies between projects, while the rules stay the same.

use std::fmt;

use super::rule::Verdict;
use super::value::{Type, Value, joined};

/// A named set, or a map if its elements lead to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    /// Its name.
    pub(crate) name: String,
    /// The kinds of values that make a key.
    pub(crate) key: &'static [Type],
    /// What keys lead to.
    pub(crate) data: Data,
    /// Its keys are networks, which a single address can be in.
    pub(crate) interval: bool,
    /// What it holds.
    pub(crate) elements: Vec<Element>,
}

/// What the keys of a set lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing: it is a set and no map.
    Nothing,
    /// Verdicts.
    Verdicts,
    /// Values of these kinds.
    Values(&'static [Type]),
}

/// A key, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// The values that make the key.
    pub(crate) key: Vec<Value>,
    /// What the key leads to.
    pub(crate) target: Target,
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Nothing,
    /// A verdict.
    Verdict(Verdict),
    /// Values.
    Values(Vec<Value>),
}

impl Element {
    /// Returns an element of a set.
    pub(crate) fn member(key: Vec<Value>) -> Self {
        Self { key, target: Target::Nothing }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, to) = match self.data {
            Data::Nothing => ("set", String::new()),
            Data::Verdicts => ("map", " : verdict".to_owned()),
            Data::Values(types) => ("map", format!(" : {}", joined(types))),
        };
        writeln!(f, "    {word} {} {{", self.name)?;
        writeln!(f, "        type {}{to}", joined(self.key))?;
        if self.interval {
            writeln!(f, "        flags interval")?;
        }
        if !self.elements.is_empty() {
            let elements: Vec<String> = self.elements.iter().map(ToString::to_string).collect();
            writeln!(f, "        elements = {{ {} }}", elements.join(", "))?;
        }
        writeln!(f, "    }}")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&self.key))?;
        match &self.target {
            Target::Nothing => Ok(()),
            Target::Verdict(verdict) => write!(f, " : {verdict}"),
            Target::Values(values) => write!(f, " : {}", joined(values)),
        }
    }
}
