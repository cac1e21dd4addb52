//! The engine's embedded, transactional store: versioned records, written before the effect they describe.
//!
//! ```text
//! store     opens the file, reads records      batch ──► group ──► commit: a transaction for all who wait
//! holder    who has it open
//! journal   what need not wait for the disk
//! create    makes the file, whole at once
//! record    what can be kept, and how it ages
//! trash     what is to go: renamed now, deleted when there is time
//! ```
//!
//! Invariants:
//!
//! - A batch is kept whole or not at all. It outlives this process when `commit_lazily` returns, and a power cut when
//!   `commit` does.
//! - One process has the file open. Whoever comes second is told so, unless the first is dead: then he waits for what is
//!   left of it.
//! - Nothing here knows what a record says: each back end brings its own.
#![forbid(unsafe_code)]

pub mod batch;
pub mod commit;
mod create;
mod group;
mod holder;
mod journal;
pub mod record;
pub mod store;
#[cfg(test)]
mod testing;
pub mod trash;
