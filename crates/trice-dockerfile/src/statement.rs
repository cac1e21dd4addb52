//! How a Dockerfile falls into statements.
//!
//! ```text
//! # escape=`               directives, before anything else
//! RUN make \               a line goes on in the next one
//!   # comment              comments and empty lines between them are none of it
//!   all
//! RUN <<EOF                a document follows, up to a line that is its word
//! make all
//! EOF
//! ```
//!
//! Source: Dockerfile reference, "Parser directives", "Format", "Here-documents".

use crate::expand::{NoVariables, Reading, words};
use crate::instruction::Heredoc;
use crate::mistake::{Lines, Mistake};
use crate::word::{Json, Split, json, split};

/// What the first lines of a Dockerfile say about the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directives {
    /// What makes the next character itself, and a line go on.
    pub(crate) escape: char,
    /// The image that explains the language.
    pub(crate) syntax: Option<(String, Lines)>,
}

/// An instruction with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) lines: Lines,
    /// The instruction on one line.
    pub(crate) text: String,
    /// The documents that follow.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// Takes a Dockerfile apart. After a mistake here nothing is known of the rest.
pub(crate) fn statements(source: &str) -> Result<(Directives, Vec<Statement>), Mistake> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut rest = Lexed { lines: source.split_inclusive('\n'), number: 0 };
    let mut directives = Directives { escape: '\\', syntax: None };
    let (mut seen, mut is_head) = (Vec::new(), true);
    let mut statements = Vec::new();
    while let Some((number, line)) = rest.next() {
        let line = without_end(line).trim_start();
        is_head = is_head && directive(line, number, &mut directives, &mut seen)?;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (first, text) = (number, rest.joined(line, directives.escape));
        if text.is_empty() {
            continue;
        }
        let mut heredocs = begun(&text, directives.escape);
        for heredoc in &mut heredocs {
            if !rest.fill(heredoc) {
                let lines = Lines { first, last: rest.number };
                let message = format!("the document up to `{}` has no end", heredoc.name);
                let hint = format!("end it with a line that is `{}` and nothing else", heredoc.name);
                return Err(Mistake::new(lines, message).hint(hint));
            }
        }
        statements.push(Statement { lines: Lines { first, last: rest.number }, text, heredocs });
    }
    Ok((directives, statements))
}

/// The lines that are still to be read.
struct Lexed<'a, I: Iterator<Item = &'a str>> {
    lines: I,
    /// The number of the last one that was read.
    number: u32,
}

impl<'a, I: Iterator<Item = &'a str>> Lexed<'a, I> {
    fn next(&mut self) -> Option<(u32, &'a str)> {
        let line = self.lines.next()?;
        self.number += 1;
        Some((self.number, line))
    }

    /// Returns `line` with the lines in which it goes on.
    fn joined(&mut self, line: &str, escape: char) -> String {
        let (part, mut goes_on) = without_continuation(line, escape);
        let mut text = part.to_owned();
        while goes_on {
            let Some((_, line)) = self.next() else { break };
            let line = without_end(line);
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let (part, more) = without_continuation(line, escape);
            text.push_str(part);
            goes_on = more;
        }
        text
    }

    /// Reads a document up to its word. Returns whether it has come.
    fn fill(&mut self, heredoc: &mut Heredoc) -> bool {
        while let Some((_, line)) = self.next() {
            let end = without_end(line);
            let end = if heredoc.without_tabs { end.trim_start_matches('\t') } else { end };
            if end == heredoc.name {
                return true;
            }
            heredoc.content.push_str(line);
        }
        false
    }
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// Takes the sign at the end of a line that goes on. Two of them are none.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}

/// Reads a directive. Returns whether more of them may follow.
fn directive(
    line: &str,
    number: u32,
    directives: &mut Directives,
    seen: &mut Vec<String>,
) -> Result<bool, Mistake> {
    let lines = Lines::one(number);
    let Some((name, value)) = line.strip_prefix('#').and_then(|comment| comment.split_once('=')) else {
        return Ok(false);
    };
    let (name, value) = (name.trim().to_lowercase(), value.trim());
    if value.is_empty() {
        return Ok(false);
    }
    match name.as_str() {
        "escape" | "syntax" | "check" if seen.contains(&name) => {
            return Err(Mistake::new(lines, format!("the directive `{name}` is there a second time")));
        }
        "escape" => {
            directives.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    let message = format!("`{value}` cannot be the escape character");
                    return Err(Mistake::new(lines, message).hint("write `# escape=\\` or `` # escape=` ``"));
                }
            }
        }
        "syntax" => directives.syntax = Some((value.to_owned(), lines)),
        "check" => {} // what is only warned about is no matter of the build
        _ => return Ok(false),
    }
    seen.push(name);
    Ok(true)
}

/// Returns the documents that an instruction begins, still empty.
fn begun(text: &str, escape: char) -> Vec<Heredoc> {
    if !text.contains("<<") || !takes_documents(text, escape) {
        return Vec::new();
    }
    let keep = Reading { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Reading::new('\\') };
    let words = words(text, keep, &NoVariables).unwrap_or_default();
    words.iter().filter_map(|word| Heredoc::begun(word)).collect()
}

fn takes_documents(text: &str, escape: char) -> bool {
    let Split { name, arguments, .. } = split(text, escape);
    match name.to_ascii_uppercase().as_str() {
        "RUN" | "COPY" | "ADD" => json(arguments) == Json::None,
        "ONBUILD" => !arguments.is_empty() && !is_onbuild(arguments) && takes_documents(arguments, escape),
        _ => false,
    }
}

fn is_onbuild(text: &str) -> bool {
    split(text, '\\').name.eq_ignore_ascii_case("ONBUILD")
}

impl Heredoc {
    /// Reads `<<EOF`, `<<-EOF`, `3<<"EOF"`.
    pub(crate) fn begun(word: &str) -> Option<Self> {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (rest, without_tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let read = |keep_quotes| {
            let reading = Reading { keep_quotes, keep_unset: true, ..Reading::new('\\') };
            words(rest, reading, &NoVariables).ok()
        };
        let [name] = <[String; 1]>::try_from(read(false)?).ok()?;
        let quotes = |text: &str| text.matches(['\'', '"']).count();
        let expand = read(true)?.first().is_some_and(|raw| quotes(raw) == quotes(&name));
        Some(Self { name, content: String::new(), expand, without_tabs })
    }
}

/// The instructions there are.
pub(crate) const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let (directives, statements) = match statements(source) {
            Ok(read) => read,
            Err(mistake) => return format!("{}: {}", mistake.lines.first, mistake.message),
        };
        let mut out = format!("escape {}\n", directives.escape);
        for Statement { lines, text, heredocs } in statements {
            out += &format!("{}-{} {text}\n", lines.first, lines.last);
            for Heredoc { name, content, expand, without_tabs } in heredocs {
                out += &format!("  {name} expand={expand} without_tabs={without_tabs} {content:?}\n");
            }
        }
        out
    }

    #[test]
    fn lines_go_on_over_comments_and_empty_lines() {
        insta::assert_snapshot!(shown("\u{feff}FROM a\r\n\r\n  RUN one \\ \t\r\n  # no\n\n    two\\\n three\n \\\nCMD x \\"), @r"
        escape \
        1-1 FROM a
        3-7 RUN one     two three
        8-9 CMD x
        ");
    }

    #[test]
    fn a_doubled_sign_does_not_go_on() {
        insta::assert_snapshot!(shown("RUN a\\\\\nRUN b\n"), @r"
        escape \
        1-1 RUN a\\
        2-2 RUN b
        ");
    }

    #[test]
    fn directives_come_before_everything_else_and_once() {
        assert!(shown("# syntax=docker/dockerfile:1\n#Escape = ` \nRUN a `\n b").contains("3-4 RUN a  b"));
        for other in ["# comment\n", "\n", "FROM x\n", "# unknown=x\n"] {
            assert!(shown(&format!("{other}# escape=`\nRUN a `\n b")).starts_with("escape \\"), "{other}");
        }
        assert_eq!(shown("# escape=`\n# escape=`\n"), "2: the directive `escape` is there a second time");
        assert_eq!(shown("# escape=x\n"), "1: `x` cannot be the escape character");
    }

    #[test]
    fn documents_follow_their_instruction() {
        let source =
            "RUN <<EOF cat <<-'B' 3<<\"C\"\n# no comment\n\\\nEOF\n\tx\n\tB\nC\nCOPY << f /\na\nf\nCMD <<X\n";
        insta::assert_snapshot!(shown(source), @r##"
        escape \
        1-7 RUN <<EOF cat <<-'B' 3<<"C"
          EOF expand=true without_tabs=false "# no comment\n\\\n"
          B expand=false without_tabs=true "\tx\n"
          C expand=false without_tabs=false ""
        8-10 COPY << f /
          f expand=true without_tabs=false "a\n"
        11-11 CMD <<X
        "##);
    }

    #[test]
    fn what_looks_like_a_document_may_be_none() {
        for source in [
            "RUN echo \"<<EOF\"\nCMD x\n",
            "RUN a <<<b\nCMD x\n",
            "RUN [\"a\", \"<<EOF\"]\nCMD x\n",
            "RUN echo $((1 << 2))\nCMD x\n",
        ] {
            let shown = shown(source);
            assert!(shown.contains("2-2 CMD x") || shown.contains("`2))`"), "{source}: {shown}");
        }
        assert!(shown("ONBUILD RUN <<E\na\nE\n").contains("  E expand=true"));
        assert_eq!(shown("RUN <<E\na\n"), "1: the document up to `E` has no end");
    }
}
