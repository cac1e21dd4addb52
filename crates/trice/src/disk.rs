//! The loader's window on the file system.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use trice_compose::files::{FileKind, Files};

/// The file system as it is.
#[derive(Debug)]
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(at_most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let found = fs::metadata(path).ok()?;
        Some(if found.is_dir() { FileKind::Folder } else { FileKind::File })
    }
}
