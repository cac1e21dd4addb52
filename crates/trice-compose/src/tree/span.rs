//! Places in the files that were read.

/// A file that was read, by its number in [`crate::sources::Sources`].
///
/// The same path read twice, under two environments, has two numbers: a place tells in which environment it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) u32);

/// A line and a column, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Where something begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: Mark,
    pub(crate) end: Mark,
}

impl Span {
    /// Returns the beginning of `file`, for what concerns all of it.
    pub(crate) fn file_start(file: FileId) -> Self {
        let start = Mark { line: 1, column: 1 };
        Self { file, start, end: start }
    }
}
