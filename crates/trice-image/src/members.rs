//! The members of a tar stream, one after the other.
//!
//! ```text
//! [x] extended header   for the next member: PAX records        at most 1 MiB
//! [L] [K] long name     for the next member: its path, its link at most 1 MiB
//! [0] member            512 bytes, then its content, filled up to 512
//! …
//! two empty blocks
//! ```
//!
//! The blocks are those of the `tar` crate. Which header belongs to which member, how long a member is and
//! how much memory a header may take is decided here (see `pax`), and as Go's reader does, which is the one
//! that images are made for: whoever reads an archive in another way than that is shown other files.
//!
//! Sources: POSIX.1-2017, `pax`; GNU tar manual, "Basic Tar Format"; Go `archive/tar/reader.go`.

use std::borrow::Cow;
use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::pax::{Pax, PaxError};
use crate::xattr::Xattr;

/// The size of a block.
const BLOCK: usize = 512;

/// The most that an extended header or a long name may have. Docker's tools write a few hundred bytes.
const HEADER_BYTES: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: Vec<u8>,
    },
    /// Another name of a member before it.
    HardLink {
        /// That member.
        target: Vec<u8>,
    },
    /// A device that is read and written by characters.
    CharDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// A device that is read and written by blocks.
    BlockDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A member, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, as it is stated.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The length of its content.
    pub size: u64,
    /// Permissions, setuid, setgid and sticky.
    pub mode: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Its extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// Why a stream cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The stream itself.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// The stream ends in the middle.
    #[error("the archive ends in the middle of a member: it is incomplete")]
    Truncated,
    /// A block is no header.
    #[error("byte {at} of the archive is not the beginning of a member")]
    NoHeader {
        /// Where the block begins.
        at: u64,
    },
    /// A number in a header is none, or too large.
    #[error("the {field} of `{path}` is not a number that it may have")]
    Number {
        /// The member.
        path: String,
        /// What the number is.
        field: &'static str,
    },
    /// An extended header or a name is too long to be read.
    #[error("a header at byte {at} of the archive has more than {HEADER_BYTES} bytes")]
    HeaderTooLong {
        /// Where it begins.
        at: u64,
    },
    /// An extended header is wrong.
    #[error("read `{path}`")]
    Pax {
        /// The member.
        path: String,
        /// What is wrong.
        source: PaxError,
    },
    /// A member is of a type that nobody knows.
    #[error("`{path}` is of type `{kind}`, which a layer must not have")]
    Kind {
        /// The member.
        path: String,
        /// The type.
        kind: char,
    },
}

/// A stream whose bytes can be left out.
pub trait Skip: Read {
    /// Leaves `count` bytes out, or as many as there are, and returns how many.
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.take(count), &mut io::sink())
    }
}

impl<R: Read + ?Sized> Skip for Box<R> {}

/// Reads the members of a stream.
pub struct Members<R> {
    input: R,
    /// How many bytes of the stream are behind us.
    at: u64,
    /// How many bytes of the last member's content are not.
    content: u64,
    /// How many empty bytes follow its content.
    padding: u64,
}

/// What the headers before a member say of it.
#[derive(Default)]
struct Extras {
    pax: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: Skip> Members<R> {
    /// Begins at the beginning of `input`.
    pub fn new(input: R) -> Self {
        Self { input, at: 0, content: 0, padding: 0 }
    }

    /// Returns the next member, whose content can be read until the one after it is asked for. `None` at the
    /// end.
    ///
    /// # Errors
    /// [`MemberError`] where the archive is wrong.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend its content")]
    pub fn next(&mut self) -> Result<Option<Member>, MemberError> {
        let mut extras = Extras::default();
        loop {
            self.leave_content()?;
            let at = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.entry_type() {
                EntryType::XHeader => extras.pax = Some(self.long(&header, at)?),
                EntryType::GNULongName => extras.name = Some(up_to_nul(self.long(&header, at)?)),
                EntryType::GNULongLink => extras.link = Some(up_to_nul(self.long(&header, at)?)),
                // It is for all members that follow, and says what commit an archive was made of.
                EntryType::XGlobalHeader => self.expect_content(size(&header)?),
                _ => {
                    let member = member(&header, extras)?;
                    self.expect_content(member.size);
                    return Ok(Some(member));
                }
            }
        }
    }

    /// Returns where the content of the last member begins.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Tells whether the content of the last member was read whole.
    pub(crate) fn is_read(&self) -> bool {
        self.content == 0
    }

    fn expect_content(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn leave_content(&mut self) -> Result<(), MemberError> {
        let skipped = self.input.skip(self.content + self.padding).map_err(MemberError::Read)?;
        if skipped < self.content {
            return Err(MemberError::Truncated);
        }
        self.at += skipped;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads a header; `None` at the end, which is an empty block, or none at all in archives that were put
    /// together.
    fn header(&mut self) -> Result<Option<Header>, MemberError> {
        let mut header = Header::new_old();
        match self.block(header.as_mut_bytes())? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(MemberError::Truncated),
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !is_checksum_right(&header) {
            return Err(MemberError::NoHeader { at: self.at - BLOCK as u64 });
        }
        Ok(Some(header))
    }

    /// Reads as much of `block` as there is.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<usize, MemberError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(MemberError::Read(error)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// Reads the content of a header that belongs to the next member.
    fn long(&mut self, header: &Header, at: u64) -> Result<Vec<u8>, MemberError> {
        let size = size(header)?;
        if size > HEADER_BYTES {
            return Err(MemberError::HeaderTooLong { at });
        }
        self.expect_content(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(MemberError::Read)?;
        if self.is_read() { Ok(bytes) } else { Err(MemberError::Truncated) }
    }
}

/// Reads the content of the last member.
impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..most])?;
        self.content -= read as u64;
        self.at += read as u64;
        Ok(read)
    }
}

/// Puts together what a header and those before it say.
fn member(header: &Header, extras: Extras) -> Result<Member, MemberError> {
    let own = header.path_bytes();
    let shown = || String::from_utf8_lossy(&own).into_owned();
    let pax = Pax::parse(extras.pax.as_deref().unwrap_or_default())
        .map_err(|source| MemberError::Pax { path: shown(), source })?;
    let path = extras.name.or(pax.path).unwrap_or_else(|| own.to_vec());
    let link = extras.link.or(pax.link_path);
    let kind = kind(header, link, &path)?;
    let old = header.as_old();
    let id = |pax: Option<u64>, field: &[u8], name| {
        let id = pax.map_or_else(|| number(field, header, name), |id| Ok(i128::from(id)))?;
        // The last number stands for "leave it as it is".
        u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| wrong(header, name))
    };
    let size = match kind {
        Kind::File => pax.size.map_or_else(|| size(header), Ok)?,
        // Old tools state the size of what is linked; there is no content.
        Kind::Folder
        | Kind::Symlink { .. }
        | Kind::HardLink { .. }
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Fifo => 0,
    };
    if size > u64::MAX / 2 {
        return Err(wrong(header, "size"));
    }
    let seconds = number(&old.mtime, header, "time")?;
    Ok(Member {
        size,
        mode: number(&old.mode, header, "mode")? as u32 & 0o7777,
        uid: id(pax.uid, &old.uid, "owner")?,
        gid: id(pax.gid, &old.gid, "group")?,
        mtime: match pax.mtime {
            Some(time) => time,
            None => (i64::try_from(seconds).map_err(|_| wrong(header, "time"))?, 0),
        },
        xattrs: pax.xattrs,
        path,
        kind,
    })
}

fn kind(header: &Header, link: Option<Vec<u8>>, path: &[u8]) -> Result<Kind, MemberError> {
    let target = || link.unwrap_or_else(|| header.link_name_bytes().unwrap_or(Cow::Borrowed(b"")).to_vec());
    Ok(match header.entry_type() {
        // Before POSIX, a folder was a file with a slash at the end.
        EntryType::Regular if path.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Symlink { target: target() },
        EntryType::Link => Kind::HardLink { target: target() },
        EntryType::Char => {
            let (major, minor) = device(header)?;
            Kind::CharDevice { major, minor }
        }
        EntryType::Block => {
            let (major, minor) = device(header)?;
            Kind::BlockDevice { major, minor }
        }
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(MemberError::Pax { path, source: PaxError::Sparse });
        }
        other => {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(MemberError::Kind { path, kind: char::from(other.as_byte()) });
        }
    })
}

fn device(header: &Header) -> Result<(u32, u32), MemberError> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
        (None, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
        (None, None) => return Err(wrong(header, "device number")),
    };
    let read = |field| {
        let number = number(field, header, "device number")?;
        u32::try_from(number).map_err(|_| wrong(header, "device number"))
    };
    Ok((read(major)?, read(minor)?))
}

fn size(header: &Header) -> Result<u64, MemberError> {
    let size = number(&header.as_old().size, header, "size")?;
    u64::try_from(size).ok().filter(|size| *size <= u64::MAX / 2).ok_or_else(|| wrong(header, "size"))
}

fn wrong(header: &Header, field: &'static str) -> MemberError {
    MemberError::Number { path: String::from_utf8_lossy(&header.path_bytes()).into_owned(), field }
}

/// Reads a field: octal digits between blanks, or, with the first bit set, a number of two's complement.
fn number(field: &[u8], header: &Header, name: &'static str) -> Result<i128, MemberError> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            // The sign is the bit after the one that says that this is no text.
            let start = i128::from(first & 0x7f) - if first & 0x40 != 0 { 0x80 } else { 0 };
            Ok(rest.iter().fold(start, |number, byte| (number << 8) | i128::from(*byte)))
        }
        _ => {
            let text = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
            let digits = text.iter().try_fold(0_i128, |number, digit| match digit {
                b'0'..=b'7' => Some(number << 3 | i128::from(digit - b'0')),
                _ => None,
            });
            digits.ok_or_else(|| wrong(header, name))
        }
    }
}

/// Sums the header up with its checksum as blanks, as bytes or, as some old tools do, as signed ones.
fn is_checksum_right(header: &Header) -> bool {
    let Ok(stated) = number(&header.as_old().cksum, header, "checksum") else { return false };
    let bytes = || {
        header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte })
    };
    let unsigned: i128 = bytes().map(i128::from).sum();
    let signed: i128 = bytes().map(|byte| i128::from(byte.cast_signed())).sum();
    stated == unsigned || stated == signed
}

fn up_to_nul(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::archive::{Tar, file, folder, header};

    impl Skip for &[u8] {}

    /// Returns path, kind and content of all members, or what went wrong.
    fn members(tar: &[u8]) -> Result<Vec<(String, Kind, String)>, MemberError> {
        let mut members = Members::new(tar);
        let mut all = Vec::new();
        while let Some(member) = members.next()? {
            let mut content = String::new();
            members.read_to_string(&mut content).map_err(MemberError::Read)?;
            all.push((String::from_utf8(member.path).unwrap(), member.kind, content));
        }
        Ok(all)
    }

    fn first(tar: &[u8]) -> Result<Member, MemberError> {
        Members::new(tar).next().map(Option::unwrap)
    }

    #[test]
    fn members_come_with_their_content_whatever_of_it_was_read() {
        let tar = Tar::new().with(folder("a/")).with(file("a/one", "1")).with(file("two", "22")).bytes();
        let names: Vec<_> = members(&tar).unwrap().into_iter().map(|(path, _, text)| (path, text)).collect();
        let name = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(names, [name("a/", ""), name("a/one", "1"), name("two", "22")]);
        let mut unread = Members::new(&tar[..]);
        let paths: Vec<_> = std::iter::from_fn(|| unread.next().unwrap()).map(|member| member.path).collect();
        assert_eq!(paths, [&b"a/"[..], b"a/one", b"two"]);
    }

    #[test]
    fn long_names_of_both_kinds_belong_to_the_next_member_alone() {
        let long = "long/".repeat(60) + "name";
        let pax = format!("{} path={long}\n", long.len() + 10);
        let tar = Tar::new()
            .extended(b'L', format!("{long}\0").as_bytes())
            .with(file("short", "gnu"))
            .extended(b'x', pax.as_bytes())
            .with(file("short", "pax"))
            .with(file("short", "own"))
            .bytes();
        let found: Vec<_> = members(&tar).unwrap().into_iter().map(|(path, _, text)| (path, text)).collect();
        let wanted = [(long.clone(), "gnu"), (long, "pax"), ("short".to_owned(), "own")];
        assert_eq!(found, wanted.map(|(path, text)| (path, text.to_owned())));
    }

    #[test]
    fn the_size_of_an_extended_header_holds_also_if_a_long_name_is_between() {
        let mut lying = header(b'0', "name", 0);
        lying.set_cksum();
        let tar = Tar::new()
            .extended(b'x', b"12 size=600\n")
            .extended(b'L', b"other\0")
            .raw(lying.as_bytes())
            .raw(&[b'x'; 1024])
            .with(file("next", ""))
            .bytes();
        let found = members(&tar).unwrap();
        assert_eq!((found[0].0.as_str(), found[0].2.len(), found[1].0.as_str()), ("other", 600, "next"));
    }

    #[test]
    fn numbers_are_octal_blank_or_binary_and_anything_else_is_an_error() {
        let with = |edit: &dyn Fn(&mut Header)| {
            let mut header = header(b'0', "name", 0);
            edit(&mut header);
            header.set_cksum();
            first(&Tar::new().raw(header.as_bytes()).bytes())
        };
        assert_eq!(with(&|h| h.as_old_mut().mode = *b"0004755\0").unwrap().mode, 0o4755);
        assert_eq!(with(&|h| h.as_old_mut().uid = [0; 8]).unwrap().uid, 0);
        assert_eq!(with(&|h| h.as_old_mut().gid = *b"     12 ").unwrap().gid, 10);
        assert_eq!(with(&|h| h.as_old_mut().uid = [0x80, 0, 0, 0, 0x7f, 0, 0, 1]).unwrap().uid, 0x7f00_0001);
        assert_eq!(with(&|h| h.as_old_mut().mtime = [0xff; 12]).unwrap().mtime, (-1, 0));
        let bad: [&dyn Fn(&mut Header); 4] = [
            &|h| h.as_old_mut().uid = [0xff; 8],
            &|h| h.as_old_mut().size = [0xff; 12],
            &|h| h.as_old_mut().mode = *b"0009755\0",
            &|h| h.as_old_mut().uid = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ];
        for edit in bad {
            assert!(matches!(with(edit), Err(MemberError::Number { .. })));
        }
    }

    #[test]
    fn an_archive_that_is_cut_or_garbled_is_an_error() {
        let tar = Tar::new().with(file("one", &"1".repeat(700))).with(file("two", "2")).bytes();
        assert!(matches!(members(&tar[..300]), Err(MemberError::Truncated)));
        let mut garbled = tar.clone();
        garbled[1536] ^= 1;
        assert!(matches!(members(&garbled), Err(MemberError::NoHeader { at: 1536 })));
        let mut cut = Members::new(&tar[..600]);
        cut.next().unwrap();
        assert!(matches!(cut.next(), Err(MemberError::Truncated)));
        let mut cut = Members::new(&tar[..600]);
        cut.next().unwrap();
        io::copy(&mut cut, &mut io::sink()).unwrap();
        assert!(!cut.is_read());
    }

    #[test]
    fn a_header_that_would_fill_the_memory_is_refused_before_it_is_read() {
        let mut huge = header(b'x', "name", 8 << 30);
        huge.set_cksum();
        let endless = huge.as_bytes().chain(io::repeat(b'1'));
        let result = Members::new(Box::new(endless)).next();
        assert!(matches!(result, Err(MemberError::HeaderTooLong { at: 0 })), "{result:?}");
    }

    #[test]
    fn sparse_files_and_types_that_nobody_knows_are_refused() {
        let of = |kind| first(&Tar::new().with((header(kind, "name", 0), Vec::new())).bytes());
        assert!(matches!(of(b'S'), Err(MemberError::Pax { source: PaxError::Sparse, .. })));
        assert!(matches!(of(b'D'), Err(MemberError::Kind { kind: 'D', .. })));
        assert_eq!(of(b'6').unwrap().kind, Kind::Fifo);
    }
}
