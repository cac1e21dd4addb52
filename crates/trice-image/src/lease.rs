//! What work in progress needs, so that nobody sweeps it away.
//!
//! ```text
//! DATA/leases/N        held by flock for as long as the work goes on; a line for each thing it needs
//! DATA/gate            shared: somebody writes down what he needs, then looks whether it is there
//!                      alone: somebody decides what nobody needs, and throws it away
//! ```
//!
//! So whoever finds a thing after he has written it down keeps it, in this process or another. When a process
//! dies its leases are nobody's, and go with the next sweep.
//!
//! Source: flock(2).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Digest;
use crate::lock::{is_still, locked};

/// A thing of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Thing {
    /// A layer's folder, by the digest that it is named by.
    Layer(Digest),
    /// A blob.
    Blob(Digest),
}

/// Where it is decided who needs what.
#[derive(Debug)]
pub(crate) struct Gate(PathBuf);

/// A gate that is held until it is dropped.
pub(crate) struct Held {
    _file: File,
}

impl Gate {
    pub(crate) fn new(data: &Path) -> Self {
        Self(data.join("gate"))
    }

    /// Waits until nobody is sweeping.
    pub(crate) fn enter(&self) -> io::Result<Held> {
        self.hold(FlockOperation::LockShared)
    }

    /// Waits until nobody is writing down what he needs.
    pub(crate) fn close(&self) -> io::Result<Held> {
        self.hold(FlockOperation::LockExclusive)
    }

    fn hold(&self, operation: FlockOperation) -> io::Result<Held> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&self.0)?;
        flock(&file, operation)?;
        Ok(Held { _file: file })
    }
}

/// Keeps what it names for as long as it lives.
pub struct Lease {
    path: PathBuf,
    file: Mutex<File>,
}

impl Lease {
    /// Begins without anything, in the folder `leases`.
    pub(crate) fn begin(leases: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = leases.join(format!("{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened?;
                    flock(&file, FlockOperation::LockExclusive)?;
                    // Somebody may have taken it for a dead one's before it was locked.
                    if is_still(&file, &path)? {
                        return Ok(Self { path, file: Mutex::new(file) });
                    }
                }
            }
        }
    }

    /// Keeps `things` too. The gate is held, so that nobody reads half a line.
    pub(crate) fn keep<'a>(&self, _: &Held, things: impl IntoIterator<Item = &'a Thing>) -> io::Result<()> {
        let lines: String = things.into_iter().map(line).collect();
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines.as_bytes())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that cannot be deleted is nobody's from now on, and goes with the next sweep.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns what all leases in the folder `leases` keep, and deletes those whose holders are gone.
pub(crate) fn kept(_: &Held, leases: &Path) -> io::Result<Vec<Thing>> {
    let mut things = Vec::new();
    for entry in fs::read_dir(leases)? {
        let path = entry?.path();
        if locked(&path)?.is_some() {
            fs::remove_file(&path)?;
            continue;
        }
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // its work has just ended
            text => things.extend(text?.lines().filter_map(thing)),
        }
    }
    Ok(things)
}

fn line(thing: &Thing) -> String {
    match thing {
        Thing::Layer(digest) => format!("layer {digest}\n"),
        Thing::Blob(digest) => format!("blob {digest}\n"),
    }
}

fn thing(line: &str) -> Option<Thing> {
    match line.split_once(' ')? {
        ("layer", digest) => Some(Thing::Layer(digest.parse().ok()?)),
        ("blob", digest) => Some(Thing::Blob(digest.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_lease_keeps_what_it_names_until_it_is_dropped() {
        let folder = Folder::new();
        let (leases, gate) = (folder.path("leases"), Gate::new(&folder.path("")));
        fs::create_dir(&leases).unwrap();
        let things = [Thing::Layer(Digest::of(b"a")), Thing::Blob(Digest::of(b"b"))];
        let (one, two) = (Lease::begin(&leases).unwrap(), Lease::begin(&leases).unwrap());
        one.keep(&gate.enter().unwrap(), &things[..1]).unwrap();
        one.keep(&gate.enter().unwrap(), &things[1..]).unwrap();
        two.keep(&gate.enter().unwrap(), &things).unwrap();
        let found = || kept(&gate.close().unwrap(), &leases).unwrap();
        assert_eq!(found(), [&things[..], &things[..]].concat());
        drop(one);
        assert_eq!(found(), things);
        drop(two);
        assert_eq!((found(), folder.names("leases")), (Vec::new(), Vec::new()));
    }

    #[test]
    fn the_lease_of_a_process_that_is_gone_keeps_nothing() {
        let folder = Folder::new();
        fs::write(folder.path("1-0"), line(&Thing::Layer(Digest::of(b"a")))).unwrap();
        let gate = folder.path("gate-folder");
        fs::create_dir(&gate).unwrap();
        fs::rename(folder.path("1-0"), gate.join("1-0")).unwrap();
        assert_eq!(kept(&Gate::new(&folder.path("")).close().unwrap(), &gate).unwrap(), []);
        assert_eq!(folder.names("gate-folder"), [""; 0]);
    }

    #[test]
    fn nobody_sweeps_while_somebody_writes_down_what_he_needs() {
        let folder = Folder::new();
        let gate = Gate::new(&folder.path(""));
        let (inside, also_inside) = (gate.enter().unwrap(), gate.enter().unwrap());
        let other = File::open(folder.path("gate")).unwrap();
        let closes = || flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok();
        assert!(!closes());
        drop(inside);
        assert!(!closes());
        drop(also_inside);
        assert!(closes());
    }
}
