//! Turns Compose files into a `Project`: parse, interpolate, merge, include, normalise, check.
#![forbid(unsafe_code)]
