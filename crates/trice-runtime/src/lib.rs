//! One container: namespaces, cgroup, rootfs, init, exec, logs, exit; and the keeper, the parent of all.
//!
//! ```text
//! operation            the flat plan: what a child does, as data
//! init                 the child: carries the plan out           rootfs mounts user process reaper
//! keeper               the parent of engine and containers    protocol link start launch
//! handshake            what child and engine say to each other
//! ```
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod container;
pub mod handshake;
pub mod init;
pub mod keeper;
pub mod logs;
pub mod lower;
pub mod mounts;
pub mod operation;
pub mod process;
pub mod reaper;
pub mod rootfs;
pub mod seccomp;
pub mod user;
