//! YAML text into trees: the parser's events, composed under the rules of go-yaml and of Compose.
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

use saphyr_parser::{Event, Parser, ScalarStyle, Tag as YamlTag};

use crate::report::Report;
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
    let mut composer = Composer::new(file, report);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let at = Mark { line: error.marker().line() as u32, column: error.marker().col() as u32 + 1 };
            let span = Span { file, start: at, end: at };
            let mistake = YamlMistake::Syntax(error.info().to_owned());
            composer.report.mistake(span, path_of(&composer.frames), mistake).hint = hint(error.info());
            Unreadable
        })?;
        composer.take(event, span_of(span, file))?;
        if composer.report.mistakes.is_full() {
            return Err(Unreadable);
        }
    }
    Ok(composer.documents)
}

/// Returns what usually lies behind a complaint of the parser.
fn hint(complaint: &str) -> Option<String> {
    let known = [
        (
            "mapping values are not allowed",
            "is a line above indented less, without its colon, or in need of quotes?",
        ),
        ("did not find expected key", "the keys of a mapping begin at the same column"),
        ("did not find expected '-'", "the items of a list begin with `- `, all at the same column"),
        ("tabs disallowed", "indent with blanks"),
        ("quoted scalar", "close the quote"),
        ("illegal placement of ':'", "is a bracket above left open?"),
        ("unexpected character", "put the value in quotes"),
        ("unknown anchor", "put the value in quotes, or name an anchor above with `&`"),
    ];
    known.iter().find(|(words, _)| complaint.contains(words)).map(|(_, hint)| (*hint).to_owned())
}

/// Returns the place right after `before`.
fn mark_at(before: &str, file: FileId) -> Span {
    let last = before.rsplit('\n').next().unwrap_or_default();
    let line = before.matches('\n').count() as u32 + 1;
    let start = Mark { line, column: last.chars().count() as u32 + 1 };
    Span { file, start, end: start }
}

fn span_of(span: saphyr_parser::Span, file: FileId) -> Span {
    let mark =
        |marker: saphyr_parser::Marker| Mark { line: marker.line() as u32, column: marker.col() as u32 + 1 };
    Span { file, start: mark(span.start), end: mark(span.end) }
}

/// A list or mapping that is still open.
struct Frame {
    span: Span,
    anchor: usize,
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
struct Anchored {
    node: Node,
    size: usize,
}

struct Composer<'a> {
    file: FileId,
    report: &'a mut Report,
    frames: Vec<Frame>,
    anchors: Vec<Option<Anchored>>,
    documents: Vec<Node>,
    nodes: usize,
}

impl<'a> Composer<'a> {
    fn new(file: FileId, report: &'a mut Report) -> Self {
        Self { file, report, frames: Vec::new(), anchors: Vec::new(), documents: Vec::new(), nodes: 0 }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, span)?;
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.finish(node, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Content::List(Vec::new()), anchor, tag.as_deref(), span)
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map { map: Mapping::default(), key: None, merges: None };
                self.open(content, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
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
        anchor: usize,
        tag: Option<&YamlTag>,
        span: Span,
    ) -> Result<(), Unreadable> {
        self.count(1, span)?;
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

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Unreadable> {
        let Some(Some(Anchored { size, .. })) = self.anchors.get(anchor) else {
            return self.fail(span, YamlMistake::Cycle);
        };
        // Counted before it is copied: a bomb is refused at the alias that would set it off.
        let size = *size;
        self.count(size, span)?;
        let node = self.anchors[anchor].as_ref().map(|anchored| anchored.node.clone());
        let node = node.unwrap_or_else(|| Node::new(Value::Bad, span));
        self.finish(node, 0, size)
    }

    /// Puts a finished node where it belongs, and keeps a copy if it has an anchor.
    fn finish(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Unreadable> {
        if anchor > 0 {
            self.count(size, node.span)?;
            if self.anchors.len() <= anchor {
                self.anchors.resize_with(anchor + 1, || None);
            }
            self.anchors[anchor] = Some(Anchored { node: node.clone(), size });
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
                self.report.mistake(source.span, path_of(&self.frames), YamlMistake::BadMerge(source.kind()));
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&YamlTag>, span: Span) -> Node {
        let span = Span { file: self.file, ..span };
        let value = match tag {
            Some(tag) if tag.is_yaml_core_schema() => self.tagged(text, &tag.suffix, span),
            // A lone exclamation mark says nothing to go-yaml.
            Some(tag) if is_lone(tag) && style == ScalarStyle::Plain => scalar::resolve(text),
            Some(_) => Value::Text(text.to_owned()),
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => Value::Text(text.to_owned()),
        };
        Node { tag: compose_tag(tag), ..Node::new(value, span) }
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

/// Tells whether a tag is `!` alone.
fn is_lone(tag: &YamlTag) -> bool {
    tag.handle.trim_matches('!').is_empty() && tag.suffix.trim_matches('!').is_empty()
}

fn compose_tag(tag: Option<&YamlTag>) -> Tag {
    match tag {
        Some(tag) if tag.handle == "!" && tag.suffix == "reset" => Tag::Reset,
        Some(tag) if tag.handle == "!" && tag.suffix == "override" => Tag::Override,
        Some(_) | None => Tag::None,
    }
}

/// Returns what `node` is as a key of `map`, which stands in the frames of `outer`.
fn key_of(node: Node, map: &Mapping, merges: Option<&Node>, outer: &[Frame], report: &mut Report) -> Key {
    let span = node.span;
    let kind = node.kind();
    let mistake = match node.value {
        Value::Text(text) => {
            let merge = text == "<<";
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
    report.mistake(span, path_of(outer), mistake).hint("put the key in quotes");
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
