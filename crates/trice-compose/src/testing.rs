//! What the tests of this crate share: files in memory, a request over them, trees and findings as text.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::check::{Check, complete};
use crate::config::yaml;
use crate::diagnostic::{Diagnostic, Mistakes};
use crate::files::{FileKind, Files};
use crate::load::{Loaded, load, model};
use crate::report::{Finding, Findings, Report};
use crate::request::Request;
use crate::tree::node::{Node, Tag, Value};
use crate::tree::parse;
use crate::tree::scalar::format_float;
use crate::tree::span::FileId;

/// Writes a tree in one line; texts are quoted.
pub(crate) fn outline(node: &Node) -> String {
    let tag = match node.tag {
        Tag::None | Tag::Merge => "",
        Tag::Reset => "!reset ",
        Tag::Override => "!override ",
    };
    let value = match &node.value {
        Value::Null => "~".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{}f", format_float(*number)),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}: {}", outline(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Bad => "BAD".to_owned(),
    };
    format!("{tag}{value}")
}

/// Writes findings, one a line: line, column, key path, message, related lines.
pub(crate) fn problems(findings: &Findings) -> String {
    let line = |finding: &Finding| {
        let place =
            finding.span.map_or("-".to_owned(), |span| format!("{}:{}", span.start.line, span.start.column));
        let related: String = finding
            .related
            .iter()
            .map(|(span, text)| format!(" ({text}: line {})", span.start.line))
            .collect();
        format!("{place} {}: {}{related}", finding.path, finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Parses one document that is right.
pub(crate) fn tree(text: &str) -> Node {
    let mut report = Report::default();
    let documents = parse::documents(text, FileId(0), &mut report);
    let trees = documents.unwrap_or_default();
    assert!(report.mistakes.is_empty(), "{}", problems(&report.mistakes));
    trees.into_iter().next().expect("the text has a document")
}

/// Parses and checks a document; returns what became of it, or what is wrong with it.
pub(crate) fn checked(text: &str) -> String {
    let mut root = tree(text);
    let mut report = Report::default();
    Check::new(&mut report, false).document(&mut root);
    if report.mistakes.is_empty() { outline(&root) } else { problems(&report.mistakes) }
}

/// Parses and checks a document that is right but for what [`complete`] finds; returns that.
pub(crate) fn completed(text: &str) -> String {
    let mut root = tree(text);
    let mut report = Report::default();
    Check::new(&mut report, false).document(&mut root);
    assert!(report.mistakes.is_empty(), "{}", problems(&report.mistakes));
    complete::check(&mut root, &mut report);
    problems(&report.mistakes)
}

/// Files in memory, by absolute path.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Makes a file system of these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.0.contains_key(path) {
            return Some(FileKind::File);
        }
        self.0.keys().any(|file| file.starts_with(path)).then_some(FileKind::Folder)
    }
}

/// Asks for the project in `/p`, with nothing but `HOME` set.
pub(crate) fn request() -> Request {
    Request { current_dir: PathBuf::from("/p"), home: Some(PathBuf::from("/home/me")), ..Request::default() }
}

/// Loads the project `/p/compose.yaml`, whose text this is.
pub(crate) fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    load(&request(), &Memory::new(&[("/p/compose.yaml", text)]))
}

/// Resolves a project, and writes its model as YAML; or what is wrong with it, a line for each mistake.
pub(crate) fn config(request: &Request, files: &[(&str, &str)]) -> String {
    match model(request, &Memory::new(files)) {
        Ok((model, _)) => yaml(&model),
        Err(Mistakes(mistakes)) => briefly(&mistakes),
    }
}

/// Writes diagnostics, one a line, without excerpts.
pub(crate) fn briefly(diagnostics: &[Diagnostic]) -> String {
    let line = |told: &Diagnostic| {
        let place = told.place.as_ref().map(|place| format!("{place} ")).unwrap_or_default();
        let related: Vec<String> =
            told.related.iter().map(|other| format!(" ({}: {})", other.place, other.message)).collect();
        let hint = told.hint.as_ref().map(|hint| format!(" [{hint}]")).unwrap_or_default();
        format!("{place}{}: {}{}{hint}", told.path, told.message, related.join(""))
    };
    diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Loads a project from its text; returns what is wrong with it, or what is worth saying.
pub(crate) fn told(text: &str) -> String {
    match load_text(text) {
        Err(Mistakes(mistakes)) => briefly(&mistakes),
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(|told| ("warning", told));
            let idle = loaded.idle.iter().map(|told| ("idle", told));
            let all = warnings.chain(idle).chain(loaded.not_honoured.iter().map(|told| ("not yet", told)));
            all.map(|(kind, told)| format!("{kind}: {}", briefly(std::slice::from_ref(told))))
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// Loads a project from its text, and writes what it asks for as YAML; what is empty, false or null is left out.
pub(crate) fn project(text: &str) -> String {
    match load_text(text) {
        Err(Mistakes(mistakes)) => briefly(&mistakes),
        Ok(loaded) => {
            let mut value = serde_json::to_value(&loaded.project).expect("a project is JSON");
            strip(&mut value);
            crate::config::yaml::write(&value)
        }
    }
}

fn strip(value: &mut Json) {
    if let Json::Object(fields) = value {
        fields.values_mut().for_each(strip);
        fields.retain(|_, value| match value {
            Json::Null | Json::Bool(false) => false,
            Json::Array(items) => !items.is_empty(),
            Json::Object(fields) => !fields.is_empty(),
            Json::Bool(true) | Json::Number(_) | Json::String(_) => true,
        });
    }
}
