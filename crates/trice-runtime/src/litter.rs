//! Descriptors that are done with, closed together: a container's start has dozens of them, and each close is a system
//! call.

use std::os::fd::OwnedFd;

use trice_sys::descriptors::close_together;

/// Descriptors that nobody uses any more; they are closed when this is dropped.
#[derive(Debug, Default)]
pub struct Litter(Vec<OwnedFd>);

impl Litter {
    /// Has `descriptors` closed with the others.
    pub fn throw(&mut self, descriptors: impl IntoIterator<Item = OwnedFd>) {
        self.0.extend(descriptors);
    }
}

impl Drop for Litter {
    fn drop(&mut self) {
        close_together(std::mem::take(&mut self.0));
    }
}
