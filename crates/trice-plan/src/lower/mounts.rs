//! The mounts of a container, and the volumes that nobody named.
//!
//! Such a volume belongs to a container's place: a container that is made again takes it over, by the path it
//! is mounted at, unless it shall be renewed.

use std::path::Path;

use trice_model::container::ContainerSpec;
use trice_model::id::Ids;
use trice_model::image::PlatformImage;
use trice_model::mount::{MountSource, MountSpec, MountSpecSource};
use trice_model::name::VolumeName;
use trice_model::volume::VolumeSpec;

use crate::label;
use crate::lower::Lowering;

/// Returns the mounts that the service and its image want, and the volumes that must be made for them.
pub(crate) fn lower(work: &Lowering<'_>, ids: &mut Ids) -> (Vec<MountSpec>, Vec<VolumeSpec>) {
    let mut made = Vec::new();
    let mut mounts = Vec::new();
    let service = work.place.service;
    for mount in &service.volumes {
        let source = match &mount.source {
            MountSource::Bind(bind) => MountSpecSource::Bind(bind.clone()),
            MountSource::Tmpfs(tmpfs) => MountSpecSource::Tmpfs(tmpfs.clone()),
            MountSource::Image { image, subpath } => {
                // It has been fetched, if it was not here.
                let Some(found) = work.found.images.get(&PlatformImage::here(image.clone())) else {
                    continue;
                };
                MountSpecSource::Image {
                    image: image.clone(),
                    id: found.id.clone(),
                    layers: found.layers.clone(),
                    subpath: subpath.clone(),
                }
            }
            MountSource::Volume { key: None, subpath, nocopy } => MountSpecSource::Volume {
                name: anonymous(work, &mount.target, ids, &mut made),
                subpath: subpath.clone(),
                nocopy: *nocopy,
                anonymous: true,
            },
            MountSource::Volume { key: Some(key), subpath, nocopy } => {
                // Keys were checked with the networks', before images were looked at.
                let Some(volume) = work.project.volumes.get(key) else { continue };
                MountSpecSource::Volume {
                    name: volume.name.clone(),
                    subpath: subpath.clone(),
                    nocopy: *nocopy,
                    anonymous: false,
                }
            }
        };
        // Nobody writes to an image.
        let read_only = mount.read_only || matches!(source, MountSpecSource::Image { .. });
        mounts.push(MountSpec { target: mount.target.clone(), read_only, source });
    }
    for target in work.image.config.volumes.iter().map(Path::new) {
        // What the service mounts there takes the place of what the image wants there.
        if !service.volumes.iter().any(|mount| mount.target == target) {
            let name = anonymous(work, target, ids, &mut made);
            let source = MountSpecSource::Volume { name, subpath: None, nocopy: false, anonymous: true };
            mounts.push(MountSpec { target: target.to_owned(), read_only: false, source });
        }
    }
    (mounts, made)
}

/// Returns the volumes without a name that the container of `spec` has.
pub(crate) fn anonymous_in(spec: &ContainerSpec) -> impl Iterator<Item = &VolumeName> {
    spec.mounts.iter().filter_map(|mount| anonymous_name(&mount.source))
}

fn anonymous_name(source: &MountSpecSource) -> Option<&VolumeName> {
    match source {
        MountSpecSource::Volume { name, anonymous: true, .. } => Some(name),
        MountSpecSource::Volume { .. }
        | MountSpecSource::Bind(_)
        | MountSpecSource::Tmpfs(_)
        | MountSpecSource::Image { .. } => None,
    }
}

/// Returns the volume that the place has at `target`, or else a new one.
fn anonymous(work: &Lowering<'_>, target: &Path, ids: &mut Ids, made: &mut Vec<VolumeSpec>) -> VolumeName {
    let old = work.place.old.filter(|_| !work.renew_volumes);
    let inherited = old.and_then(|old| {
        let mounts = old.spec.mounts.iter().filter(|mount| mount.target == target);
        mounts.filter_map(|mount| anonymous_name(&mount.source)).next()
    });
    if let Some(name) = inherited {
        return name.clone();
    }
    let digits = ids.container();
    let name: VolumeName = digits.as_str().parse().expect("64 hexadecimal digits are a name");
    made.push(VolumeSpec {
        name: name.clone(),
        owner: None,
        anonymous: true,
        labels: label::of_anonymous_volume(&work.project.name, work.realm),
    });
    name
}
