//! What comes out of files, and goes into them. The client brings them, open.

use std::error::Error;
use std::sync::atomic::AtomicBool;

use trice_api::event::OperationEvent;
use trice_api::fault::{Code, Fault};
use trice_api::image::{ImportImage, LoadImages, SaveImages};
use trice_image::images::Images;
use trice_image::images::build::Draft;
use trice_image::images::read::{ArchiveInput, ReadImage};
use trice_image::images::save::{ArchiveFormat, SavedImage};
use trice_image::platform::Platform;
use trice_model::image::RegistryRef;

use super::catalogue::find;
use super::{in_thread, platform, stated};
use crate::failure;
use crate::handover::Handover;
use crate::serve::Service;

/// Writes images to an archive.
pub(super) async fn save(call: SaveImages, mut handover: Handover, service: Service) -> Result<(), Fault> {
    let output = handover.pipe().await?;
    let platform = stated(call.platform.as_deref())?;
    in_thread(move || {
        let images = &service.backends.images;
        let format = if call.oci { ArchiveFormat::Oci } else { ArchiveFormat::Docker };
        let saved = saved(images, &call.images, platform.as_ref(), format)?;
        let written = images.save(&saved, format, 0, output);
        written.map(drop).map_err(|error| Fault::of(Code::Image, &error))
    })
    .await
}

/// Finds images, each once, with the names that they are saved by: those that were typed. In the form of Docker's archives
/// a name stands for one image.
fn saved(
    images: &Images,
    typed: &[String],
    platform: Option<&Platform>,
    format: ArchiveFormat,
) -> Result<Vec<SavedImage>, Fault> {
    let mut saved: Vec<SavedImage> = Vec::new();
    for text in typed {
        let found = find(images, text, platform)?;
        let name = found.name.filter(|name| name.digest.is_none());
        let mut all = vec![found.image];
        if format == ArchiveFormat::Oci {
            all.extend(found.others);
        }
        let is_same = |known: &&mut SavedImage| {
            known.images.iter().map(|image| &image.id).eq(all.iter().map(|image| &image.id))
        };
        match saved.iter_mut().find(is_same) {
            Some(known) => known.names.extend(name),
            None => saved.push(SavedImage { images: all, names: name.into_iter().collect() }),
        }
    }
    Ok(saved)
}

/// Takes in the images of an archive.
pub(super) async fn load(call: LoadImages, mut handover: Handover, service: Service) -> Result<(), Fault> {
    let input = handover.pipe().await?;
    let platform = platform(call.platform.as_deref())?;
    let read = in_thread(move || {
        let input = match input.regular() {
            Ok(file) => ArchiveInput::File(file),
            Err(pipe) => ArchiveInput::Stream(Box::new(pipe)),
        };
        let stop = AtomicBool::new(false);
        let read = service.backends.images.read_archive(input, &call.name, &platform, &stop, &mut |_| {});
        read.map_err(|error| Fault::of(Code::Image, &error))
    })
    .await?;
    read.iter().for_each(|image| handover.tell(&OperationEvent::Note(loaded(image))));
    Ok(())
}

/// Says what has come, as Docker does.
fn loaded(image: &ReadImage) -> String {
    match image.names.as_slice() {
        [] => format!("Loaded image ID: {}", image.id),
        names => {
            let lines = names.iter().map(|name: &RegistryRef| format!("Loaded image: {name}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Makes an image of an archive of files.
pub(super) async fn import(call: ImportImage, mut handover: Handover, service: Service) -> Result<(), Fault> {
    let input = handover.pipe().await?;
    let platform = platform(call.platform.as_deref())?;
    let id = in_thread(move || {
        let images = &service.backends.images;
        let what = "import the image";
        let failed = |error: &(dyn Error + 'static)| failure::of_image_made(what, error);
        let lease = images.lease().map_err(|error| failed(&error))?;
        let workshop = images.workshop().map_err(|error| failed(&error))?;
        let layer = images.layer_of_archive(&workshop, input, &call.source, |_| Ok(()));
        let layer = layer.map_err(|error| failed(&error))?;
        let config = super::config::imported(&call, &platform, layer.diff_id())?;
        let config = trice_build::changes::changed(&config, &call.changes);
        let config = config.map_err(|error| failure::of_change(what, &error))?;
        images.publish(&lease, &workshop, &[layer]).map_err(|error| failed(&error))?;
        let names: Vec<RegistryRef> = call.name.into_iter().collect();
        let draft = Draft::new(config, None);
        let mut made = images.commit(&lease, &[draft], &names).map_err(|error| failed(&error))?;
        Ok(made.remove(0).id) // of one draft
    })
    .await?;
    handover.tell(&OperationEvent::Note(id));
    Ok(())
}
