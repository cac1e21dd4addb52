//! The engine's embedded, transactional store: versioned records, written before the effect they describe.
#![forbid(unsafe_code)]
