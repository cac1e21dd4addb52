//! What tests make: folders that go with the test; archives, layers and images, wrong ones too.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) mod archive;
pub(crate) mod hosted;
pub(crate) mod image;
pub(crate) mod layer;
pub(crate) mod machine;
pub(crate) mod server;

/// Waits for what waits for sockets.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs `test` where mounts are its own.
pub(crate) fn in_mount_namespace(test: impl FnOnce() + Send) {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use trice_sys::namespace::{Unshare, unshare};
    let test = || {
        unshare(Unshare::Mount).expect("this test mounts, which takes root");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        test();
    };
    std::thread::scope(|scope| scope.spawn(test).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A folder for one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder that nothing else uses.
    pub(crate) fn new() -> Self {
        Self::in_folder(&env::temp_dir())
    }

    /// Makes one in memory where the machine has some for that: to sync it is not to wait for what others
    /// write.
    pub(crate) fn in_memory() -> Self {
        let memory = PathBuf::from("/dev/shm");
        Self::in_folder(&if memory.is_dir() { memory } else { env::temp_dir() })
    }

    fn in_folder(folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("trice-image-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.join(below)
    }

    /// Returns the names in the folder `below`, sorted; none if it is not there.
    pub(crate) fn names(&self, below: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
