//! Who has a file locked.
//!
//! A lock belongs to an open file, and goes when its last descriptor is closed. One who was killed has his a little longer
//! than he lives: until the kernel has closed all that he had, and until a child that he was just making, which has copies of
//! his descriptors, has become another program.
//!
//! Sources: flock(2); proc_locks(5); proc_pid_stat(5), of which the flag `PF_EXITING` is in `include/linux/sched.h`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Who holds the lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody whom the kernel tells of.
    Nobody,
    /// This process is dead, or about to be.
    Dead(u32),
    /// Somebody who lives.
    Alive,
}

/// A process that is on its way out has this flag.
const PF_EXITING: u32 = 0x4;

/// Finds out who holds the lock on the file at `path`.
///
/// # Errors
/// If the file is not there, or the kernel does not tell.
pub(crate) fn of(path: &Path) -> io::Result<Holder> {
    let inode = fs::metadata(path)?.ino();
    let all = holders(&fs::read_to_string("/proc/locks")?, inode);
    Ok(match all.first() {
        None => Holder::Nobody,
        Some(first) if all.iter().all(|pid| is_over(*pid)) => Holder::Dead(*first),
        Some(_) => Holder::Alive,
    })
}

/// Waits until nobody holds the lock on the file at `path` any more.
///
/// # Errors
/// Those of flock(2).
pub(crate) fn wait(path: &Path) -> io::Result<()> {
    Ok(flock(File::open(path)?, FlockOperation::LockShared)?)
}

/// Returns who holds locks on files with the number `inode`. On which file system is not compared: not every one of them
/// says the same to stat(2).
fn holders(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF`; who waits has an arrow after the number.
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        let number: u64 = file.rsplit(':').next()?.parse().ok()?;
        (number == inode).then(|| pid.parse().ok()).flatten()
    };
    locks.lines().filter_map(holder).collect()
}

fn is_over(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let is_killed = fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| is_to_die(&status));
    is_ending(&stat) || is_killed
}

/// Tells whether a process ends or has ended, by its line in `stat`.
fn is_ending(stat: &str) -> bool {
    // The name may have spaces and parentheses.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let words: Vec<&str> = after_name.split(' ').collect();
    let flags: u32 = words.get(6).and_then(|flags| flags.parse().ok()).unwrap_or(0);
    matches!(words.first(), Some(&"Z" | &"X")) || flags & PF_EXITING != 0
}

/// Tells whether a kill waits for a process.
fn is_to_die(status: &str) -> bool {
    const KILL: u64 = 1 << 8;
    let pending = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    };
    (pending("SigPnd:") | pending("ShdPnd:")) & KILL != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_told_from_those_who_wait_and_from_other_locks() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
             1: -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n\
             2: POSIX  ADVISORY  WRITE 13 fe:00:77 0 EOF\n\
             3: FLOCK  ADVISORY  READ 14 00:2c:78 0 EOF\n\
             4: FLOCK  ADVISORY  READ 15 00:2c:77 0 EOF\n";
        assert_eq!(holders(locks, 77), [11, 15]);
        assert!(holders(locks, 7).is_empty());
    }

    #[test]
    fn who_ends_is_told_from_who_lives() {
        let stat = |state: &str, flags: u32| format!("7 (a) b)) {state} 1 7 7 0 -1 {flags} 0 0");
        assert!(!is_ending(&stat("S", 0x40_0000)) && !is_ending(&stat("D", 0)));
        assert!(is_ending(&stat("Z", 0)) && is_ending(&stat("D", 0x40_0004)));
        assert!(is_to_die("SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        assert!(!is_to_die("SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n"));
        assert!(!is_over(std::process::id()) && is_over(u32::MAX));
    }
}
