//! Loads files that nobody would write, and sees that what is refused says why, and that what is printed loads again and
//! says the same.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run loader -- -max_total_time=600 -max_len=4096 -timeout=5 -rss_limit_mb=500
//! ```
#![no_main]

#[path = "../../tests/corpus/checks.rs"]
#[allow(dead_code, reason = "each target uses one of the checks")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| checks::loader(data));
