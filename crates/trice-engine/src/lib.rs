//! The per-user process: observes, plans, executes, supervises, serves; leaves when idle.
//!
//! ```text
//! start ── recover          a new engine takes back what it finds
//! engine ── event           the loop: what can happen, and its one owner
//!   advance steps operation execution waiting       what was asked for, on its way
//!   life probe succession                           what happens by itself
//!   pause                                           what is held still
//!   projection observe                              names and packet filters; the machine before a decision
//!   lingering                                       links that do not go by themselves
//!   surroundings                                    what others do to the host's network meanwhile
//! perform ── backends seed  one action, one back-end call
//! serve answer follow session handover pipe body    the socket
//! build                                             images that are made here
//! images ── gauge, system                           what belongs to no project
//! inside                                            the files of a container
//! examine                                           what is wrong with the machine
//! record identity           what must be remembered
//! ```
//!
//! Invariants:
//!
//! - It decides nothing: what is to be done comes from `trice-plan`.
//! - No truth in memory: killed at any moment, the next one finds it all in the store, the keeper and the kernel.
//! - A record is written before the effect that it describes.
//! - The loop never waits. It never forks: processes are the keeper's.
#![forbid(unsafe_code)]

mod advance;
mod answer;
mod backends;
mod body;
mod build;
mod engine;
mod event;
mod examine;
mod execution;
mod failure;
mod files;
mod follow;
mod gauge;
mod handover;
mod identity;
mod images;
mod inside;
mod life;
mod lingering;
mod observe;
mod operation;
mod pause;
mod perform;
mod pipe;
mod probe;
mod projection;
mod record;
mod recover;
#[cfg(test)]
mod schema;
mod seed;
mod select;
mod serve;
mod session;
mod sockets;
pub mod start;
mod steps;
mod succession;
mod surroundings;
mod system;
mod waiting;
mod words;
mod world;
