//! Opening what a plan needs: the engine's side of [`Needed`].

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use trice_model::container::ProcessSpec;
use trice_model::id::ContainerId;
use trice_model::name::VolumeName;
use trice_sys::mount::{MountAttributes, MountPropagation, set_attributes};
use trice_sys::resolve::open_below;

use super::{Containers, CreateError, OpenVolume, Streams};
use crate::cgroup::Group;
use crate::lower::{Needed, Travel};
use crate::mounts::clone_tree;

/// Opens what a plan needs.
pub(super) struct Opener<'a> {
    pub(super) containers: &'a Containers,
    pub(super) id: Option<&'a ContainerId>,
    pub(super) group: &'a Group,
    pub(super) streams: &'a Streams,
    pub(super) init: Option<BorrowedFd<'a>>,
    pub(super) process: &'a ProcessSpec,
    pub(super) namespace: Option<BorrowedFd<'a>>,
    pub(super) volumes: Option<OpenVolume<'a>>,
}

impl Opener<'_> {
    pub(super) fn open(&self, needed: &Needed) -> Result<OwnedFd, CreateError> {
        match needed {
            Needed::Tasks(index) => copy(self.group.tasks.get(*index).map(AsFd::as_fd)),
            Needed::NetworkNamespace => copy(self.namespace),
            Needed::ContainerInit => copy(self.init),
            Needed::Stdin => match &self.streams.stdin {
                Some(stdin) => copy(Some(stdin.as_fd())),
                None => open_null(),
            },
            Needed::Stdout => copy(self.streams.stdout.as_ref().map(AsFd::as_fd)),
            Needed::Stderr => copy(self.streams.stderr.as_ref().map(AsFd::as_fd)),
            Needed::Null => open_null(),
            Needed::Seccomp => {
                self.containers.filters.of(&self.process.capabilities).map_err(CreateError::Filter)
            }
            Needed::Layer(path) => {
                clone(path, false).map_err(|source| CreateError::Layer { path: path.clone(), source })
            }
            Needed::Writable => {
                let path = self.id.map(|id| self.containers.folder(id)).unwrap_or_default();
                clone(&path, false).map_err(|source| CreateError::Folder { path, source })
            }
            Needed::File(file) => {
                let folder = self.id.map(|id| self.containers.run_folder(id)).unwrap_or_default();
                let path = folder.join(file.name());
                clone(&path, false).map_err(|source| CreateError::Folder { path, source })
            }
            Needed::Bind { path, create, recursive, propagation, read_only } => {
                open_bind(path, *create, *recursive, *propagation, *read_only)
            }
            Needed::Volume { name, subpath, read_only } => {
                self.open_volume(name, subpath.as_deref(), *read_only)
            }
            Needed::Image { name, layers, subpath } => open_image(layers, subpath.as_deref())
                .map_err(|source| CreateError::Image { name: name.clone(), source }),
        }
    }

    fn open_volume(
        &self,
        name: &VolumeName,
        subpath: Option<&Path>,
        read_only: bool,
    ) -> Result<OwnedFd, CreateError> {
        let failed = |source| CreateError::Volume { name: name.clone(), source };
        let io_failed = |error: io::Error| failed(error.into());
        let open = self.volumes.ok_or_else(|| io_failed(io::ErrorKind::Unsupported.into()))?;
        let folder = open(name, subpath).map_err(failed)?;
        let tree = clone_tree(folder.as_fd(), "").map_err(io_failed)?;
        let attributes = MountAttributes { read_only, ..MountAttributes::default() };
        set_attributes(tree.as_fd(), attributes, false).map_err(io_failed)?;
        Ok(tree)
    }
}

/// Stacks the layers of an image, or a folder in it, so that nobody can write to it.
///
/// A folder in it is found by the kernel as if the image were all there is: a link leads nowhere but into it.
fn open_image(layers: &[PathBuf], subpath: Option<&Path>) -> io::Result<OwnedFd> {
    let whole = match layers {
        [only] => clone(only, false)?,
        several => {
            let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(context.as_fd(), "source", "overlay")?;
            for layer in several {
                fsconfig_set_string(context.as_fd(), "lowerdir+", layer)?;
            }
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?
        }
    };
    let tree = match subpath {
        None => whole,
        Some(subpath) => {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let place = open_below(&whole, subpath, OFlags::PATH | OFlags::CLOEXEC, resolve)?;
            clone_tree(place.as_fd(), "")?
        }
    };
    let attributes = MountAttributes { read_only: true, ..MountAttributes::default() };
    set_attributes(tree.as_fd(), attributes, false)?;
    Ok(tree)
}

/// Copies a descriptor that must be there, since the plan and the opener come from the same request.
fn copy(descriptor: Option<BorrowedFd<'_>>) -> Result<OwnedFd, CreateError> {
    let descriptor = descriptor.ok_or_else(|| CreateError::Spawn(io::ErrorKind::NotFound.into()))?;
    descriptor.try_clone_to_owned().map_err(CreateError::Spawn)
}

fn open_null() -> Result<OwnedFd, CreateError> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    null.map_err(|error| CreateError::Spawn(error.into()))
}

fn open_bind(
    path: &Path,
    create: bool,
    recursive: bool,
    propagation: Travel,
    read_only: bool,
) -> Result<OwnedFd, CreateError> {
    let failed = |source| CreateError::Bind { path: path.to_owned(), source };
    let tree = match clone(path, recursive) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(failed)?;
            clone(path, recursive).map_err(failed)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CreateError::BindMissing(path.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    let propagation = match propagation {
        Travel::Private => MountPropagation::Private,
        Travel::Slave => MountPropagation::Slave,
        Travel::Shared => MountPropagation::Shared,
    };
    let attributes =
        MountAttributes { read_only, propagation: Some(propagation), ..MountAttributes::default() };
    set_attributes(tree.as_fd(), attributes, true).map_err(failed)?;
    Ok(tree)
}

/// Returns a detached second look at `path`.
fn clone(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    Ok(open_tree(CWD, path, flags)?)
}
