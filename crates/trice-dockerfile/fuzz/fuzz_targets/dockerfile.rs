//! Any text is a Dockerfile or a list of mistakes whose lines are in it.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run dockerfile -- -max_total_time=600
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;
use trice_dockerfile::parse::parse;

fuzz_target!(|source: &str| {
    let lines = source.lines().count().max(1) as u32;
    match parse(source) {
        Ok(dockerfile) => assert!(dockerfile.stages.iter().all(|stage| (1..=lines).contains(&stage.lines.first))),
        Err(mistakes) => {
            assert!(mistakes.0.iter().all(|mistake| (1..=lines).contains(&mistake.lines.first)));
            let _ = mistakes.shown("Dockerfile", source);
        }
    }
});
