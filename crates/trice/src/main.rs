//! The command line: arguments in, requests out, answers rendered.
#![forbid(unsafe_code)]

fn main() {}
