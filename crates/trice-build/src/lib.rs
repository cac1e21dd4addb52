//! Carries out a Dockerfile graph with the image store and the runtime.
//!
//! ```text
//! builder                    a build: Dockerfile, graph, image
//!   base                     what the image is based on
//!   contexts                 what is elsewhere, brought here
//!   execute ── step          steps side by side as what they need is there; each is found or done
//!     run ── sandbox         commands, in containers
//!     copy archive           files: select finds which are meant, content counts them, stamps remembers
//!     git download           files that are elsewhere
//!   tree                     files, of which nothing outside can be reached
//!   finish                   the image, of what steps have made
//!     provenance sbom        what is stated about it
//! changes                    what instructions change of images that are made by hand
//! record ── cache, budget    what steps made before: here, and elsewhere; how much of it stays
//! ```
//!
//! Invariants:
//!
//! - A layer that was made is found by what it depends on alone; nobody's word is taken for it but that of caches which
//!   the build names.
//! - A secret is in no layer, no key, no record and no message.
//! - A build that fails leaves no image and no name, and what its steps made for the next one.
//! - No path of a context, an archive or an image leads out of it.
#![forbid(unsafe_code)]

mod archive;
mod base;
pub mod budget;
pub mod builder;
mod cache;
pub mod changes;
mod content;
mod contexts;
mod copy;
mod download;
pub mod error;
pub mod event;
mod execute;
mod finish;
mod git;
mod provenance;
pub mod record;
mod run;
pub mod sandbox;
mod sbom;
mod secret;
mod select;
mod stamps;
mod step;
#[cfg(test)]
mod tests;
pub mod tree;
