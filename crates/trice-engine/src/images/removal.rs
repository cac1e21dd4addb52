//! What goes: images that nobody uses.
//!
//! What containers use, and plans that are being carried out, stays. While it is looked what that is, until all is
//! gone, no plan is made that could begin to use an image.

use std::path::PathBuf;

use tokio::sync::mpsc;
use trice_api::fault::{Code, Fault};
use trice_api::image::{PruneImages, RemoveImages, RemovedView};
use trice_image::images::remove::{PruneFilter, Removed, Roots};
use trice_model::container::ContainerSpec;
use trice_model::mount::MountSpecSource;
use trice_plan::action::Action;

use super::catalogue::find;
use super::{in_thread, stated};
use crate::engine::Engine;
use crate::event::{Event, Question};
use crate::serve::Service;

/// Holds plans up until it is dropped.
#[derive(Debug)]
pub(crate) struct Removal {
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        // The loop has ended only if there are no plans to hold up.
        let _ = self.events.send(Event::RemovalOver);
    }
}

impl Engine {
    /// Returns what must stay, and holds up what could need more.
    pub(crate) fn begin_removal(&mut self) -> (Roots, Removal) {
        self.removals += 1;
        let containers = self.world.found.containers.values().map(|container| &container.spec);
        let operations = self.lanes.values_mut().flat_map(|lane| lane.all_mut());
        let executions = operations.filter_map(|operation| operation.execution.as_ref());
        let planned = executions.flat_map(|execution| execution.remaining()).filter_map(made);
        let add = |roots: Roots, spec: &ContainerSpec| {
            let roots = roots.image(&spec.image_id).layers(spec.layers.iter().map(PathBuf::as_path));
            spec.mounts.iter().fold(roots, |roots, mount| match &mount.source {
                MountSpecSource::Image { id, layers, .. } => {
                    roots.image(id).layers(layers.iter().map(PathBuf::as_path))
                }
                MountSpecSource::Bind(_) | MountSpecSource::Volume { .. } | MountSpecSource::Tmpfs(_) => {
                    roots
                }
            })
        };
        let roots = containers.chain(planned).fold(Roots::new(), add);
        (roots, Removal { events: self.events.clone() })
    }
}

/// Returns the container that an action makes.
pub(crate) fn made(action: &Action) -> Option<&ContainerSpec> {
    match action {
        Action::CreateContainer(spec) => Some(spec),
        _ => None,
    }
}

/// Removes images by their names.
pub(super) async fn remove(call: RemoveImages, service: Service) -> Result<RemovedView, Fault> {
    let platform = stated(call.platform.as_deref())?;
    let (roots, removal) = service.ask_for(Question::BeginRemoval).await?;
    in_thread(move || {
        let images = &service.backends.images;
        let roots = service.backends.with_reusable(roots)?;
        let mut view = RemovedView::default();
        for image in &call.images {
            let found = find(images, image, platform.as_ref());
            let removed = found.and_then(|found| {
                let removed = images.remove(&found, call.force, &roots);
                removed.map_err(|error| Fault::of(Code::Image, &error))
            });
            match removed {
                Ok(removed) => add(&mut view, removed),
                Err(fault) => view.faults.push(fault),
            }
        }
        drop(removal);
        Ok(view)
    })
    .await
}

/// Removes images that nobody uses.
pub(super) async fn prune(call: PruneImages, service: Service) -> Result<RemovedView, Fault> {
    let (roots, removal) = service.ask_for(Question::BeginRemoval).await?;
    in_thread(move || {
        let PruneImages { named, before, labels, without_labels } = call;
        let filter = PruneFilter { named, before, labels, without_labels };
        let roots = service.backends.with_reusable(roots)?;
        let removed = service.backends.images.prune(&filter, &roots);
        let removed = removed.map_err(|error| Fault::of(Code::Image, &error))?;
        drop(removal);
        let mut view = RemovedView::default();
        add(&mut view, removed);
        Ok(view)
    })
    .await
}

fn add(view: &mut RemovedView, removed: Removed) {
    view.untagged.extend(removed.untagged);
    view.deleted.extend(removed.deleted.iter().map(ToString::to_string));
    view.layers += removed.layers;
    view.bytes += removed.bytes;
}
