//! The only window of the loader on the file system: a trait that the caller implements.

use std::io;
use std::path::Path;

/// What the loader asks of the file system.
pub trait Files {
    /// Reads the file at the absolute `path`, but no more than `at_most` bytes of it.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>>;

    /// Tells what the absolute `path` leads to, links followed; `None` if to nothing.
    fn kind(&self, path: &Path) -> Option<FileKind>;
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file, or anything else that can be read, such as a pipe.
    File,
    /// A folder.
    Folder,
}
