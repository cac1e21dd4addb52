//! Turns Compose files into a `Project`: parse, interpolate, merge, include, normalise, check.
#![forbid(unsafe_code)]

pub(crate) mod check;
pub mod diagnostic;
pub(crate) mod dotenv;
pub(crate) mod environment;
pub mod files;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod sources;
pub(crate) mod template;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tree;
