//! What fuzzers found: each input is loaded or refused as it should be, and all of them within bounds of time and memory.
//!
//! The inputs lie in `corpus/`, one a line, as texts of JSON; a byte that is no UTF-8 stands there as the character of its
//! number in a line that begins with `bytes `. They are those that led a fuzzer somewhere new, the smallest for each place.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that looks at the clock and at the memory of its own process"
)]

#[path = "corpus/checks.rs"]
mod checks;

use std::fs;
use std::time::{Duration, Instant};

/// What the most hungry input may take, in MB, with what the test itself takes.
const MEMORY: u64 = 100;
/// What the slowest input may take: a multiple of what it takes, since this is built without optimisation.
const TIME: Duration = Duration::from_secs(5);

/// Runs `check` over the inputs of a file.
fn each(inputs: &str, check: impl Fn(&[u8])) {
    for line in inputs.lines() {
        let began = Instant::now();
        let (bytes, text) = line.strip_prefix("bytes ").map_or((false, line), |text| (true, text));
        let text: String = serde_json::from_str(text).expect("a line is a text of JSON");
        let input: Vec<u8> =
            if bytes { text.chars().map(|c| u32::from(c) as u8).collect() } else { text.into_bytes() };
        check(&input);
        let took = began.elapsed();
        assert!(took < TIME, "{took:?} for {line}");
    }
}

fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells about this process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak is told");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[test]
fn what_fuzzers_found_is_loaded_or_refused_within_bounds() {
    each(include_str!("corpus/loader.txt"), checks::loader);
    each(include_str!("corpus/interpolation.txt"), |input| {
        if let Ok(template) = std::str::from_utf8(input) {
            checks::interpolation(template);
        }
    });
    each(include_str!("corpus/env_file.txt"), checks::env_file);
    assert!(most_memory() < MEMORY, "{} MB", most_memory());
}
