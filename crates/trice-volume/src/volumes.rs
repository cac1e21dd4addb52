//! The volumes of a data folder.
//!
//! ```text
//! DATA/volumes/            0700
//! DATA/volumes/NAME/       0700
//! DATA/volumes/NAME/_data  0755 at first, then as the containers leave it
//! ```
//!
//! The names are those of Docker's local driver, so that whoever looks for the content finds it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, open, renameat_with};
use rustix::io::Errno;
use trice_model::name::VolumeName;
use trice_model::volume::{ObservedVolume, VolumeSpec};
use trice_state::batch::Batch;
use trice_state::commit::CommitError;
use trice_state::store::{ReadError, Store};
use trice_state::trash::{Trash, TrashError};
use trice_sys::resolve::open_below;

use crate::record::VolumeRecord;

/// The volumes of a data folder.
pub struct Volumes {
    folder: PathBuf,
    store: Store,
    trash: Trash,
}

/// What went wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The folder of all volumes cannot be made or read.
    #[error("open the folder of volumes `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The folder of a volume cannot be made.
    #[error("create volume `{name}`")]
    Create {
        /// The volume.
        name: VolumeName,
        /// What the kernel said.
        source: io::Error,
    },
    /// The folder of a volume cannot be opened.
    #[error("open volume `{name}`")]
    Open {
        /// The volume.
        name: VolumeName,
        /// What the kernel said.
        source: io::Error,
    },
    /// A path inside a volume leads out of it.
    #[error("`{subpath}` of volume `{name}` is not a path inside it: write a relative one without `..`")]
    Outside {
        /// The volume.
        name: VolumeName,
        /// The path.
        subpath: PathBuf,
    },
    /// A path inside a volume is not there.
    #[error("open `{subpath}` of volume `{name}`")]
    Subpath {
        /// The volume.
        name: VolumeName,
        /// The path.
        subpath: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A volume cannot be thrown away.
    #[error(transparent)]
    Trash(#[from] TrashError),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Volumes {
    /// Opens the volumes of the data folder `data`, whose records are in `store`.
    ///
    /// # Errors
    /// [`VolumeError::Folder`] or [`VolumeError::Trash`] if folders cannot be made.
    pub fn open(data: &Path, store: Store) -> Result<Self, VolumeError> {
        let folder = data.join("volumes");
        let private = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        private
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)))
            .map_err(|source| VolumeError::Folder { path: folder.clone(), source })?;
        Ok(Self { folder, store, trash: Trash::open(data)? })
    }

    /// Makes the volume, or completes what is there of it. Its content stays, its labels become those of
    /// `spec`.
    ///
    /// # Errors
    /// [`VolumeError::Create`] with what the kernel said, and those of the store.
    pub fn create(&self, spec: &VolumeSpec) -> Result<ObservedVolume, VolumeError> {
        let record = VolumeRecord { spec: spec.clone() };
        if self.store.get(spec.name.as_str())?.as_ref() != Some(&record) {
            self.store.commit(Batch::new().put(&record))?;
        }
        let path = self.data_path(&spec.name);
        make_data_folder(&path).map_err(|source| VolumeError::Create { name: spec.name.clone(), source })?;
        Ok(ObservedVolume { spec: record.spec, path })
    }

    /// Moves the volume to the trash of the data folder, and forgets it.
    ///
    /// # Errors
    /// [`VolumeError::Trash`] if it cannot be moved, and those of the store. It can be repeated.
    pub fn remove(&self, name: &VolumeName) -> Result<(), VolumeError> {
        self.trash.discard(&self.folder.join(name.as_str()))?;
        if self.store.get::<VolumeRecord>(name.as_str())?.is_some() {
            self.store.commit(Batch::new().remove::<VolumeRecord>(name.as_str()))?;
        }
        Ok(())
    }

    /// Returns the volumes that are here, by name.
    ///
    /// # Errors
    /// [`VolumeError::Folder`], and those of the store.
    pub fn observe(&self) -> Result<Vec<ObservedVolume>, VolumeError> {
        let records = self.store.all::<VolumeRecord>()?.into_iter();
        let mut specs: BTreeMap<_, _> =
            records.map(|record| (record.spec.name.clone(), record.spec)).collect();
        let mut names =
            self.names().map_err(|source| VolumeError::Folder { path: self.folder.clone(), source })?;
        names.sort();
        let observed = names.into_iter().map(|name| ObservedVolume {
            path: self.data_path(&name),
            spec: specs.remove(&name).unwrap_or_else(|| bare(name)),
        });
        Ok(observed.collect())
    }

    /// Opens the content of a volume, or what is at `subpath` in it, as a descriptor that can be mounted
    /// (`O_PATH`).
    ///
    /// The kernel resolves `subpath`: a link in the volume, however it changes meanwhile, leads nowhere but
    /// to a place in the volume.
    ///
    /// # Errors [`VolumeError::Open`] if the volume is not here, [`VolumeError::Outside`] for an absolute
    /// path or one with `..`, [`VolumeError::Subpath`] if there is nothing.
    ///
    /// Source: openat2(2), `RESOLVE_IN_ROOT`.
    pub fn open_data(&self, name: &VolumeName, subpath: Option<&Path>) -> Result<OwnedFd, VolumeError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let data = open(self.data_path(name), flags, Mode::empty())
            .map_err(|error| VolumeError::Open { name: name.clone(), source: error.into() })?;
        let Some(subpath) = subpath else { return Ok(data) };
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !subpath.components().all(inside) {
            return Err(VolumeError::Outside { name: name.clone(), subpath: subpath.to_owned() });
        }
        open_inside(&data, subpath).map_err(|error| VolumeError::Subpath {
            name: name.clone(),
            subpath: subpath.to_owned(),
            source: error.into(),
        })
    }

    /// Returns the names of the folders that have content.
    fn names(&self) -> io::Result<Vec<VolumeName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_str().and_then(|name| name.parse::<VolumeName>().ok());
            names.extend(name.filter(|name| self.data_path(name).is_dir()));
        }
        Ok(names)
    }

    fn data_path(&self, name: &VolumeName) -> PathBuf {
        self.folder.join(name.as_str()).join("_data")
    }
}

/// Opens `path` as if `folder` were the root of everything.
fn open_inside(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    open_below(folder, path, OFlags::PATH | OFlags::CLOEXEC, resolve)
}

/// What is known of a volume that has no record.
fn bare(name: VolumeName) -> VolumeSpec {
    VolumeSpec { name, owner: None, anonymous: false, labels: BTreeMap::new() }
}

/// Makes the folder `path` with mode 0755 whatever the umask is, and the one above it. One that is there
/// keeps its mode, which may be a container's.
fn make_data_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let fresh = path.with_file_name("_fresh");
    DirBuilder::new().recursive(true).mode(0o700).create(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o755))?;
    match renameat_with(CWD, &fresh, CWD, path, RenameFlags::NOREPLACE) {
        // Another thread was faster.
        Err(Errno::EXIST) => fs::remove_dir(&fresh),
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::symlink;
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::fs::{fstat, stat};

    use super::*;

    /// Volumes in a data folder of their own, which goes with them.
    struct Machine {
        data: PathBuf,
        volumes: Option<Volumes>,
    }

    impl Machine {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let data = env::temp_dir().join(format!("trice-volume-{}-{number}", process::id()));
            let mut machine = Self { data, volumes: None };
            machine.restart();
            machine
        }

        /// Opens the volumes as the next process would.
        fn restart(&mut self) {
            self.volumes = None;
            let store = Store::open(&self.data.join("store")).unwrap();
            self.volumes = Some(Volumes::open(&self.data, store).unwrap());
        }

        fn volumes(&self) -> &Volumes {
            self.volumes.as_ref().unwrap()
        }

        fn path(&self, below: &str) -> PathBuf {
            self.data.join("volumes").join(below)
        }

        fn mode(&self, below: &str) -> u32 {
            fs::metadata(self.path(below)).unwrap().permissions().mode() & 0o7777
        }

        fn create(&self, name: &str) -> ObservedVolume {
            self.volumes().create(&spec(name, "")).unwrap()
        }

        /// Returns the path inside the volume at which `subpath` of `data` leads to something.
        fn resolves(&self, subpath: &str, to: &str) -> bool {
            let opened = self.volumes().open_data(&name("data"), Some(Path::new(subpath))).unwrap();
            let (found, wanted) = (fstat(&opened).unwrap(), stat(self.path("data/_data").join(to)).unwrap());
            (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            self.volumes = None;
            fs::remove_dir_all(&self.data).unwrap();
        }
    }

    fn name(text: &str) -> VolumeName {
        text.parse().unwrap()
    }

    fn spec(text: &str, label: &str) -> VolumeSpec {
        let labels = BTreeMap::from([("label".to_owned(), label.to_owned())]);
        VolumeSpec { labels, ..bare(name(text)) }
    }

    #[test]
    fn a_volume_outlives_the_process_that_made_it() {
        let mut machine = Machine::new();
        let made = machine.create("data");
        fs::write(made.path.join("file"), "kept").unwrap();
        machine.restart();
        assert_eq!(machine.volumes().observe().unwrap(), [made]);
        assert_eq!(fs::read(machine.path("data/_data/file")).unwrap(), b"kept");
    }

    #[test]
    fn creating_a_volume_again_keeps_its_content_and_mode_and_takes_the_new_labels() {
        let machine = Machine::new();
        let made = machine.create("data");
        fs::write(made.path.join("file"), "kept").unwrap();
        fs::set_permissions(&made.path, Permissions::from_mode(0o1777)).unwrap();
        let again = machine.volumes().create(&spec("data", "new")).unwrap();
        assert_eq!(again.spec.labels["label"], "new");
        assert_eq!(machine.volumes().observe().unwrap(), [again]);
        assert_eq!(
            (fs::read(made.path.join("file")).unwrap(), machine.mode("data/_data")),
            (b"kept".to_vec(), 0o1777)
        );
    }

    #[test]
    fn what_a_killed_process_left_half_made_is_completed() {
        let machine = Machine::new();
        fs::create_dir_all(machine.path("data/_fresh")).unwrap();
        assert_eq!(machine.volumes().observe().unwrap(), []);
        machine.create("data");
        assert_eq!(machine.mode("data/_data"), 0o755);
        assert!(!machine.path("data/_fresh").exists());
    }

    #[test]
    fn a_removed_volume_is_gone_at_once_and_removing_it_again_does_no_harm() {
        let machine = Machine::new();
        machine.create("data");
        machine.create("other");
        for _ in 0..2 {
            machine.volumes().remove(&name("data")).unwrap();
            let left: Vec<_> = machine.volumes().observe().unwrap();
            assert_eq!(left.iter().map(|volume| volume.spec.name.as_str()).collect::<Vec<_>>(), ["other"]);
        }
        assert_eq!(machine.volumes().store.all::<VolumeRecord>().unwrap().len(), 1);
        assert!(machine.create("data").path.is_dir());
    }

    #[test]
    fn a_volume_without_a_record_is_here_and_a_record_without_a_folder_is_not() {
        let machine = Machine::new();
        fs::create_dir_all(machine.path("found/_data")).unwrap();
        machine.create("lost");
        fs::remove_dir_all(machine.path("lost")).unwrap();
        let observed = machine.volumes().observe().unwrap();
        assert_eq!(observed.iter().map(|volume| &volume.spec).collect::<Vec<_>>(), [&bare(name("found"))]);
    }

    #[test]
    fn only_root_gets_to_a_volume() {
        let machine = Machine::new();
        machine.create("data");
        assert_eq!(["", "data", "data/_data"].map(|path| machine.mode(path)), [0o700, 0o700, 0o755]);
    }

    #[test]
    fn a_path_inside_is_opened_and_links_stay_inside() {
        let machine = Machine::new();
        let data = machine.create("data").path;
        fs::create_dir_all(data.join("a/b")).unwrap();
        fs::create_dir(data.join("etc")).unwrap();
        fs::write(data.join("file"), "x").unwrap();
        symlink("/etc", data.join("absolute")).unwrap();
        symlink("../../../../../etc", data.join("climbing")).unwrap();
        assert!(machine.resolves("a/b", "a/b"));
        assert!(machine.resolves("./file", "file"));
        assert!(machine.resolves("absolute", "etc"));
        assert!(machine.resolves("climbing", "etc"));
    }

    #[test]
    fn a_path_that_leads_out_or_nowhere_is_an_error() {
        let machine = Machine::new();
        let data = machine.create("data").path;
        symlink("/proc/self/root/etc", data.join("magic")).unwrap();
        symlink("/usr", data.join("dangling")).unwrap();
        let failure = |subpath: &str| machine.volumes().open_data(&name("data"), Some(Path::new(subpath)));
        for outside in ["/etc", "..", "a/../../b"] {
            assert!(matches!(failure(outside), Err(VolumeError::Outside { .. })), "{outside}");
        }
        for nothing in ["none", "magic", "dangling"] {
            assert!(matches!(failure(nothing), Err(VolumeError::Subpath { .. })), "{nothing}");
        }
        assert!(matches!(machine.volumes().open_data(&name("none"), None), Err(VolumeError::Open { .. })));
    }
}
