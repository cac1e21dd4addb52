//! Pulls, stores, unpacks, and mounts OCI images.
//!
//! ```text
//! images                         what is here, and how it gets here, changes and leaves
//!   registry ── transfer         registries, asked over HTTP; what comes is handed over to threads
//!   source                       where from: docker_archive, oci_layout, remote; read through tar_file, folder
//!   load ── layer ── unpack      how: many layers side by side, one pass for each, decompressed ahead
//!   pack ── archive              and back: a folder becomes the archive that it unpacks from
//!   layout, workshop             where to: folders that are whole or not there, and where they are made
//!   lock, lease, record          who is at work, what he needs, what everything is called
//!   rootfs                       a folder that is used as it is
//! docker_config ── helper        Docker's file of credentials, for whoever runs as the user
//! members, pax, xattr, compression, digest, manifest, config, platform      the formats
//! ```
//!
//! Invariants:
//!
//! - What can be seen is whole and has the digest that it is called by, also after a kill or a power cut.
//! - No path that an archive states is ever given to the kernel but beneath the folder that it belongs to.
//! - Nothing that is needed is deleted: what records and leases lead to stays, and what the caller says is in use.
//! - What a registry says is believed of nothing but its own words, and no host sees what is for another.
//! - Sockets are waited for in tasks, the disk in threads; a channel is between them.
//! - Nothing here knows of containers. What is unpacked is never written to again.
#![forbid(unsafe_code)]

mod ahead;
mod archive;
pub mod compression;
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
pub mod xattr;
