//! What an image is based on: other images and folders, looked up and kept.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trice_dockerfile::document::Document;
use trice_dockerfile::graph::{Base, BaseRef};
use trice_image::digest::Digest;
use trice_image::images::FetchError;
use trice_image::lease::Lease;
use trice_image::platform::Platform;
use trice_image::progress::Progress;
use trice_model::build::Context;
use trice_model::image::{ImageRef, ObservedImage};

use crate::builder::{BuiltImage, Tools};
use crate::error::BaseError;
use crate::event::{Event, Listener};
use crate::provenance::Material;

/// The least time between two words on how far a fetch is.
const PAUSE: Duration = Duration::from_millis(100);

/// A base that is here.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// An image, with its layers, the lowest first, or a folder of this machine, which is the only one.
    Image { document: Box<Document>, layers: Vec<Layer>, material: Option<Material> },
    /// A context, whose files are copied as far as they are needed.
    Folder(PathBuf),
}

/// A layer that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) diff_id: Digest,
    /// The folder that overlayfs can use.
    pub(crate) root: PathBuf,
    /// It is a folder of this machine as it stands, and the digest that of its place: its files may change at any time,
    /// and it means nothing elsewhere.
    pub(crate) standing: bool,
}

impl Layer {
    /// Returns a layer that is in the store.
    pub(crate) fn stored(diff_id: Digest, root: PathBuf) -> Self {
        Self { diff_id, root, standing: false }
    }

    /// Returns the folder `root` as a layer.
    pub(crate) fn standing(root: PathBuf) -> io::Result<Self> {
        let found = std::fs::metadata(&root)?;
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let place = format!("rootfs:{}:{}:{}", root.display(), found.dev(), found.ino());
        Ok(Self { diff_id: Digest::of(place.as_bytes()), root, standing: true })
    }
}

impl Found {
    /// Returns what the Dockerfile is to know of it.
    pub(crate) fn known(&self) -> Base {
        match self {
            Self::Image { document, .. } => Base::Image(document.clone()),
            Self::Folder(_) => Base::Folder,
        }
    }
}

/// The property that names the folder of this machine that an image lies on, so that it is another image than one on
/// another folder. Nobody believes it: what counts is what the store says.
const PROPERTY: &str = "trice.rootfs";

/// Returns a configuration that names `rootfs`.
pub(crate) fn named_in(config: &[u8], rootfs: &Path) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(config).expect("we have written it");
    config[PROPERTY] = json!(rootfs);
    serde_json::to_vec(&config).expect("a value is JSON")
}

/// Looks bases up.
pub(crate) struct Bases<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) lease: &'a Lease,
    pub(crate) listener: Listener<'a>,
    /// Where relative paths of references begin.
    pub(crate) folder: &'a Path,
    pub(crate) contexts: &'a BTreeMap<String, Context>,
    /// The images of services that were built before.
    pub(crate) services: &'a BTreeMap<String, Vec<BuiltImage>>,
    /// Registries are asked whether there is a newer one.
    pub(crate) pull: bool,
    /// The Dockerfile came from elsewhere.
    pub(crate) is_fetched: bool,
}

impl Bases<'_> {
    /// Has a base here.
    pub(crate) fn find(&self, base: &BaseRef) -> Result<Found, BaseError> {
        match base {
            BaseRef::Image { reference, platform } => {
                let platform: Platform = platform.parse()?;
                let reference = reference.parse::<ImageRef>()?;
                if self.is_fetched && !matches!(reference, ImageRef::Registry(_)) {
                    return Err(BaseError::Context(format!(
                        "a Dockerfile that was fetched takes no files of this machine, and `{reference}` is some: \
                         name them in `additional_contexts`"
                    )));
                }
                self.image(&reference.resolved(self.folder), &platform)
            }
            BaseRef::Context { name, platform } => {
                let platform: Platform = platform.parse()?;
                match &self.contexts[name] {
                    Context::Folder(path) if path.is_dir() => Ok(Found::Folder(path.clone())),
                    Context::Folder(path) => Err(BaseError::Context(format!(
                        "the context `{name}` is no folder: `{}`",
                        path.display()
                    ))),
                    Context::Image(image) => self.image(&image.clone().resolved(self.folder), &platform),
                    Context::Service(service) => {
                        let images = self.services.get(service.as_str()).ok_or_else(|| {
                            BaseError::Context(format!("the context `{name}` is the image of service `{service}`, which was not built"))
                        })?;
                        let fit = images
                            .iter()
                            .filter_map(|image| Some((platform.distance(&image.platform)?, image)));
                        let (_, best) = fit.min_by_key(|(far, _)| *far).ok_or_else(|| {
                            BaseError::Context(format!("the context `{name}` is the image of service `{service}`, which is not built for {platform}"))
                        })?;
                        self.built(name, &best.id)
                    }
                    Context::Remote(url) => Err(BaseError::Context(format!(
                        "the context `{name}` is not on this machine: `{url}`"
                    ))),
                }
            }
        }
    }

    pub(crate) fn image(&self, reference: &ImageRef, platform: &Platform) -> Result<Found, BaseError> {
        if let ImageRef::Rootfs { path } = reference {
            let layer = Layer::standing(path.clone()).map_err(|error| {
                BaseError::Context(format!("the root file system `{}`: {error}", path.display()))
            })?;
            let document =
                Document::scratch(&platform.os, &platform.architecture, platform.variant.as_deref());
            return Ok(Found::Image { document: Box::new(document), layers: vec![layer], material: None });
        }
        let images = &self.tools.images;
        let here = images
            .resolve(reference, platform)
            .map_err(|trice_image::images::ResolveError::Read(error)| error)?;
        let observed = match here.filter(|_| !self.pull) {
            Some(here) => here,
            None => self.fetch(reference, platform)?,
        };
        let found = match self.held(&reference.to_string(), &observed.id)? {
            Some(found) => found,
            // Somebody has removed it this moment.
            None => {
                let observed = self.fetch(reference, platform)?;
                let gone = || BaseError::Context(format!("the image `{reference}` has just been removed"));
                self.held(&reference.to_string(), &observed.id)?.ok_or_else(gone)?
            }
        };
        let Found::Image { document, layers, .. } = found else { return Ok(found) };
        let material = self.material(reference, platform, &observed.id)?;
        Ok(Found::Image { document, layers, material })
    }

    /// Returns what is to be stated of an image: what its registry calls it, or else its id.
    fn material(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        id: &str,
    ) -> Result<Option<Material>, BaseError> {
        let Ok(id) = id.parse::<Digest>() else { return Ok(None) };
        Ok(match reference {
            ImageRef::Registry(name) => {
                let known = self.tools.images.registry_digest(name, &id)?;
                Some(Material::image(name, platform, known.as_ref().unwrap_or(&id)))
            }
            // Where the file is on this machine is nobody's business.
            ImageRef::DockerArchive { path, .. }
            | ImageRef::OciArchive { path, .. }
            | ImageRef::Oci { path, .. } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                Some(Material::archive(&format!("file:{name}"), &id))
            }
            ImageRef::Rootfs { .. } => None,
        })
    }

    fn fetch(&self, reference: &ImageRef, platform: &Platform) -> Result<ObservedImage, BaseError> {
        let image = reference.to_string();
        let tell = |amount| (self.listener)(Event::Fetching { image: image.clone(), amount });
        tell(None);
        let (mut parts, mut told) = (BTreeMap::new(), Instant::now());
        let mut progress = |progress| {
            if let Progress::Reading { layer, bytes, of } = progress {
                parts.insert(layer, (bytes, of));
                // Now and then, not at each of thousands of steps.
                if told.elapsed() >= PAUSE {
                    told = Instant::now();
                    tell(Some(parts.values().fold((0, 0), |all, part| (all.0 + part.0, all.1 + part.1))));
                }
            }
        };
        let fetching = self.tools.images.fetch(reference, platform, &self.tools.registries, &mut progress);
        self.tools.runtime.block_on(fetching).map_err(|error: FetchError| Box::new(error).into())
    }

    fn built(&self, name: &str, id: &str) -> Result<Found, BaseError> {
        let gone = || BaseError::Context(format!("the image of the context `{name}` has just been removed"));
        self.held(name, id)?.ok_or_else(gone)
    }

    /// Keeps an image for as long as the build goes on, and returns what there is of it.
    fn held(&self, name: &str, id: &str) -> Result<Option<Found>, BaseError> {
        let wrong = |reason: String| BaseError::Config { image: name.to_owned(), reason };
        let digest: Digest = id.parse().map_err(|_| wrong(format!("`{id}` is no digest")))?;
        let images = &self.tools.images;
        if !images.hold(self.lease, &digest).map_err(|error| wrong(error.to_string()))? {
            return Ok(None);
        }
        let config = images.config(&digest).map_err(|error| wrong(error.to_string()))?;
        let document = Document::read(&config).map_err(|error| wrong(error.to_string()))?;
        let layers = document.rootfs.diff_ids.iter().map(|diff_id| {
            let diff_id: Digest = diff_id.parse().map_err(|_| wrong(format!("`{diff_id}` is no digest")))?;
            let root =
                images.layer_root(&diff_id).ok_or_else(|| wrong(format!("layer {diff_id} is not here")))?;
            Ok(Layer::stored(diff_id, root))
        });
        let rootfs = images.rootfs_of(&digest).map_err(|error| wrong(error.to_string()))?;
        let rootfs = rootfs.map(|rootfs| Layer::standing(rootfs).map_err(|error| wrong(error.to_string())));
        let layers = rootfs.into_iter().chain(layers).collect::<Result<Vec<_>, BaseError>>()?;
        Ok(Some(Found::Image { document: Box::new(document), layers, material: None }))
    }
}
