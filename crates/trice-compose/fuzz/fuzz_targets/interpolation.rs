//! Fills in templates that nobody would write, and sees that what comes out is printed so that it comes out again.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run interpolation -- -max_total_time=600 -max_len=4096 -timeout=5
//! ```
#![no_main]

#[path = "../../tests/corpus/checks.rs"]
#[allow(dead_code, reason = "each target uses one of the checks")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|template: &str| checks::interpolation(template));
