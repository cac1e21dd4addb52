//! Lines with their prefixes onto the caller's streams.

use std::io::{self, Write};

use trice_api::frame::LogStream;

use super::prefix::{Prefixes, Style};
use super::stream::Written;
use crate::failure::Failure;

/// From this size on lines are not kept any longer.
const LARGEST: usize = 64 * 1024;

/// Writes lines, several at a time if several are there.
pub(crate) struct Printer {
    prefixes: Prefixes,
    timestamps: bool,
    /// Both streams of containers go to our standard output.
    joined: bool,
    /// What is to be written, and where to.
    waiting: Vec<u8>,
    stream: LogStream,
}

impl Printer {
    /// A printer for `project` that keeps the containers' two streams apart, unless they are `joined`.
    pub(crate) fn new(project: &str, style: Style, timestamps: bool, joined: bool) -> Self {
        let (waiting, stream) = (Vec::new(), LogStream::Stdout);
        Self { prefixes: Prefixes::new(project, style), timestamps, joined, waiting, stream }
    }

    /// Takes in a container, so that prefixes have its width from the beginning.
    pub(crate) fn meet(&mut self, container: &str) {
        self.prefixes.meet(container);
    }

    /// Takes in a line. It is written when it must be, or with [`Printer::flush`].
    pub(crate) fn print(&mut self, written: &Written) -> Result<(), Failure> {
        let stream = if self.joined { LogStream::Stdout } else { written.stream };
        if stream != self.stream || self.waiting.len() > LARGEST {
            self.flush()?;
            self.stream = stream;
        }
        let line = self.line(written);
        self.waiting.extend_from_slice(&line);
        Ok(())
    }

    /// Writes what is waiting.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let bytes = std::mem::take(&mut self.waiting);
        let written = match self.stream {
            LogStream::Stdout => {
                let mut out = io::stdout();
                out.write_all(&bytes).and_then(|()| out.flush())
            }
            LogStream::Stderr => io::stderr().write_all(&bytes),
        };
        written.map_err(Failure::Output)
    }

    fn line(&mut self, written: &Written) -> Vec<u8> {
        let mut line = self.prefixes.of(&written.container).into_bytes();
        if self.timestamps {
            line.extend_from_slice(written.time.rfc3339().as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(&written.bytes);
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use trice_model::time::Timestamp;

    use super::*;

    fn line(names: bool, timestamps: bool) -> String {
        let mut printer = Printer::new("shop", Style { names, colours: false }, timestamps, true);
        let written = Written {
            container: "shop-web-1".to_owned(),
            stream: LogStream::Stdout,
            time: Timestamp(1_795_243_785_120_000_000),
            bytes: b"ready".to_vec(),
        };
        String::from_utf8(printer.line(&written)).unwrap()
    }

    #[test]
    fn a_line_stands_behind_its_prefix_and_its_time() {
        assert_eq!(line(true, false), "web-1  | ready\n");
        assert_eq!(line(true, true), "web-1  | 2026-11-21T06:49:45.120000000Z ready\n");
        assert_eq!(line(false, false), "ready\n");
    }
}
