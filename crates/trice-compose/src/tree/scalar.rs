//! What an unquoted scalar means: the rules of go-yaml 3, which Docker Compose reads with.
//!
//! They are YAML 1.2's core schema with leftovers of YAML 1.1: `0x10`, `010` and `1_000` are numbers, but `yes` and
//! `22:22` are texts. Dates stay texts: no attribute wants one.
//!
//! Source: go-yaml 3 `resolve.go`; `strconv` for the forms of numbers.

use crate::tree::node::Value;

/// Returns what the unquoted `text` means.
///
/// An integer that needs more than 63 bits is taken for a number with a fraction: no attribute counts that far.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.to_owned());
    }
    number(text).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// Writes a number as Go's `%v` does: `1.5`, `1000`, `1e+21`.
pub(crate) fn format_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{number}"),
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    if text.starts_with('.') {
        return decimal(text).map(Value::Float);
    }
    if let Some(whole) = integer(&plain) {
        return Some(whole);
    }
    decimal(&plain).map(Value::Float)
}

/// Returns the integer that `text` is, with Go's prefixes; one that is too large as a number.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some(two) if two.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    match i64::try_from(value) {
        Ok(value) => Some(Value::Int(value)),
        Err(_) => (radix == 10 || u64::try_from(value).is_ok()).then_some(Value::Float(value as f64)),
    }
}

/// Returns the number that `text` is if it has YAML's form of one: Rust's parser would take `inf` too.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_valid = exponent.is_none_or(|e| !e.is_empty() && digits(e));
    let valid =
        !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction) && exponent_valid;
    // What is too large for a number stays a text.
    valid.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_scalars_mean_what_go_yaml_says() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            ("", Value::Null),
            ("~", Value::Null),
            ("True", Value::Bool(true)),
            ("yes", text("yes")),
            ("on", text("on")),
            ("22:22", text("22:22")),
            ("2001-12-14", text("2001-12-14")),
            ("0x10", Value::Int(16)),
            ("010", Value::Int(8)),
            ("0o10", Value::Int(8)),
            ("-0b11", Value::Int(-3)),
            ("08", Value::Float(8.0)),
            ("1_000", Value::Int(1000)),
            ("+7", Value::Int(7)),
            ("-", text("-")),
            ("+", text("+")),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
            ("1e", text("1e")),
            ("1e400", text("1e400")),
            ("1.2.3", text("1.2.3")),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            (".infinity", text(".infinity")),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("0x10000000000000000", text("0x10000000000000000")),
        ];
        for (input, value) in cases {
            assert_eq!(resolve(input), value, "{input}");
        }
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (number, text) in
            [(1.5, "1.5"), (1.0, "1"), (1e3, "1000"), (1e21, "1e+21"), (1e-5, "1e-05"), (0.0001, "0.0001")]
        {
            assert_eq!(format_float(number), text);
        }
    }
}
