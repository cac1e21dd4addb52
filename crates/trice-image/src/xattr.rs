//! Which extended attributes belong to a file, wherever it is packed, unpacked or copied to, and what overlayfs says by its
//! own.
//!
//! Source: Linux `Documentation/filesystems/overlayfs.rst`, "whiteouts and opaque directories", "User xattr".

use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

/// The attribute with which overlayfs hides the folder of the layers below.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// An attribute: its name and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Tells whether an attribute is the file's own business. Those of overlayfs would reach into other layers, those of
/// SELinux are the host's.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// Returns what overlayfs calls an attribute: `opaque`, `redirect`, `metacopy`, `whiteout` and the like.
pub(crate) fn overlay_name(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"trusted.overlay.").or_else(|| name.strip_prefix(b"user.overlay."))
}

/// Returns the attributes that belong to a file or folder that is open, sorted by name.
///
/// # Errors
/// Those of flistxattr(2) and fgetxattr(2).
pub fn own(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    let mut own = all(file)?;
    own.retain(|(name, _)| is_kept(name));
    Ok(own)
}

/// Gives an open file or folder those of `attributes` that belong to it. A change of the owner takes capabilities away: it
/// comes before this.
///
/// # Errors
/// Those of fsetxattr(2).
pub fn give(file: impl AsFd, attributes: &[Xattr]) -> Result<(), Errno> {
    for (name, value) in attributes.iter().filter(|(name, _)| is_kept(name)) {
        match fsetxattr(&file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            // Not every file system has attributes of users, and nothing depends on them. Capabilities are another matter.
            Err(Errno::OPNOTSUPP) if name.starts_with(b"user.") => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Returns all attributes of a file or folder that is open, sorted by name.
pub(crate) fn all(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    let mut all = Vec::new();
    for name in names(&file)? {
        match value(&file, &name) {
            Ok(value) => all.push((name, value)),
            // It went meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    all.sort();
    Ok(all)
}

fn names(file: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let list = match grown(|buffer| flistxattr(&file, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        list => list?,
    };
    let names =
        list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    Ok(names.map(|name| name.to_bytes().to_vec()).collect())
}

fn value(file: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    grown(|buffer| fgetxattr(&file, OsStr::from_bytes(name), buffer))
}

/// Reads into a buffer that is large enough.
fn grown(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            // The kernel has no attribute that is larger than 64 KiB.
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}
