//! The attributes of the Compose Specification as tables: name, shape, and the rules of each.
//!
//! Every step reads the same tables: the check gives values their type, the merge asks how an attribute is merged,
//! `config` asks what is shown, and the last step what trice honours. A new attribute is a new line here.
//!
//! ```text
//! root ── service ── build, deploy, parts      resource: networks, volumes, secrets, configs, models
//!            └────────── shape: what a table is made of ─────────┘
//! ```
//!
//! Source: Compose Specification, `schema/compose-spec.json`, as of 2026-07.

pub(crate) mod build;
pub(crate) mod deploy;
pub(crate) mod parts;
pub(crate) mod resource;
pub(crate) mod root;
pub(crate) mod service;
pub(crate) mod shape;
