//! Unpacks layers that nobody would write, and sees that nothing outside their folder changes, and that what is
//! unpacked can be packed and is the same then.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run layer -- -max_total_time=600 -max_len=16384
//! ```
#![no_main]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::fuzz_target;
use trice_image::pack::{Packing, pack};
use trice_image::unpack::{Limits, unpack};

const LIMITS: Limits = Limits { bytes: 1 << 20, members: 200 };

/// Writes the right checksum into each header, so that what is behind it is looked at.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + 512) {
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().take_while(|byte| (b'0'..=b'7').contains(*byte));
        let size = digits.fold(0_usize, |size, digit| size.saturating_mul(8) + usize::from(digit - b'0'));
        at = at.saturating_add(512).saturating_add(size.min(1 << 20).next_multiple_of(512));
    }
    tar
}

/// Returns all that is in a folder, links as they are.
fn names(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect();
    names.sort();
    names
}

fuzz_target!(|data: &[u8]| {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let top = PathBuf::from(format!("/dev/shm/trice-fuzz-{}-{number}", std::process::id()));
    for name in ["layer", "aside", "outside", "again", "aside-again"] {
        fs::create_dir_all(top.join(name)).unwrap();
    }
    fs::write(top.join("outside/file"), "host").unwrap();
    let open = |name: &str| File::open(top.join(name)).unwrap();
    let tar = repaired(data);
    let before = names(&top.join("outside"));
    let outcome = unpack(&tar[..], open("layer").as_fd(), open("aside").as_fd(), LIMITS);
    assert_eq!(names(&top.join("outside")), before);
    assert_eq!(names(&top).len(), 5);
    if outcome.is_ok() {
        let packing = Packing { overlay: true, ..Packing::default() };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let packed = pack(open("layer").as_fd(), &packing, &mut first);
        packed.unwrap();
        unpack(&first[..], open("again").as_fd(), open("aside-again").as_fd(), Limits { bytes: 1 << 24, ..LIMITS }).unwrap();
        pack(open("again").as_fd(), &packing, &mut second).unwrap();
        assert!(first == second, "it is not the same");
    }
    // Folders may have any mode, which root does not care about.
    fs::remove_dir_all(&top).unwrap();
});
