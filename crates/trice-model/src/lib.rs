//! The nouns of trice. Every other crate speaks in them; this one knows none of the others.
//!
//! ```text
//! project ── service ── build, command, health, port, mount, restart     what is wanted
//! container, network, volume, image, registry                            what back ends are asked for, what they find
//! name, id, units, signal, capability                                    the words of the above
//! suggest                                                                the word that was probably meant
//! ```
//!
//! Invariants:
//!
//! - Values only: nothing here reads a clock, a file, the environment or randomness.
//! - A value that exists is valid: names, ports, addresses and sizes are checked where they are made.
//! - Everything serialises to JSON, since it crosses the engine's socket or lies in its store.
#![forbid(unsafe_code)]

pub mod attestation;
pub mod build;
pub mod build_cache;
pub mod capability;
pub mod container;
pub mod dns;
pub mod health;
pub mod id;
pub mod image;
pub mod intent;
pub mod mount;
pub mod name;
pub mod network;
pub mod port;
pub mod project;
pub mod registry;
pub mod restart;
pub mod service;
pub mod signal;
pub mod suggest;
mod text;
pub mod time;
pub mod units;
pub mod volume;
