//! Env files: `.env`, `--env-file`, `env_file` and `label_file`.
//!
//! ```text
//! file    = { blank | comment | ["export"] key ("=" | ":") value | ["export"] key }
//! value   = text to the end of the line, or to a blank and `#`     variables are filled in
//!         | '…'   as it stands, but for \\'                         may span lines
//!         | "…"   \n \t \\ \" \$ and their like, then variables     may span lines
//! ```
//!
//! A key alone takes the value it has outside. Variables are looked up outside first, then in the lines above.
//!
//! Source: Compose Specification, `12-interpolation.md`, and what Docker Compose does beyond it.

use crate::environment::Environment;
use crate::template::{self, Lookup, TemplateMistake};
use crate::tree::span::{FileId, Mark, Span};

/// What an env file can do wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvFileMistake {
    #[error("`{0}` cannot be in the name of a variable")]
    BadKey(char),
    #[error("the name of the variable has a blank in it")]
    BlankInKey,
    #[error("the name of the variable is missing")]
    NoKey,
    #[error("the quote is not closed")]
    OpenQuote,
    #[error("the file is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("the file has more than {MAX_VARIABLES} variables")]
    TooMany,
    #[error(transparent)]
    Template(#[from] TemplateMistake),
}

/// The largest file, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The most variables of a file.
const MAX_VARIABLES: usize = 50_000;

/// What was read, and what is worth saying about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvFile {
    /// The variables, later lines winning.
    pub(crate) variables: Environment,
    /// Variables that were used and have no value.
    pub(crate) missing: Vec<(Span, String)>,
    /// What is wrong: reading ends there.
    pub(crate) mistake: Option<(Span, EnvFileMistake)>,
}

/// Reads the env file `text`. Variables are looked up by `outer` first.
pub(crate) fn parse<'a>(text: &str, file: FileId, outer: &dyn Fn(&str) -> Option<&'a str>) -> EnvFile {
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut reader = Reader { text, lines, offset: 0, file, outer, found: EnvFile::default() };
    let read = if text.len() > MAX_BYTES { Err((0, EnvFileMistake::TooLarge)) } else { reader.file() };
    if let Err((offset, mistake)) = read {
        reader.found.mistake = Some((reader.span(offset), mistake));
    }
    reader.found
}

/// Reads the env file `text` as `docker run --env-file` does: a key, `=`, and the rest of the line as it stands.
pub(crate) fn parse_raw<'a>(text: &str, file: FileId, outer: &dyn Fn(&str) -> Option<&'a str>) -> EnvFile {
    let mut found = EnvFile::default();
    if text.len() > MAX_BYTES {
        found.mistake = Some((Span::file_start(file), EnvFileMistake::TooLarge));
        return found;
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let start = Mark { line: number as u32 + 1, column: 1 };
        let span = Span { file, start, end: start };
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (line.trim_end(), outer(line.trim_end())),
        };
        if key.contains(char::is_whitespace) || key.is_empty() {
            found.mistake = Some((span, EnvFileMistake::BlankInKey));
            break;
        }
        if let Some(value) = value {
            found.variables.assign(key, value.to_owned(), span);
        }
        if found.variables.len() > MAX_VARIABLES {
            found.mistake = Some((span, EnvFileMistake::TooMany));
            break;
        }
    }
    found
}

struct Reader<'a, 'b> {
    text: &'b str,
    /// The bytes at which lines begin.
    lines: Vec<usize>,
    offset: usize,
    file: FileId,
    outer: &'b dyn Fn(&str) -> Option<&'a str>,
    found: EnvFile,
}

/// What went wrong, and at which byte.
type Step<T> = Result<T, (usize, EnvFileMistake)>;

impl<'b> Reader<'_, 'b> {
    fn file(&mut self) -> Step<()> {
        while self.skip_to_statement() {
            self.statement()?;
        }
        Ok(())
    }

    fn rest(&self) -> &'b str {
        &self.text[self.offset..]
    }

    /// Goes on to the next key; tells whether there is one.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.offset += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return !trimmed.is_empty();
            }
            self.offset += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.offset += rest.len() - rest.trim_start_matches(is_blank).len();
    }

    fn statement(&mut self) -> Step<()> {
        if self.rest().strip_prefix("export").is_some_and(|rest| rest.starts_with(is_blank)) {
            self.offset += "export".len();
            self.skip_blanks();
        }
        let start = self.offset;
        let (key, inherited) = self.key()?;
        let value = match inherited {
            true => match (self.outer)(key) {
                Some(value) => value.to_owned(),
                None => return Ok(()),
            },
            false => {
                self.skip_blanks();
                self.value()?
            }
        };
        let span = self.span(start);
        self.found.variables.assign(key, value, span);
        if self.found.variables.len() > MAX_VARIABLES {
            return Err((start, EnvFileMistake::TooMany));
        }
        Ok(())
    }

    /// Reads a key and what ends it; tells whether it stands alone.
    fn key(&mut self) -> Step<(&'b str, bool)> {
        let rest = self.rest();
        let end = rest.find(['=', ':', '\n']).unwrap_or(rest.len());
        let key = rest[..end].trim_end();
        let is_key = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
        if let Some((at, bad)) = key.char_indices().find(|(_, c)| !is_key(*c)) {
            let mistake =
                if is_blank(bad) { EnvFileMistake::BlankInKey } else { EnvFileMistake::BadKey(bad) };
            return Err((self.offset + at, mistake));
        }
        let inherited = !rest[end..].starts_with(['=', ':']);
        if rest.is_empty() {
            return Err((self.offset, EnvFileMistake::NoKey));
        }
        self.offset += (end + 1).min(rest.len());
        Ok((key, inherited))
    }

    fn value(&mut self) -> Step<String> {
        let rest = self.rest();
        match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => {
                let start = self.offset;
                let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
                self.offset = (start + line.len() + 1).min(self.text.len());
                let value = line.split_once(" #").map_or(line, |(value, _)| value);
                self.expand(value.trim_end(), start)
            }
        }
    }

    /// Reads a value in quotes, from the opening to the closing one.
    fn quoted(&mut self, quote: char) -> Step<String> {
        let start = self.offset;
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                c if c == quote && !escaped => {
                    self.offset = start + at + quote.len_utf8();
                    return match quote {
                        '"' => self.expand(&unescape(&value), start),
                        _ => Ok(value),
                    };
                }
                // The backslash before a quote is gone; before anything else it stays, for `unescape`.
                c if c == quote => value.push(c),
                c if escaped => value.extend(['\\', c]),
                c => value.push(c),
            }
            escaped = false;
        }
        Err((start, EnvFileMistake::OpenQuote))
    }

    fn expand(&mut self, template: &str, at: usize) -> Step<String> {
        let mut lookup = Variables { outer: self.outer, above: &self.found.variables, missing: Vec::new() };
        let text = template::fill(template, &mut lookup).map_err(|error| (at, error.mistake.into()))?;
        let missing = lookup.missing;
        let span = self.span(at);
        self.found.missing.extend(missing.into_iter().map(|name| (span, name)));
        Ok(text)
    }

    fn span(&self, offset: usize) -> Span {
        let line = self.lines.partition_point(|start| *start <= offset);
        let column = self.text[self.lines[line - 1]..offset].chars().count() + 1;
        let start = Mark { line: line as u32, column: column as u32 };
        Span { file: self.file, start, end: start }
    }
}

struct Variables<'a, 'b> {
    outer: &'b dyn Fn(&str) -> Option<&'a str>,
    above: &'b Environment,
    missing: Vec<String>,
}

impl Lookup for Variables<'_, '_> {
    fn value(&self, name: &str) -> Option<&str> {
        (self.outer)(name).or_else(|| self.above.get(name))
    }

    fn missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }
}

/// A blank that does not end a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Replaces the escapes of double quotes. `\$` becomes the `$$` that stands for a dollar in a template.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            Some('$') => out.push_str("$$"),
            Some('"') => out.push('"'),
            Some('\\') => out.push('\\'),
            Some('0') => {
                let mut code = 0;
                for _ in 0..3 {
                    let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                }
                out.extend(char::from_u32(code));
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes what came of a file in one line.
    fn written(found: EnvFile) -> String {
        let mut out: Vec<String> =
            found.variables.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        out.extend(found.missing.iter().map(|(span, name)| format!("missing {name} at {}", span.start.line)));
        out.extend(
            found
                .mistake
                .iter()
                .map(|(span, error)| format!("{}:{}: {error}", span.start.line, span.start.column)),
        );
        out.join(" ")
    }

    fn outside(name: &str) -> Option<&'static str> {
        (name == "OUT").then_some("outside")
    }

    fn read(text: &str) -> String {
        written(parse(text, FileId(0), &outside))
    }

    fn read_raw(text: &str) -> String {
        written(parse_raw(text, FileId(0), &outside))
    }

    #[test]
    fn keys_and_values_are_read_as_the_grammar_says() {
        let rows = [
            ("A=1\nB = 2\nC: 3\nexport D=4\n\texport\tE=5", r#"A="1" B="2" C="3" D="4" E="5""#),
            ("A=1 # c\nB=1# c\nC=#c\n# D=1\n  # E=1\nF=", r##"A="1" B="1# c" C="#c" F="""##),
            ("A=a b\r\nB=\"x\"\r\n", r#"A="a b" B="x""#),
            ("A=1\nA=2", r#"A="2""#),
            ("1A=x\na.b-c[0]=y", r#"1A="x" a.b-c[0]="y""#),
            ("OUT\nNONE\nOUT", r#"OUT="outside""#),
            ("A=x\\ny", r#"A="x\\ny""#),
            ("export=1", r#"export="1""#),
        ];
        for (text, found) in rows {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    #[test]
    fn quotes_may_span_lines_and_decide_what_is_unescaped() {
        let rows = [
            (r"A='a $OUT \n \' b'", r#"A="a $OUT \\n ' b""#),
            (r#"A="a\tb\"c\\d\$OUT \q""#, r#"A="a\tb\"c\\d$OUT \\q""#),
            ("A='x\ny' # c\nB=\"p\n$OUT\"", r#"A="x\ny" B="p\noutside""#),
            (r#"A="\0101\0""#, r#"A="A\0""#),
            ("A=\"x\" B=2", r#"A="x" B="2""#),
        ];
        for (text, found) in rows {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    #[test]
    fn variables_come_from_outside_first_and_then_from_above() {
        let rows = [
            ("OUT=inside\nA=$OUT", r#"A="outside" OUT="inside""#),
            ("A=1\nB=${A}2\nC=${NONE:-$B}", r#"A="1" B="12" C="12""#),
            ("\nA=$NONE", r#"A="" missing NONE at 2"#),
        ];
        for (text, found) in rows {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        let rows = [
            ("A=1\nB C=2", r#"A="1" 2:2: the name of the variable has a blank in it"#),
            ("A=1\n%=2", r#"A="1" 2:1: `%` cannot be in the name of a variable"#),
            ("\nA='x", "2:3: the quote is not closed"),
            ("export ", "1:8: the name of the variable is missing"),
            ("A=${", "1:3: `${` has no closing brace"),
            ("A=${X:?say}", "1:3: variable `X` is required: say"),
        ];
        for (text, found) in rows {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    #[test]
    fn raw_files_are_taken_as_they_stand() {
        let text = "# c\n A='x' # $OUT\nOUT\nNONE\nB=\n";
        assert_eq!(read_raw(text), r#"A="'x' # $OUT" B="" OUT="outside""#);
        assert_eq!(read_raw("A B=1"), "1:1: the name of the variable has a blank in it");
    }
}
