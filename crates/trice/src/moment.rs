//! Moments as they are typed: RFC 3339, seconds since the epoch, or how long ago.

use trice_model::time::Timestamp;
use trice_model::units::parse_duration;

/// A text that names no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a moment: write `2026-01-31T12:00:00Z`, or how long ago, such as `10m`")]
pub(crate) struct MomentError(String);

/// A moment as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This one.
    At(Timestamp),
    /// So long before now.
    Ago(std::time::Duration),
}

impl Moment {
    /// Returns the moment itself, the clock showing `now`.
    pub(crate) fn on(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => {
                Timestamp(now.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
            }
        }
    }
}

impl std::str::FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Some(time) = Timestamp::parse_rfc3339(text).or_else(|| seconds(text)) {
            return Ok(Self::At(time));
        }
        parse_duration(text).map(Self::Ago).map_err(|_| MomentError(text.to_owned()))
    }
}

/// Reads `1700000000.25`: seconds since the epoch.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn at(text: &str) -> Option<u64> {
        text.parse::<Moment>().ok().map(|moment| moment.on(NOW).0)
    }

    #[test]
    fn moments_are_typed_as_times_as_seconds_and_as_how_long_ago() {
        assert_eq!(at("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(at("1970-01-02"), Some(86_400_000_000_000));
        assert_eq!(at("90"), Some(90_000_000_000));
        assert_eq!(at("90.5"), Some(90_500_000_000));
        assert_eq!(at("10m"), Some(400_000_000_000));
        assert_eq!(at("1h"), Some(0), "there is nothing before the epoch");
        for bad in ["", "yesterday", "-5m", "1.2.3"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
