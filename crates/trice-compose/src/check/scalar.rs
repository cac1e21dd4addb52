//! Scalars: booleans, numbers, sizes, durations, modes, and texts of which there are only a few.

use trice_model::units::{Bytes, BytesError, DurationError, parse_duration};

use crate::check::{Check, suggest};
use crate::schema::shape::Shape;
use crate::tree::node::{Node, Value};
use crate::tree::path::Path;
use crate::tree::scalar::format_float;

/// What a scalar can do wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScalarMistake {
    #[error("`{0}` is not a boolean")]
    NotABoolean(String),
    #[error("`{0}` is not a whole number")]
    NotAnInteger(String),
    #[error("`{0}` is not a number")]
    NotANumber(String),
    #[error("{number} is not between {min} and {max}")]
    OutOfRange { number: i64, min: i64, max: i64 },
    #[error("`{0}` is not a file mode")]
    NotAMode(String),
    #[error("`{text}` is not one of {}", quoted(.allowed))]
    NotOneOf { text: String, allowed: &'static [&'static str] },
    #[error("`{0}` is not a pull policy")]
    NotAPullPolicy(String),
    #[error(transparent)]
    Bytes(#[from] BytesError),
    #[error(transparent)]
    Duration(#[from] DurationError),
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

impl Check<'_> {
    /// Checks a scalar and gives it its type.
    pub(super) fn scalar(&mut self, node: &mut Node, shape: &'static Shape, path: &Path<'_>) {
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            self.wrong(node, path, wanted(shape));
            return;
        }
        let yaml_1_1 = matches!(shape, Shape::Flag) && node.as_text().is_some_and(is_yaml_1_1_boolean);
        if yaml_1_1 && !self.raw {
            let text = node.as_text().unwrap_or_default();
            let word = if says_yes(text) { "true" } else { "false" };
            let warning = format!("`{text}` is a boolean in YAML 1.1 only");
            self.report.warning(node.span, path, warning).hint(format!("write `{word}`"));
        }
        let value = std::mem::replace(&mut node.value, Value::Bad);
        match typed(value, shape, self.raw) {
            Ok(value) => node.value = value,
            Err(Wrong::Kind(value)) => {
                node.value = value;
                let number = matches!(node.value, Value::Int(_) | Value::Float(_));
                let finding = self.wrong(node, path, wanted(shape));
                if matches!(shape, Shape::Text) {
                    finding.hint("put the value in quotes");
                } else if matches!(shape, Shape::Duration) && number {
                    finding.hint("a number needs a unit: write `10s` for ten seconds");
                }
            }
            Err(Wrong::Value(mistake)) => {
                let hint = hint(&mistake);
                self.refuse(node, path, mistake).hint = hint;
            }
        }
    }
}

enum Wrong {
    /// It is of another kind.
    Kind(Value),
    /// It is of the right kind, or a text that should say it.
    Value(ScalarMistake),
}

/// Returns `value` with the type of `shape`. If `raw`, a text stands for itself.
fn typed(value: Value, shape: &Shape, raw: bool) -> Result<Value, Wrong> {
    use Value::{Bool, Float, Int, Text};
    let wrong = |mistake| Err(Wrong::Value(mistake));
    match (shape, value) {
        (
            Shape::Flag
            | Shape::Integer { .. }
            | Shape::Number
            | Shape::Bytes
            | Shape::Duration
            | Shape::Mode
            | Shape::Scalar,
            Text(text),
        ) if raw => Ok(Text(text)),
        (Shape::Scalar, value @ (Int(_) | Float(_) | Bool(_))) if raw => Ok(value),
        (Shape::Text | Shape::Scalar, Text(text)) => Ok(Text(text)),
        (Shape::Scalar, Int(number)) => Ok(Text(number.to_string())),
        (Shape::Scalar, Float(number)) => Ok(Text(format_float(number))),
        (Shape::Scalar, Bool(flag)) => Ok(Text(flag.to_string())),
        (Shape::Boolean | Shape::Flag, Bool(flag)) => Ok(Bool(flag)),
        (Shape::Flag, Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Bool(true)),
            "false" => Ok(Bool(false)),
            _ if is_yaml_1_1_boolean(&text) => Ok(Bool(says_yes(&text))),
            _ => wrong(ScalarMistake::NotABoolean(text)),
        },
        (Shape::Integer { min, max }, Int(number)) if (*min..=*max).contains(&number) => Ok(Int(number)),
        (Shape::Integer { min, max }, Int(number)) => {
            wrong(ScalarMistake::OutOfRange { number, min: *min, max: *max })
        }
        (Shape::Integer { .. }, Float(number)) => match whole(number) {
            Some(number) => typed(Int(number), shape, raw),
            None => wrong(ScalarMistake::NotAnInteger(format_float(number))),
        },
        (Shape::Integer { .. }, Text(text)) => match text.parse() {
            Ok(number) => typed(Int(number), shape, raw),
            Err(_) => wrong(ScalarMistake::NotAnInteger(text)),
        },
        (Shape::Number, Int(number)) => Ok(Int(number)),
        (Shape::Number, Float(number)) => Ok(Float(number)),
        (Shape::Number, Text(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Float(number)),
            _ => wrong(ScalarMistake::NotANumber(text)),
        },
        (Shape::Bytes, Int(number)) => Ok(Int(number)),
        (Shape::Bytes, Float(number)) => match whole(number.trunc()) {
            Some(number) => Ok(Int(number)),
            None => wrong(ScalarMistake::NotANumber(format_float(number))),
        },
        (Shape::Bytes, Text(text)) => bytes(&text).map(Int).map_err(Wrong::Value),
        (Shape::Duration, Text(text)) => match parse_duration(&text) {
            Ok(duration) => Ok(Int(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))),
            Err(error) => wrong(error.into()),
        },
        (Shape::Mode, Int(number)) => Ok(Int(number)),
        (Shape::Mode, Text(text)) => match i64::from_str_radix(&text, 8) {
            Ok(mode) => Ok(Int(mode)),
            Err(_) => wrong(ScalarMistake::NotAMode(text)),
        },
        (Shape::OneOf(allowed), Text(text)) if allowed.contains(&text.as_str()) => Ok(Text(text)),
        (Shape::OneOf(allowed), Text(text)) => wrong(ScalarMistake::NotOneOf { text, allowed }),
        (Shape::PullPolicy, Text(text)) if raw || is_pull_policy(&text) => Ok(Text(text)),
        (Shape::PullPolicy, Text(text)) => wrong(ScalarMistake::NotAPullPolicy(text)),
        (_, value) => Err(Wrong::Kind(value)),
    }
}

/// Returns the bytes that `text` says. A plain number may be negative, which means no limit.
fn bytes(text: &str) -> Result<i64, ScalarMistake> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let Bytes(number) = text.parse()?;
    i64::try_from(number).map_err(|_| ScalarMistake::NotANumber(text.to_owned()))
}

fn whole(number: f64) -> Option<i64> {
    let fits = number.fract() == 0.0 && number.abs() < i64::MAX as f64;
    fits.then_some(number as i64)
}

fn is_yaml_1_1_boolean(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "y" | "yes" | "on" | "n" | "no" | "off")
}

fn says_yes(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "y" | "yes" | "on")
}

fn is_pull_policy(text: &str) -> bool {
    let words = ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    words.contains(&text) || text.strip_prefix("every_").is_some_and(|every| parse_duration(every).is_ok())
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Boolean | Shape::Flag => "a boolean",
        Shape::Integer { .. } => "a whole number",
        Shape::Number => "a number",
        Shape::Bytes => "a size such as `64m`",
        Shape::Duration => "a duration such as `30s`",
        Shape::Mode => "a file mode such as `0444`",
        Shape::Scalar => "a text or a number",
        _ => "a text",
    }
}

fn hint(mistake: &ScalarMistake) -> Option<String> {
    match mistake {
        ScalarMistake::NotABoolean(_) => Some("write `true` or `false`".to_owned()),
        ScalarMistake::NotOneOf { text, allowed } => suggest::nearest(text, allowed.iter().copied()),
        ScalarMistake::NotAMode(_) => Some("write octal digits, such as `0444`".to_owned()),
        ScalarMistake::NotAPullPolicy(_) => {
            Some("write `always`, `missing`, `never`, `build`, `daily`, `weekly` or `every_12h`".to_owned())
        }
        ScalarMistake::NotAnInteger(_)
        | ScalarMistake::NotANumber(_)
        | ScalarMistake::OutOfRange { .. }
        | ScalarMistake::Bytes(_)
        | ScalarMistake::Duration(_) => None,
    }
}
