//! Digests: where the planner wants the same choice for the same words, it takes it from here.

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a number that follows from `words`, in which to begin a search.
pub(crate) fn number(words: &[&str]) -> u32 {
    // A byte that no name holds keeps `a`, `bc` apart from `ab`, `c`.
    let digest = Sha256::digest(words.join("\0").as_bytes());
    digest.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Returns 56 bits that follow from `words`.
pub(crate) fn long_number(words: &[&str]) -> u64 {
    let digest = Sha256::digest(words.join("\0").as_bytes());
    digest.iter().take(7).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_number_and_a_moved_boundary_another() {
        assert_eq!(number(&["a", "bc"]), number(&["a", "bc"]));
        assert_ne!(number(&["a", "bc"]), number(&["ab", "c"]));
        assert!(hex(b"").starts_with("e3b0c44298fc1c149afb"));
    }
}
