//! Answers service names on a project's networks; forwards the rest.
#![forbid(unsafe_code)]
