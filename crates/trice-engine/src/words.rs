//! What a step is called while it runs and when it is over, as people know it from Compose.

use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_model::image::ImageRef;
use trice_plan::action::{Action, Until};

/// Returns the words for having an image.
pub(crate) fn fetching(image: &ImageRef) -> (&'static str, &'static str) {
    match image {
        ImageRef::Registry(_) => ("Pulling", "Pulled"),
        ImageRef::DockerArchive { .. }
        | ImageRef::OciArchive { .. }
        | ImageRef::Oci { .. }
        | ImageRef::Rootfs { .. } => ("Loading", "Loaded"),
    }
}

/// Returns what is told of a step; nothing of those that are part of another one for people.
pub(crate) fn step_events(action: &Action, state: StepState) -> Vec<StepEvent> {
    use ObjectKind::{Container, Image, Network, Volume};
    let one = |object, name: &dyn ToString, doing: &str, done: &str| {
        vec![StepEvent {
            object,
            name: name.to_string(),
            doing: doing.to_owned(),
            done: done.to_owned(),
            state,
            detail: None,
            amount: None,
        }]
    };
    match action {
        Action::FetchImage { image, .. } => {
            let (doing, done) = fetching(&image.image);
            one(Image, image, doing, done)
        }
        Action::CreateNetwork(spec) => one(Network, &spec.name, "Creating", "Created"),
        Action::RemoveNetwork(name) => one(Network, name, "Removing", "Removed"),
        Action::CreateVolume(spec) => one(Volume, &spec.name, "Creating", "Created"),
        Action::RemoveVolume(name) => one(Volume, name, "Removing", "Removed"),
        Action::CreateContainer(spec) => one(Container, &spec.name, "Creating", "Created"),
        Action::StartContainer(target) => one(Container, &target.name, "Starting", "Started"),
        Action::StopContainer { container, .. } => one(Container, &container.name, "Stopping", "Stopped"),
        Action::RemoveContainer(target) => one(Container, &target.name, "Removing", "Removed"),
        Action::Await { containers, until, .. } => {
            let done = match until {
                Until::Healthy | Until::RunningOrHealthy => "Healthy",
                Until::Completed | Until::Ended => "Exited",
            };
            containers.iter().flat_map(|target| one(Container, &target.name, "Waiting", done)).collect()
        }
        Action::ReshapeInstance(spec) => one(Container, &spec.name, "Reconnecting", "Reconnected"),
        Action::ConnectInstance(_) | Action::DisconnectInstance(_) | Action::PublishPorts { .. } => {
            Vec::new()
        }
    }
}
