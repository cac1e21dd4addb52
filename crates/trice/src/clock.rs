//! The wall clock, which only the command line and the engine read.

use std::time::SystemTime;

use trice_model::time::Timestamp;

/// Returns the moment it is.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
