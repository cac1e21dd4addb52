//! Variables, where each comes from, and what it hides.

use std::collections::BTreeMap;

use crate::tree::span::Span;

/// The variables that a model is read under.
///
/// Who comes first wins: the environment of the caller, then the env files in their order. What comes later under the
/// same name is remembered as shadowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    variables: BTreeMap<String, Variable>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// The line of an env file; `None` for the caller's environment.
    pub(crate) span: Option<Span>,
    /// Values that lost against this one, the newest first; of very many, some.
    pub(crate) shadowed: Vec<(Span, String)>,
}

impl Variable {
    /// Remembers `loser` and what it had won against.
    fn shadow(&mut self, loser: Self) {
        /// A file can give a variable a value a million times.
        const MOST: usize = 32;
        let all = loser.span.map(|span| (span, loser.value)).into_iter().chain(loser.shadowed);
        self.shadowed.extend(all.take(MOST.saturating_sub(self.shadowed.len())));
    }
}

impl Environment {
    /// Makes the environment that the caller has.
    pub(crate) fn of_caller(variables: &BTreeMap<String, String>) -> Self {
        let variable = |value: &String| Variable { value: value.clone(), span: None, shadowed: Vec::new() };
        Self { variables: variables.iter().map(|(name, value)| (name.clone(), variable(value))).collect() }
    }

    /// Returns the value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.value.as_str())
    }

    /// Returns the variable `name`.
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// Gives `name` a value, whatever it had.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        let variable = Variable { value, span: None, shadowed: Vec::new() };
        self.variables.insert(name.to_owned(), variable);
    }

    /// Gives those names of `later` a value that have none.
    pub(crate) fn add(&mut self, later: Self) {
        for (name, variable) in later.variables {
            match self.variables.get_mut(&name) {
                None => {
                    self.variables.insert(name, variable);
                }
                Some(winner) => winner.shadow(variable),
            }
        }
    }

    /// Gives `name` the value that stands at `span`, in place of an earlier one of the same file or of a file before.
    pub(crate) fn assign(&mut self, name: &str, value: String, span: Span) {
        let mut variable = Variable { value, span: Some(span), shadowed: Vec::new() };
        if let Some(earlier) = self.variables.remove(name) {
            variable.shadow(earlier);
        }
        self.variables.insert(name.to_owned(), variable);
    }

    /// Gives all names of `later` its values, in place of earlier ones.
    pub(crate) fn assign_all(&mut self, later: Self) {
        for (name, mut variable) in later.variables {
            if let Some(earlier) = self.variables.remove(&name) {
                variable.shadow(earlier);
            }
            self.variables.insert(name, variable);
        }
    }

    /// Returns how many variables there are.
    pub(crate) fn len(&self) -> usize {
        self.variables.len()
    }

    /// Returns all variables, sorted by name.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// Returns names and values, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable.value.as_str()))
    }
}
