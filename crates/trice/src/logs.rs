//! What containers wrote, on its way to the caller's terminal.
//!
//! ```text
//! engine ──Frame──► stream ──Written──► printer ──► stdout, stderr
//!                     └ seen                └ prefix
//! ```

pub(crate) mod prefix;
pub(crate) mod printer;
mod seen;
pub(crate) mod stream;
