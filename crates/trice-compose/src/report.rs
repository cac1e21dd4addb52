//! What a run finds wrong or worth saying, gathered while the steps go on.
//!
//! A step hands in a place, a key path and one of its own mistakes, and goes on with the next value: the reader of a
//! file gets all of it at once.

use std::fmt::Display;

use crate::tree::span::Span;

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) mistakes: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) not_honoured: Vec<Finding>,
}

/// Something found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) span: Option<Span>,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) related: Vec<(Span, String)>,
}

impl Report {
    /// Notes a mistake at `span`, where the key path is `path`.
    pub(crate) fn mistake(&mut self, span: Span, path: impl Display, mistake: impl Display) -> &mut Finding {
        note(&mut self.mistakes, Some(span), path.to_string(), mistake.to_string())
    }

    /// Notes a mistake that is in no file.
    pub(crate) fn mistake_nowhere(&mut self, mistake: impl Display) -> &mut Finding {
        note(&mut self.mistakes, None, String::new(), mistake.to_string())
    }

    /// Notes something that works, but perhaps not as it is meant.
    pub(crate) fn warning(&mut self, span: Span, path: impl Display, warning: impl Display) -> &mut Finding {
        note(&mut self.warnings, Some(span), path.to_string(), warning.to_string())
    }

    /// Notes a warning that is about no file.
    pub(crate) fn warning_nowhere(&mut self, warning: impl Display) -> &mut Finding {
        note(&mut self.warnings, None, String::new(), warning.to_string())
    }

    /// Notes something that is right, but that trice cannot do yet.
    pub(crate) fn not_honoured(
        &mut self,
        span: Span,
        path: impl Display,
        what: impl Display,
    ) -> &mut Finding {
        note(&mut self.not_honoured, Some(span), path.to_string(), what.to_string())
    }
}

impl Finding {
    /// Adds a way out.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place that has to do with it.
    pub(crate) fn related(&mut self, span: Span, message: impl Into<String>) -> &mut Self {
        self.related.push((span, message.into()));
        self
    }
}

fn note(list: &mut Vec<Finding>, span: Option<Span>, path: String, message: String) -> &mut Finding {
    list.push(Finding { span, path, message, hint: None, related: Vec::new() });
    let last = list.len() - 1;
    &mut list[last]
}
