//! Facts about containers in the words that Docker's tools use for them.
//!
//! Source: docker/go-units `duration.go`; docker/cli `cli/command/formatter/container.go`.

use std::collections::BTreeSet;
use std::time::Duration;

use trice_api::view::ContainerView;
use trice_model::container::ContainerState;
use trice_model::health::Health;
use trice_model::time::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Says roughly how long something took: `About a minute`, `3 hours`.
pub(crate) fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Hours are rounded, everything smaller and larger is cut.
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        _ => match hours {
            0 | 1 => "About an hour".to_owned(),
            2..48 => format!("{hours} hours"),
            48..336 => format!("{} days", hours / 24),
            336..1_440 => format!("{} weeks", hours / 24 / 7),
            1_440..17_520 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", hours / 24 / 365),
        },
    }
}

/// Says roughly how long ago something was.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", roughly(now.since(then)))
}

/// Says how a container does: `Up 2 minutes (healthy)`.
pub(crate) fn status(container: &ContainerView, now: Timestamp) -> String {
    let ended = container.finished_at.unwrap_or(container.created_at);
    match container.state {
        ContainerState::Created => "Created".to_owned(),
        ContainerState::Running { health, paused } => {
            let up = roughly(now.since(container.started_at.unwrap_or(container.created_at)));
            match health {
                _ if paused => format!("Up {up} (Paused)"),
                None => format!("Up {up}"),
                Some(Health::Starting) => format!("Up {up} (health: starting)"),
                Some(Health::Healthy) => format!("Up {up} (healthy)"),
                Some(Health::Unhealthy) => format!("Up {up} (unhealthy)"),
            }
        }
        ContainerState::Restarting { exit, .. } => {
            format!("Restarting ({}) {}", exit.code(), ago(ended, now))
        }
        ContainerState::Exited { exit } => format!("Exited ({}) {}", exit.code(), ago(ended, now)),
    }
}

/// Says what the probe of a running container has shown; nothing if it has none, or is held still.
pub(crate) fn health(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Running { health: Some(Health::Starting), paused: false } => "starting",
        ContainerState::Running { health: Some(Health::Healthy), paused: false } => "healthy",
        ContainerState::Running { health: Some(Health::Unhealthy), paused: false } => "unhealthy",
        ContainerState::Running { .. }
        | ContainerState::Created
        | ContainerState::Restarting { .. }
        | ContainerState::Exited { .. } => "",
    }
}

/// Returns the code a container ended with, 0 while it has not.
pub(crate) fn exit_code(state: &ContainerState) -> i32 {
    match state {
        ContainerState::Exited { exit } | ContainerState::Restarting { exit, .. } => exit.code(),
        ContainerState::Created | ContainerState::Running { .. } => 0,
    }
}

/// Lists a container's ports: those that lead to it, then those it only listens on.
pub(crate) fn ports(container: &ContainerView) -> String {
    let published = container.published.iter().map(ToString::to_string);
    published.chain(unpublished(container).map(|port| port.to_string())).collect::<Vec<_>>().join(", ")
}

/// Returns the ports a container listens on and to which no port of the host leads.
pub(crate) fn unpublished(
    container: &ContainerView,
) -> impl Iterator<Item = trice_model::port::ContainerPort> {
    let published: BTreeSet<_> = container.published.iter().map(|port| port.target).collect();
    container.exposed.iter().copied().filter(move |port| !published.contains(port))
}

/// Writes a number of bytes with three digits: `2.07MB`.
pub(crate) fn size(bytes: u64) -> String {
    size_with(bytes, 3)
}

/// Writes a number of bytes with at most so many digits that count.
pub(crate) fn size_with(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    let mut text = rounded(value, digits);
    // What rounds up to a thousand is one of the next unit.
    while text.parse::<f64>().is_ok_and(|shown| shown >= 1000.0) && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
        text = rounded(value, digits);
    }
    format!("{text}{}", UNITS[unit])
}

/// Writes `value` with at most so many digits that count, and without zeros at its end.
fn rounded(value: f64, digits: usize) -> String {
    let before = if value < 1.0 { 1 } else { value.log10() as usize + 1 };
    let text = format!("{value:.*}", digits.saturating_sub(before));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Writes a moment as Docker's tools do in columns and JSON.
pub(crate) fn moment(time: Timestamp) -> String {
    let text = time.rfc3339();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} +0000 UTC", clock.get(..8).unwrap_or(clock))
}

/// Cuts `text` to `width` characters, the last of which then says so.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_docker_says_them() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (3_600, "About an hour"),
            (5_399, "About an hour"),
            (5_400, "2 hours"),
            (47 * 3_600, "47 hours"),
            (48 * 3_600, "2 days"),
            (15 * 86_400, "2 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(roughly(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn sizes_have_three_digits_and_the_units_of_thousands() {
        let cases = [
            (0, "0B"),
            (3, "3B"),
            (999, "999B"),
            (1_000, "1kB"),
            (2_065_228, "2.07MB"),
            (187_400_000, "187MB"),
            (999_600, "1MB"),
            (1_500_000_000, "1.5GB"),
        ];
        for (bytes, words) in cases {
            assert_eq!(size(bytes), words);
        }
        assert_eq!(size_with(2_065_228, 4), "2.065MB");
    }

    #[test]
    fn a_text_that_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
    }
}
