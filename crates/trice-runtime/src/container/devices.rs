//! The devices of the host, for a container that gets all of them.
//!
//! Source: proc(5) has none; the names in the host's `/dev` are the only list.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};

use crate::operation::{DeviceKind, DeviceNode};

/// What a container has of its own in its `/dev`, or what is no device of the machine.
const LEFT_OUT: [&str; 5] = ["console", "fd", "mqueue", "pts", "shm"];

/// Returns all device nodes below `dev`, each folder before what is in it.
pub(super) fn scan(dev: &Path) -> io::Result<Vec<DeviceNode>> {
    let mut found = Vec::new();
    scan_folder(dev, "", &mut found)?;
    Ok(found)
}

fn scan_folder(dev: &Path, inside: &str, found: &mut Vec<DeviceNode>) -> io::Result<()> {
    for entry in fs::read_dir(dev.join(inside))?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Hidden folders are notes of other tools; a device that goes while we look is none any more.
        let Ok(metadata) = entry.metadata() else { continue };
        if name.starts_with('.') || (inside.is_empty() && LEFT_OUT.contains(&name.as_str())) {
            continue;
        }
        let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
        let kind = metadata.file_type();
        if kind.is_dir() {
            found.push(DeviceNode::Directory { name: name.clone() });
            scan_folder(dev, &name, found)?;
        } else if kind.is_char_device() {
            found.push(device(name, DeviceKind::Character, &metadata));
        } else if kind.is_block_device() {
            found.push(device(name, DeviceKind::Block, &metadata));
        }
    }
    Ok(())
}

fn device(name: String, kind: DeviceKind, metadata: &fs::Metadata) -> DeviceNode {
    DeviceNode::Device {
        name,
        kind,
        major: major(metadata.rdev()),
        minor: minor(metadata.rdev()),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    }
}
