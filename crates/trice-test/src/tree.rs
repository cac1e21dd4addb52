//! What is in a folder, asked of the kernel.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{fgetxattr, flistxattr};

/// Returns a line for each thing below `root`, by its path: type and mode, owner, device, time, size, links, target,
/// attributes, and what stands for its content. Sockets are left out, which no archive keeps.
///
/// # Panics
/// If something cannot be read.
pub fn of(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            let stat = fs::symlink_metadata(root.join(&path)).unwrap();
            if stat.file_type().is_socket() {
                continue;
            }
            all.insert(path.clone(), line(&root.join(&path), &stat));
            if stat.is_dir() {
                open.push(path);
            }
        }
    }
    all
}

fn line(path: &Path, stat: &fs::Metadata) -> String {
    let (mut content, mut attributes) = (0, String::new());
    if stat.is_file() || stat.is_dir() {
        attributes = attributes_of(&File::open(path).unwrap());
    }
    if stat.is_file() {
        content = checksum(&fs::read(path).unwrap());
    }
    let (size, links) = if stat.is_dir() { (0, 0) } else { (stat.len(), stat.nlink()) };
    let target = fs::read_link(path).ok();
    let owner = (stat.uid(), stat.gid(), stat.rdev(), stat.mtime());
    format!("{:o} {owner:?} {size} {links} {target:?} {attributes} {content:x}", stat.mode())
}

fn attributes_of(file: &File) -> String {
    let mut names = vec![0; 4096];
    let length = flistxattr(file, &mut names[..]).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let length = fgetxattr(file, name, &mut value[..]).unwrap();
        all.push(format!("{}={:?}", String::from_utf8_lossy(name), &value[..length]));
    }
    all.sort();
    all.join(",")
}

/// FNV-1a: enough to tell the contents of a test from each other.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
