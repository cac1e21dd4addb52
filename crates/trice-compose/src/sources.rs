//! The files that were read, and the environments that they were read under.
//!
//! Each file remembers its environment, and each node its file: so the variables of an included model are looked up in
//! that model's `.env` to the very end, when its `env_file` is read.

use std::path::{Path, PathBuf};
use std::rc::Rc;

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
    environment: Rc<Environment>,
}

impl Sources {
    /// Makes an empty list. Files below `current_dir` will be shown by their path from there.
    pub(crate) fn new(current_dir: &Path) -> Self {
        Self { files: Vec::new(), current_dir: current_dir.to_owned() }
    }

    /// Gives the file at `path`, which is read under `environment`, its number. Its text comes later, by
    /// [`Sources::fill`].
    pub(crate) fn open(&mut self, path: &Path, environment: &Rc<Environment>) -> FileId {
        let name = self.shown(path);
        self.files.push(Source { name, text: String::new(), environment: Rc::clone(environment) });
        FileId(self.files.len() as u32 - 1)
    }

    /// Puts all files that were opened so far under `environment`.
    pub(crate) fn rebase(&mut self, environment: &Rc<Environment>) {
        for file in &mut self.files {
            file.environment = Rc::clone(environment);
        }
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
    pub(crate) fn environment(&self, span: Span) -> Option<&Rc<Environment>> {
        self.files.get(span.file.0 as usize).map(|source| &source.environment)
    }

    /// Returns the name of `span`'s file and its first line.
    pub(crate) fn place(&self, span: Span) -> Place {
        let source = self.files.get(span.file.0 as usize);
        let line =
            source.and_then(|source| source.text.lines().nth(span.start.line.saturating_sub(1) as usize));
        Place {
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: span.start.line,
            column: span.start.column,
            excerpt: line.unwrap_or_default().to_owned(),
        }
    }

    /// Returns what was found as the reader sees it, in the order of files and lines.
    pub(crate) fn diagnose(&self, mut findings: Vec<Finding>) -> Vec<Diagnostic> {
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
        findings.into_iter().map(diagnostic).collect()
    }
}
