//! What a run finds wrong or worth saying, gathered while the steps go on.
//!
//! A step hands in a place, a key path and one of its own mistakes, and goes on with the next value: the reader of a
//! file gets all of it at once.

use std::fmt::Display;

use crate::tree::span::Span;

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) mistakes: Findings,
    pub(crate) warnings: Findings,
    pub(crate) not_honoured: Findings,
    /// What means nothing on this platform.
    pub(crate) idle: Findings,
}

/// Findings of one kind. Nobody reads on after a thousand: of more, only the number is kept.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    more: usize,
    /// Takes what is added to a finding that is not kept.
    dropped: Finding,
}

/// Something found.
#[derive(Debug, Default)]
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
        self.mistakes.note(Some(span), &path, &mistake)
    }

    /// Notes a mistake that is in no file.
    pub(crate) fn mistake_nowhere(&mut self, mistake: impl Display) -> &mut Finding {
        self.mistakes.note(None, &"", &mistake)
    }

    /// Notes something that works, but perhaps not as it is meant.
    pub(crate) fn warning(&mut self, span: Span, path: impl Display, warning: impl Display) -> &mut Finding {
        self.warnings.note(Some(span), &path, &warning)
    }

    /// Notes a warning that is about no file.
    pub(crate) fn warning_nowhere(&mut self, warning: impl Display) -> &mut Finding {
        self.warnings.note(None, &"", &warning)
    }

    /// Notes something that is right, and that means nothing on this platform.
    pub(crate) fn idle(&mut self, span: Span, path: impl Display, what: impl Display) -> &mut Finding {
        self.idle.note(Some(span), &path, &what)
    }

    /// Notes something that is right, but that trice cannot do yet.
    pub(crate) fn not_honoured(
        &mut self,
        span: Span,
        path: impl Display,
        what: impl Display,
    ) -> &mut Finding {
        self.not_honoured.note(Some(span), &path, &what)
    }
}

impl Finding {
    /// Adds a way out.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place that has to do with it; of very many, the first.
    pub(crate) fn related(&mut self, span: Span, message: impl Into<String>) -> &mut Self {
        const MOST: usize = 20;
        if self.related.len() < MOST {
            self.related.push((span, shortened(&message.into())));
        }
        self
    }
}

impl Findings {
    const MOST: usize = 1_000;

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Tells whether no more is kept, so that it is not worth while to say more than that it is there.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= Self::MOST
    }

    /// Returns the findings that were kept, and the number of those that were not.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        (self.kept, self.more)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter()
    }

    fn note(&mut self, span: Option<Span>, path: &dyn Display, message: &dyn Display) -> &mut Finding {
        if self.is_full() {
            self.more += 1;
            self.dropped = Finding::default();
            return &mut self.dropped;
        }
        let (path, message) = (shortened(path), shortened(message));
        self.kept.push(Finding { span, path, message, hint: None, related: Vec::new() });
        let last = self.kept.len() - 1;
        &mut self.kept[last]
    }
}

/// Writes `text`; of what would fill screens, the beginning: a key can be megabytes.
fn shortened(text: &dyn Display) -> String {
    const LONGEST: usize = 2_000;
    let mut text = text.to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::span::FileId;

    #[test]
    fn what_nobody_reads_is_counted_and_not_kept() {
        let mut report = Report::default();
        let span = Span::file_start(FileId(0));
        for _ in 0..1_005 {
            report.mistake(span, "a".repeat(5_000), "wrong").hint("right").related(span, "there");
        }
        let (kept, more) = report.mistakes.into_parts();
        assert_eq!((kept.len(), more), (1_000, 5));
        assert_eq!(kept[0].path.chars().count(), 2_001);
    }
}
