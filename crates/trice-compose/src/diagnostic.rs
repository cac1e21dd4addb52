//! What the reader of a Compose file is told: the place, the key path, the mistake, a way out.
//!
//! ```text
//! compose.yaml:14:9: services.web.ports[0]: host port `80800` is above 65535
//!   14 |       - 80800:80
//!      |         ^
//! hint: ports end at 65535
//! ```

use std::fmt;

use serde::Serialize;

/// Something that the reader is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Where it is; `None` for what is in no file.
    pub place: Option<Place>,
    /// The key path, such as `services.web.ports[0]`; empty for what concerns a file as a whole.
    pub path: String,
    /// What it is.
    pub message: String,
    /// A way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Other places that have to do with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as seen from the current directory.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// The line's text, or of a long one what is around the column.
    pub excerpt: String,
    /// How many characters of the line are left out before the excerpt.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Another place that has to do with a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// The place.
    pub place: Place,
    /// What it has to do with it.
    pub message: String,
}

/// All that is wrong with a project, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", written(.0))]
#[serde(transparent)]
pub struct Mistakes(pub Vec<Diagnostic>);

fn written(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Place {
    /// Writes the line with a mark under the column.
    fn excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.excerpt.trim().is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let blank = " ".repeat(number.len());
        let column = self.column.saturating_sub(1).saturating_sub(self.cut) as usize;
        // Tabs keep their width, so that the mark stands below its character.
        let indent = |c: char| if c == '\t' { '\t' } else { ' ' };
        let before: String = self.excerpt.chars().take(column).map(indent).collect();
        write!(f, "\n  {number} | {}\n  {blank} | {before}^", self.excerpt.trim_end())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            place.excerpt(f)?;
        }
        for Related { place, message } in &self.related {
            write!(f, "\n{place}: {message}")?;
            place.excerpt(f)?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::load_text;

    fn at(column: u32, excerpt: &str) -> Diagnostic {
        Diagnostic {
            place: Some(Place {
                file: "compose.yaml".to_owned(),
                line: 14,
                column,
                excerpt: excerpt.to_owned(),
                cut: 0,
            }),
            path: "services.web.ports[0]".to_owned(),
            message: "host port `80800` is above 65535".to_owned(),
            hint: Some("ports end at 65535".to_owned()),
            related: Vec::new(),
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_mark_below_it() {
        insta::assert_snapshot!(at(9, "      - 80800:80").to_string(), @"
        compose.yaml:14:9: services.web.ports[0]: host port `80800` is above 65535
          14 |       - 80800:80
             |         ^
        hint: ports end at 65535
        ");
    }

    #[test]
    fn the_mark_stands_right_after_tabs() {
        let shown = at(3, "\t\tx").to_string();
        assert!(shown.contains("\n     | \t\t^"), "{shown}");
    }

    #[test]
    fn of_a_long_line_what_is_around_the_column_is_shown() {
        let text = format!("x-a: [{}{{a: 1, a: 2}}, {}]", "1, ".repeat(300), "2, ".repeat(300));
        let shown = told(&text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].chars().nth(lines[2].find('^').expect("there is a mark")), Some('a'), "{shown}");
        assert!(lines[1].len() < 200);
        let megabytes = format!("x-a: [{}{{a: 1, a: 2}}]", "1, ".repeat(100_000));
        assert!(told(&megabytes).len() < 300);
    }

    fn told(text: &str) -> String {
        load_text(text).expect_err("a key is there twice").to_string()
    }
}
