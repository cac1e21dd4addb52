//! Prints what a commit costs, alone and when callers come together.
//!
//! ```text
//! cargo run --release -p trice-state --example commit_cost FOLDER
//! ```

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde::{Deserialize, Serialize};
use trice_state::batch::Batch;
use trice_state::record::Record;
use trice_state::store::Store;

/// As large as the record of a usual container.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Sample {
    key: String,
    text: String,
}

impl Record for Sample {
    const TABLE: &'static str = "sample";
    const VERSION: u32 = 1;

    fn key(&self) -> String {
        self.key.clone()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from).join("commit-cost");
    let path = folder.join("store");
    let store = Store::open(&path)?;
    let mut out = io::stdout();
    writeln!(out, "{:>10} {:>10} {:>14} {:>14}", "callers", "commits", "us a commit", "us to a caller")?;
    for callers in [1, 2, 8, 32] {
        let (commits, lasted) = commit_for(&store, callers, Duration::from_secs(1))?;
        let each = lasted.as_micros() / u128::from(commits.max(1));
        writeln!(out, "{callers:>10} {commits:>10} {each:>14} {:>14}", each * u128::from(callers))?;
    }
    let records = store.all::<Sample>()?.len();
    drop(store);
    let begin = Instant::now();
    Store::open(&path)?;
    let size = fs::metadata(&path)?.len() >> 10;
    writeln!(out, "open again: {} us, {records} records, {size} KiB", begin.elapsed().as_micros())?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Commits a record at a time from as many threads, and returns how many in how long.
fn commit_for(
    store: &Store,
    callers: u32,
    time: Duration,
) -> Result<(u32, Duration), Box<dyn std::error::Error>> {
    let (begin, commits) = (Instant::now(), AtomicU32::new(0));
    let caller = |caller: u32| {
        while begin.elapsed() < time {
            let number = commits.fetch_add(1, Ordering::Relaxed) % 250;
            let sample = Sample { key: format!("{caller}-{number}"), text: "x".repeat(3_000) };
            store.commit(Batch::new().put(&sample))?;
        }
        Ok::<(), trice_state::commit::CommitError>(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|number| scope.spawn(move || caller(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a caller does not panic"))
    })?;
    Ok((commits.into_inner(), begin.elapsed()))
}
