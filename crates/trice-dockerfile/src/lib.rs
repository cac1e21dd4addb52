//! Turns a Dockerfile into a graph of build steps with cache keys.
//!
//! ```text
//! text ──statement──► statements ──parse──► Dockerfile: stages of instructions
//!                                             │  word, expand, glob: the words in them; mount: mounts of RUN
//! ```
//!
//! Invariants:
//!
//! - Values in, values out: whoever calls brings the texts, and what is known of base images.
//! - Every mistake has its lines, and all mistakes of a text are told at once.
//! - Nothing here knows how a step is carried out.
#![forbid(unsafe_code)]

pub mod dockerfile;
pub mod expand;
mod glob;
pub mod instruction;
pub mod mistake;
pub mod mount;
pub mod parse;
mod statement;
mod suggest;
mod word;
