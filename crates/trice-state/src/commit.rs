//! Brings batches to the disk.

use std::sync::Arc;

use redb::{Database, TableDefinition};

use crate::batch::{Batch, Change};
use crate::store::Stored;

/// Why a batch was not kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A record is not JSON.
    #[error("write `{key}` of the table `{table}` of the store as JSON")]
    Unwritable {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// The transaction failed, which others may have shared. After a failure of the disk the store must be
    /// opened again.
    #[error("write to the store")]
    Write(#[source] Arc<redb::Error>),
}

/// Returns the changes of `batch`, if all of them can be written.
pub(crate) fn changes(batch: Batch) -> Result<Vec<Change>, CommitError> {
    match batch.unwritable {
        None => Ok(batch.changes),
        Some((table, key, error)) => Err(CommitError::Unwritable { table, key, source: Arc::new(error) }),
    }
}

/// Writes the changes of many batches, in their order, in one transaction. They are on the disk when this
/// returns.
pub(crate) fn write(database: &Database, batches: Vec<Vec<Change>>) -> Result<(), CommitError> {
    transact(database, batches).map_err(|error| CommitError::Write(Arc::new(error)))
}

fn transact(database: &Database, batches: Vec<Vec<Change>>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for change in batches.into_iter().flatten() {
        let definition: TableDefinition<'_, &str, Stored> = TableDefinition::new(change.table);
        let mut table = transaction.open_table(definition)?;
        match &change.value {
            Some((version, text)) => drop(table.insert(change.key.as_str(), (*version, text.as_slice()))?),
            None => drop(table.remove(change.key.as_str())?),
        }
    }
    transaction.commit()?; // redb waits for the disk unless told otherwise
    Ok(())
}
