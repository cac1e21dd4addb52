//! The messages on the engine's socket, and the client that sends them.
#![forbid(unsafe_code)]
