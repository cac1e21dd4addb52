//! Opening a path that must not lead out of a folder.
//!
//! Source: openat2(2).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::path::Arg;

/// Opens `path` below `folder`, as far as `resolve` lets it lead.
///
/// For a `..`, written or in a link, the kernel answers `EAGAIN` while anything on the machine is renamed or mounted,
/// because it cannot tell then where the folder is: it is asked again until it can.
///
/// # Errors
/// Those of openat2(2) but `EAGAIN`.
pub fn open_below(
    folder: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    loop {
        match openat2(folder.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_way_through_dots_is_found_while_others_rename() {
        let folder = std::env::temp_dir().join(format!("trice-resolve-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        symlink("deep/er/../../deep", folder.join("link")).unwrap();
        let root = rustix::fs::open(&folder, OFlags::PATH, Mode::empty()).unwrap();
        let over = AtomicBool::new(false);
        let gave_up = std::thread::scope(|scope| {
            scope.spawn(|| {
                let [one, other] = ["one", "other"].map(|name| folder.join(name));
                fs::create_dir(&one).unwrap();
                while !over.load(Ordering::Relaxed) {
                    fs::rename(&one, &other).unwrap();
                    fs::rename(&other, &one).unwrap();
                }
            });
            let open = |path: &str| open_below(&root, path, OFlags::PATH, ResolveFlags::IN_ROOT);
            let found = (0..20_000).find_map(|_| open("link/../../deep/er").err());
            over.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(gave_up, None);
        assert_eq!(open_below(&root, "../etc", OFlags::PATH, ResolveFlags::BENEATH).err(), Some(Errno::XDEV));
        fs::remove_dir_all(&folder).unwrap();
    }
}
