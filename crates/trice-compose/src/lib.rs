//! Turns Compose files into a `Project`: parse, interpolate, merge, include, normalise, check.
#![forbid(unsafe_code)]

pub(crate) mod bind;
pub(crate) mod check;
pub mod config;
pub(crate) mod conflicts;
pub(crate) mod consistency;
pub(crate) mod defaults;
pub mod diagnostic;
pub(crate) mod discovery;
pub(crate) mod dotenv;
pub(crate) mod env_file;
pub(crate) mod environment;
pub mod explain;
pub(crate) mod extends;
pub mod files;
pub(crate) mod include;
pub(crate) mod interpolate;
pub mod load;
pub(crate) mod loader;
pub(crate) mod merge;
pub(crate) mod normalize;
pub(crate) mod paths;
pub(crate) mod report;
pub mod request;
pub(crate) mod reset;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod sources;
pub(crate) mod template;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tree;
pub(crate) mod unique;
