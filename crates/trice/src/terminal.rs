//! The caller's terminal as a window on a process's.
//!
//! ```text
//! keys ──► caller's terminal, raw ──► outer end ══ inner end ──► process
//! ```
//!
//! A raw terminal passes keys on as they are: Ctrl-C is for the process. It is restored in every case in
//! which we still can do anything: at the end, on an error, on a panic, and on signals that end us.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

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
