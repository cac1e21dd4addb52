//! Which files `ADD` unpacks: those that begin as an archive does, whatever they are called.
//!
//! Source: POSIX.1-2017, `pax`.

use std::io::{self, Read};

use trice_image::compression::decompressed;

/// The size of a header.
const BLOCK: usize = 512;

/// Tells whether a file is an archive, compressed or not, by its beginning.
pub(crate) fn is_archive(file: impl Read + Send) -> io::Result<bool> {
    let (_, plain) = decompressed(file)?;
    Ok(begin(plain).is_some_and(|block| is_header(&block)))
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
        let of = |bytes: &[u8]| is_archive(bytes).unwrap();
        assert!(of(&header()));
        assert!(of(&gzip(&header())));
        assert!(of(&zstd::encode_all(&header()[..], 1).unwrap()));
        let mut wrong = header();
        wrong[1] = b'b';
        let texts = [&wrong[..], b"", b"a", &gzip(b"text"), &vec![0; 2048]];
        for other in texts.into_iter().chain(WRONGLY_COMPRESSED) {
            assert!(!of(other), "{other:?}");
        }
    }

    const WRONGLY_COMPRESSED: [&[u8]; 3] = [&[0x1f, 0x8b, 1, 2, 3, 4, 5], b"\xfd7zXZ\0rest", b"BZh91AY&SY"];
}
