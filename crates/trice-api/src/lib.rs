//! The messages on the engine's socket, and the client that sends them.
//!
//! ```text
//! build       images to be built, and what is told on the way
//! call        one type a request: its path, what goes in, what comes out
//! image       those about images
//! inside      those about the files of a container
//! system      those about the whole machine
//! event       what an operation tells while it runs
//! view        containers and projects as a client sees them
//! frame       pieces of logs, in binary
//! stream      descriptors for `exec` and `run`, after the connection has left HTTP
//! fault       an error that crosses the socket
//! client      HTTP over the unix socket
//! ```
//!
//! Every request is `POST /v1/<path>` with a JSON body. An answer is JSON, or JSON lines for what takes time, or frames
//! for logs.
//!
//! Invariants:
//!
//! - Knows no command line and no engine: it is what both agree on.
//! - A message that an older version sends is read by a newer one: new fields have defaults.
#![forbid(unsafe_code)]

pub mod build;
pub mod call;
pub mod client;
pub mod event;
pub mod fault;
pub mod frame;
pub mod image;
pub mod inside;
#[cfg(test)]
mod schema;
pub mod stream;
pub mod system;
pub mod view;
