//! SHA-256 digests, which name all that an image consists of.
//!
//! Source: OCI Image Specification, `descriptor.md`, "Digests".

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The digest of some bytes: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub struct Digest(String);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest that trice knows: it is `sha256:` and 64 hexadecimal digits in lower case")]
pub struct DigestError(String);

/// What the names of all digests begin with.
const ALGORITHM: &str = "sha256:";

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::written(&Sha256::digest(bytes))
    }

    /// Returns the 64 digits, which are safe as a file's name.
    pub fn hex(&self) -> &str {
        &self.0[ALGORITHM.len()..]
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the digest with these 64 digits.
    pub(crate) fn from_hex(hex: &str) -> Result<Self, DigestError> {
        format!("{ALGORITHM}{hex}").parse()
    }

    fn written(bytes: &[u8]) -> Self {
        let mut text = ALGORITHM.to_owned();
        text.extend(
            bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| {
                char::from_digit(u32::from(half), 16).expect("half a byte is a hexadecimal digit")
            }),
        );
        Self(text)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.strip_prefix(ALGORITHM) {
            Some(hex) if hex.len() == 64 && hex.bytes().all(digit) => Ok(Self(text.to_owned())),
            Some(_) | None => Err(DigestError(text.to_owned())),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A reader or writer that takes the digest of what passes.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R> Hashing<R> {
    /// Begins at the first byte of `inner`.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// Returns the digest and the number of the bytes that have passed.
    pub(crate) fn written(&self) -> (Digest, u64) {
        (Digest::written(&self.hasher.clone().finalize()), self.bytes)
    }

    /// Returns what is behind it.
    pub(crate) fn inner_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Returns what is behind it, and the digest of the bytes that have passed.
    pub(crate) fn into_inner(self) -> (R, Digest) {
        let (digest, _) = self.written();
        (self.inner, digest)
    }
}

impl<R: Read> Hashing<R> {
    /// Reads what is left.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_stream_is_that_of_its_bytes_even_if_nobody_read_them_all() {
        let mut stream = Hashing::new(&b"abc"[..]);
        stream.read_exact(&mut [0; 2]).unwrap();
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        stream.drain().unwrap();
        assert_eq!(stream.written(), (known.parse().unwrap(), 3));
        assert_eq!(Digest::of(b"abc").as_str(), known);
    }

    #[test]
    fn what_could_be_a_path_is_no_digest() {
        let hex = "a".repeat(64);
        assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha256:{hex}0");
        for bad in ["sha256:../../etc/passwd", "sha512:00", &hex, &upper, &long, ""] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
