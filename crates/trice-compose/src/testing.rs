//! What the tests of this crate share: files in memory, a request over them, trees and findings as text.

use crate::check::{Check, complete};
use crate::report::{Finding, Report};
use crate::tree::node::{Node, Tag, Value};
use crate::tree::parse;
use crate::tree::scalar::format_float;
use crate::tree::span::FileId;

/// Writes a tree in one line; texts are quoted.
pub(crate) fn outline(node: &Node) -> String {
    let tag = match node.tag {
        Tag::None => "",
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
pub(crate) fn problems(findings: &[Finding]) -> String {
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
    Check { report: &mut report, raw: false }.document(&mut root);
    if report.mistakes.is_empty() { outline(&root) } else { problems(&report.mistakes) }
}

/// Parses and checks a document that is right but for what [`complete`] finds; returns that.
pub(crate) fn completed(text: &str) -> String {
    let mut root = tree(text);
    let mut report = Report::default();
    Check { report: &mut report, raw: false }.document(&mut root);
    assert!(report.mistakes.is_empty(), "{}", problems(&report.mistakes));
    complete::check(&mut root, &mut report);
    problems(&report.mistakes)
}
