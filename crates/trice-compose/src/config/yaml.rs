//! The model as YAML that every reader takes for what it is.
//!
//! An emitter of our own, since a common one leaves `1_000`, `yes` and `2001-01-01` without quotes: texts here, a number,
//! a boolean and a date to the readers of YAML 1.1, Docker Compose's among them.

use serde_json::{Map, Value as Json};

use crate::schema::root::ROOT;
use crate::tree::node::Value;
use crate::tree::scalar::resolve;

/// Writes the model `value`. The top level comes in the order of the specification, everything below is sorted.
pub(crate) fn write(value: &Json) -> String {
    let mut out = String::new();
    let Json::Object(fields) = value else { return out };
    let known = ROOT.attributes.iter().filter_map(|attribute| fields.get_key_value(attribute.name));
    let others = fields.iter().filter(|(key, _)| ROOT.find(key).is_none());
    for (key, value) in known.chain(others) {
        entry(&mut out, key, value, 0);
    }
    out
}

/// The longest key that stands before its colon, in bytes: no reader looks for that beyond 1,024 characters. Others are
/// announced, as Docker Compose's are.
const LONGEST_KEY: usize = 128;

fn entry(out: &mut String, key: &str, value: &Json, indent: usize) {
    let margin = " ".repeat(indent);
    out.push_str(&margin);
    if key.len() > LONGEST_KEY {
        out.push_str("? ");
        scalar(out, key, None);
        out.push('\n');
        return item(out, ": ", value, indent);
    }
    scalar(out, key, None);
    out.push(':');
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            object(out, fields, indent + 2);
        }
        Json::Array(items) if !items.is_empty() => {
            out.push('\n');
            for each in items {
                item(out, "- ", each, indent + 2);
            }
        }
        _ => {
            out.push(' ');
            leaf(out, value, indent);
        }
    }
}

fn object(out: &mut String, fields: &Map<String, Json>, indent: usize) {
    for (key, value) in fields {
        entry(out, key, value, indent);
    }
}

/// Writes what stands behind `mark`, which is two columns wide.
fn item(out: &mut String, mark: &str, value: &Json, indent: usize) {
    out.push_str(&" ".repeat(indent));
    out.push_str(mark);
    let mut below = String::new();
    match value {
        Json::Object(fields) if !fields.is_empty() => object(&mut below, fields, indent + 2),
        Json::Array(items) if !items.is_empty() => {
            items.iter().for_each(|each| item(&mut below, "- ", each, indent + 2));
        }
        _ => return leaf(out, value, indent),
    }
    // The first line stands behind the mark, at the same column as the others.
    out.push_str(below.trim_start_matches(' '));
}

fn leaf(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::String(text) => scalar(out, text, Some(indent + 2)),
        Json::Array(_) => out.push_str("[]"),
        Json::Object(_) => out.push_str("{}"),
    }
    out.push('\n');
}

/// Writes a text: as it is, over several lines if `block` says how far they are indented, or in quotes.
fn scalar(out: &mut String, text: &str, block: Option<usize>) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    let printable = |c: char| c == '\n' || c == '\t' || (!c.is_control() && !is_line_break(c));
    let fits = text.contains('\n') && !text.starts_with([' ', '\n', '\t']) && text.chars().all(printable);
    match block {
        Some(indent) if fits => {
            let body = text.strip_suffix('\n').unwrap_or(text);
            out.push_str(match text.len() - text.trim_end_matches('\n').len() {
                0 => "|-",
                1 => "|",
                _ => "|+",
            });
            for line in body.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    out.push_str(&" ".repeat(indent));
                    out.push_str(line);
                }
            }
        }
        _ => quoted(out, text),
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_line_break(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A character that some version of YAML ends a line at, or takes for a byte-order mark.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Tells whether `text` means itself without quotes, to readers of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_alphanumeric() || "_./-+@%=,()~^$ :".contains(c);
    let starts = text.starts_with(|c: char| c.is_alphanumeric() || "_./$~(".contains(c));
    let split = text.contains(": ") || text.ends_with([':', ' ']) || text.contains("  ");
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let date = text.len() >= 8 && text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-');
    let base_60 = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(':');
    starts
        && text.chars().all(safe)
        && !split
        && !date
        && !base_60
        && !words.contains(&text.to_lowercase().as_str())
        && matches!(resolve(text), Value::Text(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::*;
    use crate::config::json::plain;
    use crate::testing::tree;

    #[test]
    fn texts_that_could_be_misread_are_quoted() {
        let texts =
            ["a b", "1_000", "yes", "2001-01-01", "22:22", "", "~", "a: b", "- x", "x #y", "0o7", "=", "a=b"];
        let written = write(&json!({ "x": texts }));
        insta::assert_snapshot!(written, @r#"
        x:
          - a b
          - "1_000"
          - "yes"
          - "2001-01-01"
          - "22:22"
          - ""
          - "~"
          - "a: b"
          - "- x"
          - "x #y"
          - "0o7"
          - "="
          - a=b
        "#);
    }

    #[test]
    fn nesting_lines_and_order_come_out_right() {
        let value = json!({
            "x-a": [[1, 2], { "b": [], "a": {} }, null],
            "name": "n",
            "services": { "web": { "command": ["sh", "-c", "a\nb\n"], "tty": true, "x": "a\n\n  b" } },
        });
        insta::assert_snapshot!(write(&value), @r#"
        name: "n"
        services:
          web:
            command:
              - sh
              - "-c"
              - |
                a
                b
            tty: true
            x: |-
              a

                b
        x-a:
          - - 1
            - 2
          - a: {}
            b: []
          - null
        "#);
    }

    #[test]
    fn keys_of_any_length_are_read_as_they_were_written() {
        for length in [128, 129, 1024, 1025, 5000] {
            let key = format!("x-{}", "k".repeat(length - 2));
            let inner = json!({ &key: "text", "plain": { &key: [{ &key: null }, [{ &key: {} }]] } });
            let value = json!({ &key: inner });
            assert_eq!(plain(&tree(&write(&value))), value, "{length}");
        }
        assert!(write(&json!({ "x".repeat(129): [1] })).ends_with("x\n: - 1\n"));
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was_written(text in any::<String>()) {
            let printable: String = text.chars().filter(|c| *c != '\u{fffe}' && *c != '\u{ffff}').collect();
            let value = json!({ "x-a": printable.clone(), "x-b": [printable] });
            assert_eq!(plain(&tree(&write(&value))), value);
        }

        #[test]
        fn lines_are_read_as_they_were_written(text in "[ab \t\n:#'-]{0,12}") {
            let value = json!({ "x-a": text, "x-b": { "c": [text] } });
            assert_eq!(plain(&tree(&write(&value))), value);
        }
    }
}
