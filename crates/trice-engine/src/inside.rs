//! Requests about the files of a container, running or not.
//!
//! ```text
//! running      its own root, as its first process sees it: volumes are there, and what changes meanwhile
//! otherwise    its layers, stacked here and mounted nowhere; for what is below a volume, the volume
//! ```
//!
//! Whatever a container does to its files meanwhile: every path in it is resolved by the kernel as if its root were all
//! there is (`RESOLVE_IN_ROOT`), once, and what comes after goes by descriptors. No program of a container is ever run
//! for this, and none of its libraries loaded (CVE-2018-15664, CVE-2019-14271).
//!
//! Source: openat2(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use hyper::Request;
use hyper::body::Incoming;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::mpsc;
use trice_api::call::Call;
use trice_api::fault::{Code, Fault};
use trice_api::inside::{Change, Changes, Commit, CopyFiles, ExportFiles};
use trice_build::tree::Tree;
use trice_image::pack::{Packing, pack};
use trice_model::container::{ContainerSpec, ContainerState};
use trice_model::mount::MountSpecSource;
use trice_model::name::{ContainerName, ProjectName};

use crate::backends::Backends;
use crate::engine::Engine;
use crate::event::{Event, Question};
use crate::failure;
use crate::handover::{Handover, hand_over};
use crate::images::in_thread;
use crate::serve::{Answer, Service, json, read};

mod changes;
mod commit;
pub(crate) mod copy;
mod stream;

use copy::{End, Owners};

/// What the paths of these requests begin with.
pub(crate) const PREFIX: &str = "inside/";

/// Answers the request at `path`.
pub(crate) async fn answer(
    path: &str,
    request: Request<Incoming>,
    service: Service,
) -> Result<Answer, Fault> {
    match path {
        CopyFiles::PATH => hand_over(request, service, copy_files).await,
        ExportFiles::PATH => hand_over(request, service, export).await,
        Changes::PATH => json(&changed(read(request).await?, service).await?),
        Commit::PATH => json(&commit::commit(read(request).await?, service).await?),
        _ => Err(crate::serve::no_such_request(path)),
    }
}

/// A container whose files are about to be looked at.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) spec: ContainerSpec,
    /// The number and the descriptor of its first process, if it has one.
    process: Option<(i32, OwnedFd)>,
    /// Keeps it from being started meanwhile, where that must not be.
    _hold: Option<Hold>,
}

/// Holds up what is asked for of a project until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    project: ProjectName,
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The loop has ended only if there is nothing to hold up.
        let _ = self.events.send(Event::HoldOver(self.project.clone()));
    }
}

impl Engine {
    /// Returns what it takes to look into a container. One that is not running and is to be written to stays so.
    pub(crate) fn inside(&mut self, name: &ContainerName, writes: bool) -> Result<Inside, Fault> {
        let none = || Fault::new(Code::NotFound, format!("container {name} is not there"));
        let container = self.world.container_named(name).ok_or_else(none)?;
        let (spec, state) = (container.spec.clone(), container.state);
        let copied =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| failure::of_io("copy a descriptor", &error));
        let process = match (self.world.processes.get(&spec.id), self.world.prepared.get(&spec.id)) {
            (Some(process), _) => Some((process.identity.pid, copied(&process.pidfd)?)),
            (None, Some(prepared)) => Some((prepared.pid, copied(&prepared.pidfd)?)),
            (None, None) => None,
        };
        let mut hold = None;
        if writes && process.is_none() {
            let is_busy = self.lanes.get(&spec.project).is_some_and(|lane| lane.current.is_some());
            if is_busy || matches!(state, ContainerState::Restarting { .. } | ContainerState::Running { .. })
            {
                let text = format!("container {name} is about to change its state");
                return Err(Fault::new(Code::Start, text).hint("try it again"));
            }
            *self.held.entry(spec.project.clone()).or_default() += 1;
            hold = Some(Hold { project: spec.project.clone(), events: self.events.clone() });
        }
        Ok(Inside { spec, process, _hold: hold })
    }

    /// Takes in that nobody writes to a container any more.
    pub(crate) fn hold_over(&mut self, project: &ProjectName) {
        if let Some(count) = self.held.get_mut(project) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(project);
            }
        }
    }
}

impl Inside {
    /// The folder that all it has written to its root is in.
    fn upper(&self, backends: &Backends) -> PathBuf {
        backends.containers.folder(&self.spec.id).join("upper")
    }

    /// Stacks its layers and what it has written, to be read only.
    fn tree(&self, backends: &Backends) -> Result<Tree, Fault> {
        let mut layers = vec![self.upper(backends)];
        layers.extend(self.spec.layers.iter().cloned());
        let what = format!("look into container {}", self.spec.name);
        let nothing = PathBuf::from("/");
        Tree::of_layers(&layers, &nothing).map_err(|error| failure::of_io(&what, &error))
    }

    /// Opens where `path` leads to: a root, and the path from there.
    fn end(&self, backends: &Backends, path: &str, writes: bool) -> Result<End, Fault> {
        let what = format!("look into container {}", self.spec.name);
        let failed = |error: std::io::Error| failure::of_io(&what, &error);
        let root = match &self.process {
            Some((pid, pidfd)) => root_of(*pid, pidfd).map_err(failed)?,
            None => {
                if let Some(end) = self.below_a_mount(backends, path)? {
                    return Ok(end);
                }
                self.own_root(backends, writes).map_err(failed)?
            }
        };
        Ok(End { root, path: path.to_owned() })
    }

    fn own_root(&self, backends: &Backends, writes: bool) -> std::io::Result<OwnedFd> {
        if !writes {
            let tree = self.tree(backends).map_err(|fault| std::io::Error::other(fault.message))?;
            return tree.root().try_clone_to_owned();
        }
        let folder = backends.containers.folder(&self.spec.id);
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        // An image without layers is as good as an empty one.
        let tree = Tree::writable(&self.spec.layers, Path::new("/proc/self/task"), &upper, &work)?;
        tree.root().try_clone_to_owned()
    }

    /// Finds the volume or folder of the host that `path` is below, where nobody has mounted it.
    fn below_a_mount(&self, backends: &Backends, path: &str) -> Result<Option<End>, Fault> {
        let whole = Path::new("/").join(path);
        let mut mounts: Vec<_> =
            self.spec.mounts.iter().filter(|mount| whole.starts_with(&mount.target)).collect();
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.target.components().count()));
        let Some(mount) = mounts.first() else { return Ok(None) };
        let rest = whole.strip_prefix(&mount.target).unwrap_or(Path::new(""));
        // Where the path ends has a meaning of its own.
        let end = if path.ends_with("/.") {
            "/."
        } else if path.ends_with('/') {
            "/"
        } else {
            ""
        };
        let path = format!("/{}{end}", rest.display());
        let what = format!("look into container {}", self.spec.name);
        let root = match &mount.source {
            MountSpecSource::Volume { name, subpath, .. } => {
                let opened = backends.volumes.open_data(name, subpath.as_deref());
                opened.map_err(|error| failure::of(&what, &error))?
            }
            MountSpecSource::Bind(bind) => {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                openat(CWD, &bind.path, flags, Mode::empty())
                    .map_err(|error| failure::of_io(&what, &error.into()))?
            }
            MountSpecSource::Tmpfs(_) | MountSpecSource::Image { .. } => return Ok(None),
        };
        Ok(Some(End { root, path }))
    }
}

/// Opens the root of a process.
fn root_of(pid: i32, pidfd: &OwnedFd) -> std::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty())?;
    // If it has ended, its number may have been somebody else's.
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    match poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
        0 => Ok(root),
        _ => Err(rustix::io::Errno::SRCH.into()),
    }
}

async fn open(container: &ContainerName, writes: bool, service: &Service) -> Result<Inside, Fault> {
    service.ask_for(|reply| Question::Inside(container.clone(), writes, reply)).await?
}

/// Copies files.
async fn copy_files(call: CopyFiles, mut handover: Handover, service: Service) -> Result<(), Fault> {
    let inside = open(&call.container, call.into, &service).await?;
    let what = format!("copy {} container {}", if call.into { "into" } else { "out of" }, call.container);
    let owners = if call.archive { Owners::Keep } else { Owners::Root };
    let Some(local) = call.local else {
        let pipe = handover.pipe().await?;
        return in_thread(move || {
            let there = inside.end(&service.backends, &call.path, call.into)?;
            let done = match call.into {
                true => stream::unpack(pipe, &there, owners),
                false => stream::pack(&there, call.follow, pipe),
            };
            done.map_err(|error| failure::of_copy(&what, &error))
        })
        .await;
    };
    let root = handover.descriptors().await?.into_iter().next();
    let root = root.ok_or_else(|| Fault::new(Code::BadRequest, "a descriptor is missing"))?;
    in_thread(move || {
        let here = End { root, path: local };
        let there = inside.end(&service.backends, &call.path, call.into)?;
        let (source, destination) = if call.into { (&here, &there) } else { (&there, &here) };
        copy::copy(source, destination, call.follow, owners).map_err(|error| failure::of_copy(&what, &error))
    })
    .await
}

/// Writes all files of a container to an archive. Volumes are none of them.
async fn export(call: ExportFiles, mut handover: Handover, service: Service) -> Result<(), Fault> {
    let inside = open(&call.container, false, &service).await?;
    let output = handover.pipe().await?;
    in_thread(move || {
        let tree = inside.tree(&service.backends)?;
        let what = format!("export container {}", inside.spec.name);
        let packing = Packing::default();
        let packed = pack(tree.root().as_fd(), &packing, output);
        packed.map(drop).map_err(|error| failure::of(&what, &error))
    })
    .await
}

/// Tells what a container has changed.
async fn changed(call: Changes, service: Service) -> Result<Vec<Change>, Fault> {
    let inside = open(&call.container, false, &service).await?;
    in_thread(move || {
        let what = format!("look into container {}", inside.spec.name);
        let upper = inside.upper(&service.backends);
        changes::of(&upper, &inside.spec).map_err(|error| failure::of_io(&what, &error))
    })
    .await
}
