//! The per-user process: observes, plans, executes, supervises, serves; leaves when idle.
#![forbid(unsafe_code)]
