//! How an instruction's text falls into words, before variables are filled in.

use serde_json::Value;

/// An instruction's text: `RUN --network=none make all`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// `RUN`.
    pub(crate) name: &'a str,
    /// `--network=none`.
    pub(crate) flags: Vec<String>,
    /// `make all`.
    pub(crate) arguments: &'a str,
}

/// Splits an instruction's text.
pub(crate) fn split(text: &str, escape: char) -> Split<'_> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once(is_blank) else {
        return Split { name: text, flags: Vec::new(), arguments: "" };
    };
    let (flags, arguments) = flags(rest, escape);
    Split { name, flags, arguments: arguments.trim() }
}

fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Takes the words at the beginning of `text` that begin with `--`, without their quotes. `--` alone ends them.
fn flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let mut flag = String::new();
        let (mut quote, mut was_quoted, mut end) = (None, false, rest.len());
        let mut characters = rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match quote {
                None if character.is_whitespace() => {
                    end = at;
                    break;
                }
                None if character == '\'' || character == '"' => {
                    (quote, was_quoted) = (Some(character), true)
                }
                Some(open) if character == open => quote = None,
                _ if character == escape => flag.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => flag.push(character),
            }
        }
        rest = rest[end..].trim_start();
        if flag == "--" {
            break;
        }
        if was_quoted || !flag.is_empty() {
            flags.push(flag);
        }
    }
    (flags, rest)
}

/// Splits at blanks.
pub(crate) fn at_blanks(text: &str) -> Vec<String> {
    text.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Splits at the first blanks.
pub(crate) fn first_word(text: &str) -> (&str, &str) {
    text.split_once(is_blank).map_or((text, ""), |(first, rest)| (first, rest.trim_start_matches(is_blank)))
}

/// Splits at blanks that are neither quoted nor escaped. Quotes and escape characters stay: they matter when
/// variables are filled in.
pub(crate) fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut was_quoted) = (String::new(), None, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                if was_quoted || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                was_quoted = false;
                continue;
            }
            None if character == '\'' || character == '"' => (quote, was_quoted) = (Some(character), true),
            Some(open) if character == open => quote = None,
            _ => {}
        }
        if character == escape && quote != Some('\'') {
            // One at the very end escapes nothing.
            let Some(escaped) = characters.next() else { break };
            word.extend([character, escaped]);
        } else {
            word.push(character);
        }
    }
    if was_quoted || !word.is_empty() {
        words.push(word);
    }
    words
}

/// A text that may be a JSON array of texts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// It is one.
    Array(Vec<String>),
    /// It is an array of something else.
    NotTexts,
    /// It is something else, and so means itself.
    None,
}

/// Reads what may be a JSON array.
pub(crate) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::None;
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(text) else { return Json::None };
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    });
    texts.collect::<Option<_>>().map_or(Json::NotTexts, Json::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_right_after_the_name() {
        let split = |text| {
            let Split { name, flags, arguments } = split(text, '\\');
            format!("{name} {flags:?} {arguments}")
        };
        assert_eq!(split("RUN make --all"), "RUN [] make --all");
        assert_eq!(split(" copy\t--from=a --chown='x y'  b c "), r#"copy ["--from=a", "--chown=x y"] b c"#);
        assert_eq!(split(r#"RUN --a="b\"c" --d=e\ f g"#), r#"RUN ["--a=b\"c", "--d=e f"] g"#);
        assert_eq!(split("RUN --a -- --b"), r#"RUN ["--a"] --b"#);
        assert_eq!(split("RUN --ä=ö ü"), r#"RUN ["--ä=ö"] ü"#);
        assert_eq!(split("CMD"), "CMD [] ");
        assert_eq!(split("RUN --a"), r#"RUN ["--a"] "#);
    }

    #[test]
    fn quoted_words_keep_their_quotes_and_escapes() {
        assert_eq!(
            quoted(r#"a="b c" d='e \' f\ g "" h\"i"#, '\\'),
            [r#"a="b c""#, r"d='e \'", r"f\ g", "\"\"", "h\\\"i"]
        );
        assert_eq!(quoted("a\\", '\\'), ["a"]);
        assert_eq!(quoted("a=`\"b c", '`'), ["a=`\"b", "c"]);
    }

    #[test]
    fn an_array_of_texts_is_one_and_anything_else_means_itself() {
        assert_eq!(json(r#" ["a", "b\n"]"#), Json::Array(vec!["a".to_owned(), "b\n".to_owned()]));
        assert_eq!(json("[]"), Json::Array(vec![]));
        assert_eq!(json(r#"["a", 1]"#), Json::NotTexts);
        for text in ["['a']", r#"["a"] x"#, r#"["a",]"#, "a"] {
            assert_eq!(json(text), Json::None, "{text}");
        }
    }
}
