//! The caller's terminal as a window on a process's.
//!
//! ```text
//! keys ──► caller's terminal, raw ──► outer end ══ inner end ──► process
//! ```
//!
//! A raw terminal passes keys on as they are: Ctrl-C is for the process. It is restored in every case in
//! which we still can do anything: at the end, on an error, on a panic, and on signals that end us.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::relay::{Copied, copy, drain, own, settle};

/// The caller's terminal in raw mode, until this is dropped.
#[derive(Debug)]
struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Makes the terminal raw; `None` if the standard input is none.
    fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let guard = Self { before: before.clone() };
        restore_on_panic(before.clone());
        let mut raw = before;
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Some(guard))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// Reads a line that is not shown. Ctrl-C is an error, after the terminal has been restored.
pub(crate) fn read_hidden() -> io::Result<String> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let guard = RawMode { before: before.clone() };
    restore_on_panic(before.clone());
    let mut hidden = before;
    hidden.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    tcsetattr(&stdin, OptionalActions::Now, &hidden)?;
    let line = hidden_line(&mut stdin.lock());
    drop(guard);
    line
}

/// Puts a line together from keys.
fn hidden_line(keys: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut key = [0];
    loop {
        match (keys.read(&mut key)?, key[0]) {
            // The end of what is typed, Ctrl-D, and the end of the line.
            (0, _) | (_, 4 | b'\r' | b'\n') => break,
            (_, 3) => return Err(io::ErrorKind::Interrupted.into()),
            (_, 8 | 127) => drop(line.pop()),
            (_, byte) => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn restore(before: &Termios) {
    // A terminal that has gone needs no restoring.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
}

/// A panic ends a release without unwinding, and so without dropping anything.
fn restore_on_panic(before: Termios) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore(&before);
        usual(panic);
    }));
}

/// A process's terminal, shown on the caller's.
#[derive(Debug)]
pub(crate) struct Window {
    outer: OwnedFd,
    outputs: Vec<Copied>,
    _raw: Option<RawMode>,
}

impl Window {
    /// Shows the terminal that `outer` is the outer end of; with `input`, keys go there.
    pub(crate) fn open(outer: OwnedFd, input: bool) -> io::Result<Self> {
        let raw = if input { RawMode::enter()? } else { None };
        let output = copy(outer.try_clone()?, own(io::stdout().as_fd())?)?;
        if input {
            drop(copy(own(io::stdin().as_fd())?, outer.try_clone()?)?);
        }
        let window = Self { outer, outputs: vec![output], _raw: raw };
        window.resize();
        Ok(window)
    }

    /// Gives the process's terminal the size of the caller's.
    pub(crate) fn resize(&self) {
        // Where the caller has none, or the process has ended, there is no size to give.
        if let Ok(size) = tcgetwinsize(io::stdout()) {
            let _ = tcsetwinsize(&self.outer, size);
        }
    }

    /// Waits for the rest of the output of a process that has ended.
    pub(crate) async fn settle(&mut self) {
        settle(&mut self.outputs).await;
    }

    /// Waits for the end of the output, however long it takes.
    pub(crate) async fn drain(&mut self) {
        drain(&mut self.outputs).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_line_ends_with_its_end_and_can_be_mended_and_broken_off() {
        let line = |keys: &[u8]| hidden_line(&mut &*keys).map_err(|error| error.kind());
        assert_eq!(line(b"secret\nmore").as_deref(), Ok("secret"));
        assert_eq!(line(b"secre\x7fet\r").as_deref(), Ok("secret"));
        assert_eq!(line(b"secret").as_deref(), Ok("secret"));
        assert_eq!(line(b"sec\x03ret\n"), Err(io::ErrorKind::Interrupted));
    }
}
