//! Undoes whatever compression a layer or an archive has.
//!
//! What a descriptor's media type says is not asked: it is wrong often enough, and the first bytes are not.
//!
//! Sources: RFC 1952, section 2.3.1; RFC 8878, section 3.1.1; the file formats of xz and bzip2; OCI Image Specification,
//! `layer.md`.

use std::io::{self, Cursor, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use oci_spec::image::MediaType;
use serde::{Deserialize, Serialize};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
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

/// What a stream turned out to be compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Something that layers are compressed with, or nothing.
    Layer(Compression),
    /// Something that archives are compressed with, and layers are not.
    Archive(Packer),
}

/// A compression that the image specification does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packer {
    /// That of XZ Utils.
    Xz,
    /// That of `bzip2`.
    Bzip2,
}

impl Stream {
    /// Returns what a layer is compressed with.
    ///
    /// # Errors
    /// `InvalidData` for what a layer must not be compressed with.
    pub(crate) fn of_layer(self) -> io::Result<Compression> {
        let name = match self {
            Self::Layer(compression) => return Ok(compression),
            Self::Archive(Packer::Xz) => "xz",
            Self::Archive(Packer::Bzip2) => "bzip2",
        };
        let text = format!("it is compressed with {name}, and layers are with gzip or zstd");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

/// As many bytes as tell every compression from the others.
const MAGIC_BYTES: u64 = 6;

/// How much is decompressed at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// The memory that xz may take, in KiB. Its strongest preset takes 65 MiB, and a stream can ask for 4 GiB.
const XZ_KIB: u32 = 100 << 10;

/// Tells how `input` is compressed, and returns a reader of what it holds.
///
/// # Errors
/// Those of `input`.
pub fn decompressed<'a>(input: impl Read + Send + 'a) -> io::Result<(Stream, Box<dyn Read + Send + 'a>)> {
    let (stream, whole) = recognised(input)?;
    let plain: Box<dyn Read + Send> = match stream {
        Stream::Layer(Compression::None) => Box::new(whole),
        Stream::Layer(Compression::Gzip) => Box::new(MultiGzDecoder::new(buffered(whole))),
        Stream::Layer(Compression::Zstd) => Box::new(zstd::stream::read::Decoder::new(whole)?),
        Stream::Archive(packer) => unpacked(packer, whole),
    };
    Ok((stream, plain))
}

/// Undoes what a layer must not be compressed with, and leaves the rest as it is.
pub(crate) fn fit_for_a_layer<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let (stream, whole) = recognised(input)?;
    Ok(match stream {
        Stream::Layer(_) => Box::new(whole),
        Stream::Archive(packer) => unpacked(packer, whole),
    })
}

fn unpacked<'a>(packer: Packer, whole: impl Read + Send + 'a) -> Box<dyn Read + Send + 'a> {
    match packer {
        Packer::Xz => Box::new(XzReader::new_mem_limit(buffered(whole), true, XZ_KIB)),
        Packer::Bzip2 => Box::new(MultiBzDecoder::new(buffered(whole))),
    }
}

fn buffered<R: Read>(input: R) -> io::BufReader<R> {
    io::BufReader::with_capacity(BUFFER_BYTES, input)
}

/// An input with those of its bytes before it that have been read already.
type Whole<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Looks at the first bytes, and returns a reader of all of them.
fn recognised<R: Read>(mut input: R) -> io::Result<(Stream, Whole<R>)> {
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
    let stream = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Stream::Layer(Compression::Gzip),
        // A frame, or one of the skippable frames that carry an index beside the data.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Stream::Layer(Compression::Zstd)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Stream::Archive(Packer::Xz),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => Stream::Archive(Packer::Bzip2),
        _ => Stream::Layer(Compression::None),
    };
    Ok((stream, Cursor::new(magic).chain(input)))
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

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The same with xz, which the program of that name made: `printf 'words ' | xz --check=crc32`.
    const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x05\x77\x6f\x72\x64\x73\x20\x00\x00\x00\x50\x7d\x13\x0d\x00\x01\x1a\x06\xc5\xea\xc8\x79\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";

    fn plain(bytes: &[u8]) -> io::Result<(Stream, Vec<u8>)> {
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
        assert_eq!(plain(&gzip(&text)).unwrap(), (Stream::Layer(Compression::Gzip), text.clone()));
        assert_eq!(plain(&frame).unwrap(), (Stream::Layer(Compression::Zstd), text.clone()));
        assert_eq!(plain(&skippable).unwrap(), (Stream::Layer(Compression::Zstd), text.clone()));
        assert_eq!(plain(&text).unwrap(), (Stream::Layer(Compression::None), text));
        assert_eq!(plain(b"").unwrap(), (Stream::Layer(Compression::None), Vec::new()));
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
        for whole in [XZ, &bzip2(b"words ")] {
            assert!(plain(&whole[..whole.len() - 1]).is_err());
        }
    }

    #[test]
    fn archives_may_be_compressed_with_more_than_layers_may() {
        let xz = [XZ, XZ].concat();
        let bzip2 = [bzip2(b"words "), bzip2(b"words ")].concat();
        for (bytes, packer) in [(xz, Packer::Xz), (bzip2, Packer::Bzip2)] {
            assert_eq!(plain(&bytes).unwrap(), (Stream::Archive(packer), b"words words ".to_vec()));
            let refused = Stream::Archive(packer).of_layer().unwrap_err().to_string();
            assert!(refused.contains("layers are with gzip or zstd"), "{refused}");
            let mut fit = Vec::new();
            fit_for_a_layer(&bytes[..]).unwrap().read_to_end(&mut fit).unwrap();
            assert_eq!(fit, b"words words ");
        }
        let gzip = gzip(b"words ");
        let mut fit = Vec::new();
        fit_for_a_layer(&gzip[..]).unwrap().read_to_end(&mut fit).unwrap();
        assert_eq!(fit, gzip);
    }

    #[test]
    fn a_stream_of_xz_that_asks_for_gigabytes_is_refused() {
        let mut greedy = XZ.to_vec();
        // The size of the dictionary, and the checksum of the block's header after it.
        let header = 12;
        let length = (usize::from(greedy[header]) + 1) * 4;
        let size = greedy[header..].windows(2).position(|pair| pair == [0x21, 1]).unwrap() + header + 2;
        greedy[size] = 40;
        let mut crc = flate2::Crc::new();
        crc.update(&greedy[header..header + length - 4]);
        greedy[header + length - 4..header + length].copy_from_slice(&crc.sum().to_le_bytes());
        let error = plain(&greedy).unwrap_err().to_string();
        assert!(error.contains("mem"), "{error}");
    }
}
