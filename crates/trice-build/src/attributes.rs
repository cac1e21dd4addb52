//! Extended attributes that belong to a file, wherever it is copied to.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

/// A name and a value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// Returns those of an open file, sorted by name.
pub(crate) fn of(file: BorrowedFd<'_>) -> Result<Vec<Attribute>, Errno> {
    let list = match grown(|buffer| flistxattr(file, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        list => list?,
    };
    let names =
        list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    let mut attributes = Vec::new();
    for name in names.filter(|name| is_kept(name.to_bytes())) {
        match grown(|buffer| fgetxattr(file, name, buffer)) {
            Ok(value) => attributes.push((name.to_bytes().to_vec(), value)),
            Err(Errno::NODATA) => {} // it went meanwhile
            Err(error) => return Err(error),
        }
    }
    attributes.sort();
    Ok(attributes)
}

/// Gives attributes to an open file, as far as its file system has such.
pub(crate) fn give(file: BorrowedFd<'_>, attributes: &[Attribute]) -> Result<(), Errno> {
    for (name, value) in attributes {
        let Ok(name) = CString::new(name.as_slice()) else { continue };
        match fsetxattr(file, &name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What file systems and the host's security say by them is not the file's own.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

fn grown(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // Most files have none: then the first question is the last.
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}
