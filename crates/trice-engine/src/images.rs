//! Requests about images, which belong to no project: they go past the loop, as far as they change nothing that it knows.
//!
//! ```text
//! transfer    pull, push, what registries have         catalogue   what is here, and what it is called
//! removal     what goes, while nobody begins to use it  archive     what comes out of files, and goes into them
//! ```

use hyper::Request;
use hyper::body::Incoming;
use trice_api::call::Call;
use trice_api::fault::{Code, Fault};
use trice_api::image::{
    EnterRegistry, ImageHistory, ImportImage, InspectImages, ListImages, ListTags, LoadImages, MissingImages,
    PruneImages, PullImages, PushImages, RemoveImages, SaveImages, SearchImages, TagImage,
};
use trice_image::platform::Platform;

use crate::handover::hand_over;
use crate::serve::{Answer, Service, json, lines, read};

mod archive;
mod catalogue;
mod config;
pub(crate) mod removal;
mod transfer;

pub(crate) use catalogue::list;

/// What the paths of these requests begin with.
pub(crate) const PREFIX: &str = "images/";

/// Answers the request at `path`.
pub(crate) async fn answer(
    path: &str,
    request: Request<Incoming>,
    service: Service,
) -> Result<Answer, Fault> {
    match path {
        PullImages::PATH => Ok(lines(transfer::pull(read(request).await?, service)?)),
        PushImages::PATH => Ok(lines(transfer::push(read(request).await?, service)?)),
        ListTags::PATH => json(&transfer::tags(read(request).await?).await?),
        SearchImages::PATH => json(&transfer::search(read(request).await?).await?),
        EnterRegistry::PATH => json(&transfer::enter(read(request).await?).await?),
        MissingImages::PATH => json(&catalogue::missing(read(request).await?, service).await?),
        ListImages::PATH => json(&list(service).await?),
        InspectImages::PATH => json(&catalogue::inspect(read(request).await?, service).await?),
        ImageHistory::PATH => json(&catalogue::history(read(request).await?, service).await?),
        TagImage::PATH => json(&catalogue::tag(read(request).await?, service).await?),
        RemoveImages::PATH => json(&removal::remove(read(request).await?, service).await?),
        PruneImages::PATH => json(&removal::prune(read(request).await?, service).await?),
        SaveImages::PATH => hand_over(request, service, archive::save).await,
        LoadImages::PATH => hand_over(request, service, archive::load).await,
        ImportImage::PATH => hand_over(request, service, archive::import).await,
        _ => Err(crate::serve::no_such_request(path)),
    }
}

/// Reads the platform that somebody asks for; none is this machine's.
pub(crate) fn platform(text: Option<&str>) -> Result<Platform, Fault> {
    Ok(stated(text)?.unwrap_or_else(Platform::host))
}

/// The same, but nothing where no platform is stated.
fn stated(text: Option<&str>) -> Result<Option<Platform>, Fault> {
    text.map(|text| text.parse().map_err(|error| Fault::of(Code::BadRequest, &error))).transpose()
}

/// Runs what waits for the disk in a thread of its own.
pub(crate) async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Fault::of(Code::Internal, &error))?
}
