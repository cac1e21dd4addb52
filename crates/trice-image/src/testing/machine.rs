//! A data folder with images in it.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use trice_model::image::{ImageRef, ObservedImage};
use trice_model::registry::{Keyring, RegistrySettings};
use trice_state::store::Store;

use super::archive::{file, folder};
use super::image::{TestFiles, TestImage};
use super::{Folder, wait_for};
use crate::images::{FetchError, Images};
use crate::layer::LayerError;
use crate::load::LoadError;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::registry::Registries;
use crate::source::SourceError;

/// A data folder and the images in it.
pub(crate) struct Machine {
    pub(crate) images: Images,
    pub(crate) folder: Folder,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::in_folder(Folder::in_memory())
    }

    pub(crate) fn in_folder(folder: Folder) -> Self {
        let store = Store::open(&folder.path("data/store")).unwrap();
        Self { images: Images::open(&folder.path("data"), store).unwrap(), folder }
    }

    /// Returns the reference `TRANSPORT:FILE[:NAME]` of a file of this test.
    pub(crate) fn reference(&self, text: &str) -> ImageRef {
        text.parse::<ImageRef>().unwrap().resolved(&self.folder.path(""))
    }

    pub(crate) fn write(&self, name: &str, files: TestFiles) {
        fs::write(self.folder.path(name), files.tar()).unwrap();
    }

    pub(crate) fn fetch(&self, text: &str) -> Result<ObservedImage, FetchError> {
        self.fetch_and_hear(text, &mut |_| {})
    }

    pub(crate) fn fetch_and_hear(
        &self,
        text: &str,
        hear: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ObservedImage, FetchError> {
        fetch(&self.images, &self.reference(text), hear)
    }

    pub(crate) fn resolve(&self, text: &str) -> Option<ObservedImage> {
        self.images.resolve(&self.reference(text), &Platform::host()).unwrap()
    }

    /// Returns what went wrong with the source.
    pub(crate) fn refused(&self, text: &str) -> SourceError {
        match self.fetch(text) {
            Err(FetchError::Source { source, .. }) => *source,
            other => panic!("{other:?}"),
        }
    }

    /// Returns what went wrong with a layer.
    pub(crate) fn refused_layer(&self, text: &str) -> LayerError {
        match self.fetch(text) {
            Err(FetchError::Load { source, .. }) => match *source {
                LoadError::Layer(error) => error,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Sees that there is nothing but what is whole.
    pub(crate) fn assert_tidy(&self) {
        for name in ["tmp", "locks", "leases"] {
            assert_eq!(self.folder.names(format!("data/{name}")), [""; 0], "{name}");
        }
    }

    pub(crate) fn assert_empty(&self) {
        self.assert_tidy();
        for name in ["blobs/sha256", "layers"] {
            assert_eq!(self.folder.names(format!("data/{name}")), [""; 0], "{name}");
        }
        assert_eq!(self.images.list().unwrap(), []);
    }
}

/// Fetches from files and folders; there is no registry.
pub(crate) fn fetch(
    images: &Images,
    reference: &ImageRef,
    hear: &mut (dyn FnMut(Progress) + Send),
) -> Result<ObservedImage, FetchError> {
    let registries = Registries::new(RegistrySettings::default(), Keyring::default());
    wait_for(images.fetch(reference, &Platform::host(), &registries, hear))
}

/// Two layers: the upper one changes, adds and removes.
pub(crate) fn image(variable: &str) -> TestImage {
    TestImage::new(
        variable,
        [
            vec![
                folder("etc/"),
                file("etc/old", "x"),
                file("etc/both", "low"),
                file("big", &"big".repeat(90_000)),
            ],
            vec![folder("etc/"), file("etc/.wh.old", ""), file("etc/both", "high"), file("new", variable)],
        ],
    )
}

/// Sees that `found` is the image whole, with its layers the topmost first.
pub(crate) fn assert_is(found: &ObservedImage, wanted: &TestImage) {
    assert_eq!(found.id, wanted.id().as_str());
    assert_eq!(found.config.cmd, ["/bin/sh"]);
    let hexes: Vec<_> = wanted.diff_ids().iter().rev().map(|id| id.hex().to_owned()).collect();
    let folders: Vec<_> = found
        .layers
        .iter()
        .map(|path| path.parent().unwrap().file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(folders, hexes);
    let [upper, lower] = &found.layers[..] else { panic!("{:?}", found.layers) };
    assert_eq!(fs::read(upper.join("etc/both")).unwrap(), b"high");
    assert!(fs::symlink_metadata(upper.join("etc/old")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read(lower.join("etc/old")).unwrap(), b"x");
    assert_eq!(fs::metadata(lower.join("big")).unwrap().len(), 270_000);
}
