//! The back end against the kernel, in namespaces of its own.
//!
//! These tests take root, and the programs `ip` (iproute2) and `nft` (nftables), by which they ask the kernel what
//! came out.
#![allow(missing_docs, reason = "tests say what they are for in their names")]

mod dual_stack;
mod guarding;
mod instances;
mod media;
mod neighbours;
mod networks;
mod place;
mod proxying;
mod publishing;
mod reshaping;
mod separation;
mod server;
mod tables;
mod watching;
mod world;
