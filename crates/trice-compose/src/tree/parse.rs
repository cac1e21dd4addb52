//! YAML text into trees: the parser's events, composed under the rules of go-yaml and of Compose.
//!
//! The parser is a port of libyaml, as go-yaml is. A parser of YAML 1.2 to the letter refuses what people write and Docker
//! Compose takes: a closing bracket below the first letter of its key, a tab after a colon.
//!
//! ```text
//! bytes ─ text ─ events ─► frames (open lists and mappings) ─► a tree for each document
//!                            │ anchors: a copy of each finished node, put in again at its aliases
//!                            └ merge keys `<<`: filled in when the mapping closes, what is written out wins
//! ```
//!
//! What could take the machine down is refused before it is built: the nodes of a file are counted, copies included,
//! and nesting is bounded. A list or mapping that contains itself cannot be built at all, since an alias copies what
//! is finished.
//!
//! Sources: YAML 1.2.2; YAML 1.1 "Merge Key Language-Independent Type"; go-yaml 3 `decode.go`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufReader;

use libyaml_safer::{Error as YamlError, Event, EventData, Parser, ScalarStyle};
use trice_model::suggest;

use crate::report::Report;
use crate::tree::complaint;
use crate::tree::mapping::Mapping;
use crate::tree::node::{Node, Tag, Value};
use crate::tree::path::Path;
use crate::tree::scalar;
use crate::tree::span::{FileId, Mark, Span};

/// The largest file that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// The most values in a file, copies of anchors included.
const MAX_NODES: usize = 400_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 100;

/// What a YAML text can do wrong.
#[derive(Debug, thiserror::Error)]
enum YamlMistake {
    #[error("the file is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("byte {offset:#04x} is not UTF-8")]
    NotUtf8 { offset: u8 },
    #[error("control character {0:#04x} is not allowed")]
    ControlCharacter(u32),
    #[error("this is not YAML: {0}")]
    Syntax(String),
    #[error("lists and mappings are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the file has more than {MAX_NODES} values, those that aliases repeat included")]
    TooMany,
    #[error("this alias stands inside of what it repeats")]
    Cycle,
    #[error("there is no anchor `&{0}` above")]
    NoAnchor(String),
    #[error("key `{0}` is written twice")]
    DuplicateKey(String),
    #[error("key `{0}` is {1}, and keys are texts")]
    KeyNotText(String, &'static str),
    #[error("a key is {0}, and keys are texts")]
    KeyNotScalar(&'static str),
    #[error("`<<` takes a mapping or a list of mappings, not {0}")]
    BadMerge(&'static str),
    #[error("`{text}` is not {wanted}, as its tag says")]
    BadTag { text: String, wanted: &'static str },
}

/// A file that could not be read to its end. Why has been reported.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// Returns the text of a file's bytes, without a byte-order mark.
pub(crate) fn text_of(bytes: Vec<u8>, file: FileId, report: &mut Report) -> Result<String, Unreadable> {
    if bytes.len() > MAX_BYTES {
        report.mistake(Span::file_start(file), Path::Root, YamlMistake::TooLarge);
        return Err(Unreadable);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let (good, bad) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
            let offset = bad.first().copied().unwrap_or_default();
            let place = mark_at(&String::from_utf8_lossy(good), file);
            let finding = report.mistake(place, Path::Root, YamlMistake::NotUtf8 { offset });
            finding.hint("save the file as UTF-8");
            Err(Unreadable)
        }
    }
}

/// Returns the trees of the documents in `text`.
pub(crate) fn documents(text: &str, file: FileId, report: &mut Report) -> Result<Vec<Node>, Unreadable> {
    let is_control = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if let Some((offset, control)) = text.char_indices().find(|(_, c)| is_control(*c)) {
        let mistake = YamlMistake::ControlCharacter(u32::from(control));
        report.mistake(mark_at(&text[..offset], file), Path::Root, mistake);
        return Err(Unreadable);
    }
    // The parser breaks down where a line has no end.
    let is_ended = text.is_empty() || text.ends_with('\n');
    let ended: Cow<'_, str> = if is_ended { text.into() } else { format!("{text}\n").into() };
    let parted: Cow<'_, str> = match tags_before_commas(&ended) {
        commas if commas.is_empty() => ended,
        commas => without_tags_before_commas(&ended, &commas).into(),
    };
    let mut composer = Composer::new(file, report);
    let mut parser = Parser::new();
    // Whatever it is given at once it turns into characters of four bytes.
    parser.set_input(BufReader::with_capacity(64 << 10, parted.as_bytes()));
    for event in parser {
        let mut event = event.map_err(|error| composer.refuse(&error, &parted))?;
        if !is_ended {
            without_added_line(&mut event, parted.len());
        }
        composer.take(event)?;
        if composer.report.mistakes.is_full() {
            return Err(Unreadable);
        }
    }
    Ok(composer.documents)
}

/// Returns the commas before which a tag in brackets may stand. The parser breaks down there.
fn tags_before_commas(text: &str) -> Vec<usize> {
    let Some(open) = text.find(['[', '{']) else { return Vec::new() };
    // A single quote may stand in a tag, and a tag right behind whatever ends itself.
    let in_tag = |c: char| !c.is_whitespace() && !"[]{},\"".contains(c);
    let begins = |at: usize| text[..at].ends_with(|c: char| c.is_whitespace() || "[]{},:?-\"'".contains(c));
    let starts = text[open..].match_indices('!').map(|(at, _)| open + at).filter(|at| begins(*at));
    let mut commas = Vec::new();
    for start in starts {
        let comma = text.len() - text[start..].trim_start_matches(in_tag).len();
        if text[comma..].starts_with(',') && commas.last() != Some(&comma) {
            commas.push(comma);
        }
    }
    commas
}

/// Puts a blank before those of `commas` that no scalar holds: it parts the tag from the comma, and says nothing.
///
/// Which of them a scalar holds is seen when all have a blank.
fn without_tags_before_commas(text: &str, commas: &[usize]) -> String {
    let parted = with_blanks(text, commas.iter().copied());
    // Each comma has moved by the blanks up to its own.
    let moved: Vec<usize> = commas.iter().enumerate().map(|(at, comma)| comma + at + 1).collect();
    let mut held = vec![false; commas.len()];
    let mut parser = Parser::new();
    parser.set_input(BufReader::with_capacity(64 << 10, parted.as_bytes()));
    for event in parser.map_while(Result::ok) {
        if matches!(&event.data, EventData::Scalar { value, .. } if !value.is_empty()) {
            let first = moved.partition_point(|comma| *comma < event.start_mark.index as usize);
            let end = moved.partition_point(|comma| *comma < event.end_mark.index as usize);
            held[first..end].fill(true);
        }
    }
    with_blanks(text, commas.iter().zip(held).filter(|(_, held)| !held).map(|(comma, _)| *comma))
}

fn with_blanks(text: &str, places: impl Iterator<Item = usize>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        out.push_str(&text[from..place]);
        out.push(' ');
        from = place;
    }
    out.push_str(&text[from..]);
    out
}

/// Takes the line end that was added at the end of a text, of so many bytes, out of a block scalar that ends there.
fn without_added_line(event: &mut Event, length: usize) {
    let at_end = event.end_mark.index as usize >= length;
    if let EventData::Scalar { value, style: ScalarStyle::Literal | ScalarStyle::Folded, .. } =
        &mut event.data
        && at_end
        && value.ends_with('\n')
    {
        value.pop();
    }
}

/// Returns the place right after `before`.
fn mark_at(before: &str, file: FileId) -> Span {
    let last = before.rsplit('\n').next().unwrap_or_default();
    let line = before.matches('\n').count() as u32 + 1;
    let start = Mark { line, column: last.chars().count() as u32 + 1 };
    Span { file, start, end: start }
}

fn mark_of(mark: libyaml_safer::Mark) -> Mark {
    Mark { line: mark.line as u32 + 1, column: mark.column as u32 + 1 }
}

/// A list or mapping that is still open.
struct Frame {
    span: Span,
    anchor: Option<String>,
    tag: Tag,
    content: Content,
    /// How many nodes it holds, itself included.
    size: usize,
}

enum Content {
    List(Vec<Node>),
    Map { map: Mapping, key: Option<Key>, merges: Option<Node> },
}

/// A key whose value comes next.
enum Key {
    Text(String, Span),
    Merge,
    /// It has been reported; its value is dropped.
    Bad,
}

/// A finished node that has an anchor.
#[derive(Clone)]
struct Anchored {
    node: Node,
    size: usize,
}

struct Composer<'a> {
    file: FileId,
    report: &'a mut Report,
    frames: Vec<Frame>,
    /// Nothing while the node is still open.
    anchors: BTreeMap<String, Option<Anchored>>,
    documents: Vec<Node>,
    nodes: usize,
}

impl<'a> Composer<'a> {
    fn new(file: FileId, report: &'a mut Report) -> Self {
        Self { file, report, frames: Vec::new(), anchors: BTreeMap::new(), documents: Vec::new(), nodes: 0 }
    }

    /// Notes what the parser complains about.
    fn refuse(&mut self, error: &YamlError, text: &str) -> Unreadable {
        let at = |mark: libyaml_safer::Mark| {
            let mark = mark_of(mark);
            Span { file: self.file, start: mark, end: mark }
        };
        let problem = error.problem();
        let span = error.problem_mark().map_or(Span::file_start(self.file), at);
        let context = error.context_mark().map(at).filter(|context| context.start.line != span.start.line);
        let finding =
            self.report.mistake(span, path_of(&self.frames), YamlMistake::Syntax(problem.to_owned()));
        let line = text.lines().nth(span.start.line.saturating_sub(1) as usize).unwrap_or_default();
        finding.hint = if text.lines().any(|line| line.starts_with("<<<<<<< ")) {
            Some("the file has the marks of a merge that was not brought to its end".to_owned())
        } else {
            complaint::hint(problem, line, span.start.column.saturating_sub(1) as usize)
        };
        if let (Some(context), Some(text)) = (context, error.context()) {
            finding.related(context, text);
        }
        Unreadable
    }

    fn take(&mut self, event: Event) -> Result<(), Unreadable> {
        let span = Span { file: self.file, start: mark_of(event.start_mark), end: mark_of(event.end_mark) };
        match event.data {
            EventData::StreamStart { .. } | EventData::StreamEnd | EventData::DocumentEnd { .. } => Ok(()),
            EventData::DocumentStart { .. } => {
                // Anchors are of one document.
                self.anchors.clear();
                Ok(())
            }
            EventData::Alias { anchor } => self.alias(&anchor, span),
            EventData::Scalar { anchor, tag, value, style, .. } => {
                self.count(1, span)?;
                let node = self.scalar(&value, style, tag.as_deref(), span);
                self.finish(node, anchor, 1)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                self.open(Content::List(Vec::new()), anchor, tag.as_deref(), span)
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let content = Content::Map { map: Mapping::default(), key: None, merges: None };
                self.open(content, anchor, tag.as_deref(), span)
            }
            EventData::SequenceEnd | EventData::MappingEnd => self.close(span),
        }
    }

    fn fail(&mut self, span: Span, mistake: YamlMistake) -> Result<(), Unreadable> {
        self.report.mistake(span, Path::Root, mistake);
        Err(Unreadable)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Unreadable> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { self.fail(span, YamlMistake::TooMany) } else { Ok(()) }
    }

    fn open(
        &mut self,
        content: Content,
        anchor: Option<String>,
        tag: Option<&str>,
        span: Span,
    ) -> Result<(), Unreadable> {
        self.count(1, span)?;
        if let Some(anchor) = &anchor {
            self.anchors.insert(anchor.clone(), None);
        }
        if self.frames.len() >= MAX_DEPTH {
            return self.fail(span, YamlMistake::TooDeep);
        }
        self.frames.push(Frame { span, anchor, tag: compose_tag(tag), content, size: 1 });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Unreadable> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let span = Span { end: end.end, ..frame.span };
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut map, merges, .. } => {
                if let Some(source) = merges {
                    self.merge(&mut map, source);
                }
                Value::Map(Box::new(map))
            }
        };
        let node = Node { tag: frame.tag, ..Node::new(value, span) };
        self.finish(node, frame.anchor, frame.size)
    }

    fn alias(&mut self, anchor: &str, span: Span) -> Result<(), Unreadable> {
        let size = match self.anchors.get(anchor) {
            Some(Some(Anchored { size, .. })) => *size,
            Some(None) => return self.fail(span, YamlMistake::Cycle),
            None => {
                let near = suggest::nearest(anchor, self.anchors.keys().map(String::as_str));
                let mistake = YamlMistake::NoAnchor(anchor.to_owned());
                let finding = self.report.mistake(span, path_of(&self.frames), mistake);
                finding.hint(match near {
                    Some(near) => format!("did you mean `*{near}`?"),
                    None => "put the value in quotes, or name an anchor above with `&`".to_owned(),
                });
                return Err(Unreadable);
            }
        };
        // Counted before it is copied: a bomb is refused at the alias that would set it off.
        self.count(size, span)?;
        let node = self.anchors.get(anchor).cloned().flatten().map(|anchored| anchored.node);
        self.finish(node.unwrap_or_else(|| Node::new(Value::Bad, span)), None, size)
    }

    /// Puts a finished node where it belongs, and keeps a copy if it has an anchor.
    fn finish(&mut self, node: Node, anchor: Option<String>, size: usize) -> Result<(), Unreadable> {
        if let Some(anchor) = anchor {
            self.count(size, node.span)?;
            self.anchors.insert(anchor, Some(Anchored { node: node.clone(), size }));
        }
        let Some((frame, outer)) = self.frames.split_last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        frame.size += size;
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { map, key, merges } => match key.take() {
                None => *key = Some(key_of(node, map, merges.as_ref(), outer, self.report)),
                Some(Key::Text(text, span)) => map.insert(text, span, node),
                Some(Key::Merge) => *merges = Some(node),
                Some(Key::Bad) => {}
            },
        }
        Ok(())
    }

    /// Fills `map` with what `source` has and it has not.
    fn merge(&mut self, map: &mut Mapping, source: Node) {
        match source.value {
            Value::Map(entries) => {
                for (key, entry) in entries.into_entries() {
                    map.insert_missing(&key, entry.key, || entry.node);
                }
            }
            Value::List(sources) => {
                for source in sources {
                    if source.as_map().is_some() {
                        self.merge(map, source);
                    } else {
                        self.report.mistake(
                            source.span,
                            path_of(&self.frames),
                            YamlMistake::BadMerge(source.kind()),
                        );
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bad => {
                let name = source.as_text().filter(|text| self.anchors.contains_key(*text));
                let hint = name.map(|name| format!("an anchor is named with a star: `*{name}`"));
                let mistake = YamlMistake::BadMerge(source.kind());
                self.report.mistake(source.span, path_of(&self.frames), mistake).hint = hint;
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&str>, span: Span) -> Node {
        let value = match tag {
            // A lone exclamation mark says nothing to go-yaml.
            None | Some("!") if style == ScalarStyle::Plain => scalar::resolve(text),
            Some(tag) => match tag.strip_prefix("tag:yaml.org,2002:") {
                Some(tag) => self.tagged(text, tag, span),
                None => Value::Text(text.to_owned()),
            },
            None => Value::Text(text.to_owned()),
        };
        let merge = tag.is_none() && style == ScalarStyle::Plain && text == "<<";
        let tag = if merge { Tag::Merge } else { compose_tag(tag) };
        Node { tag, ..Node::new(value, span) }
    }

    /// Returns the value of a scalar with one of YAML's own tags.
    fn tagged(&mut self, text: &str, tag: &str, span: Span) -> Value {
        let plain = scalar::resolve(text);
        let (value, wanted) = match (tag, plain) {
            ("null", Value::Null) => (Some(Value::Null), "null"),
            ("bool", Value::Bool(value)) => (Some(Value::Bool(value)), "a boolean"),
            ("int", Value::Int(value)) => (Some(Value::Int(value)), "an integer"),
            ("float", Value::Float(value)) => (Some(Value::Float(value)), "a number"),
            ("float", Value::Int(value)) => (Some(Value::Float(value as f64)), "a number"),
            ("null", _) => (None, "null"),
            ("bool", _) => (None, "a boolean"),
            ("int", _) => (None, "an integer"),
            ("float", _) => (None, "a number"),
            _ => (Some(Value::Text(text.to_owned())), "a text"),
        };
        value.unwrap_or_else(|| {
            let mistake = YamlMistake::BadTag { text: text.to_owned(), wanted };
            self.report.mistake(span, path_of(&self.frames), mistake);
            Value::Bad
        })
    }
}

fn compose_tag(tag: Option<&str>) -> Tag {
    match tag {
        Some("!reset") => Tag::Reset,
        Some("!override") => Tag::Override,
        Some(_) | None => Tag::None,
    }
}

/// Returns what `node` is as a key of `map`, which stands in the frames of `outer`.
fn key_of(node: Node, map: &Mapping, merges: Option<&Node>, outer: &[Frame], report: &mut Report) -> Key {
    let (span, tag) = (node.span, node.tag);
    let kind = node.kind();
    let mistake = match node.value {
        Value::Text(text) => {
            let merge = tag == Tag::Merge;
            let first = if merge { merges.map(|node| node.span) } else { map.key_span(&text) };
            match first {
                None if merge => return Key::Merge,
                None => return Key::Text(text, span),
                Some(first) => {
                    let mistake = YamlMistake::DuplicateKey(text);
                    report.mistake(span, path_of(outer), mistake).related(first, "it is first written here");
                    return Key::Bad;
                }
            }
        }
        Value::Int(number) => YamlMistake::KeyNotText(number.to_string(), kind),
        Value::Bool(value) => YamlMistake::KeyNotText(value.to_string(), kind),
        Value::Float(number) => YamlMistake::KeyNotText(scalar::format_float(number), kind),
        Value::Null => YamlMistake::KeyNotText("null".to_owned(), kind),
        Value::List(_) | Value::Map(_) | Value::Bad => YamlMistake::KeyNotScalar(kind),
    };
    let path = path_of(outer);
    let hint = match path.contains(".ports[") {
        true => "write the port in one piece, with no blank behind the colon: `8080:80`",
        false => "put the key in quotes",
    };
    report.mistake(span, path, mistake).hint(hint);
    Key::Bad
}

/// Returns the key path of the value that comes next in `frames`.
fn path_of(frames: &[Frame]) -> String {
    let mut path = String::new();
    for frame in frames {
        match &frame.content {
            Content::List(items) => path += &format!("[{}]", items.len()),
            Content::Map { key: Some(Key::Text(key, _)), .. } if path.is_empty() => path += key,
            Content::Map { key: Some(Key::Text(key, _)), .. } => path = format!("{path}.{key}"),
            Content::Map { .. } => {}
        }
    }
    path
}

#[cfg(test)]
mod tests;
