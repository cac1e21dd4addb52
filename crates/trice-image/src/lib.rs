//! Pulls, stores, unpacks, and mounts OCI images.
//!
//! ```text
//! images                     what is here, and how it gets here
//!   source                   where from: docker_archive, oci_layout; read through tar_file, folder
//!   load ── layer ── unpack  how: many layers side by side, one pass for each
//!   layout, lock, record     where to: folders that are whole or not there; what they are called
//!   rootfs                   a folder that is used as it is
//! members, pax, compression, digest, manifest, config, platform      the formats
//! ```
//!
//! Invariants:
//!
//! - What can be seen is whole and has the digest that it is called by, also after a kill or a power cut.
//! - No path that an archive states is ever given to the kernel but beneath the folder that it belongs to.
//! - Nothing that is needed is deleted: here nothing is deleted at all, but for what killed processes left.
//! - Nothing here knows of containers. What is unpacked is never written to again.
#![forbid(unsafe_code)]

mod archive;
mod compression;
pub mod config;
pub mod digest;
pub mod docker_config;
pub mod helper;
pub mod images;
pub mod layer;
pub mod layout;
pub mod lease;
pub mod load;
mod lock;
pub mod manifest;
pub mod members;
pub mod pack;
pub mod pax;
pub mod platform;
pub mod progress;
pub mod record;
pub mod registry;
pub mod rootfs;
pub mod source;
#[cfg(test)]
mod testing;
mod transfer;
pub mod unpack;
pub mod workshop;
mod xattr;
