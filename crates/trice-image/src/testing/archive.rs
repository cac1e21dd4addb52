//! Tar archives, wrong ones too.

use tar::Header;

use crate::pax::write_record;

/// A member of an archive: its header, still without a checksum, and its content.
pub(crate) type TestMember = (Header, Vec<u8>);

/// Returns a header of mode 0644, owner 0 and time 1. The name is not checked.
pub(crate) fn header(kind: u8, name: &str, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header
}

pub(crate) fn file(name: &str, content: &str) -> TestMember {
    bytes(name, content.as_bytes())
}

pub(crate) fn bytes(name: &str, content: &[u8]) -> TestMember {
    (header(b'0', name, content.len() as u64), content.to_vec())
}

pub(crate) fn folder(name: &str) -> TestMember {
    with(header(b'5', name, 0), |header| header.set_mode(0o755))
}

pub(crate) fn symlink(name: &str, target: &str) -> TestMember {
    with(header(b'2', name, 0), |header| {
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    })
}

pub(crate) fn hard_link(name: &str, target: &str) -> TestMember {
    with(header(b'1', name, 0), |header| {
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    })
}

fn with(mut header: Header, edit: impl FnOnce(&mut Header)) -> TestMember {
    edit(&mut header);
    (header, Vec::new())
}

/// A tar archive in the making.
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a member.
    pub(crate) fn with(self, (mut header, content): TestMember) -> Self {
        header.set_cksum();
        self.raw(header.as_bytes()).padded(&content)
    }

    /// Adds a header for the next member: `x`, `g`, `L` or `K`.
    pub(crate) fn extended(self, kind: u8, content: &[u8]) -> Self {
        self.with((header(kind, "extended", content.len() as u64), content.to_vec()))
    }

    /// Adds the records of an extended header for the next member.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let record = |(keyword, value): &(&str, &[u8])| write_record(keyword.as_bytes(), value);
        self.extended(b'x', &records.iter().flat_map(record).collect::<Vec<_>>())
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn padded(self, bytes: &[u8]) -> Self {
        let padding = bytes.len().next_multiple_of(512) - bytes.len();
        self.raw(bytes).raw(&vec![0; padding])
    }

    /// Ends the archive.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}
