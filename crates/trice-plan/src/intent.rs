//! What is asked for; the nouns are in `trice-model`, since they cross the engine's socket.

pub use trice_model::intent::{DownOptions, Intent, Recreate, RunOptions, UpOptions};
