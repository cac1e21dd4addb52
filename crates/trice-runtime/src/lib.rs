//! One container: namespaces, cgroup, rootfs, init, exec, logs, exit; and the keeper, the parent of all.
//!
//! ```text
//! container ── lower        what the engine asks for ──► a flat plan of operations and what it needs opened
//! operation                 the plan, as data
//! keeper                    the parent of engine and containers: protocol link start launch
//! init ── handshake         the child: carries the plan out, and tells how it goes
//!   rootfs mounts litter user process reaper
//! cgroup                    limits, devices, tracking
//! seccomp                   a profile becomes a filter
//! logs                      what containers write, kept as they wrote it
//! vault                     how they ended, kept by the kernel
//! ```
//!
//! Invariants:
//!
//! - The keeper receives, forks, reaps and holds. Every other step happens in the child.
//! - A path inside a container is a descriptor from `openat2` before anything is done there.
//! - A process is held by its pidfd; no number is ever signalled.
//! - Plain functions; whoever waits has a thread for it.
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod container;
pub mod handshake;
pub mod init;
pub mod keeper;
pub mod litter;
pub mod logs;
pub mod lower;
pub mod mounts;
pub mod operation;
pub mod process;
pub mod reaper;
mod root;
pub mod rootfs;
pub mod seccomp;
pub mod user;
pub mod vault;
