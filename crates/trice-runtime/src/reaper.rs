//! The small init of a container with `init: true`: it reaps what is orphaned, passes signals on, and ends as its one
//! payload ends.
//!
//! The child itself stays as process 1 and makes the payload; no other program is needed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use trice_sys::fork::{Forked, SingleThread, fork};
use trice_sys::{pidfd, signals};

/// Signals that a payload does not hear of: those that end or stop process 1 whatever it does (9, 19), and those that
/// the kernel sends it for a fault of its own (4, 5, 6, 7, 8, 11, 31).
const NOT_FORWARDED: [i32; 9] = [4, 5, 6, 7, 8, 9, 11, 19, 31];
const SIGCHLD: i32 = 17;
/// The last real-time signal.
const LAST: i32 = 64;

/// Which of the two a process is after [`split`].
#[derive(Debug)]
pub enum Side {
    /// The payload-to-be.
    Payload,
    /// Process 1, which watches over it.
    Init(Watch),
}

/// What process 1 watches.
#[derive(Debug)]
pub struct Watch {
    signals: OwnedFd,
    payload: i32,
    pidfd: OwnedFd,
}

/// Makes the payload: another process, in a session of its own, so that a terminal is its alone.
pub fn split() -> io::Result<Side> {
    let proof = SingleThread::prove()?;
    let held: Vec<i32> = (1..=LAST).filter(|number| !NOT_FORWARDED.contains(number)).collect();
    let signals = signals::signalfd(&held)?;
    match fork(&proof, &[], None)? {
        Forked::Child => {
            rustix::process::setsid()?;
            Ok(Side::Payload)
        }
        Forked::Parent { pid, pidfd } => Ok(Side::Init(Watch { signals, payload: pid, pidfd })),
    }
}

/// Passes signals on and reaps until the payload has ended; returns the code to end with.
pub fn watch(watch: &Watch) -> io::Result<i32> {
    loop {
        match poll(&mut [PollFd::new(&watch.signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(number) = signals::read_signal(watch.signals.as_fd())? {
            if number != SIGCHLD {
                // A payload that has just ended hears nothing, and is reaped below.
                let _ = pidfd::send_signal(watch.pidfd.as_fd(), number);
            }
        }
        while let Some((pid, status)) = reap()? {
            if pid.as_raw_pid() == watch.payload {
                return Ok(status);
            }
        }
    }
}

/// Reaps one child that has ended, if there is one, and returns it with its code as a shell shows it.
fn reap() -> io::Result<Option<(Pid, i32)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => {
            let by_signal = status.terminating_signal().map(|signal| 128 + signal);
            Ok(Some((pid, status.exit_status().or(by_signal).unwrap_or(255))))
        }
        Ok(None) | Err(Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
