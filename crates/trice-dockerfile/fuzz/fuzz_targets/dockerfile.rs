//! Any text is a Dockerfile or a list of mistakes whose lines are in it; and what a Dockerfile asks for can be worked
//! out, whatever it is based on.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run dockerfile -- -max_total_time=600
//! ```
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use trice_dockerfile::document::Document;
use trice_dockerfile::evaluate::{Evaluated, evaluate};
use trice_dockerfile::graph::{Base, Graph};
use trice_dockerfile::mistake::Mistakes;
use trice_dockerfile::parse::parse;
use trice_dockerfile::wanted::Wanted;

/// How often it is asked what is still unknown: each time bases are named that were not before.
const ROUNDS: usize = 64;

fuzz_target!(|source: &str| {
    let lines = source.lines().count().max(1) as u32;
    let must_be_inside = |mistakes: &Mistakes| {
        assert!(mistakes.0.iter().all(|mistake| (1..=lines).contains(&mistake.lines.first)));
        let _ = mistakes.shown("Dockerfile", source);
    };
    let dockerfile = match parse(source) {
        Ok(dockerfile) => dockerfile,
        Err(mistakes) => return must_be_inside(&mistakes),
    };
    assert!(dockerfile.stages.iter().all(|stage| (1..=lines).contains(&stage.lines.first)));
    let mut known = BTreeMap::new();
    for _ in 0..ROUNDS {
        match evaluate(&dockerfile, &Wanted::default(), &known) {
            Err(mistakes) => return must_be_inside(&mistakes),
            Ok(Evaluated::Unknown(unknown)) => {
                assert!(!unknown.is_empty() && unknown.keys().all(|base| !known.contains_key(base)));
                known.extend(unknown.into_keys().map(|base| (base, Base::Image(Box::new(Document::default())))));
            }
            Ok(Evaluated::Graph(graph)) => {
                let (own, merged) = (graph.steps.len(), Graph::merged([(*graph).clone(), *graph]));
                assert!(merged.steps.len() <= own && merged.images[0] == merged.images[1]);
                // Whatever a step needs comes before it.
                for (place, step) in merged.steps.iter().enumerate() {
                    assert!(step.needs().iter().all(|need| (need.0 as usize) < place));
                }
                return;
            }
        }
    }
    panic!("it never becomes known");
});
