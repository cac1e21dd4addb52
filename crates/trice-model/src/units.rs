//! Sizes and durations in the forms that Compose files and flags use.
//!
//! Sources: Compose Specification, `11-extension.md` ("Specifying byte values", "Specifying durations"), and what
//! Docker Compose accepts beyond it: blanks before a unit, `k`, `kb` and `kib` alike, days and weeks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a number and one of b, k, m, g, t, p, such as `64m`")]
pub struct BytesError(String);

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let fail = || BytesError(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
        let (number, unit) = (trimmed[..split].trim_end(), trimmed[split..].to_ascii_lowercase());
        let prefix = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
        let power = match prefix {
            "" if unit != "ib" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return Err(fail()),
        };
        let factor = 1024_u64.pow(power);
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(fail());
        }
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(fail);
        }
        let fraction: f64 = number.parse().map_err(|_| fail())?;
        let product = fraction * factor as f64;
        if product < u64::MAX as f64 { Ok(Self(product as u64)) } else { Err(fail()) }
    }
}

impl fmt::Display for Bytes {
    /// Writes the size for people: `64 MiB`, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < units.len() {
            value /= 1024.0;
            unit += 1;
        }
        if value.fract() < 0.05 || unit == 0 {
            write!(f, "{value:.0} {}", units[unit])
        } else {
            write!(f, "{value:.1} {}", units[unit])
        }
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {rule}")]
pub struct DurationError {
    text: String,
    rule: &'static str,
}

/// Parses a duration in Go's form, with days and weeks: `1m30s`, `1.5h`, `2d`, `500ms`.
///
/// A number without a unit is refused, `0` apart, because nobody could tell what it counts.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = |rule| DurationError { text: text.to_owned(), rule };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fail("write a number and a unit, such as `30s`"));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number = &rest[..end];
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ns: u64 = match &rest[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            "" => return Err(fail("the unit is missing: write `5s` for seconds, `5ms`, `5m` or `5h`")),
            _ => return Err(fail("units are ns, us, ms, s, m, h, d and w")),
        };
        rest = &rest[end..];
        let value: f64 = number.parse().map_err(|_| fail("write a number before each unit"))?;
        let nanos = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit_ns),
            Err(_) => (value * (unit_ns as f64) < u64::MAX as f64).then_some((value * unit_ns as f64) as u64),
        };
        let part = Duration::from_nanos(nanos.ok_or_else(|| fail("it is too long"))?);
        total = total.checked_add(part).ok_or_else(|| fail("it is too long"))?;
    }
    Ok(total)
}

/// Writes a duration as Go does: `1m30s`, `24h0m0s`, `1.5s`, `200ms`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let decimal = |value: u128, unit: u128| {
        let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = fraction.trim_end_matches('0');
        if digits.is_empty() { format!("{}", value / unit) } else { format!("{}.{digits}", value / unit) }
    };
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", decimal(nanos, 1_000));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", decimal(nanos, 1_000_000));
    }
    let (minutes, seconds) = (duration.as_secs() / 60, nanos % 60_000_000_000);
    let seconds = decimal(seconds, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_every_unit_with_and_without_b_and_blanks() {
        let cases = [
            ("0", 0),
            ("64m", 64 << 20),
            ("1.5g", 3 << 29),
            ("10kib", 10 << 10),
            ("10 MB", 10 << 20),
            ("7b", 7),
            ("1P", 1 << 50),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "m", "12xx", "-1", "1ib", "99999999p", "1e3", "1.2.3k"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_and_written_in_gos_form() {
        let cases = [
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("1d", "24h0m0s"),
            ("500ms", "500ms"),
            ("1.5s", "1.5s"),
            ("2us", "2µs"),
            ("0", "0s"),
        ];
        for (text, written) in cases {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Ok(written), "{text}");
        }
        for bad in ["", "5", "5 s", "x", "1.2.3s", "99999999999w", "s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
