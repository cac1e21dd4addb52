//! Fixtures and the namespace harness of the tests.
#![forbid(unsafe_code)]
