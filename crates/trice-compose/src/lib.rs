//! Turns Compose files into a [`Project`](trice_model::project::Project): parse, interpolate, merge, include, normalise,
//! check.
//!
//! ```text
//! request ─► load ─► discovery       which files, folder, environment, name
//!                    loader          each document: reset, interpolate, check, include, extends, merge
//!                    normalize       what is implied is said
//!                    select          profiles, services that are asked for
//!                    consistency     what takes more than one attribute to see
//!                    env_file        variables and labels from files
//!                    bind ──────────► Project            model ─► config, explain
//!
//! schema      the tables of all attributes, which the steps ask
//! tree        what a YAML document says, and where
//! sources     the files that were read, each with its environment
//! report, diagnostic     what is wrong, gathered; the same as the reader sees it
//! template, dotenv       texts with variables; env files
//! ```
//!
//! Invariants:
//!
//! - Nothing here knows a file system, an environment or a clock: they are in the [`request::Request`] and behind
//!   [`files::Files`].
//! - A mistake does not stop the others from being found. What has a mistake says nothing more (`Value::Bad`).
//! - A value keeps its place through every step, and its file the environment that it was read under.
//! - What grows is bounded: bytes, values, nesting, aliases, copies by `extends`, included files, ranges, variables.
//!
//! Where it differs from Docker Compose 2.40 on purpose, and how that is known, says `docs/compose.md`.
#![forbid(unsafe_code)]

pub mod config;
pub mod diagnostic;
pub mod explain;
pub mod files;
pub mod load;
pub mod request;

pub(crate) mod bind;
pub(crate) mod check;
pub(crate) mod conflicts;
pub(crate) mod consistency;
pub(crate) mod defaults;
pub(crate) mod discovery;
pub(crate) mod dotenv;
pub(crate) mod env_file;
pub(crate) mod environment;
pub(crate) mod extends;
pub(crate) mod external;
pub(crate) mod include;
pub(crate) mod interpolate;
pub(crate) mod loader;
pub(crate) mod merge;
pub(crate) mod normalize;
pub(crate) mod paths;
pub(crate) mod report;
pub(crate) mod reset;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod sources;
pub(crate) mod template;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tree;
pub(crate) mod unique;
