//! Files into one model: each document through its steps, then merged over what came before.
//!
//! ```text
//! read ─ parse ─┐ for each document:
//!               └► resets ─ interpolate ─ check ─ include ─ reset ─ extends ─ merge ──┐
//!                                                    │                                │ for each model:
//!                                                    └── a model of its own ◄─────────┴► complete ─ defaults ─
//!                                                                                        conflicts ─ paths
//! ```
//!
//! The order is the specification: variables are filled in before anything else is looked at; an included service can
//! be extended; a reset meets what earlier files say, and not what this one does.
//!
//! Source: compose-go `loader/loader.go`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{Check, complete};
use crate::environment::Environment;
use crate::extends::BaseFile;
use crate::files::{FileKind, Files};
use crate::paths::Base;
use crate::report::Report;
use crate::reset::Resets;
use crate::sources::Sources;
use crate::tree::node::Node;
use crate::tree::parse::{self, MAX_BYTES, Unreadable};
use crate::tree::path::Path as KeyPath;
use crate::tree::span::{FileId, Span};
use crate::{conflicts, defaults, external, interpolate, merge, paths};

/// The most Compose files that a project may be made of, each counted as often as it is read.
const MAX_FILES: usize = 10_000;
/// The most values that `extends` may copy.
const MAX_COPIES: usize = 200_000;

/// What can go wrong with a file as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileMistake {
    #[error("there is no file `{0}`")]
    Missing(String),
    #[error("`{0}` is a folder")]
    Folder(String),
    #[error("read `{file}`: {error}")]
    Read { file: String, error: std::io::Error },
    #[error("`{0}` is not on this machine, and trice cannot fetch it yet")]
    Remote(String),
    #[error("the project is made of more than {MAX_FILES} Compose files")]
    TooMany,
    #[error("the services that extend others have more than {MAX_COPIES} values together")]
    TooManyCopies,
}

/// A run of the loader.
pub(crate) struct Loader<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) sources: Sources,
    pub(crate) report: Report,
    pub(crate) settings: Settings,
    /// Files that services were extended from, by context and path.
    pub(crate) bases: BTreeMap<(u32, PathBuf), Option<Arc<BaseFile>>>,
    /// Services that were extended from other files, whole, by context, path and name.
    pub(crate) extended: BTreeMap<(u32, PathBuf, String), Option<Arc<Node>>>,
    contexts: u32,
    parsed: usize,
    copied: usize,
}

/// What holds for the whole run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Variables stay as they are written.
    pub(crate) raw: bool,
    /// What `~` stands for.
    pub(crate) home: Option<PathBuf>,
}

/// What holds for one model: the whole project, or one that is included.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) id: u32,
    pub(crate) environment: Arc<Environment>,
    /// The folder that its paths are counted from.
    pub(crate) folder: PathBuf,
    /// The same folder, as seen from the folder of the including model.
    pub(crate) shown: String,
    /// The files that are being read, the outermost first.
    pub(crate) chain: Vec<PathBuf>,
}

/// A file whose documents are there.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) path: PathBuf,
    pub(crate) documents: Vec<Node>,
}

/// Why a file is read, for the message when it cannot be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// The caller asked for it.
    Request,
    /// A value names it.
    Value(Span, &'a KeyPath<'a>),
}

impl<'a> Loader<'a> {
    pub(crate) fn new(files: &'a dyn Files, current_dir: &Path, settings: Settings) -> Self {
        Self {
            files,
            sources: Sources::new(current_dir),
            report: Report::default(),
            settings,
            bases: BTreeMap::new(),
            extended: BTreeMap::new(),
            contexts: 0,
            parsed: 0,
            copied: 0,
        }
    }

    /// Makes the context of a model.
    pub(crate) fn context(
        &mut self,
        environment: &Arc<Environment>,
        folder: PathBuf,
        shown: String,
        chain: Vec<PathBuf>,
    ) -> Context {
        self.contexts += 1;
        Context { id: self.contexts, environment: Arc::clone(environment), folder, shown, chain }
    }

    /// Reads the text of a file.
    pub(crate) fn text(
        &mut self,
        path: &Path,
        environment: &Arc<Environment>,
        cause: Cause<'_>,
    ) -> Result<(FileId, String), Unreadable> {
        let name = || self.sources.shown(path);
        let mistake = match self.files.kind(path) {
            None => FileMistake::Missing(name()),
            Some(FileKind::Folder) => FileMistake::Folder(name()),
            Some(FileKind::File) => match self.files.read(path, MAX_BYTES + 1) {
                Ok(bytes) => return self.open(path, bytes, environment),
                Err(error) => FileMistake::Read { file: name(), error },
            },
        };
        self.refuse(cause, mistake);
        Err(Unreadable)
    }

    /// Notes that something about a file is wrong.
    pub(crate) fn refuse(&mut self, cause: Cause<'_>, mistake: FileMistake) {
        match cause {
            Cause::Request => self.report.mistake_nowhere(mistake),
            Cause::Value(span, path) => self.report.mistake(span, path, mistake),
        };
    }

    /// Gives a file whose bytes are there a number.
    pub(crate) fn open(
        &mut self,
        path: &Path,
        bytes: Vec<u8>,
        environment: &Arc<Environment>,
    ) -> Result<(FileId, String), Unreadable> {
        let file = self.sources.open(path, environment);
        let text = parse::text_of(bytes, file, &mut self.report)?;
        self.sources.fill(file, text.clone());
        Ok((file, text))
    }

    /// Reads a file and parses it.
    pub(crate) fn parsed(
        &mut self,
        path: &Path,
        environment: &Arc<Environment>,
        cause: Cause<'_>,
    ) -> Result<Parsed, Unreadable> {
        self.parsed += 1;
        if self.parsed > MAX_FILES {
            if self.parsed == MAX_FILES + 1 {
                self.refuse(cause, FileMistake::TooMany);
            }
            return Err(Unreadable);
        }
        let (file, text) = self.text(path, environment, cause)?;
        let documents = parse::documents(&text, file, &mut self.report)?;
        Ok(Parsed { path: path.to_owned(), documents })
    }

    /// Makes one model of `files`, the later over the earlier.
    pub(crate) fn model(&mut self, files: Vec<Parsed>, context: &Context) -> Node {
        let span = files.iter().flat_map(|file| &file.documents).next().map(|document| document.span);
        let mut model = merge::empty(span.unwrap_or(Span::file_start(FileId(0))));
        for Parsed { path, documents } in files {
            for document in documents {
                model = self.document(model, document, &path, context);
            }
        }
        complete::check(&mut model, &mut self.report);
        defaults::fill(&mut model, self.settings.raw);
        conflicts::check(&model, &mut self.report);
        model
    }

    /// Makes the paths of a whole model absolute, or relative to the folder of the including one.
    pub(crate) fn resolve_paths(&self, model: &mut Node, folder: &str) {
        paths::resolve(model, Base { folder, home: self.settings.home.as_deref() });
    }

    fn document(&mut self, mut earlier: Node, mut document: Node, file: &Path, context: &Context) -> Node {
        let resets = Resets::collect(&mut document);
        if !self.settings.raw {
            interpolate::fill(&mut document, &context.environment, &mut self.report);
        }
        Check::new(&mut self.report, self.settings.raw).document(&mut document);
        if document.as_map().is_none() {
            return earlier;
        }
        self.include(&mut document, &resets, file, context);
        resets.apply(&mut earlier);
        self.extends(&mut document, &resets, file, context);
        self.drop_version(&mut document);
        let mut merged = merge::models(earlier, document, &mut self.report);
        external::rewrite(&mut merged, &mut self.report);
        merged
    }

    fn drop_version(&mut self, document: &mut Node) {
        if let Some(entry) = document.as_map_mut().and_then(|map| map.remove("version")) {
            let path = KeyPath::Root.key("version");
            if entry.node.is_null() {
                self.report.mistake(entry.key, path, "this must be a text, not nothing").hint("remove it");
                return;
            }
            self.report
                .warning(entry.key, path, "`version` is out of use, and says nothing")
                .hint("remove it");
        }
    }

    /// Returns a copy of `node`, unless all copies together grow beyond measure.
    pub(crate) fn copy(&mut self, node: &Node, cause: Cause<'_>) -> Result<Node, Unreadable> {
        let before = self.copied;
        self.copied += size(node);
        if self.copied <= MAX_COPIES {
            return Ok(node.clone());
        }
        if before <= MAX_COPIES {
            self.refuse(cause, FileMistake::TooManyCopies);
        }
        Err(Unreadable)
    }
}

/// Returns the number of values in `node`.
fn size(node: &Node) -> usize {
    let items = node.as_list().unwrap_or_default().iter().map(size).sum::<usize>();
    let values = node.as_map().map_or(0, |map| map.iter().map(|(_, value)| size(value)).sum());
    1 + items + values
}

/// Tells whether `path` is one that only a network can lead to.
pub(crate) fn is_remote(path: &str) -> bool {
    let schemes = ["oci://", "https://", "http://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|scheme| path.starts_with(scheme))
}
