//! Changes that are kept together or not at all.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Records to put and to remove, in this order.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
    /// The first record that could not be written as JSON: its table, its key, why.
    pub(crate) unwritable: Option<(&'static str, String, serde_json::Error)>,
}

/// One change of one record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) table: Cow<'static, str>,
    pub(crate) key: String,
    /// The version and the text of what is there from now on; `None` removes it.
    pub(crate) value: Option<(u32, String)>,
}

impl Batch {
    /// Begins without a change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `record`, in place of what has its key now.
    ///
    /// A record that is not JSON (a map with keys that are no strings) makes `commit` fail.
    #[must_use]
    pub fn put<R: Record>(mut self, record: &R) -> Self {
        match serde_json::to_string(record) {
            Ok(text) => self.changes.push(Change {
                table: R::TABLE.into(),
                key: record.key(),
                value: Some((R::VERSION, text)),
            }),
            Err(error) => {
                self.unwritable.get_or_insert((R::TABLE, record.key(), error));
            }
        }
        self
    }

    /// Removes the record of type `R` under `key`, if there is one.
    #[must_use]
    pub fn remove<R: Record>(mut self, key: &str) -> Self {
        self.changes.push(Change { table: R::TABLE.into(), key: key.to_owned(), value: None });
        self
    }
}
