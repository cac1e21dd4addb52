//! Pulls, stores, unpacks, and mounts OCI images.
#![forbid(unsafe_code)]
