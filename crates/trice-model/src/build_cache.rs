//! Caches of builds that are elsewhere, so that another machine finds what this one has done.
//!
//! Source: Compose Build Specification, `cache_from` and `cache_to`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::RegistryRef;

/// Where a cache is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheStore {
    /// In a registry.
    Registry(RegistryRef),
    /// In a folder of this machine, an OCI layout.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What it is called there.
        tag: String,
    },
}

/// Where the steps of a build go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheTarget {
    /// Into the image: those that made its layers.
    Inline,
    /// Elsewhere.
    Store {
        /// Where.
        store: CacheStore,
        /// The steps of all stages, and not only those that made the image's layers.
        all: bool,
        /// The image is of use without it.
        may_fail: bool,
    },
}
