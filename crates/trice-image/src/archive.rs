//! Writes tar archives, the same bytes for the same members.
//!
//! ```text
//! [x] PAX records    only for what does not fit: long or strange names, large numbers, attributes
//! [0] member         ustar: no names of owners, no times but the members' own
//! …
//! two empty blocks
//! ```
//!
//! It writes as Go's writer does, so that a layer of ours has the digest that Docker's tools would give it.
//!
//! Sources: POSIX.1-2017, `pax`, "ustar Interchange Format"; Go `archive/tar/writer.go`.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use crate::members::{Kind, Member};
use crate::pax::{write_record, write_time};

/// The size of a block.
const BLOCK: u64 = 512;

/// The largest numbers that fit into fields of 7 and 11 octal digits.
const SMALL_NUMBER: u64 = 0o777_7777;
const LARGE_NUMBER: u64 = 0o777_7777_7777;

/// An archive in the making.
pub(crate) struct Archive<W> {
    output: W,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes the headers of a member, whose content follows.
    pub(crate) fn begin(&mut self, member: &Member) -> io::Result<()> {
        let (header, records) = headers(member);
        if !records.is_empty() {
            let mut extended = Header::new_ustar();
            set_kind(&mut extended, EntryType::XHeader);
            put(&mut extended.as_old_mut().name, &extended_name(&member.path));
            set_numbers(
                &mut extended,
                &Numbers { mode: 0o644, size: records.len() as u64, ..Numbers::default() },
            );
            self.block(extended)?;
            self.output.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.block(header)
    }

    /// Writes the content of the last member.
    pub(crate) fn content(&mut self, content: impl Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut content.take(size), &mut self.output)?;
        if copied < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK as usize])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn block(&mut self, mut header: Header) -> io::Result<()> {
        header.as_old_mut().cksum = *b"        ";
        let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
        // Six digits, as most tools write it; the field would have room for one more.
        header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.output.write_all(header.as_bytes())
    }

    /// Returns where the content of the last member is written to. It is to be filled up by [`Self::pad`].
    pub(crate) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// Fills the content of the last member up, which has `size` bytes.
    pub(crate) fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default();
        self.output.write_all(&[0; BLOCK as usize][..padding])
    }
}

/// Returns a member that is root's and has no attributes.
pub(crate) fn plain(path: &str, kind: Kind, mode: u32, size: u64, seconds: i64) -> Member {
    let (path, mtime) = (path.as_bytes().to_vec(), (seconds, 0));
    Member { path, kind, size, mode, uid: 0, gid: 0, mtime, xattrs: Vec::new() }
}

/// Returns the header of a member, and the records for what does not fit into it.
fn headers(member: &Member) -> (Header, Vec<u8>) {
    let mut header = Header::new_ustar();
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut record = |keyword: &str, value: Vec<u8>| records.push((keyword.as_bytes().to_vec(), value));
    if !set_path(&mut header, &member.path) {
        record("path", member.path.clone());
        put(&mut header.as_old_mut().name, &to_ascii(&member.path));
    }
    if let Kind::Symlink { target } | Kind::HardLink { target } = &member.kind {
        if !fits(target, 100) {
            record("linkpath", target.clone());
        }
        put(&mut header.as_old_mut().linkname, &to_ascii(target));
    }
    let mut numbers = Numbers { mode: member.mode, ..Numbers::default() };
    let mut number = |keyword: &str, value: u64, most: u64, field: &mut u64| {
        if value > most {
            record(keyword, value.to_string().into_bytes());
        } else {
            *field = value;
        }
    };
    number("uid", member.uid.into(), SMALL_NUMBER, &mut numbers.uid);
    number("gid", member.gid.into(), SMALL_NUMBER, &mut numbers.gid);
    number("size", member.size, LARGE_NUMBER, &mut numbers.size);
    match (u64::try_from(member.mtime.0), member.mtime.1) {
        (Ok(seconds), 0) if seconds <= LARGE_NUMBER => numbers.mtime = seconds,
        (seconds, _) => {
            numbers.mtime = seconds.unwrap_or_default().min(LARGE_NUMBER);
            record("mtime", write_time(member.mtime));
        }
    }
    set_kind(&mut header, entry_type(&member.kind));
    set_numbers(&mut header, &numbers);
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = member.kind {
        let ustar = header.as_ustar_mut().expect("it was made as one");
        octal(&mut ustar.dev_major, major.into());
        octal(&mut ustar.dev_minor, minor.into());
    }
    let xattrs =
        member.xattrs.iter().map(|(name, value)| ([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
    records.extend(xattrs);
    records.sort();
    (header, records.iter().flat_map(|(keyword, value)| write_record(keyword, value)).collect())
}

fn entry_type(kind: &Kind) -> EntryType {
    match kind {
        Kind::File => EntryType::Regular,
        Kind::Folder => EntryType::Directory,
        Kind::Symlink { .. } => EntryType::Symlink,
        Kind::HardLink { .. } => EntryType::Link,
        Kind::CharDevice { .. } => EntryType::Char,
        Kind::BlockDevice { .. } => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
    }
}

/// The numbers of a header.
#[derive(Default)]
struct Numbers {
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
}

fn set_numbers(header: &mut Header, numbers: &Numbers) {
    let old = header.as_old_mut();
    octal(&mut old.mode, numbers.mode.into());
    octal(&mut old.uid, numbers.uid);
    octal(&mut old.gid, numbers.gid);
    octal(&mut old.size, numbers.size);
    octal(&mut old.mtime, numbers.mtime);
    let ustar = header.as_ustar_mut().expect("it was made as one");
    octal(&mut ustar.dev_major, 0);
    octal(&mut ustar.dev_minor, 0);
}

fn set_kind(header: &mut Header, kind: EntryType) {
    header.set_entry_type(kind);
}

/// Writes a number that fits, with as many zeros as there is room, and a NUL.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{number:0digits$o}").as_bytes());
    field[digits] = 0;
}

/// Writes a path into a header if it fits: whole, or its folders apart from its name.
fn set_path(header: &mut Header, path: &[u8]) -> bool {
    if fits(path, 100) {
        put(&mut header.as_old_mut().name, path);
        return true;
    }
    // The folders are as many as fit into 155 bytes, and a slash at the end belongs to the name.
    let inner = path.strip_suffix(b"/").unwrap_or(path);
    let slash = inner.iter().take(156).rposition(|byte| *byte == b'/').filter(|at| *at > 0);
    let Some(slash) = slash.filter(|_| path.is_ascii()) else { return false };
    let (folders, name) = (&path[..slash], &path[slash + 1..]);
    if name.len() > 100 || name.is_empty() {
        return false;
    }
    put(&mut header.as_old_mut().name, name);
    put(&mut header.as_ustar_mut().expect("it was made as one").prefix, folders);
    true
}

fn fits(text: &[u8], most: usize) -> bool {
    text.len() <= most && text.is_ascii()
}

/// Writes as much of a text as fits.
fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn to_ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

/// Returns the name of the header with a member's records.
fn extended_name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at(at);
    let mut name = to_ascii(&[folder, b"PaxHeaders.0/", name].concat());
    name.truncate(100);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;

    /// Writes members and reads them again.
    fn through(members: &[Member]) -> Vec<Member> {
        let mut archive = Archive::new(Vec::new());
        for member in members {
            archive.begin(member).unwrap();
            archive.content(io::repeat(7), member.size).unwrap();
        }
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        let mut read = Members::new(&bytes[..]);
        std::iter::from_fn(|| read.next().unwrap()).collect()
    }

    fn file(path: &str) -> Member {
        plain(path, Kind::File, 0o644, 3, 17)
    }

    #[test]
    fn whatever_does_not_fit_into_a_header_comes_back_as_it_was() {
        let mut odd = file("odd");
        (odd.uid, odd.gid, odd.mode) = (3_000_000, u32::MAX - 1, 0o7777);
        odd.mtime = (-5, 250_000_000);
        odd.xattrs =
            vec![(b"security.capability".to_vec(), vec![0, 10, 255]), (b"user.a=b\n".to_vec(), vec![])];
        odd.xattrs.remove(1); // a name with `=` in it is one that PAX cannot hold
        let link = |path: &str, target: &str| {
            plain(path, Kind::Symlink { target: target.as_bytes().to_vec() }, 0o777, 0, 17)
        };
        let members = [
            file("plain"),
            plain("folder/", Kind::Folder, 0o1777, 0, 17),
            file(&"x".repeat(100)),
            file(&"x".repeat(101)),
            file(&format!("{}/{}", "d".repeat(155), "n".repeat(100))),
            file(&format!("{}/{}", "d".repeat(156), "n".repeat(100))),
            file(&"long/".repeat(800)[..3999]),
            plain(&format!("{}/", "folder/".repeat(20)), Kind::Folder, 0o755, 0, 17),
            file("größe"),
            link("link", &"t".repeat(100)),
            link("link", &"t".repeat(101)),
            link("link", "ü"),
            plain("hard", Kind::HardLink { target: b"plain".to_vec() }, 0o644, 0, 17),
            plain("null", Kind::CharDevice { major: 4095, minor: 1_048_575 }, 0o666, 0, 17),
            plain("fifo", Kind::Fifo, 0o600, 0, 1 << 34),
            odd,
        ];
        assert_eq!(through(&members), members);
    }

    #[test]
    fn a_member_that_fits_needs_one_header_and_no_more() {
        let mut archive = Archive::new(Vec::new());
        archive.begin(&file("file")).unwrap();
        archive.content(&b"abc"[..], 3).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len(), 4 * 512);
        let numbers = b"0000644\x000000000\x000000000\x0000000000003\x0000000000021\x00";
        assert_eq!(&bytes[100..148], numbers);
        let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(bytes[148..156], *format!("{:06o}\0 ", sum - own + 8 * 32).as_bytes());
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert!(bytes[265..329].iter().all(|byte| *byte == 0), "owners have no names");
    }

    #[test]
    fn a_content_that_is_too_short_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        archive.begin(&file("file")).unwrap();
        assert!(archive.content(&b"x"[..], 3).is_err());
    }
}
