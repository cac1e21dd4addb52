//! What is here, and what it is called.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use trice_api::call::Selection;
use trice_api::fault::{Code, Fault};
use trice_api::image::{
    HistoryView, ImageHistory, ImageView, InspectImages, Inspected, MissingImages, TagImage,
};
use trice_image::images::Images;
use trice_image::images::find::FoundImage;
use trice_image::images::inspect::{Step, Summary};
use trice_image::images::remove::Roots;
use trice_image::platform::Platform;
use trice_model::image::PlatformImage;
use trice_model::time::Timestamp;

use super::{in_thread, platform, stated};
use crate::failure;
use crate::serve::Service;

/// Returns those of some images that are not here.
pub(super) async fn missing(call: MissingImages, service: Service) -> Result<Vec<PlatformImage>, Fault> {
    in_thread(move || {
        let mut missing = Vec::new();
        for image in call.images {
            let platform = platform(image.platform.as_deref())?;
            let resolved = service.backends.images.resolve(&image.image, &platform);
            if resolved.map_err(|error| failure::of("look at the images", &error))?.is_none() {
                missing.push(image);
            }
        }
        Ok(missing)
    })
    .await
}

/// Lists images.
pub(crate) async fn list(service: Service) -> Result<Vec<ImageView>, Fault> {
    let mut containers: BTreeMap<String, usize> = BTreeMap::new();
    for container in service.containers(Selection::default()).await {
        *containers.entry(container.image_id).or_default() += 1;
    }
    in_thread(move || {
        let images = &service.backends.images;
        let what = "list the images";
        let usage = images.usage(&Roots::new()).map_err(|error| failure::of(what, &error))?;
        let shared: HashMap<_, _> = usage.images.into_iter().map(|image| (image.id, image.shared)).collect();
        let view = |image: Summary| ImageView {
            shared: shared.get(&image.id).copied().unwrap_or_default(),
            containers: containers.get(image.id.as_str()).copied().unwrap_or_default(),
            id: image.id.to_string(),
            tags: image.repo_tags,
            digests: image.repo_digests,
            created: image.created,
            bytes: image.size,
            platform: image.platform,
            labels: image.labels,
        };
        let all = images.list().map_err(|error| failure::of(what, &error))?;
        Ok(all.into_iter().map(view).collect())
    })
    .await
}

/// Tells all about images.
pub(super) async fn inspect(call: InspectImages, service: Service) -> Result<Inspected, Fault> {
    let platform = stated(call.platform.as_deref())?;
    in_thread(move || {
        let mut inspected = Inspected::default();
        for image in &call.images {
            match details(&service.backends.images, image, platform.as_ref()) {
                Ok(details) => inspected.images.push(details),
                Err(fault) => inspected.faults.push(fault),
            }
        }
        Ok(inspected)
    })
    .await
}

/// Returns all about an image, in the words of Docker's tools.
fn details(images: &Images, image: &str, platform: Option<&Platform>) -> Result<Value, Fault> {
    let found = find(images, image, platform)?;
    let details = images.inspect(&found.image).map_err(|error| failure::of("inspect the image", &error))?;
    let mut value =
        serde_json::to_value(details).map_err(|error| failure::of("inspect the image", &error))?;
    // What scripts for Docker look for, and what there is nothing to say about.
    value["Parent"] = json!("");
    value["DockerVersion"] = json!("");
    value["Metadata"] = json!({ "LastTagTime": found.image.loaded_at.rfc3339() });
    let layers = found.image.layers.iter().rev().filter_map(|layer| images.layer_root(&layer.diff_id));
    let folders: Vec<String> = layers.map(|folder| folder.display().to_string()).collect();
    let data = match folders.split_first() {
        Some((upper, [])) => json!({ "UpperDir": upper }),
        Some((upper, lower)) => json!({ "UpperDir": upper, "LowerDir": lower.join(":") }),
        None => json!({}),
    };
    value["GraphDriver"] = json!({ "Name": "overlay", "Data": data });
    Ok(value)
}

/// Tells how an image was made.
pub(super) async fn history(call: ImageHistory, service: Service) -> Result<Vec<HistoryView>, Fault> {
    let platform = stated(call.platform.as_deref())?;
    in_thread(move || {
        let images = &service.backends.images;
        let found = find(images, &call.image, platform.as_ref())?;
        let steps = images.history(&found.image).map_err(|error| failure::of("read the history", &error))?;
        let view = |step: Step| HistoryView {
            id: step.id.map(|id| id.to_string()),
            created: step.created.and_then(|created| Timestamp::parse_rfc3339(&created)),
            created_by: step.created_by,
            bytes: step.size,
            comment: step.comment,
        };
        Ok(steps.into_iter().map(view).collect())
    })
    .await
}

/// Gives an image another name.
pub(super) async fn tag(call: TagImage, service: Service) -> Result<(), Fault> {
    in_thread(move || {
        let images = &service.backends.images;
        let found = find(images, &call.image, None)?;
        let ids: Vec<_> = found.all().map(|image| image.id.clone()).collect();
        let tagged = images.tag(&ids, &call.name);
        tagged.map_err(|error| Fault::of(Code::Image, &error))
    })
    .await
}

/// Finds an image by what somebody calls it.
pub(super) fn find(images: &Images, text: &str, platform: Option<&Platform>) -> Result<FoundImage, Fault> {
    images.find(text, platform).map_err(|error| {
        let fault = Fault::of(Code::NotFound, &error);
        fault.hint("`trice image ls` shows those that are here")
    })
}
