//! Reads env files that nobody would write, and sees that what a value says can be written and read again.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run env_file -- -max_total_time=600 -max_len=4096 -timeout=5
//! ```
#![no_main]

#[path = "../../tests/corpus/checks.rs"]
#[allow(dead_code, reason = "each target uses one of the checks")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| checks::env_file(text));
