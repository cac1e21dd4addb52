//! Commands: a list of arguments, or a text that is split into them.
//!
//! No shell is started. Quotes, backslashes and blanks work as in one, `#` is no comment, and back quotes and `$(…)`
//! hold a word together. Where a shell would begin something new (`;`, `&`, `|`, `<`, `>`), the command ends, and the
//! rest of the text is lost: that is what Docker Compose does, and so do we, but with a warning.
//!
//! Source: what Docker Compose's splitter, mattn/go-shellwords 1.0, does; seen in runs.

use crate::check::Check;
use crate::schema::shape::Shape;
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;

/// Why a text is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandMistake {
    #[error("a quote, a bracket or a backslash is left open")]
    Open,
    #[error("`(` begins a subshell, and there is no shell")]
    Bracket,
    #[error("the command has more than {MAX_WORDS} words")]
    TooMany,
}

/// The most words of a command; no program takes so many.
const MAX_WORDS: usize = 50_000;

/// A text that was split.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    words: Vec<String>,
    /// What was cut off, from the character that a shell would act on.
    lost: Option<String>,
}

impl Check<'_> {
    pub(super) fn command(&mut self, node: &mut Node, path: &Path<'_>) {
        let Value::Text(text) = &node.value else { return self.arguments(node, path) };
        if self.raw {
            return;
        }
        match split(text) {
            Err(mistake) => {
                self.refuse(node, path, mistake).hint("write the command as a list of its arguments");
            }
            Ok(Split { words, lost }) => {
                let span = node.span;

                let items = words.into_iter().map(|word| Node::text(word, span)).collect();
                node.value = Value::List(items);
                if let Some(lost) = lost {
                    let warning = format!("no shell runs this: `{lost}` is cut off");
                    let hint = "write `[\"sh\", \"-c\", \"…\"]` for a shell";
                    self.report.warning(span, path, warning).hint(hint);
                }
            }
        }
    }

    pub(super) fn probe(&mut self, node: &mut Node, path: &Path<'_>) {
        let Value::Text(text) = &mut node.value else { return self.arguments(node, path) };
        if self.raw {
            return;
        }
        let text = std::mem::take(text);
        let words = [Node::text("CMD-SHELL", node.span), Node::text(text, node.span)];
        node.value = Value::List(Vec::from(words));
    }

    fn arguments(&mut self, node: &mut Node, path: &Path<'_>) {
        if node.as_list().is_some() {
            self.value(node, &Shape::List(&Shape::Text), path);
        } else {
            self.wrong(node, path, "a text or a list of texts");
        }
    }
}

/// What holds a word together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    Single,
    Double,
    Back,
    Bracket,
}

/// Splits `text` into words.
fn split(text: &str) -> Result<Split, CommandMistake> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut held = Held::No;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if words.len() > MAX_WORDS {
            return Err(CommandMistake::TooMany);
        }
        if escaped {
            word.get_or_insert_default().push(c);
            escaped = false;
            continue;
        }
        match (c, held) {
            ('\\', Held::Single) => word.get_or_insert_default().push(c),
            ('\\', _) => escaped = true,
            (' ' | '\t' | '\r' | '\n', Held::No) => words.extend(word.take()),
            ('\'', Held::No) => held = Held::Single,
            ('"', Held::No) => held = Held::Double,
            ('\'', Held::Single) | ('"', Held::Double) => {
                word.get_or_insert_default();
                held = Held::No;
            }
            ('`', Held::No | Held::Back) => {
                word.get_or_insert_default().push(c);
                held = if held == Held::No { Held::Back } else { Held::No };
            }
            ('(', Held::No) if word.as_deref().is_some_and(|word| word.ends_with('$')) => {
                word.get_or_insert_default().push(c);
                held = Held::Bracket;
            }
            ('(', Held::No | Held::Bracket) => return Err(CommandMistake::Bracket),
            (')', Held::No | Held::Bracket) => {
                word.get_or_insert_default().push(c);
                held = if held == Held::No { Held::Bracket } else { Held::No };
            }
            (';' | '&' | '|' | '<' | '>', Held::No) => {
                // The `2` of `2>file` names a descriptor and is no word.
                let descriptor = |word: &String| c == '>' && word.starts_with(|c: char| c.is_ascii_digit());
                words.extend(word.take_if(|word| !descriptor(word)));
                return Ok(Split { words, lost: Some(text[at..].to_owned()) });
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    if escaped || held != Held::No {
        return Err(CommandMistake::Open);
    }
    words.extend(word);
    Ok(Split { words, lost: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        match split(text) {
            Ok(Split { words, lost: None }) => words.join("|"),
            Ok(Split { words, lost: Some(lost) }) => format!("{} lost {lost}", words.join("|")),
            Err(mistake) => format!("error: {mistake}"),
        }
    }

    #[test]
    fn words_end_at_blanks_unless_something_holds_them_together() {
        let rows = [
            ("a b\tc\n d", "a|b|c|d"),
            ("", ""),
            ("a '' \"\"", "a||"),
            (r#"a 'b c' "d e"f"#, "a|b c|d ef"),
            (r#"'a\b' "a\"b" a\ b"#, r#"a\b|a"b|a b"#),
            ("a # b", "a|#|b"),
            ("a `b c` $(d e) f", "a|`b c`|$(d e)|f"),
            ("a 'b;c' d\\;e", "a|b;c|d;e"),
        ];
        for (text, found) in rows {
            assert_eq!(words(text), found, "{text}");
        }
    }

    #[test]
    fn a_command_ends_where_a_shell_would_begin_something_new() {
        let rows = [
            ("echo a && echo b", "echo|a lost && echo b"),
            ("a|b", "a lost |b"),
            ("a; b", "a lost ; b"),
            ("a > f", "a lost > f"),
            ("a 2>f", "a lost >f"),
            ("2>x", " lost >x"),
            ("<f a", " lost <f a"),
        ];
        for (text, found) in rows {
            assert_eq!(words(text), found, "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        for text in ["a 'b", "a \"b", "a `b", "a $(b", "a \\", "a )"] {
            assert_eq!(words(text), "error: a quote, a bracket or a backslash is left open", "{text}");
        }
        for text in ["(a)", "a(b)", "$(a (b))"] {
            assert_eq!(words(text), "error: `(` begins a subshell, and there is no shell", "{text}");
        }
    }
}
