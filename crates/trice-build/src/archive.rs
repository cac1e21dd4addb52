//! Which files `ADD` unpacks: those that begin as an archive does, whatever they are called.
//!
//! Sources: POSIX.1-2017, `pax`; RFC 1952; RFC 8878.

use std::io::{self, Cursor, Read};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recognised {
    /// An archive, compressed or not.
    Archive,
    /// Something else.
    Other,
    /// What is compressed in a way that is not read here.
    Unread(&'static str),
}

/// The size of a header.
const BLOCK: usize = 512;

/// Looks at the beginning of a file.
pub(crate) fn recognise(mut file: impl Read) -> io::Result<Recognised> {
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic)?;
    let whole = Cursor::new(magic.clone()).chain(file);
    let block = match magic.as_slice() {
        [0x1f, 0x8b, ..] => begin(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => begin(zstd::stream::read::Decoder::new(whole)?),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return Ok(Recognised::Unread("xz")),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => return Ok(Recognised::Unread("bzip2")),
        _ => begin(whole),
    };
    Ok(if block.is_some_and(|block| is_header(&block)) { Recognised::Archive } else { Recognised::Other })
}

/// Reads a block; nothing if there is none, or what should be compressed is not.
fn begin(mut file: impl Read) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    file.read_exact(&mut block).is_ok().then_some(block)
}

/// Tells whether a block has the sum that it says it has.
fn is_header(block: &[u8; BLOCK]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let said = std::str::from_utf8(&block[SUM]).unwrap_or_default();
    let said = u32::from_str_radix(said.trim_matches(['\0', ' ']), 8);
    let sum = |byte: (usize, &u8)| if SUM.contains(&byte.0) { u32::from(b' ') } else { u32::from(*byte.1) };
    said == Ok(block.iter().enumerate().map(sum).sum())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The header of an empty file `a`.
    fn header() -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[0] = b'a';
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn archives_are_known_by_their_first_header_and_nothing_else_is_one() {
        let of = |bytes: &[u8]| recognise(bytes).unwrap();
        assert_eq!(of(&header()), Recognised::Archive);
        assert_eq!(of(&gzip(&header())), Recognised::Archive);
        assert_eq!(of(&zstd::encode_all(&header()[..], 1).unwrap()), Recognised::Archive);
        let mut wrong = header();
        wrong[1] = b'b';
        for other in [&wrong[..], b"", b"a", &gzip(b"text"), &[0x1f, 0x8b, 1, 2, 3, 4, 5], &vec![0; 2048]] {
            assert_eq!(of(other), Recognised::Other);
        }
        assert_eq!(of(b"\xfd7zXZ\0rest"), Recognised::Unread("xz"));
        assert_eq!(of(b"BZh91AY&SY"), Recognised::Unread("bzip2"));
    }
}
