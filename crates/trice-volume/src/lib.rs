//! Makes, lists, and removes named volumes.
//!
//! ```text
//! volumes   create, remove, observe; opens a folder of a volume for a mount
//! record    what the store keeps of a volume
//! ```
//!
//! Invariants:
//!
//! - A volume is here if its folder is. A store that was lost costs the labels and never the content.
//! - Nobody but root gets below the folder of volumes: a container's setuid programs are no way up for a user
//!   of the
//!   host (CVE-2021-41091).
//! - Nothing here knows of containers. Whoever removes a volume has made sure that nobody uses it.
#![forbid(unsafe_code)]

pub mod record;
pub mod volumes;
