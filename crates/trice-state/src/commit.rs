//! Brings batches to the disk.

use std::sync::Arc;
use std::time::SystemTime;

use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::batch::{Batch, Change};
use crate::journal::Journal;
use crate::store::Stored;

/// The table that says which epoch of the journal follows the store.
const EPOCHS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("journal");

/// The key in it.
const EPOCH_KEY: &str = "epoch";

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

/// A batch that waits for its round.
pub(crate) struct Item {
    pub(crate) changes: Vec<Change>,
    /// It waits for the disk.
    pub(crate) on_disk: bool,
}

/// Writes the changes of many batches, in their order, in one transaction.
///
/// If one of them waits for the disk, all of them are there when this returns, with everything that is in the journal.
/// Otherwise they are in the journal. Returns which of the two it is: whether it is on the disk.
pub(crate) fn write(database: &Database, journal: &mut Journal, items: &[Item]) -> Result<bool, CommitError> {
    let changes: Vec<&Change> = items.iter().flat_map(|item| &item.changes).collect();
    let end = journal.end();
    // What the journal does not take, for want of room perhaps, the store may.
    let on_disk = items.iter().any(|item| item.on_disk) || journal.append(&changes).is_err();
    let epoch = on_disk.then(|| journal.epoch() + 1);
    if let Err(error) = transact(database, &changes, epoch) {
        // What was not kept must not come back either. A journal that refuses this is on a disk that has failed.
        let _ = journal.take_back(end);
        return Err(CommitError::Write(Arc::new(error)));
    }
    epoch.into_iter().for_each(|epoch| journal.begin(epoch));
    Ok(on_disk)
}

/// Carries out `changes` in memory, or on the disk with the epoch that begins then.
fn transact(database: &Database, changes: &[&Change], epoch: Option<u64>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    match epoch {
        Some(epoch) => drop(transaction.open_table(EPOCHS)?.insert(EPOCH_KEY, epoch)?),
        None => transaction.set_durability(Durability::None)?,
    }
    for change in changes {
        let definition: TableDefinition<'_, &str, Stored> = TableDefinition::new(&change.table);
        let mut table = transaction.open_table(definition)?;
        match &change.value {
            Some((version, text)) => drop(table.insert(change.key.as_str(), (*version, text.as_bytes()))?),
            None => drop(table.remove(change.key.as_str())?),
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Begins the first epoch of a store.
///
/// It is another one than that of a store which was here before and was moved away, and whose journal still is.
pub(crate) fn begin_first_epoch(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    transaction.open_table(EPOCHS)?.insert(EPOCH_KEY, u64::try_from(now.as_micros()).unwrap_or_default())?;
    Ok(())
}

/// Brings to the disk what a process that was killed had written to the journal, and begins the next epoch.
pub(crate) fn recover(database: &Database, journal: &mut Journal) -> Result<(), redb::Error> {
    let epoch = epoch(database)?;
    let changes = journal.read(epoch)?;
    let next = if changes.is_empty() { epoch } else { epoch + 1 };
    if !changes.is_empty() {
        transact(database, &changes.iter().collect::<Vec<_>>(), Some(next))?;
    }
    journal.begin(next);
    Ok(())
}

fn epoch(database: &Database) -> Result<u64, redb::Error> {
    match database.begin_read()?.open_table(EPOCHS) {
        Ok(table) => Ok(table.get(EPOCH_KEY)?.map_or(0, |epoch| epoch.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
