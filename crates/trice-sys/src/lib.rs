//! The Linux system calls that std and rustix lack or leave half done, as safe functions on owned file descriptors.
//!
//! ```text
//! fork exec signals descriptors     making a process and turning it into another program
//! title                             what it shows as its command line
//! namespace mount seccomp keyring   what surrounds it
//! pidfd                             how it ended
//! resolve                           opening a path that must not lead out of a folder
//! device_filter                     which devices a cgroup may open
//! writeback memory                  when files get to the disk, and memory to the kernel
//! socket_filter transparent         which packets a socket sees, and whose address it has
//! ```
//!
//! Invariants:
//!
//! - This is the only crate with `unsafe`. Each block makes one call, and its comment proves that the call is sound.
//! - No policy: a function is one system call, or the few that only make sense together.
#![allow(unsafe_code, reason = "the one crate whose job it is")]

pub mod descriptors;
pub mod device_filter;
pub mod exec;
pub mod fork;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod pidfd;
pub mod resolve;
pub mod seccomp;
pub mod signals;
pub mod socket_filter;
pub mod title;
pub mod transparent;
pub mod writeback;
