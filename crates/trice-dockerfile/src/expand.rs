//! Words of instructions: quotes, escapes, variables.
//!
//! ```text
//!               unset    empty    set
//! $x ${x}       empty    empty    value
//! ${x:-w}       w        w        value           ${x-w}   w       empty   value
//! ${x:+w}       empty    empty    w               ${x+w}   empty   w       w
//! ${x:?w}       error    error    value           ${x?w}   error   empty   value
//! ${x#p} ${x##p}     value without the shortest, the longest beginning that is like p
//! ${x%p} ${x%%p}     value without the shortest, the longest end that is like p
//! ${x/p/r} ${x//p/r} value with r in place of the first, of every part that is like p
//! ```
//!
//! `w` and `r` are words themselves. Nothing is expanded between single quotes. What comes after the escape
//! character is itself. Unlike a shell's, a value is never split into several words by its blanks, but where a whole
//! line is read as words.
//!
//! Source: Dockerfile reference, "Environment replacement".

use crate::glob::Glob;

/// The deepest nesting of words in words.
const MAX_DEPTH: usize = 64;
/// The longest text that a word may become, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// It ends too early.
    #[error("the {0} has no end")]
    Open(&'static str),
    /// There is no such form.
    #[error("`${{{0}` is no variable")]
    Substitution(String),
    /// A variable that must have a value has none.
    #[error("variable `{name}`: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says about it.
        message: String,
    },
    /// A pattern escapes what needs no escape.
    #[error("`\\{0}` in a pattern means nothing")]
    Pattern(char),
    /// Words are nested too deep.
    #[error("variables are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// It becomes too long.
    #[error("the text becomes longer than {} MiB", MAX_LENGTH >> 20)]
    TooLong,
}

/// What variables are looked up in.
pub trait Variables {
    /// Returns the value of `name`.
    fn value(&self, name: &str) -> Option<&str>;
}

/// No variables.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn value(&self, _: &str) -> Option<&str> {
        None
    }
}

impl<F: Fn(&str) -> Option<&'static str>> Variables for F {
    fn value(&self, name: &str) -> Option<&str> {
        self(name)
    }
}

/// How words are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What makes the next character itself.
    pub escape: char,
    /// Quotes stay.
    pub keep_quotes: bool,
    /// Escape characters stay.
    pub keep_escapes: bool,
    /// Quotes mean nothing.
    pub ignore_quotes: bool,
    /// A variable without a value stays as it is written.
    pub keep_unset: bool,
}

impl Reading {
    /// Returns the usual way.
    pub fn new(escape: char) -> Self {
        Self { escape, keep_quotes: false, keep_escapes: false, ignore_quotes: false, keep_unset: false }
    }
}

/// Expands `text` to one word.
///
/// # Errors
/// [`ExpandError`].
pub fn word(text: &str, reading: Reading, variables: &dyn Variables) -> Result<String, ExpandError> {
    Ok(expand(text, reading, variables)?.text)
}

/// Expands `text`, and splits what comes out at blanks that are neither quoted nor escaped.
pub(crate) fn words(
    text: &str,
    reading: Reading,
    variables: &dyn Variables,
) -> Result<Vec<String>, ExpandError> {
    Ok(expand(text, reading, variables)?.finish())
}

fn expand(text: &str, reading: Reading, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer { rest: text, reading, variables, depth: 0 };
    lexer.until(None, reading.keep_escapes)
}

/// What has been expanded so far.
#[derive(Default)]
struct Expanded {
    text: String,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Expanded {
    /// Adds what belongs to the word whatever it is.
    fn push_raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
        self.in_word = true;
    }

    /// Adds what may end the word.
    fn push(&mut self, character: char) {
        self.text.push(character);
        if !character.is_whitespace() {
            self.word.push(character);
            self.in_word = true;
        } else if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Lexer<'a> {
    rest: &'a str,
    reading: Reading,
    variables: &'a dyn Variables,
    depth: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Reads up to `stop`, which is taken, or to the end.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<Expanded, ExpandError> {
        if self.depth > MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        let mut out = Expanded::default();
        while let Some(next) = self.peek() {
            if out.text.len() > MAX_LENGTH {
                return Err(ExpandError::TooLong);
            }
            match next {
                _ if Some(next) == stop => {
                    self.next();
                    return Ok(out);
                }
                '\'' if !self.reading.ignore_quotes => out.push_raw(&self.single_quoted()?),
                '"' if !self.reading.ignore_quotes => out.push_raw(&self.double_quoted(keep_escapes)?),
                '$' => self.dollar()?.chars().for_each(|character| out.push(character)),
                '<' => out.push_raw(&self.arrow()),
                _ if next == self.reading.escape => {
                    self.next();
                    if keep_escapes {
                        out.push_raw(next.encode_utf8(&mut [0; 4]));
                    }
                    let Some(escaped) = self.next() else { break };
                    out.push_raw(escaped.encode_utf8(&mut [0; 4]));
                }
                _ => {
                    self.next();
                    out.push(next);
                }
            }
        }
        match stop {
            None if out.text.len() > MAX_LENGTH => Err(ExpandError::TooLong),
            None => Ok(out),
            Some('/') => Err(ExpandError::Open("pattern in a variable")),
            Some(_) => Err(ExpandError::Open("variable's brace")),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let inside = &self.rest[1..];
        let end = inside.find('\'').ok_or(ExpandError::Open("single quote"))?;
        self.rest = &inside[end + 1..];
        let inside = &inside[..end];
        Ok(if self.reading.keep_quotes { format!("'{inside}'") } else { inside.to_owned() })
    }

    fn double_quoted(&mut self, keep_escapes: bool) -> Result<String, ExpandError> {
        let mut out = String::new();
        let quote = |out: &mut String, lexer: &mut Self| {
            lexer.next();
            if lexer.reading.keep_quotes {
                out.push('"');
            }
        };
        quote(&mut out, self);
        loop {
            if out.len() > MAX_LENGTH {
                return Err(ExpandError::TooLong);
            }
            match self.peek().ok_or(ExpandError::Open("double quote"))? {
                '"' => {
                    quote(&mut out, self);
                    return Ok(out);
                }
                '$' => out.push_str(&self.dollar()?),
                escape if escape == self.reading.escape => {
                    self.next();
                    let escaped = self.peek().filter(|next| *next == '"' || *next == '$' || *next == escape);
                    if keep_escapes || escaped.is_none() {
                        out.push(escape);
                    }
                    if let Some(escaped) = escaped {
                        self.next();
                        out.push(escaped);
                    }
                }
                other => {
                    self.next();
                    out.push(other);
                }
            }
        }
    }

    /// Reads `<`, and `<<` with the blanks after it, which belong to the word that ends a document.
    fn arrow(&mut self) -> String {
        let after = self.rest.trim_start_matches('<');
        if self.rest.len() - after.len() < 2 {
            self.next();
            return "<".to_owned();
        }
        let after = self.rest[2..].trim_start_matches([' ', '\t', '\r']);
        let taken = self.rest[..self.rest.len() - after.len()].to_owned();
        self.rest = after;
        taken
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        let written = self.rest;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match self.variables.value(&name) {
                _ if name.is_empty() => "$".to_owned(),
                Some(value) => value.to_owned(),
                None if self.reading.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.next();
        self.depth += 1;
        let value = self.braced(&written[2..])?;
        self.depth -= 1;
        let unset = value.is_none() && self.reading.keep_unset;
        Ok(if unset {
            written[..written.len() - self.rest.len()].to_owned()
        } else {
            value.unwrap_or_default()
        })
    }

    /// Reads what follows `${`; `None` if the variable has no value, which matters to whoever keeps it as it is then.
    fn braced(&mut self, written: &str) -> Result<Option<String>, ExpandError> {
        let unknown = |lexer: &Self| {
            let read = &written[..written.len() - lexer.rest.len()];
            ExpandError::Substitution(read.to_owned())
        };
        let name = self.name();
        let value = self.variables.value(&name).map(str::to_owned);
        let is_kept = value.is_none() && self.reading.keep_unset;
        let Some(mut operator) = self.next() else { return Err(ExpandError::Open("variable's brace")) };
        let or_empty = operator == ':' && !name.is_empty();
        if or_empty {
            operator = self.next().ok_or(ExpandError::Open("variable's brace"))?;
        }
        let there = value.as_ref().filter(|value| !(or_empty && value.is_empty()));
        match operator {
            _ if name.is_empty() => Err(unknown(self)),
            '}' if !or_empty => Ok(value),
            '-' | '+' | '?' => {
                let word = self.until(Some('}'), false)?.text;
                match (operator, there) {
                    _ if is_kept => Ok(None),
                    ('-', None) | ('+', Some(_)) => Ok(Some(word)),
                    ('-' | '?', Some(there)) => Ok(Some(there.clone())),
                    ('+', None) => Ok(Some(String::new())),
                    _ => {
                        let state = if value.is_some() { "empty" } else { "unset" };
                        let message =
                            if word.is_empty() { format!("is not allowed to be {state}") } else { word };
                        Err(ExpandError::Required { name, message })
                    }
                }
            }
            '#' | '%' if !or_empty => {
                let pattern = self.until(Some('}'), true)?.text;
                let (pattern, longest) = match pattern.strip_prefix(operator) {
                    Some(rest) => (rest, true),
                    None => (&pattern[..], false),
                };
                let glob = Glob::new(pattern).map_err(ExpandError::Pattern)?;
                Ok(value.map(|value| match operator {
                    '#' => glob.without_beginning(&value, longest),
                    _ => glob.without_end(&value, longest),
                }))
            }
            '/' if !or_empty => {
                let every = self.peek() == Some('/');
                if every {
                    self.next();
                }
                let pattern = self.until(Some('/'), true)?.text;
                let replacement = self.until(Some('}'), true)?.text;
                let glob = Glob::new(&pattern).map_err(ExpandError::Pattern)?;
                Ok(value.map(|value| glob.replaced(&value, &replacement, every)))
            }
            _ => Err(unknown(self)),
        }
    }

    /// Reads a name; a number or one special character is a name too, though nothing has it.
    fn name(&mut self) -> String {
        let end = |keep: fn(char) -> bool| self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let length = match self.peek() {
            Some(first) if first.is_numeric() => end(char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => end(|c| c.is_alphanumeric() || c == '_'),
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<&'static str> {
        match name {
            "set" => Some("value"),
            "empty" => Some(""),
            "path" => Some("a/b.tar.gz"),
            "blanks" => Some("a  b"),
            _ => None,
        }
    }

    fn shown(text: &str) -> String {
        word(text, Reading::new('\\'), &variables).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn all_forms_of_variables_are_known() {
        let cases = [
            ("$set ${set} x$unset.", "value value x."),
            ("${set:-w} ${empty:-w} ${unset:-w} ${empty-w} ${unset-w}", "value w w  w"),
            ("${set:+w} ${empty:+w} ${unset:+w} ${empty+w} ${unset+w}", "w   w "),
            ("${set:?w} ${empty?w}", "value "),
            ("${unset:-${empty:-$set}}", "value"),
            ("${path#*/} ${path%.*} ${path%%.*} ${path##*.}", "b.tar.gz a/b.tar a/b gz"),
            (
                "${path/./-} ${path//./-} ${path//\\//_} ${path/a*t/}",
                "a/b-tar.gz a/b-tar-gz a_b.tar.gz ar.gz",
            ),
            ("${path#?} ${path%??} ${set#x}", "/b.tar.gz a/b.tar. value"),
            ("${set%\\*}", "value"),
            ("$1 $@ $$ $- ${1} x$", "     x$"),
            ("$set-x $set_x $.", "value-x  $."),
        ];
        for (text, expanded) in cases {
            assert_eq!(shown(text), expanded, "{text}");
        }
    }

    #[test]
    fn quotes_and_escapes_keep_what_they_hold() {
        let cases = [
            (r#"'$set' "$set" "a'b" 'a"b'"#, r#"$set value a'b a"b"#),
            (r#"\$set "\$set \x \" \\" \'"#, r#"$set $set \x " \ '"#),
            (r"a\", "a"),
            ("a\\ b", "a b"),
            (r"${unset:-a\}b}", "a}b"),
            (r#"${unset:-"}"}"#, "}"),
        ];
        for (text, expanded) in cases {
            assert_eq!(shown(text), expanded, "{text}");
        }
    }

    #[test]
    fn what_is_no_word_says_why() {
        let cases = [
            ("${set", "the variable's brace has no end"),
            ("${", "the variable's brace has no end"),
            ("${set:-", "the variable's brace has no end"),
            ("${set/a", "the pattern in a variable has no end"),
            ("'a", "the single quote has no end"),
            ("\"a", "the double quote has no end"),
            ("${}", "`${}` is no variable"),
            ("${:x}", "`${:` is no variable"),
            ("${set:=w}", "`${set:=` is no variable"),
            ("${set:#w}", "`${set:#` is no variable"),
            ("${set.w}", "`${set.` is no variable"),
            ("${unset?}", "variable `unset`: is not allowed to be unset"),
            ("${empty:?}", "variable `empty`: is not allowed to be empty"),
            ("${unset:?say $set}", "variable `unset`: say value"),
            (r"${set#\v}", r"`\v` in a pattern means nothing"),
        ];
        for (text, message) in cases {
            assert_eq!(shown(text), format!("error: {message}"), "{text}");
        }
    }

    #[test]
    fn words_end_at_blanks_that_are_neither_quoted_nor_escaped() {
        let split = |text| words(text, Reading::new('\\'), &variables).unwrap();
        assert_eq!(split(r#" a  "b c" d\ e $blanks '' "$blanks" "#), ["a", "b c", "d e", "a", "b", "a  b"]);
        assert_eq!(split("cat << EOF <<-'B' a<b"), ["cat", "<< EOF", "<<-B", "a<b"]);
    }

    #[test]
    fn what_is_kept_is_kept_as_it_is_written() {
        let keep = Reading { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Reading::new('\\') };
        let text = r#"a "b\" $unset" ${unset:-'x'} \$set 'c'"#;
        assert_eq!(word(text, keep, &variables).unwrap(), text);
        let raw = Reading { ignore_quotes: true, ..Reading::new('\\') };
        assert_eq!(word(r#"'$set' "\$x""#, raw, &variables).unwrap(), r#"'value' "$x""#);
    }

    #[test]
    fn the_escape_character_can_be_another_one() {
        let reading = Reading::new('`');
        assert_eq!(word(r"C:\x`$set `` $set", reading, &variables).unwrap(), r"C:\x$set ` value");
    }

    #[test]
    fn neither_depth_nor_length_is_without_a_bound() {
        let deep = format!("{}x{}", "${u:-".repeat(10_000), "}".repeat(10_000));
        assert_eq!(word(&deep, Reading::new('\\'), &variables), Err(ExpandError::TooDeep));
        let long = "$set".repeat(MAX_LENGTH / 4);
        assert_eq!(word(&long, Reading::new('\\'), &variables), Err(ExpandError::TooLong));
    }
}
