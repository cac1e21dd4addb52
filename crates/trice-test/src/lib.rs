//! Fixtures and the harness of tests that ask the kernel.
//!
//! ```text
//! schema      JSON Schemas beside the types they come from
//! traces      what an engine left on this machine
//! tree        what is in a folder
//! waiting     conditions with a deadline
//! ```
//!
//! Development only: it knows names and places, and nothing of the code under test.
#![forbid(unsafe_code)]

pub mod schema;
pub mod traces;
pub mod tree;
pub mod waiting;
