//! Decides: what is wanted and what is there in, a plan out; and all other decisions of trice.
//!
//! ```text
//! plan ◄── intent, found, realm                      the question
//!   up, run ── place ── network, volume, fetch       who is wanted, on what, from which image
//!           ── subnet, address, port, instance       numbers and names, given out once and kept
//!           ── lower ── diff ── recreate, follow     what a container is, and what becomes of it
//!           ── converge                              what must change
//!   down, start, connect                             the same from records alone
//!   undo                                             what a failed operation made in vain
//!   changes ── order, weave ── action                what comes before what: the answer
//!
//! restart, health                                    what follows an exit, what follows a probe
//! names, firewall, links                             what others are told, recomputed when anything changes
//! building                                           the network of builds, which are no project's
//! ```
//!
//! Invariants:
//!
//! - Functions of their arguments: no clock, no file, no randomness. The same question gets the same plan.
//! - A plan names every object, id, address, port and mount; no step needs what another one brings. Where
//!   that cannot be, the plan ends early and says so.
//! - Carried out wholly or in part, and asked again, it leads to the rest; carried out wholly, to nothing.
//! - It knows nothing of how anything is done: no system call, no packet, no file format.
#![forbid(unsafe_code)]

mod bystander;
mod changes;
pub mod connect;
mod converge;
mod diff;
mod digest;
mod down;
mod fetch;
mod follow;
mod instance;
mod label;
pub mod lower;
pub mod order;
pub mod place;
pub mod port;
mod recreate;
mod run;
pub mod start;
pub mod subnet;
mod up;
pub mod volume;
mod weave;

pub mod action;
pub mod address;
pub mod building;
pub mod firewall;
pub mod found;
pub mod health;
pub mod links;
pub mod mistake;
pub mod names;
pub mod network;
pub mod plan;
pub mod realm;
pub mod restart;
pub mod undo;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod testing;
