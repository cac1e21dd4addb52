//! Memory that was needed once.
//!
//! Source: malloc_trim(3).

/// Gives the kernel back what the allocator keeps for the next time. It takes a moment for each piece.
pub fn give_back() {
    // SAFETY: the allocator's own locks guard what it walks over; nothing that is in use changes its place.
    unsafe { libc::malloc_trim(0) };
}
