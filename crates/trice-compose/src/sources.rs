//! The files that were read, and the environments that they were read under.
//!
//! Each file remembers its environment, and each node its file: so the variables of an included model are looked up in
//! that model's `.env` to the very end, when its `env_file` is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use crate::diagnostic::{Diagnostic, Place, Related};
use crate::environment::Environment;
use crate::report::{Finding, Findings};
use crate::tree::span::{FileId, Span};

/// The files that were read, by number.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
    /// The folder whose files are shown by their relative path.
    current_dir: PathBuf,
}

#[derive(Debug)]
struct Source {
    name: String,
    text: String,
    /// The bytes at which its lines begin, counted when they are first needed.
    lines: OnceLock<Vec<u32>>,
    environment: Arc<Environment>,
}

impl Sources {
    /// Makes an empty list. Files below `current_dir` will be shown by their path from there.
    pub(crate) fn new(current_dir: &Path) -> Self {
        Self { files: Vec::new(), current_dir: current_dir.to_owned() }
    }

    /// Gives the file at `path`, which is read under `environment`, its number. Its text comes later, by
    /// [`Sources::fill`].
    pub(crate) fn open(&mut self, path: &Path, environment: &Arc<Environment>) -> FileId {
        let name = self.shown(path);
        let environment = Arc::clone(environment);
        self.files.push(Source { name, text: String::new(), lines: OnceLock::new(), environment });
        FileId(self.files.len() as u32 - 1)
    }

    /// Puts all files that were opened so far under `environment`.
    pub(crate) fn rebase(&mut self, environment: &Arc<Environment>) {
        for file in &mut self.files {
            file.environment = Arc::clone(environment);
        }
    }

    /// Returns `path` counted from the current directory.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        self.current_dir.join(path)
    }

    /// Returns `path` as it is shown.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.current_dir).unwrap_or(path).display().to_string()
    }

    /// Keeps the text of `file`, for excerpts.
    pub(crate) fn fill(&mut self, file: FileId, text: String) {
        if let Some(source) = self.files.get_mut(file.0 as usize) {
            source.text = text;
        }
    }

    /// Returns the environment that `span`'s file was read under.
    pub(crate) fn environment(&self, span: Span) -> Option<&Arc<Environment>> {
        self.files.get(span.file.0 as usize).map(|source| &source.environment)
    }

    /// Returns the name of `span`'s file and its first line, or what of that is worth showing.
    pub(crate) fn place(&self, span: Span) -> Place {
        let source = self.files.get(span.file.0 as usize);
        let line = source.and_then(|source| source.line(span.start.line));
        let (cut, excerpt) = excerpt(line.unwrap_or_default(), span.start.column);
        Place {
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: span.start.line,
            column: span.start.column,
            excerpt,
            cut,
        }
    }

    /// Returns what was found as the reader sees it, in the order of files and lines.
    pub(crate) fn diagnose(&self, findings: Findings) -> Vec<Diagnostic> {
        let (mut findings, more) = findings.into_parts();
        findings.sort_by_key(|finding| finding.span.map(|span| (span.file, span.start)));
        let diagnostic = |finding: Finding| Diagnostic {
            place: finding.span.map(|span| self.place(span)),
            path: finding.path,
            message: finding.message,
            hint: finding.hint,
            related: finding
                .related
                .into_iter()
                .map(|(span, message)| Related { place: self.place(span), message })
                .collect(),
        };
        let mut diagnostics: Vec<Diagnostic> = findings.into_iter().map(diagnostic).collect();
        if more > 0 {
            let message = format!("and {more} more like these");
            let (path, hint, related) = (String::new(), None, Vec::new());
            diagnostics.push(Diagnostic { place: None, path, message, hint, related });
        }
        diagnostics
    }
}

/// Returns what is shown of `line` around `column`, and how many characters are left out before it.
///
/// One line of a file that no person wrote can be megabytes, and a thousand mistakes can be in it.
fn excerpt(line: &str, column: u32) -> (u32, String) {
    /// In characters.
    const WIDEST: usize = 160;
    /// In bytes: to find the characters around a column, all before it are counted.
    const LONGEST: usize = 64 << 10;
    if line.len() > LONGEST {
        return (0, String::new());
    }
    let before = column.saturating_sub(1) as usize;
    let cut = if before < WIDEST { 0 } else { before - WIDEST / 2 };
    (cut as u32, line.chars().skip(cut).take(WIDEST).collect())
}

impl Source {
    /// Returns line `number`, counted from 1.
    fn line(&self, number: u32) -> Option<&str> {
        let starts = || self.text.match_indices('\n').map(|(at, _)| at as u32 + 1);
        let lines = self.lines.get_or_init(|| std::iter::once(0).chain(starts()).collect());
        let start = *lines.get(number.checked_sub(1)? as usize)? as usize;
        let end = lines.get(number as usize).map_or(self.text.len(), |next| *next as usize);
        // Not `lines`, which would look for the end that is known.
        Some(self.text[start..end].trim_end_matches(['\r', '\n']))
    }
}
