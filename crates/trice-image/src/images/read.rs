//! All images of an archive, as `docker load` reads them: each under the names that it has there.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use trice_model::image::{ImageRef, RegistryRef};
use trice_state::batch::Batch;

use super::{FetchError, Images};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::record::ImageRecord;
use crate::source::tar_file::TarFile;
use crate::source::{SourceError, docker_archive, oci_layout};

/// Where an archive comes from.
pub enum ArchiveInput<'a> {
    /// A regular file, which is read where it is.
    File(File),
    /// Anything that can be read to its end.
    Stream(Box<dyn Read + Send + 'a>),
}

/// An image that was in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadImage {
    /// Its id.
    pub id: String,
    /// The names that it has from now on.
    pub names: Vec<RegistryRef>,
}

impl Images {
    /// Reads the images of an archive, which messages call `name`. Of images for several platforms that is taken which
    /// is for `platform`.
    ///
    /// # Errors
    /// [`FetchError`] at the first image that is wrong; those before it are here.
    pub fn read_archive(
        &self,
        input: ArchiveInput<'_>,
        name: &str,
        platform: &Platform,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ReadImage>, FetchError> {
        let reference = |image: Option<&String>| ImageRef::DockerArchive {
            path: PathBuf::from(name),
            name: image.cloned(),
        };
        let failed = |image: Option<&String>| {
            let reference = reference(image);
            move |error: SourceError| FetchError::Source { reference, source: Box::new(error) }
        };
        let tmp = self.layout.tmp();
        let files = match input {
            ArchiveInput::File(file) => TarFile::of_file(file, name, &tmp, self.limits),
            ArchiveInput::Stream(stream) => TarFile::of_stream(stream, name, &tmp, self.limits),
        };
        let files = files.map_err(failed(None))?;
        let of_docker = docker_archive::names(&files).map_err(failed(None))?;
        let is_dockers = of_docker.is_some();
        let all = match of_docker {
            Some(names) => names,
            None => oci_layout::names(&files).map_err(failed(None))?,
        };
        let mut read = Vec::new();
        for image in &all {
            let offer = match is_dockers {
                true => docker_archive::offer(&files, Some(image)),
                false => oci_layout::offer(&files, Some(image), platform),
            };
            let offer = offer.map_err(failed(Some(image)))?;
            let reference = reference(Some(image));
            let keep = |batch: Batch, _: &ImageRecord| batch;
            let taken = self.take(&reference, platform, &files, &offer, keep, stop, progress)?;
            read.push(ReadImage { id: taken.id, names: offer.names });
        }
        Ok(read)
    }
}
