//! The files that were read, and the environments that they were read under.
//!
//! Each file remembers its environment, and each node its file: so the variables of an included model are looked up in
//! that model's `.env` to the very end, when its `env_file` is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use crate::diagnostic::{Diagnostic, Place, Related};
use crate::environment::Environment;
use crate::report::Finding;
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

    /// Returns the name of `span`'s file and its first line.
    pub(crate) fn place(&self, span: Span) -> Place {
        let source = self.files.get(span.file.0 as usize);
        let line = source.and_then(|source| source.line(span.start.line));
        Place {
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: span.start.line,
            column: span.start.column,
            excerpt: line.unwrap_or_default().to_owned(),
        }
    }

    /// Returns what was found as the reader sees it, in the order of files and lines; of very much, the beginning.
    pub(crate) fn diagnose(&self, mut findings: Vec<Finding>) -> Vec<Diagnostic> {
        /// Nobody reads on.
        const MOST: usize = 1_000;
        findings.sort_by_key(|finding| finding.span.map(|span| (span.file, span.start)));
        let more = findings.len().saturating_sub(MOST);
        findings.truncate(MOST);
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

impl Source {
    /// Returns line `number`, counted from 1.
    fn line(&self, number: u32) -> Option<&str> {
        let starts = || self.text.match_indices('\n').map(|(at, _)| at as u32 + 1);
        let lines = self.lines.get_or_init(|| std::iter::once(0).chain(starts()).collect());
        let start = *lines.get(number.checked_sub(1)? as usize)? as usize;
        self.text[start..].lines().next()
    }
}
