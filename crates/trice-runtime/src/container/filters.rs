//! The system call filters in use, each compiled once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use trice_model::capability::Capability;

use crate::seccomp;
use crate::seccomp::machine::Machine;
use crate::seccomp::profile::Profile;

/// The filters, by the capabilities of those whom they are for.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<BTreeMap<BTreeSet<Capability>, OwnedFd>>);

impl Filters {
    /// Returns the filter of processes with these capabilities, as a file with the kernel's instructions.
    pub(super) fn of(&self, capabilities: &BTreeSet<Capability>) -> io::Result<OwnedFd> {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = filters.get(capabilities) {
            return filter.try_clone();
        }
        let uname = rustix::system::uname();
        let (machine, release) = (uname.machine().to_string_lossy(), uname.release().to_string_lossy());
        let machine = Machine::from_uname(&machine, &release).map_err(io::Error::other)?;
        let program = seccomp::compile(&Profile::default_profile(), capabilities, &machine)
            .map_err(io::Error::other)?;
        let file = super::memory_file("seccomp", &seccomp::to_bytes(&program))?;
        let copy = file.try_clone()?;
        filters.insert(capabilities.clone(), file);
        Ok(copy)
    }
}
