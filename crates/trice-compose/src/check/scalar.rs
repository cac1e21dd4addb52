//! Scalars: booleans, numbers, sizes, durations, modes, and texts of which there are only a few.

use trice_model::units::{Bytes, BytesError, DurationError, parse_duration};

use crate::check::{Check, suggest};
use crate::schema::shape::{Integer, Shape, Size};
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
    #[error("`{0}` cannot name a container")]
    NotAName(String),
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
        if let (Shape::Integer(Integer { cut: true, .. }), Value::Float(number)) = (shape, &node.value)
            && number.fract() != 0.0
        {
            let warning = format!("`{}` is taken for {}", format_float(*number), number.trunc());
            self.report.warning(node.span, path, warning).hint("write a whole number");
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

/// Returns `value` with the type of `shape`. If `raw`, what is written stands for itself.
fn typed(value: Value, shape: &Shape, raw: bool) -> Result<Value, Wrong> {
    match shape {
        Shape::Text => match value {
            Value::Text(text) => Ok(Value::Text(text)),
            other => Err(Wrong::Kind(other)),
        },
        Shape::Boolean => match value {
            Value::Bool(flag) => Ok(Value::Bool(flag)),
            other => Err(Wrong::Kind(other)),
        },
        Shape::Flag => flag(value, raw),
        Shape::Integer(wanted) => integer(value, *wanted, raw),
        Shape::Number => number(value, raw),
        Shape::Scalar => match value {
            Value::Float(_) | Value::Bool(_) => Err(Wrong::Kind(value)),
            value => scalar_text(value, raw),
        },
        Shape::AnyScalar => scalar_text(value, raw),
        Shape::Bytes(form) => size(value, *form, raw),
        Shape::Duration => duration(value, raw),
        Shape::Mode => mode(value, raw),
        Shape::OneOf(allowed) => match value {
            Value::Text(text) if allowed.contains(&text.as_str()) => Ok(Value::Text(text)),
            Value::Text(text) => Err(Wrong::Value(ScalarMistake::NotOneOf { text, allowed })),
            other => Err(Wrong::Kind(other)),
        },
        Shape::PullPolicy => match value {
            Value::Text(text) if raw || is_pull_policy(&text) => Ok(Value::Text(text)),
            Value::Text(text) => Err(Wrong::Value(ScalarMistake::NotAPullPolicy(text))),
            other => Err(Wrong::Kind(other)),
        },
        Shape::ContainerName => match value {
            Value::Text(text) if holds_a_name(&text) => Ok(Value::Text(text)),
            Value::Text(text) => Err(Wrong::Value(ScalarMistake::NotAName(text))),
            other => Err(Wrong::Kind(other)),
        },
        Shape::Any
        | Shape::Object(_)
        | Shape::Keyed { .. }
        | Shape::List(_)
        | Shape::Set(_)
        | Shape::Texts
        | Shape::Scalars
        | Shape::Pairs(_)
        | Shape::Options(_)
        | Shape::Hosts
        | Shape::Command
        | Shape::Probe
        | Shape::Short(..)
        | Shape::Nullable(_) => Ok(value),
    }
}

fn flag(value: Value, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Bool(flag) => Ok(Value::Bool(flag)),
        Value::Text(text) if raw => Ok(Value::Text(text)),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        Value::Text(text) if is_yaml_1_1_boolean(&text) => Ok(Value::Bool(says_yes(&text))),
        Value::Text(text) => Err(Wrong::Value(ScalarMistake::NotABoolean(text))),
        other => Err(Wrong::Kind(other)),
    }
}

fn integer(value: Value, wanted: Integer, raw: bool) -> Result<Value, Wrong> {
    let Integer { min, max, text, cut } = wanted;
    let number = match value {
        Value::Text(_) if !text => return Err(Wrong::Kind(value)),
        Value::Text(text) if raw => return Ok(Value::Text(text)),
        Value::Int(number) => Ok(number),
        Value::Float(number) if cut && raw => return Ok(Value::Float(number)),
        Value::Float(number) if cut => {
            whole(number.trunc()).ok_or_else(|| ScalarMistake::NotAnInteger(format_float(number)))
        }
        Value::Float(number) => {
            whole(number).ok_or_else(|| ScalarMistake::NotAnInteger(format_float(number)))
        }
        Value::Text(text) => text.parse().map_err(|_| ScalarMistake::NotAnInteger(text)),
        other => return Err(Wrong::Kind(other)),
    };
    match number {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Int(number)),
        Ok(number) => Err(Wrong::Value(ScalarMistake::OutOfRange { number, min, max })),
        Err(mistake) => Err(Wrong::Value(mistake)),
    }
}

fn number(value: Value, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Int(number) => Ok(Value::Int(number)),
        Value::Float(number) => Ok(Value::Float(number)),
        Value::Text(text) if raw => Ok(Value::Text(text)),
        Value::Text(text) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            Ok(_) | Err(_) => Err(Wrong::Value(ScalarMistake::NotANumber(text))),
        },
        other => Err(Wrong::Kind(other)),
    }
}

fn scalar_text(value: Value, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Text(text) => Ok(Value::Text(text)),
        number @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)) if raw => Ok(number),
        Value::Int(number) => Ok(Value::Text(number.to_string())),
        Value::Float(number) => Ok(Value::Text(format_float(number))),
        Value::Bool(flag) => Ok(Value::Text(flag.to_string())),
        other => Err(Wrong::Kind(other)),
    }
}

fn size(value: Value, form: Size, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Int(_) | Value::Float(_) if form == Size::TextOnly => Err(Wrong::Kind(value)),
        Value::Float(number)
            if matches!(form, Size::WholeNumber | Size::Positive) && number.fract() != 0.0 =>
        {
            Err(Wrong::Kind(value))
        }
        Value::Int(number) if form == Size::Positive && number < 0 => {
            Err(Wrong::Value(ScalarMistake::OutOfRange { number, min: 0, max: i64::MAX }))
        }
        Value::Int(number) => Ok(Value::Int(number)),
        Value::Float(number) if raw => Ok(Value::Float(number)),
        Value::Float(number) => match whole(number.trunc()) {
            Some(number) => Ok(Value::Int(number)),
            None => Err(Wrong::Value(ScalarMistake::NotANumber(format_float(number)))),
        },
        Value::Text(text) if raw => Ok(Value::Text(text)),
        Value::Text(text) => bytes(&text).map(Value::Int).map_err(Wrong::Value),
        other => Err(Wrong::Kind(other)),
    }
}

fn duration(value: Value, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Text(text) if raw => Ok(Value::Text(text)),
        Value::Text(text) => match parse_duration(&text) {
            Ok(duration) => Ok(Value::Int(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))),
            Err(error) => Err(Wrong::Value(error.into())),
        },
        other => Err(Wrong::Kind(other)),
    }
}

fn mode(value: Value, raw: bool) -> Result<Value, Wrong> {
    match value {
        Value::Int(mode) => Ok(Value::Int(mode)),
        Value::Text(text) if raw => Ok(Value::Text(text)),
        Value::Text(text) => match i64::from_str_radix(&text, 8) {
            Ok(mode) => Ok(Value::Int(mode)),
            Err(_) => Err(Wrong::Value(ScalarMistake::NotAMode(text))),
        },
        other => Err(Wrong::Kind(other)),
    }
}

/// Returns the bytes that `text` says.
fn bytes(text: &str) -> Result<i64, ScalarMistake> {
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

/// Tells whether two characters of a name stand in `text`. All of it is looked at when a container is named by it.
fn holds_a_name(text: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_alphanumeric() && name(pair[1]))
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Boolean | Shape::Flag => "a boolean",
        Shape::Integer(_) => "a whole number",
        Shape::Number => "a number",
        Shape::Bytes(Size::TextOnly) => "a size such as `64m`, in quotes if it is a number",
        Shape::Bytes(_) => "a size such as `64m`",
        Shape::Duration => "a duration such as `30s`",
        Shape::Mode => "a file mode such as `0444`",
        Shape::Scalar => "a text or a whole number",
        Shape::AnyScalar => "a text, a number or a boolean",
        Shape::Text | Shape::OneOf(_) | Shape::PullPolicy | Shape::ContainerName => "a text",
        Shape::List(_) | Shape::Set(_) | Shape::Texts | Shape::Scalars | Shape::Probe => "a list",
        Shape::Any
        | Shape::Object(_)
        | Shape::Keyed { .. }
        | Shape::Pairs(_)
        | Shape::Options(_)
        | Shape::Hosts
        | Shape::Command
        | Shape::Short(..)
        | Shape::Nullable(_) => "something else",
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
        ScalarMistake::NotAName(_) => {
            Some("names have two characters at least, of a-z, A-Z, 0-9, `_`, `.` and `-`".to_owned())
        }
        ScalarMistake::NotAnInteger(_)
        | ScalarMistake::NotANumber(_)
        | ScalarMistake::OutOfRange { .. }
        | ScalarMistake::Bytes(_)
        | ScalarMistake::Duration(_) => None,
    }
}
