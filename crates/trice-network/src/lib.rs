//! Bridges, veths, addresses, routes, published ports.
#![forbid(unsafe_code)]
