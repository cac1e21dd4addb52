//! A template's text into its parts.
//!
//! ```text
//! text ─► pieces: text, {{action}} ─► words ─► nodes, nested by `if`, `range` and `end`
//! ```

use std::slice::Iter;
use std::vec::IntoIter;

use serde_json::Value;

use super::{Command, Node, Operand, Pipeline, TemplateError};

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut pieces = pieces(text)?.into_iter();
    let (nodes, ended) = nodes(&mut pieces)?;
    match ended {
        None => Ok(nodes),
        Some(ending) => Err(TemplateError::Unexpected(ending.word().to_owned())),
    }
}

enum Piece {
    Text(String),
    Action(Vec<Word>),
}

/// What ends a list of nodes before the text does.
enum Ending {
    End,
    Else,
    ElseIf(Pipeline),
}

impl Ending {
    fn word(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else | Self::ElseIf(_) => "else",
        }
    }
}

type Pieces = IntoIter<Piece>;

fn nodes(pieces: &mut Pieces) -> Result<(Vec<Node>, Option<Ending>), TemplateError> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let words = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(words) => words,
        };
        match words.split_first() {
            None => {}
            Some((Word::Name(name), [])) if name == "end" => return Ok((nodes, Some(Ending::End))),
            Some((Word::Name(name), [])) if name == "else" => return Ok((nodes, Some(Ending::Else))),
            Some((Word::Name(name), [Word::Name(next), rest @ ..])) if name == "else" && next == "if" => {
                return Ok((nodes, Some(Ending::ElseIf(pipeline(rest)?))));
            }
            Some((Word::Name(name), rest)) if name == "if" => nodes.push(condition(pipeline(rest)?, pieces)?),
            Some((Word::Name(name), rest)) if name == "range" => {
                nodes.push(repetition(pipeline(rest)?, pieces)?)
            }
            Some(_) => nodes.push(Node::Output(pipeline(&words)?)),
        }
    }
    Ok((nodes, None))
}

fn condition(first: Pipeline, pieces: &mut Pieces) -> Result<Node, TemplateError> {
    let mut branches = Vec::new();
    let mut condition = first;
    loop {
        let (body, ending) = nodes(pieces)?;
        branches.push((condition, body));
        match ending {
            Some(Ending::End) => return Ok(Node::If(branches, Vec::new())),
            Some(Ending::Else) => return Ok(Node::If(branches, up_to_end(pieces, "if")?)),
            Some(Ending::ElseIf(next)) => condition = next,
            None => return Err(TemplateError::NoEnd("if")),
        }
    }
}

fn repetition(items: Pipeline, pieces: &mut Pieces) -> Result<Node, TemplateError> {
    let (body, ending) = nodes(pieces)?;
    match ending {
        Some(Ending::End) => Ok(Node::Range(items, body, Vec::new())),
        Some(Ending::Else) => Ok(Node::Range(items, body, up_to_end(pieces, "range")?)),
        Some(Ending::ElseIf(_)) => Err(TemplateError::Unexpected("else if".to_owned())),
        None => Err(TemplateError::NoEnd("range")),
    }
}

fn up_to_end(pieces: &mut Pieces, of: &'static str) -> Result<Vec<Node>, TemplateError> {
    match nodes(pieces)? {
        (body, Some(Ending::End)) => Ok(body),
        (_, Some(ending)) => Err(TemplateError::Unexpected(ending.word().to_owned())),
        (_, None) => Err(TemplateError::NoEnd(of)),
    }
}

/// Splits a text at its actions; `{{-` and `-}}` take the blanks beside them along.
fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
        let (inside, trims_before) = match inside.strip_prefix('-') {
            Some(trimmed) if trimmed.starts_with(char::is_whitespace) => (trimmed, true),
            Some(_) | None => (inside, false),
        };
        let (inside, trims_after) = match inside.strip_suffix('-') {
            Some(trimmed) if trimmed.ends_with(char::is_whitespace) => (trimmed, true),
            Some(_) | None => (inside, false),
        };
        let before = if trims_before { before.trim_end() } else { before };
        pieces.push(Piece::Text(before.to_owned()));
        let is_comment = inside.trim_start().starts_with("/*");
        pieces.push(Piece::Action(if is_comment { Vec::new() } else { words(inside)? }));
        rest = if trims_after { after.trim_start() } else { after };
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    Field(Vec<String>),
    Name(String),
    Literal(Value),
    Pipe,
    Open,
    /// With the fields that are taken of what it closes.
    Close(Vec<String>),
}

fn words(text: &str) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '|' => (Word::Pipe, &rest[1..]),
            '(' => (Word::Open, &rest[1..]),
            ')' => {
                let (names, after) = field(&rest[1..]);
                (Word::Close(names), after)
            }
            '.' => {
                let (names, after) = field(rest);
                (Word::Field(names), after)
            }
            '"' | '`' => quoted(rest, first)?,
            _ => plain(rest)?,
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

/// Takes `.A.B` off the beginning of `text`; a single `.` has no names.
fn field(text: &str) -> (Vec<String>, &str) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
        if end > 0 {
            names.push(after[..end].to_owned());
        }
        rest = &after[end..];
    }
    (names, rest)
}

fn quoted(text: &str, quote: char) -> Result<(Word, &str), TemplateError> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            _ if character == quote => return Ok((Word::Literal(value.into()), &text[index + 1..])),
            '\\' if quote == '"' => match characters.next().ok_or(TemplateError::Quote)?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            _ => value.push(character),
        }
    }
    Err(TemplateError::Quote)
}

fn plain(text: &str) -> Result<(Word, &str), TemplateError> {
    let end = text.find(|c: char| c.is_whitespace() || "|().\"`".contains(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let word = match word {
        "true" => Word::Literal(true.into()),
        "false" => Word::Literal(false.into()),
        number if number.parse::<i64>().is_ok() => {
            Word::Literal(number.parse::<i64>().unwrap_or_default().into())
        }
        name if name.chars().all(|c| c.is_alphanumeric() || c == '_') => Word::Name(name.to_owned()),
        other => return Err(TemplateError::Unexpected(other.to_owned())),
    };
    Ok((word, rest))
}

fn pipeline(words: &[Word]) -> Result<Pipeline, TemplateError> {
    let (pipeline, closed) = commands(&mut words.iter())?;
    match closed {
        None => Ok(pipeline),
        Some(_) => Err(TemplateError::Unexpected(")".to_owned())),
    }
}

/// Reads commands up to the end or a closing parenthesis; returns the fields that stand behind that.
fn commands(words: &mut Iter<'_, Word>) -> Result<(Pipeline, Option<Vec<String>>), TemplateError> {
    let mut pipeline = Vec::new();
    let mut command = Command::new();
    while let Some(word) = words.next() {
        match word {
            Word::Field(names) => command.push(Operand::Field(names.clone())),
            Word::Literal(value) => command.push(Operand::Literal(value.clone())),
            Word::Name(name) => command.push(Operand::Function(name.clone())),
            Word::Pipe => pipeline.push(whole(std::mem::take(&mut command), "|")?),
            Word::Open => command.push(nested(words)?),
            Word::Close(names) => {
                pipeline.push(whole(command, ")")?);
                return Ok((pipeline, Some(names.clone())));
            }
        }
    }
    pipeline.push(whole(command, "}}")?);
    Ok((pipeline, None))
}

/// Reads what parentheses hold, and the fields that are taken of it.
fn nested(words: &mut Iter<'_, Word>) -> Result<Operand, TemplateError> {
    let (mut pipeline, names) = commands(words)?;
    let names = names.ok_or_else(|| TemplateError::Unexpected("(".to_owned()))?;
    if !names.is_empty() {
        pipeline.push(vec![Operand::Field(names)]);
    }
    Ok(Operand::Nested(pipeline))
}

fn whole(command: Command, before: &str) -> Result<Command, TemplateError> {
    if command.is_empty() { Err(TemplateError::Unexpected(before.to_owned())) } else { Ok(command) }
}
