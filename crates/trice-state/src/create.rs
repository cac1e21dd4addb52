//! Makes the store's file, so that it is never there half made.
//!
//! redb fills a new file in several steps, and a kill between them leaves one that it refuses from then on.
//! So it is made under another name, which nothing else opens, and then moved into place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, TableDefinition};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::commit::begin_first_epoch;
use crate::store::FORMAT;

/// The table that says what the file is.
pub(crate) const ABOUT: TableDefinition<'static, &'static str, u32> = TableDefinition::new("trice");

/// The key in it of the version of the file.
pub(crate) const FORMAT_KEY: &str = "format";

/// Between the store's name and the number of one that is being made.
const UNFINISHED: &str = ".unfinished-";

/// Makes `folder`, for its owner alone, and those above it. One that is there is left as it is.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes an empty store at `path` if there is nothing.
///
/// Of two processes that do so at the same time one wins, and both find what it made.
pub(crate) fn create_if_absent(path: &Path) -> Result<(), redb::Error> {
    if path.try_exists()? {
        return Ok(());
    }
    let (file, unfinished) = begin(path)?;
    let made = fill(file).and_then(|()| move_into_place(&unfinished, path));
    if made.is_err() {
        // It is of no use, and the failure that matters is the one that is returned.
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Deletes what processes left that were killed in [`create_if_absent`]. The caller holds the store at
/// `path`, so that whoever is still at it fails and finds this store.
pub(crate) fn delete_unfinished(path: &Path) -> io::Result<()> {
    let prefix = unfinished_name(path, "");
    let Some((folder, prefix)) = path.parent().zip(prefix.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            ignore_absence(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// Makes a file beside `path` that no other process has, nor one that was killed.
fn begin(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 0;
    loop {
        let name = unfinished_name(path, &format!("{number}"));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|file| (file, name)),
        }
    }
}

fn unfinished_name(path: &Path, number: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.push(number);
    PathBuf::from(name)
}

fn fill(file: File) -> Result<(), redb::Error> {
    let database: Database = Builder::new().create_file(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    begin_first_epoch(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn move_into_place(unfinished: &Path, path: &Path) -> Result<(), redb::Error> {
    match renameat_with(CWD, unfinished, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Somebody else's is there. Whoever opened that one first may have deleted this one.
        Err(Errno::EXIST) => ignore_absence(fs::remove_file(unfinished))?,
        Err(Errno::NOENT) if path.try_exists()? => {}
        Err(error) => return Err(io::Error::from(error).into()),
    }
    // A record is durable only if the name of its file is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn ignore_absence(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
