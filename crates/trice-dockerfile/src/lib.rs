//! Turns a Dockerfile into a graph of build steps with cache keys.
//!
//! ```text
//! text ──statement──► statements ──parse──► Dockerfile: stages of instructions
//!                                             │  word, expand, glob: the words in them; mount: mounts of RUN
//! Dockerfile, wanted, bases ──evaluate──► graph: steps, and the image's document
//!                      stages: which of them are needed; chmod, path: what words mean
//! key                                               what a step depends on, in one word
//! pattern                                           what is left out of a context or a copy
//! repository                                        which commit and folder of a git repository is meant
//! ```
//!
//! Invariants:
//!
//! - Values in, values out: whoever calls brings the texts, and what is known of base images.
//! - Every mistake has its lines, and all mistakes of a text are told at once.
//! - Nothing here knows how a step is carried out.
#![forbid(unsafe_code)]

pub mod chmod;
pub mod dockerfile;
pub mod document;
pub mod evaluate;
pub mod expand;
mod glob;
pub mod graph;
pub mod instruction;
pub mod key;
pub mod mistake;
pub mod mount;
pub mod parse;
mod path;
pub mod pattern;
#[cfg(test)]
mod properties;
pub mod repository;
mod stages;
mod statement;
pub mod wanted;
mod word;
