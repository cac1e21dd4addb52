//! What a build tells while it goes on.

use std::time::Duration;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is known what is to be done: the names of all steps.
    Planned(Vec<String>),
    /// A step has begun.
    Began {
        /// Its number.
        step: usize,
    },
    /// A step's command has written something.
    Output {
        /// Its number.
        step: usize,
        /// It was told as an error.
        is_error: bool,
        /// The line, without its end.
        line: Vec<u8>,
    },
    /// A step is over.
    Ended {
        /// Its number.
        step: usize,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// An image is being fetched.
    Fetching {
        /// As the Dockerfile calls it.
        image: String,
        /// How many bytes of how many have been read; nothing at the beginning.
        amount: Option<(u64, u64)>,
    },
    /// Something that the reader should know.
    Warning(String),
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done before.
    Cached,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// Hears what happens, from any thread.
pub type Listener<'a> = &'a (dyn Fn(Event) + Sync);
