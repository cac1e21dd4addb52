//! Requests about all that there is: how much room it takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use hyper::Request;
use hyper::body::Incoming;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use trice_api::call::{Call, Selection};
use trice_api::fault::Fault;
use trice_api::system::{
    BuildUsage, DiskUsage, DiskUsageView, PruneBuilds, PruneVolumes, PrunedBuilds, VolumeUsage,
};
use trice_build::budget::{Going, Gone};
use trice_model::mount::MountSpecSource;
use trice_model::name::VolumeName;
use trice_model::volume::ObservedVolume;

use crate::engine::Engine;
use crate::event::Question;
use crate::failure;
use crate::images::removal::{Removal, made};
use crate::images::{self, in_thread};
use crate::serve::{Answer, Service, json, read};

/// What the paths of these requests begin with.
pub(crate) const PREFIX: &str = "system/";

/// Answers the request at `path`.
pub(crate) async fn answer(
    path: &str,
    request: Request<Incoming>,
    service: Service,
) -> Result<Answer, Fault> {
    match path {
        DiskUsage::PATH => json(&disk_usage(service).await?),
        PruneVolumes::PATH => {
            let _: PruneVolumes = read(request).await?;
            json(&prune_volumes(service).await?)
        }
        PruneBuilds::PATH => {
            let PruneBuilds { keep, before } = read(request).await?;
            json(&prune_builds(Going { keep, before }, service).await?)
        }
        _ => Err(crate::serve::no_such_request(path)),
    }
}

/// Volumes, each with the number of containers that mount it.
pub(crate) type MountedVolumes = Vec<(ObservedVolume, usize)>;

impl Engine {
    /// Returns all volumes.
    pub(crate) fn mounted_volumes(&self) -> MountedVolumes {
        let mut links: BTreeMap<&VolumeName, usize> = BTreeMap::new();
        let specs = self.world.found.containers.values().map(|container| &container.spec);
        for name in specs.flat_map(|spec| volumes_of(&spec.mounts)) {
            *links.entry(name).or_default() += 1;
        }
        let volumes = self.world.found.volumes.values();
        volumes
            .map(|volume| (volume.clone(), links.get(&volume.spec.name).copied().unwrap_or_default()))
            .collect()
    }

    /// Takes the volumes away that nobody gave a name and nobody mounts or is about to, and holds up what could.
    pub(crate) fn take_unused_volumes(&mut self) -> (Vec<ObservedVolume>, Removal) {
        let (_, removal) = self.begin_removal();
        let executions = self.lanes.values_mut().flat_map(|lane| lane.all_mut());
        let executions = executions.filter_map(|operation| operation.execution.as_ref());
        let planned = executions.flat_map(|execution| execution.plan().steps.iter().map(|step| &step.action));
        let needed: BTreeSet<VolumeName> =
            planned.filter_map(made).flat_map(|spec| volumes_of(&spec.mounts)).cloned().collect();
        let unused = self.mounted_volumes().into_iter().filter(|(volume, links)| {
            volume.spec.anonymous && *links == 0 && !needed.contains(&volume.spec.name)
        });
        let unused: Vec<_> = unused.map(|(volume, _)| volume).collect();
        for volume in &unused {
            self.world.found.volumes.remove(&volume.spec.name);
        }
        (unused, removal)
    }
}

fn volumes_of(mounts: &[trice_model::mount::MountSpec]) -> impl Iterator<Item = &VolumeName> {
    mounts.iter().filter_map(|mount| match &mount.source {
        MountSpecSource::Volume { name, .. } => Some(name),
        MountSpecSource::Bind(_) | MountSpecSource::Tmpfs(_) | MountSpecSource::Image { .. } => None,
    })
}

/// Adds up how much room everything takes.
async fn disk_usage(service: Service) -> Result<DiskUsageView, Fault> {
    let images = images::list(service.clone()).await?;
    let containers = service.containers(Selection::default()).await;
    let volumes = service.ask_for(Question::Volumes).await?;
    // Nothing is removed while it is looked what could be.
    let (roots, removal) = service.ask_for(Question::BeginRemoval).await?;
    in_thread(move || {
        let backends = &service.backends;
        let reusable = backends.reusable();
        let builds = reusable.room(&roots).map_err(|error| failure::of("look at the builds", &error))?;
        let roots = backends.with_reusable(roots)?;
        let usage = backends.images.usage(&roots);
        drop(removal);
        let usage = usage.map_err(|error| failure::of("look at the images", &error))?;
        let written = |id: &trice_model::id::ContainerId| {
            bytes_below(&service.backends.containers.folder(id).join("upper"))
        };
        Ok(DiskUsageView {
            images,
            image_bytes: (usage.layer_bytes + usage.blob_bytes).saturating_sub(builds.layer_bytes),
            image_reclaimable: usage.reclaimable,
            containers: containers
                .into_iter()
                .map(|one| (written(&one.id), one))
                .map(|(bytes, one)| (one, bytes))
                .collect(),
            volumes: volumes.into_iter().map(|(volume, links)| measured(volume, links)).collect(),
            builds: BuildUsage {
                entries: builds.entries,
                in_use: builds.in_use,
                bytes: builds.bytes,
                reclaimable: builds.reclaimable,
            },
        })
    })
    .await
}

/// Removes what builds may use again.
async fn prune_builds(going: Going, service: Service) -> Result<PrunedBuilds, Fault> {
    let (roots, removal) = service.ask_for(Question::BeginRemoval).await?;
    in_thread(move || {
        let gone = service.backends.reusable().prune(going, roots);
        drop(removal);
        let Gone { entries, bytes } = gone.map_err(|error| failure::of("remove what builds made", &error))?;
        Ok(PrunedBuilds { entries, bytes })
    })
    .await
}

/// Removes the volumes that nobody gave a name and nobody mounts.
async fn prune_volumes(service: Service) -> Result<Vec<VolumeUsage>, Fault> {
    let (unused, removal) = service.ask_for(Question::TakeUnusedVolumes).await?;
    in_thread(move || {
        let mut removed = Vec::new();
        for volume in unused {
            let name = volume.spec.name.clone();
            removed.push(measured(volume, 0));
            let gone = service.backends.volumes.remove(&name);
            gone.map_err(|error| failure::of(&format!("remove volume {name}"), &error))?;
        }
        drop(removal);
        Ok(removed)
    })
    .await
}

fn measured(volume: ObservedVolume, links: usize) -> VolumeUsage {
    let bytes = bytes_below(&volume.path);
    let (spec, path) = (volume.spec, volume.path);
    VolumeUsage { name: spec.name, anonymous: spec.anonymous, labels: spec.labels, links, bytes, path }
}

/// Adds up the bytes of all files below a folder, each once. What cannot be read counts nothing: it may have just gone.
fn bytes_below(folder: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(top) = openat(CWD, folder, flags, Mode::empty()) else { return 0 };
    let (mut bytes, mut seen, mut open) = (0, HashSet::new(), vec![top]);
    while let Some(folder) = open.pop() {
        bytes += bytes_in(&folder, &mut seen, &mut open);
    }
    bytes
}

fn bytes_in(folder: &OwnedFd, seen: &mut HashSet<(u64, u64)>, open: &mut Vec<OwnedFd>) -> u64 {
    let Ok(entries) = Dir::read_from(folder) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                // A container may put a link into its place meanwhile, which is not followed.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                open.extend(openat(folder.as_fd(), name, flags, Mode::empty()));
            }
            FileType::RegularFile if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) => {
                bytes += u64::try_from(stat.st_size).unwrap_or_default();
            }
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let folder = std::env::temp_dir().join(format!("trice-system-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::write(folder.join("deep/er/file"), "12345").unwrap();
        fs::hard_link(folder.join("deep/er/file"), folder.join("again")).unwrap();
        symlink("/", folder.join("deep/root")).unwrap();
        assert_eq!(bytes_below(&folder), 5);
        assert_eq!(bytes_below(&folder.join("nothing")), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
