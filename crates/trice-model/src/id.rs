//! Ids that trice hands out: 256 bits in hexadecimal, as container tools show them.

use std::fmt;
use std::str::FromStr;

use crate::text::written_as_text;

/// A container's id: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// A text that is no container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a container id: it has 64 hexadecimal digits")]
pub struct IdError(String);

impl ContainerId {
    /// Returns all 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, which is what people see.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for ContainerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError(text.to_owned()))
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

written_as_text!(ContainerId, "A container's id: 64 hexadecimal digits.");

/// A source of ids: the same seed gives the same ids, so that a plan can be tested as text.
///
/// The stream is SplitMix64 keyed by the seed. Ids are names and no secrets: whoever seeds it from the kernel's
/// randomness gets ids that do not meet.
#[derive(Debug, Clone)]
pub struct Ids {
    state: [u64; 4],
}

impl Ids {
    /// Begins the stream of `seed`.
    pub fn new(seed: [u64; 4]) -> Self {
        Self { state: seed }
    }

    /// Returns the next container id.
    pub fn container(&mut self) -> ContainerId {
        let digits: String = (0..4).map(|lane| format!("{:016x}", self.next(lane))).collect();
        ContainerId(digits)
    }

    /// Returns `digits` (at most 16) hexadecimal digits, for the name of a one-off container or of an interface.
    pub fn suffix(&mut self, digits: usize) -> String {
        format!("{:016x}", self.next(0))[..digits].to_owned()
    }

    fn next(&mut self, lane: usize) -> u64 {
        self.state[lane] = self.state[lane].wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state[lane];
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_they_differ_from_each_other() {
        let (mut a, mut b) = (Ids::new([1, 2, 3, 4]), Ids::new([1, 2, 3, 4]));
        let first = a.container();
        assert_eq!(first, b.container());
        assert_ne!(first, a.container());
        assert!(first.as_str().parse::<ContainerId>().is_ok());
    }
}
