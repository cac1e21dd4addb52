//! Moments, which cross processes and reboots and so count from the epoch.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A moment of the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the moment `later` after this one.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Returns how long before this moment `earlier` was; zero if it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Writes the moment in RFC 3339's form, in UTC, with nine digits of the second.
    pub fn rfc3339(self) -> String {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }

    /// Reads RFC 3339's form: a date, or a date and a time with a fraction and an offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, time) =
            text.split_once(['T', 't', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
        let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1970..=2500).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let midnight = days_from_civil(year, month, day) * 86_400;
        let Some(time) = time else { return Some(Self(midnight * 1_000_000_000)) };
        let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
        let offset = offset_seconds(&time[zone..])?;
        let (clock, fraction) = time[..zone].split_once('.').unwrap_or((&time[..zone], "0"));
        let mut parts = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
        let (hour, minute) = (parts.next()??, parts.next()??);
        let second = parts.next().unwrap_or(Some(0))?;
        if hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
            return None;
        }
        let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
        let local = i64::try_from(midnight + hour * 3_600 + minute * 60 + second).ok()?;
        let seconds = u64::try_from(local - offset).ok()?;
        Some(Self(seconds * 1_000_000_000 + nanos))
    }
}

/// Returns the seconds east of Greenwich that `Z`, `+02:00` or nothing stand for.
fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None | Some('Z' | 'z') => return Some(0),
        Some('-') => -1,
        Some(_) => 1,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60))
}

/// Returns year, month and day of a count of days since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Source: the usual arithmetic on 400-year eras that begin on March 1st.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_based = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_based + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read_in_rfc_3339s_form() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_243_785_120_000_000, "2026-11-21T06:49:45.120000000Z"),
        ];
        for (nanos, text) in cases {
            assert_eq!(Timestamp(nanos).rfc3339(), text);
            assert_eq!(Timestamp::parse_rfc3339(text), Some(Timestamp(nanos)));
        }
        let noon = Timestamp::parse_rfc3339("2026-11-21T12:00:00+02:00");
        assert_eq!(noon, Timestamp::parse_rfc3339("2026-11-21T10:00:00Z"));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21"), Timestamp::parse_rfc3339("2026-11-21T00:00"));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-21T25:00:00Z"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }
}
