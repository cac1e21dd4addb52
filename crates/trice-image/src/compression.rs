//! Undoes whatever compression a layer or an archive has.
//!
//! What a descriptor's media type says is not asked: it is wrong often enough, and the first bytes are not.
//!
//! Sources: RFC 1952, section 2.3.1; RFC 8878, section 3.1.1.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;
use oci_spec::image::MediaType;
use serde::{Deserialize, Serialize};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Returns the media type of a layer that is compressed so.
    pub(crate) fn layer_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }
}

/// As many bytes as tell every compression from the others.
const MAGIC_BYTES: u64 = 6;

/// How much is decompressed at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// Tells how `input` is compressed, and returns a reader of what it holds.
///
/// # Errors
/// Those of `input`, and `InvalidData` for a compression that is known but not read here.
pub(crate) fn decompressed<'a>(
    mut input: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
    let compression = recognise(&magic)?;
    let whole = Cursor::new(magic).chain(input);
    let plain: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER_BYTES, whole))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(whole)?),
    };
    Ok((compression, plain))
}

fn recognise(magic: &[u8]) -> io::Result<Compression> {
    let refuse = |name| {
        let text = format!("it is compressed with {name}, which trice does not read: use gzip or zstd");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    match magic {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        // A frame, or one of the skippable frames that carry an index beside the data.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => refuse("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => refuse("bzip2"),
        _ => Ok(Compression::None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(bytes: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let (compression, mut reader) = decompressed(bytes)?;
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain)?;
        drop(reader);
        Ok((compression, plain))
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes() {
        let text = b"words ".repeat(1000);
        let frame = zstd::encode_all(&text[..], 1).unwrap();
        let skippable = [&[0x5e, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7], &frame[..]].concat();
        assert_eq!(plain(&gzip(&text)).unwrap(), (Compression::Gzip, text.clone()));
        assert_eq!(plain(&frame).unwrap(), (Compression::Zstd, text.clone()));
        assert_eq!(plain(&skippable).unwrap(), (Compression::Zstd, text.clone()));
        assert_eq!(plain(&text).unwrap(), (Compression::None, text));
        assert_eq!(plain(b"").unwrap(), (Compression::None, Vec::new()));
    }

    #[test]
    fn all_members_of_a_gzip_stream_are_read() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(plain(&two).unwrap().1, b"one two");
    }

    #[test]
    fn a_stream_that_ends_too_early_or_that_nobody_reads_here_is_an_error() {
        let whole = gzip(&b"words ".repeat(1000));
        assert!(plain(&whole[..whole.len() - 4]).is_err());
        assert!(plain(&zstd::encode_all(&b"words"[..], 1).unwrap()[..9]).is_err());
        let error = plain(b"\xfd7zXZ\0rest").unwrap_err().to_string();
        assert!(error.contains("xz"), "{error}");
    }
}
