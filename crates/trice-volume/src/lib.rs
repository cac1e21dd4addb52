//! Makes, lists, and removes named volumes.
#![forbid(unsafe_code)]
