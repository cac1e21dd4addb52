//! Telling a process from all others that had or will have its number, on this boot or another.
//!
//! Source: proc(5), `/proc/[pid]/stat` and `/proc/sys/kernel/random/boot_id`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use trice_model::container::ExitStatus;
use trice_model::id::ContainerId;

use crate::engine;
use crate::record::ProcessIdentity;

/// Returns the identity of the process that has the number `pid` now.
pub(crate) fn of(pid: i32) -> io::Result<ProcessIdentity> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let began = field(&stat, 22).ok_or(io::ErrorKind::InvalidData)?;
    Ok(ProcessIdentity { boot: boot()?, pid, began })
}

/// Returns the name under which the keeper is to tell the end of a process of the container: one that no other process
/// had before, so that a late word on one is not taken for the end of the next.
pub(crate) fn key_of(container: &ContainerId) -> String {
    format!("{container}/{:x}", engine::now().0)
}

/// Returns the container that a name of [`key_of`] is about.
pub(crate) fn container_of(key: &str) -> Option<ContainerId> {
    key.split('/').next()?.parse().ok()
}

/// Opens the process if it is still there; `None` if it has gone, on this boot or a former one.
pub(crate) fn open(identity: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(identity.pid).filter(|_| boot().is_ok_and(|boot| boot == identity.boot))
    else {
        return Ok(None);
    };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(None) };
    // Looked at after it was opened: what has this number now is what the descriptor is open on, or has gone.
    Ok(of(identity.pid).is_ok_and(|found| found == *identity).then_some(pidfd))
}

/// Returns how a process ended that is no child of ours, once it has.
///
/// As long as its parent has not seen it, the kernel shows its status in `/proc`; afterwards newer kernels keep it for
/// those who hold a pidfd.
pub(crate) fn exit_of(pidfd: BorrowedFd<'_>, pid: i32) -> ExitStatus {
    if let Ok(Some(status)) = trice_sys::pidfd::exit_status(pidfd.as_fd()) {
        return from_wait_status(status);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_dead = after_name(&stat).is_some_and(|rest| rest.starts_with('Z'));
    match field(&stat, 52).filter(|_| is_dead).and_then(|status| i32::try_from(status).ok()) {
        Some(status) => from_wait_status(status),
        None => ExitStatus::Unknown,
    }
}

/// Reads the kernel's wait status.
pub(crate) fn from_wait_status(status: i32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code((status >> 8 & 0xff) as u8),
        signal => ExitStatus::Signal(signal as u8),
    }
}

/// Returns the kernel's id of this boot.
pub(crate) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Returns a field of `/proc/[pid]/stat` after the second, counted from 1 as the manual does. The second is the
/// program's name, which may hold anything, blanks and brackets included.
fn field(stat: &str, number: usize) -> Option<u64> {
    after_name(stat)?.split(' ').nth(number - 3)?.trim().parse().ok()
}

fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_wild_name_is_read_behind_it() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9";
        assert_eq!(field(stat, 22), Some(4242));
        assert!(after_name(stat).is_some_and(|rest| rest.starts_with('S')));
    }

    #[test]
    fn this_process_is_found_again_and_another_of_its_number_is_not() {
        let identity = of(std::process::id() as i32).unwrap();
        assert!(open(&identity).unwrap().is_some());
        let other = ProcessIdentity { began: identity.began + 1, ..identity.clone() };
        assert!(open(&other).unwrap().is_none());
        let former = ProcessIdentity { boot: "another".to_owned(), ..identity };
        assert!(open(&former).unwrap().is_none());
    }

    #[test]
    fn wait_statuses_are_codes_and_signals() {
        assert_eq!(from_wait_status(0x2a00), ExitStatus::Code(42));
        assert_eq!(from_wait_status(9), ExitStatus::Signal(9));
        assert_eq!(from_wait_status(0x86), ExitStatus::Signal(6));
    }
}
