//! The descriptors that travel with a plan. Each is used once, and closed as soon as it has been: when the container's
//! own files are looked at, none of the host's folders is open any more.

use std::os::fd::OwnedFd;

use super::failed_without_errno;
use crate::handshake::Failure;
use crate::operation::Slot;

/// The descriptors that have not been used yet, by their places.
#[derive(Debug)]
pub(super) struct Slots(Vec<Option<OwnedFd>>);

impl Slots {
    pub(super) fn new(descriptors: impl Iterator<Item = OwnedFd>) -> Self {
        Self(descriptors.map(Some).collect())
    }

    /// Takes the descriptor of `slot`.
    pub(super) fn take(&mut self, slot: Slot) -> Result<OwnedFd, Failure> {
        let descriptor = self.0.get_mut(slot.0 as usize).and_then(Option::take);
        descriptor.ok_or_else(|| failed_without_errno(format!("descriptor {} is missing", slot.0)))
    }
}
