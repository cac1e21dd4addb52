//! What a service mounts, and the files that are made for its container.

use std::path::{Component, Path, PathBuf};

use trice_model::container::ContainerSpec;
use trice_model::mount::{Bind, MountSpec, MountSpecSource, Propagation, Tmpfs};

use super::filesystems::NO_ANYTHING;
use super::{LowerError, MadeFile, Needed, Slots, Travel};
use crate::operation::{Attributes, Filesystem, Operation};

/// Adds what mounts them: the service's mounts above before those below.
pub(super) fn add(
    spec: &ContainerSpec,
    made: &[MadeFile],
    needed: &mut Slots,
    operations: &mut Vec<Operation>,
) -> Result<(), LowerError> {
    for file in made {
        let target = Path::new("/etc").join(file.name());
        if !spec.mounts.iter().any(|mount| mount.target == target) {
            let tree = needed.take(Needed::File(*file));
            operations.push(Operation::Bind { tree, target });
        }
    }
    let mut mounts: Vec<&MountSpec> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        check_target(&mount.target)?;
        operations.push(user_mount(mount, needed));
    }
    Ok(())
}

/// Refuses what would put something else in the place of the root or of `/proc` (CVE-2019-19921, CVE-2023-27561). A
/// link in the image that leads there is refused when it is found.
fn check_target(target: &Path) -> Result<(), LowerError> {
    let goes_up = target.components().any(|part| part == Component::ParentDir);
    if !target.is_absolute() || goes_up {
        return Err(LowerError::TargetRelative(target.to_owned()));
    }
    if target == Path::new("/") || target.starts_with("/proc") {
        return Err(LowerError::TargetTaken(target.to_owned()));
    }
    Ok(())
}

fn user_mount(mount: &MountSpec, needed: &mut Slots) -> Operation {
    let (read_only, target) = (mount.read_only, mount.target.clone());
    let tree = match &mount.source {
        MountSpecSource::Tmpfs(tmpfs) => return tmpfs_mount(tmpfs, target, read_only),
        MountSpecSource::Bind(bind) => bind_needed(bind, read_only),
        MountSpecSource::Image { image, layers, subpath, .. } => {
            Needed::Image { name: image.to_string(), layers: layers.clone(), subpath: subpath.clone() }
        }
        MountSpecSource::Volume { name, subpath, .. } => {
            Needed::Volume { name: name.clone(), subpath: subpath.clone(), read_only }
        }
    };
    Operation::Bind { tree: needed.take(tree), target }
}

fn bind_needed(bind: &Bind, read_only: bool) -> Needed {
    Needed::Bind {
        path: bind.path.clone(),
        create: bind.create_host_path,
        recursive: bind.recursive,
        propagation: match bind.propagation {
            Propagation::Rprivate => Travel::Private,
            Propagation::Rslave => Travel::Slave,
            Propagation::Rshared => Travel::Shared,
        },
        read_only,
    }
}

fn tmpfs_mount(tmpfs: &Tmpfs, target: PathBuf, read_only: bool) -> Operation {
    let mut options = vec![("mode".to_owned(), Some(format!("{:o}", tmpfs.mode.unwrap_or(0o1777))))];
    options.extend(tmpfs.size.map(|size| ("size".to_owned(), Some(size.0.to_string()))));
    options.extend(tmpfs.uid.map(|uid| ("uid".to_owned(), Some(uid.to_string()))));
    options.extend(tmpfs.gid.map(|gid| ("gid".to_owned(), Some(gid.to_string()))));
    let attributes = Attributes { read_only, noexec: !tmpfs.exec, ..NO_ANYTHING };
    // Images have links such as `/var/run`, and a service may say that.
    Operation::MountFilesystem(Filesystem {
        kind: "tmpfs".to_owned(),
        target,
        follow: true,
        options,
        attributes,
    })
}
