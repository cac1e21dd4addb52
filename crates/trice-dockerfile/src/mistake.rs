//! What the reader of a Dockerfile is told: the lines, the mistake, a way out.
//!
//! ```text
//! Dockerfile:3: there is no instruction `RNU`
//!    2 | WORKDIR /src
//!    3 > RNU make
//!    4 | CMD ["./app"]
//! hint: did you mean `RUN`?
//! ```

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// Lines of a Dockerfile, counted from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lines {
    /// The first one.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Lines {
    /// Returns a single line.
    pub fn one(line: u32) -> Self {
        Self { first: line, last: line }
    }
}

/// Something that is wrong with a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub lines: Lines,
    /// What it is.
    pub message: String,
    /// A way out.
    pub hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(lines: Lines, message: impl Into<String>) -> Self {
        Self { lines, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// All that is wrong with a Dockerfile, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Writes them for whoever knows the Dockerfile by the name `file`; `source` is its text.
    pub fn shown(&self, file: &str, source: &str) -> String {
        let mut text = String::new();
        for Mistake { lines, message, hint } in &self.0 {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = write!(text, "{file}:{}: {message}{}", lines.first, Excerpt { source, lines: *lines });
            if let Some(hint) = hint {
                let _ = write!(text, "\nhint: {hint}");
            }
        }
        text
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

/// Lines of a Dockerfile with those around them, each on a line of its own, and a mark at those that are meant.
pub struct Excerpt<'a> {
    /// The Dockerfile's text.
    pub source: &'a str,
    /// The lines that are meant.
    pub lines: Lines,
}

/// How many lines are shown before and after.
const AROUND: u32 = 2;
/// A longer instruction is shown by its beginning and its end.
const MOST: usize = 16;
/// A longer line is cut.
const WIDEST: usize = 160;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines { first, last } = self.lines;
        let from = first.saturating_sub(AROUND).max(1);
        let until = last.saturating_add(AROUND);
        let numbered = (1..=until).zip(self.source.lines());
        let shown: Vec<_> = numbered.skip(from as usize - 1).collect();
        let width = until.to_string().len().max(4);
        for (index, (number, line)) in shown.iter().enumerate() {
            if shown.len() > MOST && (MOST / 2..shown.len() - MOST / 2).contains(&index) {
                if index == MOST / 2 {
                    write!(f, "\n{:>width$} :", "")?;
                }
                continue;
            }
            let mark = if (first..=last).contains(number) { '>' } else { '|' };
            let line: String = line.trim_end().chars().take(WIDEST).collect();
            write!(f, "\n{number:>width$} {mark} {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_the_lines_around_it() {
        let source = "FROM a\nWORKDIR /src\nRNU make \\\n  all\nCMD x\n# a\n# b\n";
        let lines = Lines { first: 3, last: 4 };
        let mistakes =
            Mistakes::from(Mistake::new(lines, "there is no instruction `RNU`").hint("write `RUN`"));
        insta::assert_snapshot!(mistakes.shown("Dockerfile", source), @r"
        Dockerfile:3: there is no instruction `RNU`
           1 | FROM a
           2 | WORKDIR /src
           3 > RNU make \
           4 >   all
           5 | CMD x
           6 | # a
        hint: write `RUN`
        ");
    }

    #[test]
    fn a_long_instruction_is_shown_by_its_beginning_and_its_end() {
        let source: String = (1..=200).map(|number| format!("line {number}\n")).collect();
        let shown = Excerpt { source: &source, lines: Lines { first: 10, last: 190 } }.to_string();
        assert_eq!(shown.lines().count(), 1 + MOST + 1, "{shown}");
        assert!(shown.contains("\n  10 > line 10\n") && shown.ends_with("\n 192 | line 192"), "{shown}");
    }
}
