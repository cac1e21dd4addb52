//! What is to go: renamed now, deleted when there is time.
//!
//! Deleting a large tree takes long, and on ext4 it makes the files slow that are created in the minute after
//! it: the kernel walks over each inode that was just freed. So whoever removes something renames it into the
//! trash, which is one step that happens or does not, and the trash is emptied when nothing else is to do.
//!
//! ```text
//! volumes/data ──discard──► trash/0 ──empty──► (nothing)
//!                           trash/0/a, if anything is in it, moves up to trash/1 first: no tree is too deep
//! ```

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::fs::{open, renameat_with, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;
use trice_sys::resolve::open_below;

use crate::create::make_folder;

/// The folder of what is to go. It may be opened more than once.
#[derive(Debug)]
pub struct Trash {
    path: PathBuf,
    folder: OwnedFd,
    /// The next name to try.
    next: AtomicU64,
}

/// What cannot be thrown away.
#[derive(Debug, thiserror::Error)]
pub enum TrashError {
    /// The trash cannot be made or read.
    #[error("open the trash `{path}`")]
    Open {
        /// The trash.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thing cannot be moved into it.
    #[error("move `{path}` to the trash")]
    Discard {
        /// The thing.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not delete everything.
    #[error("delete `{example}`, and {others} others, from the trash `{path}`")]
    Left {
        /// The trash.
        path: PathBuf,
        /// One thing that is left.
        example: PathBuf,
        /// How many more there are.
        others: usize,
        /// What the kernel said of that one.
        source: io::Error,
    },
}

/// What one round of emptying did.
#[derive(Default)]
struct Round {
    /// Folders moved up, which the next round deletes.
    moved: usize,
    /// What the kernel did not delete, and why.
    failures: Vec<(PathBuf, Errno)>,
}

impl Round {
    /// Takes in that something could not be deleted; what is not there any more was, by another round elsewhere.
    fn fail(&mut self, path: PathBuf, error: Errno) {
        if error != Errno::NOENT {
            self.failures.push((path, error));
        }
    }
}

impl Trash {
    /// Opens the trash of the data folder `data`, and makes it if there is none, with mode 0700.
    ///
    /// # Errors
    /// [`TrashError::Open`].
    pub fn open(data: &Path) -> Result<Self, TrashError> {
        let path = data.join("trash");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match make_folder(&path).and_then(|()| Ok(open(&path, flags, Mode::empty())?)) {
            Ok(folder) => Ok(Self { path, folder, next: AtomicU64::new(0) }),
            Err(source) => Err(TrashError::Open { path, source }),
        }
    }

    /// Moves `path` away in one step, whatever it is, and tells whether there was anything. It must be on the
    /// file system of the trash.
    ///
    /// # Errors
    /// [`TrashError::Discard`]; it is still there then.
    pub fn discard(&self, path: &Path) -> Result<bool, TrashError> {
        match self.take(CWD, path) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(TrashError::Discard { path: path.to_owned(), source: error.into() }),
        }
    }

    /// Deletes all that is there. What somebody has mounted below is left alone.
    ///
    /// # Errors
    /// [`TrashError::Left`] if the kernel refused something; all else is gone.
    pub fn empty(&self) -> Result<(), TrashError> {
        let mut round = self.round()?;
        while round.moved > 0 {
            round = self.round()?;
        }
        let others = round.failures.len().saturating_sub(1);
        match round.failures.into_iter().next() {
            None => Ok(()),
            Some((example, source)) => {
                Err(TrashError::Left { path: self.path.clone(), example, others, source: source.into() })
            }
        }
    }

    /// Deletes what is in the trash now, with the files in it but not the folders that have something in
    /// them.
    fn round(&self) -> Result<Round, TrashError> {
        let unreadable = |error: Errno| TrashError::Open { path: self.path.clone(), source: error.into() };
        let mut round = Round::default();
        for entry in Dir::read_from(&self.folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if is_other(entry.file_name()) {
                self.delete(entry.file_name(), &mut round);
            }
        }
        Ok(round)
    }

    fn delete(&self, name: &CStr, round: &mut Round) {
        match delete_one(&self.folder, name) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY) => {
                let before = round.failures.len();
                let emptied = self.clear(name, round).and_then(|()| delete_one(&self.folder, name));
                if let (Err(error), true) = (emptied, round.failures.len() == before) {
                    round.fail(path_of(name), error);
                }
            }
            Err(error) => round.fail(path_of(name), error),
        }
    }

    /// Deletes what is in the folder `name` of the trash, and moves up what is not empty.
    fn clear(&self, name: &CStr, round: &mut Round) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let folder = open_below(&self.folder, name, flags, resolve)?;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let inner = entry.file_name();
            if !is_other(inner) {
                continue;
            }
            match delete_one(&folder, inner) {
                Ok(()) => {}
                // A folder on which something is mounted cannot be moved.
                Err(Errno::NOTEMPTY) => match self.take(&folder, inner) {
                    Ok(()) => round.moved += 1,
                    Err(error) => round.fail(path_of(name).join(path_of(inner)), error),
                },
                Err(error) => round.fail(path_of(name).join(path_of(inner)), error),
            }
        }
        Ok(())
    }

    /// Renames `name` of the folder `from` to a name in the trash that is free.
    fn take<P: Arg + Copy>(&self, from: impl AsFd, name: P) -> Result<(), Errno> {
        loop {
            let free = self.next.fetch_add(1, Ordering::Relaxed).to_string();
            match renameat_with(&from, name, &self.folder, &free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                outcome => return outcome,
            }
        }
    }
}

/// Deletes a file or an empty folder.
fn delete_one(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(folder, name, AtFlags::REMOVEDIR),
        outcome => outcome,
    }
}

fn is_other(name: &CStr) -> bool {
    name != c"." && name != c".."
}

fn path_of(name: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn two_that_empty_it_at_once_do_not_stumble_over_each_other() {
        let folder = Folder::new();
        for round in 0..20 {
            let data = folder.path(format!("data{round}"));
            let trash = Trash::open(&data).unwrap();
            for number in 0..50 {
                let deep = data.join(format!("thing{number}/upper/etc/inner"));
                fs::create_dir_all(&deep).unwrap();
                fs::write(deep.join("file"), "").unwrap();
                trash.discard(&data.join(format!("thing{number}"))).unwrap();
            }
            thread::scope(|scope| {
                let both = [(); 2].map(|()| scope.spawn(|| trash.empty()));
                for one in both {
                    one.join().unwrap().unwrap();
                }
            });
            assert_eq!(fs::read_dir(data.join("trash")).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_discarded_is_out_of_the_way_at_once_and_gone_when_the_trash_is_emptied() {
        let folder = Folder::new();
        let trash = Trash::open(&folder.path("data")).unwrap();
        fs::create_dir_all(folder.path("data/thing/a/b")).unwrap();
        fs::write(folder.path("data/thing/a/b/file"), "x").unwrap();
        fs::write(folder.path("data/file"), "x").unwrap();
        assert!(trash.discard(&folder.path("data/thing")).unwrap());
        assert!(trash.discard(&folder.path("data/file")).unwrap());
        assert!(!trash.discard(&folder.path("data/thing")).unwrap());
        assert_eq!(folder.names("data"), ["trash"]);
        assert_eq!(folder.names("data/trash").len(), 2);
        trash.empty().unwrap();
        assert_eq!(folder.names("data/trash"), [""; 0]);
    }

    #[test]
    fn what_an_earlier_process_discarded_goes_too_and_its_names_are_not_taken_twice() {
        let folder = Folder::new();
        for text in ["first", "second"] {
            fs::write(folder.path("file"), text).unwrap();
            Trash::open(&folder.path("")).unwrap().discard(&folder.path("file")).unwrap();
        }
        assert_eq!(folder.names("trash").len(), 2);
        Trash::open(&folder.path("")).unwrap().empty().unwrap();
        assert_eq!(folder.names("trash"), [""; 0]);
    }

    #[test]
    fn a_tree_that_is_deeper_than_a_path_can_be_goes_with_few_descriptors() {
        let folder = Folder::new();
        let trash = Trash::open(&folder.path("")).unwrap();
        fs::create_dir(folder.path("deep")).unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let mut at = open(folder.path("deep"), flags, Mode::empty()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&at, "below", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "below", flags, Mode::empty()).unwrap();
        }
        trash.discard(&folder.path("deep")).unwrap();
        trash.empty().unwrap();
        assert_eq!(folder.names("trash"), [""; 0]);
    }

    #[test]
    fn a_link_goes_and_what_it_points_to_stays() {
        let folder = Folder::new();
        let trash = Trash::open(&folder.path("data")).unwrap();
        fs::create_dir_all(folder.path("kept/inner")).unwrap();
        fs::create_dir(folder.path("data/thing")).unwrap();
        symlink(folder.path("kept"), folder.path("data/thing/link")).unwrap();
        symlink(folder.path("kept"), folder.path("data/link")).unwrap();
        trash.discard(&folder.path("data/thing")).unwrap();
        trash.discard(&folder.path("data/link")).unwrap();
        trash.empty().unwrap();
        assert_eq!(folder.names("data/trash"), [""; 0]);
        assert_eq!(folder.names("kept"), ["inner"]);
    }

    #[test]
    fn what_the_kernel_does_not_delete_is_told_and_the_rest_goes() {
        let folder = Folder::new();
        let trash = Trash::open(&folder.path("")).unwrap();
        fs::create_dir_all(folder.path("thing/stuck")).unwrap();
        fs::write(folder.path("thing/stuck/file"), "x").unwrap();
        fs::write(folder.path("thing/file"), "x").unwrap();
        let stuck = fs::File::open(folder.path("thing/stuck/file")).unwrap();
        let flags = rustix::fs::ioctl_getflags(&stuck).unwrap();
        rustix::fs::ioctl_setflags(&stuck, flags | rustix::fs::IFlags::IMMUTABLE).unwrap();
        trash.discard(&folder.path("thing")).unwrap();
        let error = trash.empty().unwrap_err();
        rustix::fs::ioctl_setflags(&stuck, flags).unwrap();
        let TrashError::Left { example, others: 0, .. } = error else { panic!("{error:?}") };
        assert!(example.ends_with("file"), "{example:?}");
        trash.empty().unwrap();
        assert_eq!(folder.names("trash"), [""; 0]);
    }

    #[test]
    fn what_is_mounted_below_is_left_alone() {
        let folder = Folder::new();
        let mounted = folder.path("thing/mounted");
        fs::create_dir_all(&mounted).unwrap();
        let test = || {
            let trash = Trash::open(&folder.path("")).unwrap();
            fs::write(mounted.join("file"), "x").unwrap();
            trash.discard(&folder.path("thing")).unwrap();
            let Err(TrashError::Left { example, .. }) = trash.empty() else { panic!("all is gone") };
            assert_eq!(example, Path::new("0/mounted"));
            assert_eq!(folder.names("trash/0/mounted"), ["file"]);
        };
        thread::scope(|scope| scope.spawn(|| in_mount_namespace(&mounted, test)).join()).unwrap();
        Trash::open(&folder.path("")).unwrap().empty().unwrap();
        assert_eq!(folder.names("trash"), [""; 0]);
    }

    /// Runs `test` where memory is mounted on `folder`, which no other thread sees.
    fn in_mount_namespace(folder: &Path, test: impl FnOnce()) {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        trice_sys::namespace::unshare(trice_sys::namespace::Unshare::Mount).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        mount("tmpfs", folder, "tmpfs", MountFlags::empty(), None).unwrap();
        test();
    }

    #[test]
    fn nobody_else_can_look_into_it() {
        let folder = Folder::new();
        Trash::open(&folder.path("data")).unwrap();
        assert_eq!(fs::metadata(folder.path("data/trash")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
