//! Signals by name and number.

use std::fmt;
use std::str::FromStr;

use crate::text::written_as_text;

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signal: write a name such as `SIGTERM` or a number from 1 to 64")]
pub struct SignalError(String);

/// Names and numbers as Linux has them on x86-64 and aarch64. Source: Linux `include/uapi/asm-generic/signal.h`.
const NAMES: [(&str, u8); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("IOT", 6),
    ("POLL", 29),
];

impl Signal {
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Ends a process.
    pub const KILL: Self = Self(9);
    /// What Ctrl-C sends.
    pub const INT: Self = Self(2);

    /// Returns the number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Some(*number),
            None => real_time(name).or_else(|| name.parse().ok()),
        };
        number
            .filter(|number| (1..=64).contains(number))
            .map(Self)
            .ok_or_else(|| SignalError(text.to_owned()))
    }
}

/// Returns the number of `RTMIN+3` or `RTMAX-2`, as the C library counts them: it keeps two for itself.
fn real_time(name: &str) -> Option<u8> {
    let (base, offset) = if let Some(rest) = name.strip_prefix("RTMIN") {
        (34_i16, rest)
    } else {
        (64_i16, name.strip_prefix("RTMAX")?)
    };
    let offset: i16 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    u8::try_from(base.checked_add(offset)?).ok().filter(|number| (34..=64).contains(number))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

written_as_text!(Signal, "A signal, by its name with SIG, or by its number if it has none.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_with_and_without_sig_and_numbers() {
        for (text, number) in
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("IOT", 6)]
        {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "SIGFOO", "RTMIN+99", "-1"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
        assert_eq!(Signal::INT.to_string(), "SIGINT");
    }
}
