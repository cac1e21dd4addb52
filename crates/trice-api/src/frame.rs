//! Pieces of logs on their way to a client, in binary: what a container wrote need not be text.
//!
//! ```text
//! 0      8        12       14  15  16
//! │ time │ length │ number │ s │ 0 │ bytes …      little-endian; s: 0 stdout, 1 stderr
//! ```
//!
//! `number` stands for a container. A frame with s = 255 introduces it: its bytes are the name.

use trice_model::time::Timestamp;

/// The size of a frame without its bytes.
pub const HEAD: usize = 16;
const INTRODUCTION: u8 = 255;

/// A stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// From here on `number` stands for the container `name`.
    Introduce {
        /// The number.
        number: u16,
        /// The container's name.
        name: String,
    },
    /// A line, or as much of it as has arrived.
    Line {
        /// The container's number.
        number: u16,
        /// Which stream.
        stream: LogStream,
        /// When it began to arrive.
        time: Timestamp,
        /// The bytes, without the end of the line.
        bytes: Vec<u8>,
    },
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (time, number, stream, bytes) = match self {
            Self::Introduce { number, name } => (0, *number, INTRODUCTION, name.as_bytes()),
            Self::Line { number, stream: LogStream::Stdout, time, bytes } => {
                (time.0, *number, 0, bytes.as_slice())
            }
            Self::Line { number, stream: LogStream::Stderr, time, bytes } => {
                (time.0, *number, 1, bytes.as_slice())
            }
        };
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&[stream, 0]);
        out.extend_from_slice(bytes);
    }
}

/// Puts frames together from what arrives.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    read: usize,
}

impl Decoder {
    /// Takes what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next frame, if all of it has arrived.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let rest = &self.bytes[self.read..];
        let head: &[u8; HEAD] = rest.first_chunk()?;
        let time = Timestamp(u64::from_le_bytes(head[..8].try_into().ok()?));
        let length = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
        let number = u16::from_le_bytes([head[12], head[13]]);
        let bytes = rest.get(HEAD..HEAD + length)?.to_vec();
        self.read += HEAD + length;
        Some(match head[14] {
            INTRODUCTION => Frame::Introduce { number, name: String::from_utf8_lossy(&bytes).into_owned() },
            0 => Frame::Line { number, stream: LogStream::Stdout, time, bytes },
            _ => Frame::Line { number, stream: LogStream::Stderr, time, bytes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let frames = vec![
            Frame::Introduce { number: 0, name: "shop-web-1".to_owned() },
            Frame::Line {
                number: 0,
                stream: LogStream::Stderr,
                time: Timestamp(7),
                bytes: b"a\0\xff\n".to_vec(),
            },
            Frame::Line { number: 0, stream: LogStream::Stdout, time: Timestamp(8), bytes: Vec::new() },
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        for cut in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for part in bytes.chunks(cut) {
                decoder.push(part);
                read.extend(std::iter::from_fn(|| decoder.next_frame()));
            }
            assert_eq!(read, frames, "cut at {cut}");
        }
    }
}
