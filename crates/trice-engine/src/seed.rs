//! Fills fresh volumes with what the image has where they are mounted, when their container is made.
//!
//! ```text
//! volume is empty, and not `nocopy` ──► mark ──► copy: content, owners, permissions ──► no mark
//! a mark is there ──► the copy was broken off by a kill: it is made again before the container runs
//! ```
//!
//! A folder that is used as an image is none: what it has at that place is the machine's own data.
//!
//! Source: docker-container-run(1), `--volume`: "copies its content into the volume".

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, accessat, openat, unlinkat};
use trice_api::fault::Fault;
use trice_build::tree::Tree;
use trice_model::container::ContainerSpec;
use trice_model::image::ImageRef;
use trice_model::mount::MountSpecSource;

use crate::backends::Backends;
use crate::failure;
use crate::inside::copy::{End, copy_content};

/// What is beside a volume's content while it is being filled.
const MARK: &str = "_filling";

/// Fills the volumes of a container that are empty if it is `fresh`, and those whose filling was broken off.
pub(crate) fn seed(backends: &Backends, spec: &ContainerSpec, fresh: bool) -> Result<(), Fault> {
    if matches!(spec.image, ImageRef::Rootfs { .. }) {
        return Ok(());
    }
    for mount in &spec.mounts {
        let MountSpecSource::Volume { name, subpath: None, nocopy: false, .. } = &mount.source else {
            continue;
        };
        let what = format!("fill volume {name} from the image");
        let failed = |error: io::Error| failure::of_io(&what, &error);
        // Of two containers that are made at once and share it, one fills it.
        let _turn = backends.seeding.lock().unwrap_or_else(PoisonError::into_inner);
        let place = backends.volumes.open_data(name, None).map_err(|error| failure::of(&what, &error))?;
        let volume = Volume::open(&place).map_err(failed)?;
        if !(volume.is_marked() || fresh && volume.is_empty().map_err(failed)?) {
            continue;
        }
        let layers =
            Tree::of_layers(&spec.layers, std::path::Path::new("/proc/self/task")).map_err(failed)?;
        let root = layers.root().try_clone_to_owned().map_err(failed)?;
        let source = End { root, path: format!("{}/", mount.target.display()) };
        // The image may have nothing there, or a file.
        if !source.is_folder().map_err(|error| failure::of(&what, &error))? {
            continue;
        }
        volume.mark().map_err(failed)?;
        copy_content(&source, volume.data.as_fd()).map_err(|error| failure::of(&what, &error))?;
        volume.unmark().map_err(failed)?;
    }
    Ok(())
}

/// A volume's content, and the folder that it is in.
struct Volume {
    data: OwnedFd,
    above: OwnedFd,
}

impl Volume {
    fn open(place: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path| openat(place, path, flags, Mode::empty());
        Ok(Self { data: open(".")?, above: open("..")? })
    }

    fn is_empty(&self) -> io::Result<bool> {
        for entry in Dir::read_from(&self.data)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_marked(&self) -> bool {
        accessat(&self.above, MARK, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    fn mark(&self) -> io::Result<()> {
        openat(&self.above, MARK, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from(0o600))?;
        Ok(())
    }

    fn unmark(&self) -> io::Result<()> {
        Ok(unlinkat(&self.above, MARK, AtFlags::empty())?)
    }
}
