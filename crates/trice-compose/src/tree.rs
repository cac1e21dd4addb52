//! The untyped tree that every step works on: what a YAML document says, and where it says it.
//!
//! A [`node::Node`] keeps its place through interpolation, `include`, `extends` and merges, so that a mistake found at
//! the very end is still shown in the line that holds it.

pub(crate) mod complaint;
pub(crate) mod mapping;
pub(crate) mod node;
pub(crate) mod parse;
pub(crate) mod path;
pub(crate) mod scalar;
pub(crate) mod span;
